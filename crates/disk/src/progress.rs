//! How long work is reported, and stopped.

/// Hears how far long work is, and can say that it must end.
pub trait Progress: Sync {
    /// `done_bytes` more bytes of the disk are done.
    fn advance(&self, done_bytes: u64);

    /// Whether the work must end now: it then returns an error of kind
    /// [`Stopped`](crate::Kind::Stopped).
    fn stopped(&self) -> bool;
}

/// Nobody listens, nobody stops.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unheard;

impl Progress for Unheard {
    fn advance(&self, _done_bytes: u64) {}

    fn stopped(&self) -> bool {
        false
    }
}
