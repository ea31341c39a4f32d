//! From bytes to text, and from an offset in the text to a place for people.

use std::{borrow::Cow, fmt::Write as _};

use code::Code;

use crate::{Error, Finding, Place, quote};

/// The longest descriptor that is read, in bytes (ours; the longest real one has some 100 KiB).
pub(crate) const MAX_DESCRIPTOR_BYTES: usize = 16 << 20;

/// What the bytes were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Utf16,
}

impl Encoding {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16 => "UTF-16",
        }
    }

    /// Whether a declaration of this name is true of the bytes.
    pub(super) fn is_named(self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        match self {
            Self::Utf8 => matches!(name.as_str(), "utf-8" | "utf8"),
            Self::Utf16 => matches!(name.as_str(), "utf-16" | "utf16" | "utf-16le" | "utf-16be"),
        }
    }
}

/// A text that was checked to hold only characters of XML.
#[derive(Debug)]
pub(super) struct Decoded<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) encoding: Encoding,
    pub(super) findings: Vec<Finding>,
}

/// Decodes UTF-8, with or without a byte order mark, or UTF-16 with one. Never lossy.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded<'_>, Error> {
    if bytes.len() > MAX_DESCRIPTOR_BYTES {
        let message = format!(
            "the descriptor has {} bytes, at most {MAX_DESCRIPTOR_BYTES} are allowed",
            bytes.len()
        );
        return Err(Error::limit(Code::E0301, message));
    }
    let mut findings = Vec::new();
    let (text, encoding) = match bytes {
        [0xff, 0xfe, rest @ ..] => (utf16(rest, u16::from_le_bytes)?, Encoding::Utf16),
        [0xfe, 0xff, rest @ ..] => (utf16(rest, u16::from_be_bytes)?, Encoding::Utf16),
        [0xef, 0xbb, 0xbf, rest @ ..] => (utf8(rest)?, Encoding::Utf8),
        _ => (utf8(bytes)?, Encoding::Utf8),
    };
    if encoding == Encoding::Utf16 {
        findings.push(Finding::new(Code::W0608, "the descriptor is UTF-16, not UTF-8"));
    }
    if let Some((offset, bad)) = text.char_indices().find(|(_, c)| !is_xml_char(*c)) {
        let (line, column) = line_and_column(&text, offset);
        let message = format!("the character U+{:04X} is not allowed in XML", u32::from(bad));
        let error = Error::malformed(Code::E0301, message).at(Place::Column { line, column });
        return Err(error.with_context(around(&text, line)));
    }
    Ok(Decoded { text, encoding, findings })
}

fn utf8(bytes: &[u8]) -> Result<Cow<'_, str>, Error> {
    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let (line, column) = line_and_column(&String::from_utf8_lossy(before), usize::MAX);
        let message = "the bytes are not UTF-8";
        Error::malformed(Code::E0301, message).at(Place::Column { line, column }).caused_by(error)
    })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'_, str>, Error> {
    let malformed = || Error::malformed(Code::E0301, "the bytes are not UTF-16");
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(malformed());
    }
    char::decode_utf16(pairs.iter().map(|pair| unit(*pair)))
        .collect::<Result<String, _>>()
        .map(Cow::Owned)
        .map_err(|error| malformed().caused_by(error))
}

/// Tells a character that XML 1.0 allows (section 2.2).
pub(crate) const fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// The line and the column of an offset, both counted from 1, the column in characters.
pub(super) fn line_and_column(text: &str, offset: usize) -> (u64, u64) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    let before = text.get(..end).unwrap_or_default();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX).saturating_add(1);
    let last = before.rsplit('\n').next().unwrap_or_default();
    (count(before.matches('\n').count()), count(last.chars().count()))
}

/// The line, the one before and the one after it, numbered and escaped.
pub(super) fn around(text: &str, line: u64) -> String {
    let mut shown = String::new();
    for (number, content) in (1_u64..).zip(text.lines()) {
        if number.abs_diff(line) <= 1 {
            // Writing to a String cannot fail.
            let _written = writeln!(shown, "{number:>5} | {}", quote::Plain(content.trim_end()));
        }
        if number > line {
            break;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_utf_16_of_both_orders_and_says_so() {
        for (mark, order) in [
            ([0xff, 0xfe], u16::to_le_bytes as fn(u16) -> [u8; 2]),
            ([0xfe, 0xff], u16::to_be_bytes),
        ] {
            let mut bytes = mark.to_vec();
            bytes.extend("<é/>".encode_utf16().flat_map(order));
            let decoded = decode(&bytes).unwrap();
            assert_eq!(decoded.text, "<é/>");
            assert_eq!(decoded.findings[0].code, Code::W0608);
        }
    }

    #[test]
    fn refuses_bytes_that_are_no_text() {
        for (bytes, want) in [
            (&b"a\nb\xe9"[..], "the bytes are not UTF-8 (line 2, column 2)"),
            (&[0xff, 0xfe, b'<'], "the bytes are not UTF-16"),
            (&[0xff, 0xfe, 0, 0xd8, 0, 0], "the bytes are not UTF-16"),
            (b"<a>\x08</a>", "the character U+0008 is not allowed in XML (line 1, column 4)"),
        ] {
            assert_eq!(decode(bytes).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn shows_the_lines_around_a_place() {
        assert_eq!(around("a\nb\nc\nd\ne", 3), "    2 | b\n    3 | c\n    4 | d\n");
        assert_eq!(line_and_column("a\nbé!", 5), (2, 3));
    }
}
