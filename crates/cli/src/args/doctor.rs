//! Flags of `doctor`.

use clap::Args;

pub(super) const EXAMPLES: &str = "\
EXAMPLES
  relift doctor
  relift doctor --json --connect qemu:///system
  relift doctor --repair --dry-run";

/// `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Put right what interrupted backups left: jobs, frozen or stopped guests, scratch files, checkpoints
    /// that no backup knows, backups that were only begun.
    #[arg(long)]
    pub(crate) repair: bool,
    /// Only of this machine; repeat for more.
    #[arg(long, value_name = "VM", requires = "repair")]
    pub(crate) vm: Vec<String>,
    /// Say what would be put right and stop.
    #[arg(long, requires = "repair")]
    pub(crate) dry_run: bool,
}
