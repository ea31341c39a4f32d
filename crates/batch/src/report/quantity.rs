//! Bytes and durations, as people read them.

/// Bytes in binary units: `512 bytes`, `1.5 GiB`.
pub(super) fn bytes(count: u64) -> String {
    let units = [(60, "EiB"), (50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let Some((shift, unit)) = units.into_iter().find(|(shift, _)| count >> shift > 0) else {
        return format!("{count} bytes");
    };
    let whole = count >> shift;
    let tenths = ((u128::from(count) * 10) >> shift) % 10;
    if whole >= 100 { format!("{whole} {unit}") } else { format!("{whole}.{tenths} {unit}") }
}

/// A duration by its two largest units: `0.4 s`, `1 min 52 s`, `2 h 5 min`, `3 d 1 h`.
pub(super) fn duration(length_ms: u64) -> String {
    let seconds = length_ms / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if minutes == 0 {
        format!("{seconds}.{} s", length_ms % 1000 / 100)
    } else if hours == 0 {
        format!("{minutes} min {} s", seconds % 60)
    } else if days == 0 {
        format!("{hours} h {} min", minutes % 60)
    } else {
        format!("{days} d {} h", hours % 24)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_unit_that_fits() {
        for (count, want) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (3 << 29, "1.5 GiB"),
            (200 << 20, "200 MiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(bytes(count), want);
        }
    }

    #[test]
    fn durations_have_their_two_largest_units() {
        for (length_ms, want) in [
            (0, "0.0 s"),
            (59_999, "59.9 s"),
            (112_000, "1 min 52 s"),
            (7_500_000, "2 h 5 min"),
            (262_800_000, "3 d 1 h"),
        ] {
            assert_eq!(duration(length_ms), want);
        }
    }
}
