//! What users of the crate see of it.

mod report;
