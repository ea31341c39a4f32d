//! Every code that relift prints: its severity, its exit status and its explanation.
//!
//! ```text
//! a finding or an error --Code--> severity (how bad)
//!                             \-> exit status (what the shell is told)
//!                             \-> page: cause, fix, long text (what the reader is told)
//! ```
//!
//! This crate is the one home of the codes of the command line's contract. A code, once published,
//! keeps its meaning; new ones are added at the end of their family.

mod codes;
mod exit;
mod page;

pub use codes::{Code, Severity};
pub use exit::ExitStatus;
pub use page::Page;
