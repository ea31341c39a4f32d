//! Amounts of bytes as people read and write them.

use std::{fmt, str::FromStr};

/// An amount of bytes: printed with binary units (`64 MiB`), read with binary or decimal ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

impl fmt::Display for ByteSize {
    /// Prints at most one digit behind the point, cut, never rounded up.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(power) = self.0.checked_ilog2().map(|log| log / 10).filter(|power| *power > 0)
        else {
            return write!(f, "{} B", self.0);
        };
        let unit = UNITS[power as usize - 1];
        let tenths = (u128::from(self.0) * 10) >> (power * 10);
        if tenths.is_multiple_of(10) || tenths >= 1000 {
            write!(f, "{} {unit}", tenths / 10)
        } else {
            write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
        }
    }
}

/// The text is no amount of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoByteSize;

impl fmt::Display for NoByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a size such as 512M, 2GiB or 10GB")
    }
}

impl std::error::Error for NoByteSize {}

impl FromStr for ByteSize {
    type Err = NoByteSize;

    /// Reads a whole number and a unit: `K`, `KiB` … are binary, `KB` … decimal, none is bytes.
    fn from_str(text: &str) -> Result<Self, NoByteSize> {
        let text = text.trim();
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let number: u64 = number.parse().map_err(|_| NoByteSize)?;
        let unit = unit.trim().to_ascii_lowercase();
        let factor = factor(&unit).ok_or(NoByteSize)?;
        number.checked_mul(factor).map(Self).ok_or(NoByteSize)
    }
}

fn factor(unit: &str) -> Option<u64> {
    if matches!(unit, "" | "b") {
        return Some(1);
    }
    let power = 1 + u32::try_from("kmgtpe".find(unit.chars().next()?)?).ok()?;
    match unit.get(1..)? {
        "" | "ib" => Some(1 << (10 * power)),
        "b" => 1000_u64.checked_pow(power),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_binary_units() {
        for (bytes, want) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (64 << 20, "64 MiB"),
            (1536 << 20, "1.5 GiB"),
            ((1 << 20) - 1, "1023 KiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), want);
        }
    }

    #[test]
    fn reads_binary_and_decimal_units() {
        for (text, want) in [
            ("512", 512),
            ("10G", 10 << 30),
            ("10GiB", 10 << 30),
            ("10gb", 10_000_000_000),
            (" 2 MiB ", 2 << 20),
            ("15E", 15 << 60),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(want)), "{text}");
        }
        for text in ["", "G", "1.5G", "-1", "16E", "1X", "1GiBs", "é"] {
            assert_eq!(text.parse::<ByteSize>(), Err(NoByteSize), "{text}");
        }
    }
}
