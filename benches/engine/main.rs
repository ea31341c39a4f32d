//! What the parts of a copy do in a second, each alone on one core.
//!
//! ```text
//! grain inflate --> zero scan --> deflate, zstd --> placing (L2 tables, reference counts)
//!        \--> digest (on its own thread in a copy)
//! ```
//!
//! `cargo bench -p benches` runs all of them; a word behind `--` picks those whose name has it.

mod digest;
mod encode;
mod inflate;
mod place;
mod sample;
mod zero;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    engine,
    inflate::inflate,
    zero::zero,
    digest::digest,
    place::place,
    encode::encode
);
criterion_main!(engine);
