//! Inputs for tests, made in the test itself: descriptors, disks, packages.
//!
//! ```text
//! Descriptor --xml--> Package (+ disks, manifest) --> an OVA in memory, or a folder
//! content(capacity), GuestDisk --stream_optimized--> a VMDK
//! ```
//!
//! A dev-dependency of every crate, and of nothing that is shipped. Whatever cannot be made panics:
//! then the test is wrong.

mod content;
mod descriptor;
mod guest_disk;
mod memory;
mod oracle;
mod package;
mod read_back;

pub use content::{content, stream_optimized};
pub use descriptor::{Descriptor, item};
pub use guest_disk::{Fill, GuestDisk, Run, cases, guest_disks, some_guest_disks};
pub use memory::Memory;
pub use oracle::{oracle, oracle_command, skip_oracle};
pub use package::Package;
pub use read_back::{read_extents, read_in_steps};

/// One mebibyte.
pub const MIB: u64 = 1 << 20;
