//! What the writer makes of whole machines.

mod machines;
mod round_trip;
mod schema;
mod snapshots;
