//! Inputs for tests, made in the test itself: descriptors, disks, packages.
//!
//! ```text
//! Descriptor --xml--> Package (+ disks, manifest) --> an OVA in memory, or a folder
//! Vmx --text--> a VMX
//! content(capacity) --stream_optimized--> a VMDK
//!  or GuestDisk     --vhd_fixed, vhd_dynamic, vhd_differencing, vdi_dynamic, vdi_static--> the like
//! Qcow2 (cluster by cluster) --build--> a qcow2 image of any layout
//! NbdExport --serve--> an NBD server, honest or not
//! SparseMap --hosted, cowd, sesparse--> an extent of a VMDK, which a VmdkDescriptor names
//! ```
//!
//! A dev-dependency of every crate, and of nothing that is shipped. Whatever cannot be made panics:
//! then the test is wrong.

mod container;
mod content;
mod descriptor;
mod descriptors;
mod files;
mod guest_disk;
mod memory;
mod nbd;
mod oracle;
mod package;
mod qcow2;
mod read_back;
mod signer;
mod vdi;
mod vhd;
mod vhdx;
mod vmdk;
mod vmx;

pub use container::{ZipMethod, deflate, gzip, xz, zip, zstd};
pub use content::{content, stream_optimized};
pub use descriptor::{Descriptor, item};
pub use descriptors::{corpus, fixtures};
pub use files::Files;
pub use guest_disk::{Fill, GuestDisk, Run, cases, guest_disks, some_guest_disks};
pub use memory::Memory;
pub use nbd::{NbdExport, NbdRequest, nbd_chunk};
pub use oracle::{oracle, oracle_command, skip_oracle};
pub use package::Package;
pub use qcow2::{BuiltQcow2, Qcow2, Qcow2Cluster};
pub use read_back::{read_extents, read_in_steps};
pub use signer::{NOW_SECONDS, Signer, Wish, pem};
pub use vdi::{vdi_dynamic, vdi_static};
pub use vhd::{vhd_differencing, vhd_dynamic, vhd_fixed, vhd_seal};
pub use vhdx::{LogEntry, LogWrite, VHDX_LOG_GUID, Vhdx, vhdx};
pub use vmdk::{SparseMap, VmdkDescriptor};
pub use vmx::Vmx;

/// One mebibyte.
pub const MIB: u64 = 1 << 20;
