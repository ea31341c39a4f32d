//! Inputs for tests, made in the test itself: descriptors, disks, packages.
//!
//! ```text
//! Descriptor --xml--> Package (+ disks, manifest) --> an OVA in memory, or a folder
//! content(capacity) --stream_optimized--> a VMDK
//! ```
//!
//! A dev-dependency of every crate, and of nothing that is shipped. Whatever cannot be made panics:
//! then the test is wrong.

mod content;
mod descriptor;
mod oracle;
mod package;
mod vhdx;

pub use content::{content, stream_optimized};
pub use descriptor::{Descriptor, item};
pub use oracle::{oracle, oracle_command, skip_oracle};
pub use package::Package;
pub use vhdx::{LogEntry, LogWrite, VHDX_LOG_GUID, Vhdx, vhdx};

/// One mebibyte.
pub const MIB: u64 = 1 << 20;
