//! From what a package says to what KVM gets, with a reason for each change; and the loop that moves
//! the bytes of disks.
//!
//! ```text
//! ovf::SelectedSystem --from_ovf--> vm::Machine  +  one row an item (kept, changed, dropped, blocked)
//!        hardware map, choices                   +  which file each disk comes from
//!
//! disk::Image, or a stream --copy--> disk::Target          one pass, all cores, digest in the same run
//! ```

mod choices;
pub mod copy;
pub mod digest;
mod error;
mod from_ovf;
pub mod guest;
mod hardware;
mod identity;
mod name;
mod row;

pub use choices::{Choices, DiskBus, NetworkMap, NicChoice, Origin, Profile};
pub use error::{Error, Kind};
pub use from_ovf::{Converted, SourceDisk, SourceMedium, from_ovf};
pub use identity::Identity;
pub use name::{domain_name, slug};
pub use row::{Action, Note, Row};
