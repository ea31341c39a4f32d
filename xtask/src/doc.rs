//! The documentation.

use anyhow::Result;

use crate::{
    check::{Outcome, Step},
    program::cargo,
};

pub(crate) const STEP: Step =
    Step { name: "doc", what: "the documentation builds without a warning", look };

fn look() -> Result<Outcome> {
    cargo(&["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")])?;
    Ok(Outcome::Right)
}
