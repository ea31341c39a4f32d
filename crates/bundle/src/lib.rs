//! The native backup file: a tar archive of disks and a libvirt domain XML, plain or in zstd frames.
//!
//! ```text
//! file --Archive--> members (name, role, offset)       .tar: read where they lie
//!                        |                             .tar.zst: unpacked a frame at a time
//!                     Bundle --> config, manifest, nodes, image(member), bytes(member)
//!                        |
//!        verify | Session, append (old or new, never between) | rewrite, compact --> Writer --> Medium
//! ```
//!
//! `tar`, `zstd` and `qemu-img` read what is written here, and what they made is read here: an archive
//! without our manifest is a bundle as well. The crate decides nothing about restoring.
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

mod error;
mod medium;

mod name;
mod tar;

mod frames;

mod archive;

mod bundle;
mod chain;
mod config;
mod digest;
mod manifest;
mod point;
mod state;

mod append;
mod growing;
mod rewrite;
mod session;
mod subtrees;
mod tail;
mod verify;
mod writer;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod sample;

pub use append::{Addition, Increment, Mark, append, is_locked, lock, pin};
pub use archive::{Form, Member};
pub use bundle::Bundle;
pub use chain::chain;
pub use config::Config;
pub use error::{Error, Kind, Result};
pub use growing::Growing;
pub use manifest::{
    Manifest, MemberDigest, Node, Snapshot, SourceDigest, SourceFacts, Template, TemplateDisk, Vm,
};
pub use medium::Medium;
pub use name::{Role, member_name};
pub use point::{Checkpoint, Indication, LeftOut, Mode, Point, PointDisk, State};
pub use rewrite::{compact, compare, rewrite};
pub use session::Session;
pub use state::ImageState;
pub use verify::{Fault, Level, Report, Verdict, verify};
pub use writer::{DEFAULT_LEVEL, Options, Writer, Written};
