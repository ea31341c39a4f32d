//! Programmatic units of bytes (DSP0004 annex C) and the old words for them.
//!
//! ```text
//!  "byte * 2^20", "byte*1024*1024", "MegaBytes" --parse--> ByteUnit --bytes(512)--> 536 870 912
//! ```

use code::Code;

use crate::{Error, quote};

/// The greatest exponent that is read (ours: 2^60 bytes is more than any machine has).
const MAX_EXPONENT: u32 = 60;
/// The most modifiers behind the base (the standard has two).
const MAX_MODIFIERS: usize = 4;

/// A unit of memory or capacity: how many bytes one of it is, as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteUnit {
    numerator: u128,
    denominator: u128,
}

impl ByteUnit {
    /// One byte.
    pub const BYTE: Self = Self { numerator: 1, denominator: 1 };
    /// 2^20 bytes.
    pub const MEBIBYTE: Self = Self { numerator: 1 << 20, denominator: 1 };

    /// Reads a unit of bytes: `byte * 2^20`, `byte*1024*1024`, `MegaBytes`.
    ///
    /// Blanks and the case of letters do not count. The old words are binary, whatever they say.
    ///
    /// # Errors
    /// `E0304` for a text that is no unit of bytes, or over a limit.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let compact: String =
            text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect();
        parse_compact(&compact).ok_or_else(|| {
            let message = format!("the unit {} is no unit of bytes", quote::Quoted(text));
            Error::malformed(Code::E0304, message)
        })
    }

    /// Multiplies a value with the unit.
    ///
    /// # Errors
    /// `E0304` when the result is not a whole number of bytes below 2^64.
    pub fn bytes(self, value: u64) -> Result<u64, Error> {
        let scaled = u128::from(value).checked_mul(self.numerator);
        let whole = scaled
            .filter(|bytes| bytes.checked_rem(self.denominator) == Some(0))
            .and_then(|bytes| bytes.checked_div(self.denominator))
            .and_then(|bytes| u64::try_from(bytes).ok());
        whole.ok_or_else(|| {
            let message = format!(
                "{value} times {}/{} bytes is no whole number of bytes below 2^64",
                self.numerator, self.denominator
            );
            Error::malformed(Code::E0304, message)
        })
    }
}

/// Tells a word such as `MegaBytes` or `GB`, which is binary here and decimal elsewhere.
#[must_use]
pub fn is_ambiguous_word(text: &str) -> bool {
    let word = text.trim().to_ascii_lowercase();
    power_of_word(&word).is_some() && !word.contains("ib")
}

fn parse_compact(text: &str) -> Option<ByteUnit> {
    if let Some(power) = power_of_word(text) {
        return Some(ByteUnit { numerator: 1_u128.checked_shl(power)?, denominator: 1 });
    }
    let mut rest = text.strip_prefix("bytes").or_else(|| text.strip_prefix("byte"))?;
    let mut unit = ByteUnit::BYTE;
    for _ in 0..MAX_MODIFIERS {
        if rest.is_empty() {
            break;
        }
        (unit, rest) = modify(unit, rest)?;
    }
    rest.is_empty().then_some(unit)
}

/// Applies one `* number`, `/ number`, `* base ^ exponent` or `/ base ^ exponent`.
fn modify(unit: ByteUnit, text: &str) -> Option<(ByteUnit, &str)> {
    let (operator, rest) = text.split_at_checked(1)?;
    let (mut factor, mut rest) = number(rest)?;
    if let Some(power) = rest.strip_prefix('^') {
        let (negative, digits) = match power.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, power.strip_prefix('+').unwrap_or(power)),
        };
        let (exponent, after) = integer(digits)?;
        let exponent = u32::try_from(exponent).ok().filter(|e| *e <= MAX_EXPONENT)?;
        if factor.denominator != 1 {
            return None;
        }
        factor.numerator = factor.numerator.checked_pow(exponent)?;
        if negative {
            factor = invert(factor);
        }
        rest = after;
    }
    let factor = match operator {
        "*" => factor,
        "/" => invert(factor),
        _ => return None,
    };
    let unit = ByteUnit {
        numerator: unit.numerator.checked_mul(factor.numerator)?,
        denominator: unit.denominator.checked_mul(factor.denominator)?,
    };
    Some((unit, rest))
}

const fn invert(factor: ByteUnit) -> ByteUnit {
    ByteUnit { numerator: factor.denominator, denominator: factor.numerator }
}

/// Reads a number above zero with at most nine decimals.
fn number(text: &str) -> Option<(ByteUnit, &str)> {
    let (whole, rest) = integer(text.strip_prefix('+').unwrap_or(text))?;
    let (decimals, rest) = match rest.strip_prefix('.') {
        Some(after) => split_digits(after),
        None => ("", rest),
    };
    let denominator =
        10_u128.checked_pow(u32::try_from(decimals.len()).ok().filter(|n| *n <= 9)?)?;
    let fraction = if decimals.is_empty() { 0 } else { decimals.parse::<u128>().ok()? };
    let numerator = whole.checked_mul(denominator)?.checked_add(fraction)?;
    (numerator > 0).then_some((ByteUnit { numerator, denominator }, rest))
}

fn integer(text: &str) -> Option<(u128, &str)> {
    let (digits, rest) = split_digits(text);
    Some((digits.parse().ok()?, rest))
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// The power of two of an old word (OVF 0.9 and early writers); never decimal.
fn power_of_word(word: &str) -> Option<u32> {
    let stem = word.strip_suffix('s').unwrap_or(word);
    match stem {
        "kilobyte" | "kb" | "kbyte" | "kib" | "kibibyte" => Some(10),
        "megabyte" | "mb" | "mbyte" | "mib" | "mebibyte" => Some(20),
        "gigabyte" | "gb" | "gbyte" | "gib" | "gibibyte" => Some(30),
        "terabyte" | "tb" | "tbyte" | "tib" | "tebibyte" => Some(40),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(text: &str, value: u64) -> Result<u64, String> {
        ByteUnit::parse(text).and_then(|unit| unit.bytes(value)).map_err(|e| e.to_string())
    }

    #[test]
    fn reads_every_spelling_of_real_descriptors() {
        for (text, value, want) in [
            ("byte * 2^20", 1024, 1 << 30),
            ("byte*2^30", 1, 1 << 30),
            ("byte * 2 ^ 30", 1, 1 << 30),
            (" byte  *2 ^20 ", 1, 1 << 20),
            ("Bytes", 8_589_934_592, 8_589_934_592),
            ("byte*1024*1024", 3, 3 << 20),
            ("byte * 10^6", 5, 5_000_000),
            ("byte * 1000", 5, 5000),
            ("byte * 4 * 2^20", 2, 8_388_608),
            ("byte * 2^20 / 4", 2, 524_288),
            ("byte / 2", 4, 2),
            ("byte * 0.5", 4, 2),
            ("byte * 2^+10", 1, 1024),
            ("MegaBytes", 512, 536_870_912),
            ("MB", 1, 1 << 20),
            ("kbytes", 1, 1 << 10),
            ("GiB", 2, 2 << 30),
            ("TeraByte", 1, 1 << 40),
        ] {
            assert_eq!(bytes(text, value), Ok(want), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_unit_of_bytes() {
        for text in [
            "",
            "hertz * 10^6",
            "byte^2",
            "byte *",
            "byte * 2^",
            "byte * 2^61",
            "byte * 0",
            "byte * 2^999999999",
            "byte * -2",
            "byte + 2",
            "${x}",
            "bytebyte",
            "byte * 2^20^2",
            "byte * 2 * 2 * 2 * 2 * 2",
            "byte * 999999999999999999999999999999999999999999",
            "byte*é",
        ] {
            let want = format!("the unit '{text}' is no unit of bytes");
            assert_eq!(bytes(text, 1), Err(want));
        }
    }

    #[test]
    fn refuses_a_result_that_is_not_whole_or_too_great() {
        for (text, value, want) in [
            ("byte / 2", 3, "3 times 1/2 bytes is no whole number of bytes below 2^64"),
            ("byte * 2^-1", 3, "3 times 1/2 bytes is no whole number of bytes below 2^64"),
            (
                "byte * 2^40",
                1 << 63,
                "9223372036854775808 times 1099511627776/1 bytes is no whole number of bytes below 2^64",
            ),
        ] {
            assert_eq!(bytes(text, value), Err(want.to_owned()));
        }
    }

    #[test]
    fn knows_which_words_mean_something_else_elsewhere() {
        assert!(is_ambiguous_word("MegaBytes") && is_ambiguous_word("gb"));
        assert!(!is_ambiguous_word("MiB") && !is_ambiguous_word("byte * 2^20"));
    }

    proptest! {
        #[test]
        fn a_power_of_two_is_a_shift(value in 0_u64..1 << 20, power in 0_u32..=40, blank in " {0,3}") {
            let text = format!("byte{blank}*{blank}2{blank}^{blank}{power}");
            prop_assert_eq!(bytes(&text, value), Ok(value << power));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}", value: u64) {
            let _either = bytes(&text, value);
            let _either = bytes(&format!("byte{text}"), value);
        }
    }
}
