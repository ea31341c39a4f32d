//! What the writer makes of whole machines.

mod machines;
mod schema;
mod snapshots;
