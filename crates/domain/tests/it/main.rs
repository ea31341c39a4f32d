//! What the writer makes of whole machines.

mod any_machine;
mod dumps;
mod machines;
mod round_trip;
mod schema;
mod snapshots;
