//! From what a package says to what KVM gets, with a reason for each change; and the loop that moves
//! the bytes of disks.
//!
//! ```text
//! ovf::SelectedSystem --from_ovf--\
//!                                  source::System --map_hardware--> vm::Machine
//! vmx::Vmx -------------from_vmx--/    choices   +  one row an item (kept, changed, dropped, blocked)
//!                                                +  which file each disk comes from
//!
//! disk::Image, or a stream --copy--> disk::Target          one pass, all cores, digest in the same run
//! ```

mod choices;
pub mod copy;
pub mod digest;
mod environment;
mod error;
#[cfg(test)]
mod fidelity;
mod from_ovf;
mod from_vmx;
pub mod guest;
mod hardware;
mod identity;
mod map;
mod name;
mod row;
pub mod source;
mod to_ovf;

pub use choices::{Choices, DiskBus, Licences, NetworkMap, NicChoice, Origin, Profile, Watchdog};
pub use environment::{ENVIRONMENT_SUFFIX, FW_CFG_NAME, environment, wants_guest_info};
pub use error::{Error, Kind};
pub use from_ovf::from_ovf;
pub use from_vmx::from_vmx;
pub use identity::Identity;
pub use map::{Converted, SourceCard, SourceDisk, SourceMedium, SourceNvram, map_hardware};
pub use name::{domain_name, slug};
pub use row::{Action, Note, Row};
pub use to_ovf::{Exported, Image, Reader, to_ovf};
