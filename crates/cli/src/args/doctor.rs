//! Flags of `doctor`.

use clap::Args;

pub(super) const EXAMPLES: &str = "\
EXAMPLES
  relift doctor
  relift doctor --json --connect qemu:///system";

/// `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {}
