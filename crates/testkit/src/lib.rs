//! Inputs for tests, made in the test itself: descriptors, disks, packages.
//!
//! ```text
//! Descriptor --xml--> Package (+ disks, manifest) --> an OVA in memory, or a folder
//! content(capacity) --stream_optimized--> a VMDK
//!                   --vhd_fixed, vhd_dynamic, vhd_differencing, vdi_dynamic, vdi_static--> the like
//! ```
//!
//! A dev-dependency of every crate, and of nothing that is shipped. Whatever cannot be made panics:
//! then the test is wrong.

mod content;
mod descriptor;
mod oracle;
mod package;
mod signer;
mod vdi;
mod vhd;
mod vhdx;

pub use content::{content, stream_optimized};
pub use descriptor::{Descriptor, item};
pub use oracle::{oracle, oracle_command, skip_oracle};
pub use package::Package;
pub use signer::{NOW_SECONDS, Signer, Wish};
pub use vdi::{vdi_dynamic, vdi_static};
pub use vhd::{vhd_differencing, vhd_dynamic, vhd_fixed, vhd_seal};
pub use vhdx::{LogEntry, LogWrite, VHDX_LOG_GUID, Vhdx, vhdx};

/// One mebibyte.
pub const MIB: u64 = 1 << 20;
