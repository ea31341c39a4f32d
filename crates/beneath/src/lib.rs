//! Files and folders beneath an open folder, by names that nobody vouches for.
//!
//! ```text
//! an open folder + a name --> openat2: the kernel resolves it, and leaves the folder nowhere
//!                             (a kernel or a container without it: one component at a time, `walk`)
//!                         --> an open regular file, an open folder, or a Refusal
//! ```
//!
//! Both ways follow no link, not even one that stays inside, and open nothing above the folder. A name
//! may hold `.`, `..` that stays inside, and slashes in a row. The answer is an open descriptor: who
//! looks at the file and who reads it look at the same one, whatever happens to the name meanwhile.

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

mod open;
mod refusal;
mod walk;

pub use self::{
    open::{open_file, open_folder},
    refusal::Refusal,
};
