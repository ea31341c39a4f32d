//! The disk of a running machine, as its host exports it over NBD: a client, the map, an image.
//!
//! ```text
//! unix socket --handshake--> Client --read_exact_at, from many threads--> bytes
//!                              |
//!                              +--map: windows of BLOCK_STATUS--> runs: data, zero, clean
//!                                                                   |
//!                              NbdImage: disk::Image of everything, or of what a bitmap calls dirty
//! ```
//!
//! Facts are from the NBD protocol (`doc/proto.md` of the NetworkBlockDevice project; sections are
//! named where they are used). Only what a backup needs is spoken: fixed newstyle, GO, structured
//! replies, READ, BLOCK_STATUS, DISC. Nothing is ever written.
//! The server is not believed: each length is bounded before memory is taken for it, and a reply that
//! overlaps, leaves gaps or was not asked for ends the connection.
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

mod client;
mod handshake;
mod wire;

mod connection;
mod coverage;
mod reply;

mod clusters;
mod image;
mod map;

mod error;

pub use client::{Client, Options};
pub use error::{Error, Kind, Result};
pub use image::{Dirty, NbdImage};
pub use map::{ALLOCATION, DIRTY_BITMAP_PREFIX, Run, Runs, State};
