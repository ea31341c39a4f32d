//! Limits that the kernel keeps on this process, and on what it starts (getrlimit(2)).
//!
//! None is raised above what the system allows, and where one cannot be set the work goes on: whoever
//! runs into the limit that there is hears of it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The address space of a run without its workers: the limit of this product, far above what a run
/// that is as frugal as it should be ever maps.
const RUN_ADDRESS_BYTES: u64 = 2 << 30;

/// The address space that a thread may add. glibc reserves 64 MiB for the heap of each thread, maps
/// twice as much for a moment to align it, and 8 MiB are a stack.
const THREAD_ADDRESS_BYTES: u64 = 192 << 20;

/// Threads beside the workers: the program's own, signals, progress, digests, and some to spare.
const OTHER_THREADS: u64 = 8;

/// Lets this process have as many files open as it may: a disk that is split at 2 GiB has one for each
/// of its parts, and the usual soft limit of 1024 ends at 2 TiB.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised, opening the file that is one too many says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Writes no memory of this process to a core file: it may hold values of properties.
pub fn forbid_core_files() {
    let _ = setrlimit(Resource::Core, lowered(getrlimit(Resource::Core), 0));
}

/// Bounds the address space of this process for good: 2 GiB, and 192 MiB for each thread.
///
/// What it starts inherits the bound, so a run that starts programs must not call this.
pub fn bound_address_space(workers: usize) {
    let bound = address_bytes(workers);
    let _ = setrlimit(Resource::As, lowered(getrlimit(Resource::As), bound));
}

fn address_bytes(workers: usize) -> u64 {
    let threads = u64::try_from(workers).unwrap_or(u64::MAX).saturating_add(OTHER_THREADS);
    threads.saturating_mul(THREAD_ADDRESS_BYTES).saturating_add(RUN_ADDRESS_BYTES)
}

/// The same limit, or a lower one; `None` is no limit.
fn lowered(limit: Rlimit, bound: u64) -> Rlimit {
    let lower = |there: Option<u64>| Some(there.map_or(bound, |there| there.min(bound)));
    Rlimit { current: lower(limit.current), maximum: lower(limit.maximum) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_never_raised() {
        let limits = |current, maximum| Rlimit { current, maximum };
        for (there, want) in [
            (limits(None, None), limits(Some(10), Some(10))),
            (limits(Some(5), None), limits(Some(5), Some(10))),
            (limits(Some(5), Some(7)), limits(Some(5), Some(7))),
            (limits(Some(50), Some(70)), limits(Some(10), Some(10))),
        ] {
            assert_eq!(lowered(there, 10), want);
        }
    }

    #[test]
    fn the_address_space_grows_with_the_threads() {
        assert_eq!(address_bytes(2), (2 << 30) + 10 * (192 << 20));
        assert_eq!(address_bytes(usize::MAX), u64::MAX);
    }
}
