//! What an OVA or an OVF package says, as values: names, offsets, lengths and hardware.
//!
//! ```text
//!  OVA bytes --archive::Walk--> Member {name, offset, length} --\
//!                    \-> archive::Index: descriptor, .mf, .cert   \
//!                                                                  resolve_href(href) -> Member
//!  .ovf bytes --Envelope::parse--> Envelope --select(Choices)--> Selection
//!     (every dialect, nothing lost)           (one configuration: cpu, memory, disks in bus order, …)
//!
//!  .mf bytes --Manifest::parse--> entries <--compare-- Hasher over the member's bytes
//!  .cert bytes --Signature::verify(.mf bytes, Trust)--> unsigned | invalid | untrusted | trusted
//! ```
//!
//! The crate opens no disk and knows no hypervisor: it hands out what the descriptor states.
//! A defect that does not change what is built is a [`Finding`]; one that leaves two possible
//! machines is an [`Error`]. Every number of a file is hostile until it has passed a named limit.

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

mod quote;
#[cfg(test)]
mod sample;

mod error;
mod finding;

mod entry_name;
mod href;

pub mod archive;
pub mod manifest;
pub mod signature;

pub mod descriptor;
pub mod environment;
pub mod selection;
pub mod units;
pub mod writer;
mod xml;

pub use descriptor::Envelope;
pub use entry_name::EntryName;
pub use error::{Error, Kind, Place};
pub use finding::Finding;
pub use href::{Resolved, check_href, resolve_href, resolve_parts, spellings};
pub use manifest::Manifest;
pub use selection::{Choices, Selection};
pub use signature::Signature;
