//! Backups kept by a policy: when one is due, which there are, and which may go.
//!
//! ```text
//! Schedule --next run--> due jobs                            calendar: pure
//! Item (a bundle) + Rules --decide--> keep | drop, why       retention: pure
//! ```
//!
//! The crate reads no clock and prints nothing: the time, the zone and the folders are handed in.

mod calendar;
mod error;
mod retention;

pub use calendar::Schedule;
pub use error::{Error, Kind, Result};
pub use retention::{
    Condition, Dropped, Item, Kept, Outcome, Period, Rules, Verdict, decide, is_full_due,
};
