//! A libvirt host: what it has, what it can give a machine, and what can be done there.
//!
//! ```text
//! virsh domcapabilities --\
//! qemu -device help -------+--> vm::Offer        what a machine may be made of
//! virsh pool-, net-, dumpxml --> Pool, Network, KnownMachine     what is there
//! trait Hypervisor  <-- define, start, volumes, each with the act that takes it back
//! trait Protection  <-- Guest, Agent, BackupJobs, Checkpoints, Snapshots, BlockJobs, Volumes: what backups need
//! ```
//!
//! Everything goes through virsh, so that any address that libvirt knows will do. What it answers is
//! XML, and is read by pure functions.

mod act;
mod agent;
mod backup_job;
mod block_job;
mod capabilities;
mod checkpoints;
mod deletion;
mod emulator;
mod error;
mod guest;
mod machine;
mod many;
mod network;
mod offer;
mod pool;
mod protection;
mod snapshots;
mod version;
mod virsh;
mod xml;

pub use act::{Hypervisor, Volume};
pub use agent::Agent;
pub use backup_job::{BackupJobs, Job, JobKind};
pub use block_job::{BlockJob, BlockJobs, Commit};
pub use checkpoints::{Checkpoints, Detail};
pub use deletion::{Extent, Scope};
pub use error::{LibvirtError, LibvirtKind};
pub use guest::{BlockError, BlockInfo, Definition, Guest, Power};
pub use machine::KnownMachine;
pub use network::Network;
pub use offer::{Known, Offered};
pub use pool::{Pool, VolumePlace, Volumes};
pub use protection::Protection;
pub use snapshots::{Keeps, KnownSnapshot, Snapshots, Wake};
pub use version::Versions;
pub use virsh::Libvirt;
