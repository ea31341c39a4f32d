//! Backups kept by a policy: when one is due, which there are, and which may go.
//!
//! ```text
//! Schedule --next run--> due jobs                            calendar: pure
//! Item (a bundle) + Rules --decide--> keep | drop, why       retention: pure
//! machine --freeze, act, thaw--> Moment of the act           quiesce: through a host
//! ```
//!
//! The crate prints nothing and asks for no time of day: the time, the zone and the folders are handed in.
//! How long a guest was frozen is all that it measures.

mod calendar;
pub mod create;
mod error;
mod quiesce;
mod retention;

pub use calendar::Schedule;
pub use error::{Error, Kind, Result};
pub use quiesce::{Armed, Asked, Broken, Guards, Moment, Processes, Quiesce, at_a_quiet_moment};
pub use retention::{
    Condition, Dropped, Item, Kept, Outcome, Period, Rules, Verdict, decide, is_full_due,
};
