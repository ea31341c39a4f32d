//! Bundles as their users read and write them, through the public interface.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod flips;
mod made;
