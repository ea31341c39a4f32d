//! The client against servers made in the test, and against QEMU's where it is installed.

mod honest;
mod liars;
mod qemu;
mod server;
