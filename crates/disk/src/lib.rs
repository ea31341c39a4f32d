//! Disk images: one folder a format, read and written side by side.
//!
//! ```text
//! ReadAt ---open-------> Image       extents in guest order --> read_extent (any worker) --+
//! Read -----open_stream> Sequential  pieces as they arrive --> Piece::decode (any worker) -+
//!                                                                                         v
//!            Target: place (in order, decides the layout), then write (any worker), then finish
//!
//! Image ----> check (every fault)     Image + Image ----> compare (the first difference)
//! ```
//!
//! Nothing here follows a name that is found inside an image unless the caller's [`Gate`] allows it;
//! the default allows nothing.
//! Reading is done by `pread` alone, so an image can lie inside an archive ([`Slice`]). Every number
//! of an image is checked before it is used, and bounded before memory is taken for it.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::expect_used
    )
)]

mod audit;
mod boot_record;
mod check;
mod chunked;
mod compare;
mod compress;
mod concat;
mod entry_table;
mod error;
mod fields;
mod format;
mod forward;
mod gate;
mod gzip;
mod image;
mod open;
mod overlay;
mod progress;
mod read_at;
mod sequential;
mod target;
mod usage;
mod uuid;
mod warning;
mod workbench;
mod zero;

pub mod qcow2;
pub mod raw;
mod vdi;
mod vhd;
mod vhdx;
pub mod vmdk;

pub use audit::Finding;
pub use boot_record::BootRecord;
pub use check::{Fault, MAX_FAULTS, Report, check};
pub use chunked::Chunked;
pub use compare::{Comparison, compare, compare_stream};
pub use compress::{Compression, Encoder};
pub use error::{Error, Kind, MAX_CAPACITY_BYTES, Result};
pub use format::{Declared, Format, UnknownFormat, detect};
pub use forward::Length;
pub use gate::{Alone, Closed, FileName, Folder, Gate, Names, Opened, Place, Role};
pub use gzip::{gzip_len_bytes, open_gzip};
pub use image::{Codec, Extent, ExtentKind, Extents, Image, Info, READ_BYTES, Reference};
pub use open::{open, open_behind, open_snapshot, open_stream};
pub use progress::{Progress, Unheard};
pub use read_at::{FileBytes, ReadAt, Slice};
pub use sequential::{Piece, Sequential};
pub use target::{CLUSTER_BYTES, Kept, Order, Target, Unplaced, WriteAt};
pub use warning::Warning;
pub use workbench::Workbench;
pub use zero::is_zero;
