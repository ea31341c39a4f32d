//! How far a backup is, as the gauge shows it.

use backup::create::{Step, Watch};
use disk::Progress;

use crate::progress::Gauge;

/// Tells the steps of a backup.
pub(super) struct Hears<'a>(pub(super) &'a Gauge<'a>);

impl Progress for Hears<'_> {
    fn advance(&self, done_bytes: u64) {
        self.0.advance(done_bytes);
    }

    fn stopped(&self) -> bool {
        self.0.stopped()
    }
}

impl Watch for Hears<'_> {
    fn begin(&self, step: Step<'_>) {
        match step {
            Step::Look => self.0.phase("look", None, None),
            Step::Freeze => self.0.phase("freeze", None, None),
            Step::Copy { target, total_bytes } => {
                self.0.phase("copy", Some(&format!("disk={target}")), Some(total_bytes));
            }
            Step::Merge => self.0.phase("merge", None, None),
            Step::Publish => self.0.phase("publish", None, None),
        }
    }
}
