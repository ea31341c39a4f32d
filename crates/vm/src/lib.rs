//! A virtual machine as plain values: what passes between every way in and every way out.
//!
//! ```text
//! OVF items  --\                          /--> libvirt domain XML
//! domain XML ---+--> Machine (this crate) +--> plan rows
//! VMX        --/                          \--> a native backup
//! ```
//!
//! There is no input or output here, and no format: a reader fills a [`Machine`], a writer prints
//! it. Sizes are in bytes, ids are the position in the machine's own list.

mod bytes;
mod devices;
mod machine;
mod offer;
mod pci;
mod storage;
mod uuid;

pub use bytes::{ByteSize, NoByteSize};
pub use devices::{
    MacAddress, Nic, NicModel, NicTarget, Serial, SerialTarget, Sound, Usb, Video, VideoModel,
};
pub use machine::{
    Accelerator, Chipset, Clock, CpuFeature, Cpus, Firmware, FwCfg, Guest, GuestFamily, Machine,
    Topology,
};
pub use offer::Offer;
pub use pci::{PciAddress, PciBridge, PciBridgeKind, PciLayout};
pub use storage::{
    Bus, Controller, ControllerModel, Disk, DiskFormat, DiskId, DriveAddress, Removable,
    RemovableKind,
};
pub use uuid::Uuid;
