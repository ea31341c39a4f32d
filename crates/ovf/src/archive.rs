//! The OVA archive: a tar that is walked by its headers and never unpacked.
//!
//! ```text
//!  Input (a file that seeks, or a stream that reads through)
//!     \--> Walk: header by header --> Member {name, offset, length}, payload read in place
//!              \--> Index: all members at once --> descriptor, manifest, certificate, member(name)
//!  unpack: a stream that is gzip, xz or zstd, as it passes --> Walk
//!  zip::Zip: the same members from a ZIP archive, stored or deflated
//!  Writer: begin(name, length), write, finish --> the same bytes every time
//! ```
//!
//! The `tar` crate is used for the layout of a header only; every rule is ours: names, types,
//! sizes, checksums, duplicates, what may be missing at the end.

mod block;
mod extension;
mod guess;
mod index;
mod input;
mod packed;
mod walk;
mod writer;
pub mod zip;

pub use index::Index;
pub use input::{Input, SeekInput, StreamInput};
pub use packed::{Compression, Unpacked, unpack};
pub use walk::{MAX_MEMBERS, Member, Rules, Walk};
pub use writer::Writer;
