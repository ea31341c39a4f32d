//! A libvirt host: what it has, what it can give a machine, and what can be done there.
//!
//! ```text
//! virsh domcapabilities --\
//! qemu -device help -------+--> vm::Offer        what a machine may be made of
//! virsh pool-, net-, dumpxml --> Pool, Network, KnownMachine     what is there
//! trait Hypervisor  <-- define, start, volumes, each with the act that takes it back
//! ```
//!
//! Everything goes through virsh, so that any address that libvirt knows will do. What it answers is
//! XML, and is read by pure functions.

mod act;
mod capabilities;
mod emulator;
mod error;
mod machine;
mod network;
mod offer;
mod pool;
mod version;
mod virsh;
mod xml;

pub use act::{Hypervisor, Volume};
pub use error::{LibvirtError, LibvirtKind};
pub use machine::KnownMachine;
pub use network::Network;
pub use offer::{Known, Offered};
pub use pool::Pool;
pub use version::Versions;
pub use virsh::Libvirt;
