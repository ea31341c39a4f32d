//! Inputs for tests, made in the test itself: descriptors, disks, packages.
//!
//! ```text
//! Descriptor --xml--> Package (+ disks, manifest) --> an OVA in memory, or a folder
//! content(capacity) --stream_optimized--> a VMDK
//! SparseMap --hosted, cowd, sesparse--> an extent of a VMDK, which a VmdkDescriptor names
//! ```
//!
//! A dev-dependency of every crate, and of nothing that is shipped. Whatever cannot be made panics:
//! then the test is wrong.

mod content;
mod descriptor;
mod oracle;
mod package;
mod vmdk;

pub use content::{content, stream_optimized};
pub use descriptor::{Descriptor, item};
pub use oracle::{oracle, oracle_command, skip_oracle};
pub use package::Package;
pub use vmdk::{SparseMap, VmdkDescriptor};

/// One mebibyte.
pub const MIB: u64 = 1 << 20;
