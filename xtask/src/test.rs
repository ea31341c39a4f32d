//! The tests of every crate.

use anyhow::Result;

use crate::{
    check::{Outcome, Step},
    program::cargo,
};

pub(crate) const STEP: Step = Step { name: "test", what: "all tests pass", look };

fn look() -> Result<Outcome> {
    cargo(&["test", "--workspace"], &[])?;
    Ok(Outcome::Right)
}
