//! Licences, sources and versions of what we depend on.

use anyhow::Result;

use crate::{
    check::{Outcome, Step},
    program::{cargo, cargo_output},
};

pub(crate) const STEP: Step =
    Step { name: "deny", what: "dependencies are allowed by deny.toml", look };

fn look() -> Result<Outcome> {
    if !cargo_output(&["deny", "--version"])?.status.success() {
        return Ok(Outcome::Skipped("cargo-deny is not installed".into()));
    }
    cargo(&["deny", "--locked", "check", "bans", "licenses", "sources"], &[])?;
    Ok(Outcome::Right)
}
