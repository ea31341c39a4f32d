//! The machine that this program runs on.

use std::fs;

use rustix::system::uname;

/// Its name in the network.
#[must_use]
pub fn name() -> String {
    uname().nodename().to_string_lossy().into_owned()
}

/// Bytes of memory that a new program can take without making others wait; `None` where the kernel
/// does not say (`MemAvailable` of proc(5)).
#[must_use]
pub fn available_memory_bytes() -> Option<u64> {
    available(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_memory_that_can_be_had() {
        let text = "MemTotal:  2000 kB\nMemAvailable:    1000 kB\n";
        assert_eq!(available(text), Some(1_024_000));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
        assert!(!name().is_empty() && available_memory_bytes().is_some());
    }
}
