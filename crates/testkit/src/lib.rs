//! Inputs for tests, made in the test itself: descriptors, disks, packages.
//!
//! ```text
//! Descriptor --xml--> Package (+ disks, manifest) --> an OVA in memory, or a folder
//! content(capacity) --stream_optimized--> a VMDK
//! Qcow2 (cluster by cluster) --build--> a qcow2 image of any layout
//! ```
//!
//! A dev-dependency of every crate, and of nothing that is shipped. Whatever cannot be made panics:
//! then the test is wrong.

mod content;
mod descriptor;
mod oracle;
mod package;
mod qcow2;

pub use content::{content, stream_optimized};
pub use descriptor::{Descriptor, item};
pub use oracle::{oracle, oracle_command, skip_oracle};
pub use package::Package;
pub use qcow2::{BuiltQcow2, Qcow2, Qcow2Cluster};

/// One mebibyte.
pub const MIB: u64 = 1 << 20;
