//! Units of bytes, and numbers of them.

use ovf::units::{self, ByteUnit};

use crate::Feed;

pub(crate) const UNITS: Feed = Feed {
    name: "units",
    read,
    seeds: || {
        let texts = [
            "512\nbyte * 2^20",
            "16\nbyte * 2^30",
            "4\nbyte*1024*1024",
            "1500\nbyte * 10^3",
            "640\nMegaBytes",
            "1\nbytes * 2^60",
            "18446744073709551615\nbyte",
            "3\nhertz * 10^6",
        ];
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    },
    words: &[b"byte", b" * ", b"2^", b"10^", b"^", b"-", b"KiB", b"GigaBytes", b"1024", b"60"],
    seal: None,
};

/// Reads a number on the first line and its unit on the others.
///
/// # Panics
///
/// When none of a unit is something, or two of it are not twice as much as one.
fn read(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (number, unit) = text.split_once('\n').unwrap_or(("1", text));
    let _ = units::is_ambiguous_word(unit);
    let (Ok(unit), Ok(number)) = (ByteUnit::parse(unit), number.parse::<u64>()) else { return };
    assert_eq!(unit.bytes(0).ok(), Some(0), "none of {unit:?}");
    let half = number / 2;
    if let (Ok(one), Ok(two)) = (unit.bytes(half), unit.bytes(half * 2)) {
        assert_eq!(one.checked_mul(2), Some(two), "{half} of {unit:?}");
    }
}
