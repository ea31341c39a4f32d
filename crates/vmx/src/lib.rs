//! VMware's `.vmx` text as values: keys, devices, file names.
//!
//! ```text
//! bytes --lines--> key = "value" --decode (|22, encoding)--> Vmx --devices()--> scsi0:1, ethernet0, …
//!                                                             \--text("memsize")--> values
//! ```
//!
//! The crate knows what a VMX may say, and not what KVM makes of it. It opens no file: a name that it
//! finds is a [`FileName`], which tells whether it can lie beside the VMX, and nothing more.

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

mod decode;
mod device;
mod dictionary;
mod error;
mod file_name;
mod line;

pub use device::Device;
pub use dictionary::{Entry, Finding, Vmx};
pub use error::{Error, Kind};
pub use file_name::FileName;
