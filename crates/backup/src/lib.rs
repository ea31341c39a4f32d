//! Backups kept by a policy: when one is due, which there are, and which may go.
//!
//! ```text
//! Schedule --next run--> due jobs                            calendar: pure
//! folder --list--> Entry --item--> Item                      catalogue: headers and manifests
//! Item (a bundle) + Rules --decide--> keep | drop, why       retention: pure
//! State: jobs, histories, what was verified, places, turns   plain files
//! machine --freeze, act, thaw--> Moment of the act           quiesce: through a host
//! machine --job, images--> point in a bundle                 create: through a host
//! machines, folders --> what interrupted runs left           repair: through a host
//! ```
//!
//! The crate prints nothing and asks for no time of day: the time, the zone and the folders are handed in.
//! How long a guest was frozen is all that it measures.

mod error;

mod calendar;
mod retention;
pub mod snapshot;

mod catalogue;
mod state;

mod jobs;

pub mod create;
pub mod quiesce;
pub mod repair;

pub use calendar::Schedule;
pub use catalogue::{Contents, Entry, Facts, Moment, digest, is_in_use, list, locate, one, remove};
pub use error::{Error, Kind, Result};
pub use jobs::{
    CONCURRENCY, Job, Keep, Place, Run, RunState, Step, StepKind, Task, Turn, Turns, Unit, Verify,
    steps, units,
};
pub use retention::{
    Condition, Dropped, Item, Kept, Outcome, Period, Rules, Verdict, decide, is_full_due,
};
pub use state::{Depth, State, Verified};
