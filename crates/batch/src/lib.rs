//! Many appliances in one run: a file that people review, a journal, a report.
//!
//! ```text
//! a folder or a list --list--> Listed --(shell inspects each)--> Batch: BATCH.toml
//!                                                                   |
//!        Journal <--each state, made durable-- run: shard, order, room, tries --> trait Work
//!           |                                                                  one item, somewhere
//!        History (any number of journals, by id) --> what is still to do, and the Report
//! ```
//!
//! The crate does not know how an item is converted: the caller's [`Work`] does it, in a process of its
//! own, so that an item that takes all memory or dies takes no other with it. It reads no clock either:
//! the time is handed in.

mod error;
mod file;
mod history;
mod id;
mod journal;
mod list;
mod report;
mod run;
mod schedule;
mod shard;

pub use error::{Error, Kind, Result};
pub use file::{Batch, Choices, Item, SCHEMA};
pub use history::{History, Status};
pub use id::ItemId;
pub use journal::{Journal, Line, Record, State, check_unused, read as read_journal};
pub use list::{Listed, list};
pub use report::{Entry, Finding, Format, Group, Report, Standing, Totals};
pub use run::{Done, Failed, Limits, Order, Summary, Watch, Work, run};
pub use schedule::{Need, Room};
pub use shard::Shard;
