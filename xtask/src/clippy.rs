//! The lints of the compiler and of clippy.

use anyhow::Result;

use crate::{
    check::{Outcome, Step},
    program::cargo,
};

pub(crate) const STEP: Step = Step { name: "clippy", what: "no lint speaks up", look };

fn look() -> Result<Outcome> {
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])?;
    Ok(Outcome::Right)
}
