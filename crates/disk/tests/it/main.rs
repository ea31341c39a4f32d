//! Whole images: written, read back, damaged, and read by QEMU where it is installed.
#![expect(
    clippy::unwrap_used,
    clippy::panic_in_result_fn,
    reason = "helpers of tests fail as tests do"
)]

mod delta;
mod detection;
mod esx_deltas;
mod extents;
mod folder;
mod hosted_sparse;
mod oracle;
mod qcow2_chain;
mod qcow2_image;
mod qcow2_rename;
mod sample;
mod stream_optimized;
mod vdi;
mod vhd;
mod vhdx;
