//! The formatting of the code.

use anyhow::Result;

use crate::{
    check::{Outcome, Step},
    program::cargo,
};

pub(crate) const STEP: Step = Step { name: "fmt", what: "the code is formatted", look };

fn look() -> Result<Outcome> {
    cargo(&["fmt", "--all", "--check"], &[])?;
    Ok(Outcome::Right)
}
