//! `--limit-rate`: how fast a source is read at most.
//!
//! ```text
//! readers of a source --read--> Pace --take--> Bucket: how long to wait
//!                                 \-- sleeps a little at a time, and looks whether somebody said stop
//! ```

mod sink;
mod source;

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    num::NonZeroU64,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use vm::ByteSize;

pub(crate) use sink::PacedSink;
pub(crate) use source::Paced;

use crate::signals::Stop;

/// How soon a signal is seen by who waits.
const LOOK: Duration = Duration::from_millis(100);

/// How much of the time in which nothing was read may be made up for: a limit of this product.
const SLACK: Duration = Duration::from_millis(250);

/// The unit in which reads are counted: about what the kernel reads ahead.
const BLOCK_BYTES: u64 = 256 << 10;

/// How many blocks count once, however often they are read: 256 MiB that the page cache has.
const RECENT_BLOCKS: usize = 1024;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateLimit(NonZeroU64);

impl RateLimit {
    /// What may be read in a second.
    pub(crate) const fn size(self) -> ByteSize {
        ByteSize(self.0.get())
    }

    /// The part of each of so many processes that read at the same time.
    pub(crate) fn shared_by(self, processes: usize) -> Self {
        let processes = u64::try_from(processes).unwrap_or(u64::MAX).max(1);
        Self(NonZeroU64::new(self.0.get() / processes).unwrap_or(NonZeroU64::MIN))
    }
}

impl fmt::Display for RateLimit {
    /// Prints the number as [`FromStr`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for RateLimit {
    type Err = String;

    /// Reads a size, with or without `/s` behind it.
    fn from_str(text: &str) -> Result<Self, String> {
        let size = text.strip_suffix("/s").unwrap_or(text);
        let bytes = size.parse().map_or(0, |ByteSize(bytes)| bytes);
        let limit = NonZeroU64::new(bytes).map(Self);
        limit.ok_or_else(|| "not a rate such as 50M, 200MiB/s or 1GB/s".to_owned())
    }
}

/// What may be read, as time goes by.
#[derive(Debug)]
struct Bucket {
    limit: RateLimit,
    /// When all that was taken will have been read at the limit, since the start.
    even_at: Duration,
}

impl Bucket {
    const fn new(limit: RateLimit) -> Self {
        Self { limit, even_at: Duration::ZERO }
    }

    /// Takes bytes at a time since the start, and says how long to wait before they are read.
    fn take(&mut self, bytes: u64, now: Duration) -> Duration {
        let nanos = u128::from(bytes) * NANOS_PER_SECOND / u128::from(self.limit.0.get());
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.even_at = self.even_at.max(now.saturating_sub(SLACK)).saturating_add(cost);
        self.even_at.saturating_sub(now)
    }
}

/// Holds back all who read one source, together.
#[derive(Debug)]
pub(crate) struct Pace {
    stop: Arc<Stop>,
    start: Instant,
    shared: Mutex<Shared>,
}

#[derive(Debug)]
struct Shared {
    bucket: Bucket,
    recent: Recent,
}

impl Pace {
    /// Begins now; who waits is let go when somebody says stop.
    fn new(limit: RateLimit, stop: Arc<Stop>) -> Self {
        let shared = Shared { bucket: Bucket::new(limit), recent: Recent::default() };
        Self { stop, start: Instant::now(), shared: Mutex::new(shared) }
    }

    /// Waits until so many bytes may be read.
    fn read(&self, bytes: u64) {
        let now = self.start.elapsed();
        let wait = self.shared().bucket.take(bytes, now);
        self.wait_until(now.saturating_add(wait));
    }

    /// Waits until a range of a file may be read. What was read a moment ago, by a thread that copies
    /// or one that hashes, comes from the page cache and counts once.
    fn read_range(&self, file: &Arc<str>, start: u64, len_bytes: u64) {
        if len_bytes == 0 {
            return;
        }
        let now = self.start.elapsed();
        let mut shared = self.shared();
        let last = start.saturating_add(len_bytes - 1) / BLOCK_BYTES;
        let new = (start / BLOCK_BYTES..=last).filter(|block| shared.recent.is_new(file, *block));
        let bytes = (new.count() as u64).saturating_mul(BLOCK_BYTES);
        if bytes > 0 {
            let wait = shared.bucket.take(bytes, now);
            // Who waits keeps nobody from reading what is there already.
            drop(shared);
            self.wait_until(now.saturating_add(wait));
        }
    }

    fn wait_until(&self, due: Duration) {
        while !self.stop.is_asked() {
            let rest = due.saturating_sub(self.start.elapsed());
            if rest.is_zero() {
                return;
            }
            thread::sleep(rest.min(LOOK));
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The blocks of files that were read last.
#[derive(Debug, Default)]
struct Recent {
    known: HashSet<(Arc<str>, u64)>,
    order: VecDeque<(Arc<str>, u64)>,
}

impl Recent {
    /// Whether a block was not read a moment ago; it is from now on.
    fn is_new(&mut self, file: &Arc<str>, block: u64) -> bool {
        let key = (Arc::clone(file), block);
        if !self.known.insert(key.clone()) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > RECENT_BLOCKS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limit(bytes: u64) -> RateLimit {
        RateLimit(NonZeroU64::new(bytes).unwrap())
    }

    #[test]
    fn a_rate_is_a_size_with_or_without_the_time() {
        for (text, bytes) in
            [("200MiB/s", 200 << 20), ("50M", 50 << 20), ("1GB/s", 1_000_000_000), ("7", 7)]
        {
            assert_eq!(text.parse(), Ok(limit(bytes)), "{text}");
            assert_eq!(limit(bytes).to_string().parse(), Ok(limit(bytes)));
        }
        for text in ["", "0", "0M/s", "/s", "50M/h", "50M/s/s", "-1", "fast"] {
            let refused = text.parse::<RateLimit>().unwrap_err();
            assert_eq!(refused, "not a rate such as 50M, 200MiB/s or 1GB/s", "{text}");
        }
    }

    #[test]
    fn a_rate_is_shared_and_never_becomes_none() {
        assert_eq!(limit(100).shared_by(3), limit(33));
        assert_eq!(limit(100).shared_by(0), limit(100));
        assert_eq!(limit(2).shared_by(5), limit(1));
    }

    #[test]
    fn who_reads_more_than_the_rate_waits_for_the_rest() {
        let mut bucket = Bucket::new(limit(1000));
        assert_eq!(bucket.take(500, Duration::ZERO), SECOND / 2);
        assert_eq!(bucket.take(500, Duration::ZERO), SECOND);
        assert_eq!(bucket.take(1000, SECOND), SECOND);
        assert_eq!(bucket.take(0, SECOND * 2), Duration::ZERO);
    }

    #[test]
    fn only_the_last_moment_of_a_pause_is_made_up_for() {
        let mut bucket = Bucket::new(limit(1000));
        assert_eq!(bucket.take(250, SECOND * 60), Duration::ZERO);
        assert_eq!(bucket.take(1000, SECOND * 60), SECOND);
    }

    #[test]
    fn no_number_of_bytes_is_too_much() {
        let mut bucket = Bucket::new(limit(1));
        for _ in 0..3 {
            assert!(bucket.take(u64::MAX, SECOND) > SECOND * 1_000_000);
        }
        assert_eq!(Bucket::new(limit(u64::MAX)).take(u64::MAX, Duration::ZERO), SECOND);
    }

    #[test]
    fn a_block_counts_again_when_many_others_were_read_since() {
        let (disk, other): (Arc<str>, Arc<str>) = ("disk.vmdk".into(), "other.vmdk".into());
        let mut recent = Recent::default();
        assert!(recent.is_new(&disk, 7));
        assert!(!recent.is_new(&disk, 7));
        assert!(recent.is_new(&other, 7));
        let read = (0..RECENT_BLOCKS as u64).filter(|block| recent.is_new(&other, 100 + block));
        assert_eq!(read.count(), RECENT_BLOCKS);
        assert!(recent.is_new(&disk, 7));
        assert_eq!(recent.known.len(), recent.order.len());
    }

    #[test]
    fn who_was_told_to_stop_waits_no_more() {
        let stop = Arc::<Stop>::default();
        stop.take(signal_hook::consts::SIGTERM);
        // At a byte a second this would take as long as the test may never.
        Pace::new(limit(1), stop).read(u64::MAX);
    }
}
