//! A line of a descriptor that names one extent of the disk.

use encoding_rs::Encoding;

use crate::{Error, FileName, error::shown};

/// An extent as the descriptor lists it: `ACCESS SECTORS TYPE ["file" [offset …]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vmdk) struct ExtentLine {
    /// The number of the line, for messages.
    pub(in crate::vmdk) line: usize,
    pub(in crate::vmdk) access: Access,
    pub(in crate::vmdk) sectors: u64,
    pub(in crate::vmdk) storage: Storage,
    pub(in crate::vmdk) name: Option<FileName>,
    /// Where a flat extent begins in its file.
    pub(in crate::vmdk) offset_sectors: u64,
}

/// Whether an extent may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vmdk) enum Access {
    /// `RW` or `RDONLY`: they are read alike.
    Readable,
    /// `NOACCESS`: it has its length, and nothing that may be read.
    None,
}

/// How the bytes of an extent are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vmdk) enum Storage {
    /// `FLAT` or `VMFS`: the guest's bytes as they are.
    Flat,
    /// `SPARSE`, `VMFSSPARSE` or `SESPARSE`: the file's own magic tells which.
    Sparse,
    /// `ZERO`: no bytes at all.
    Zero,
    /// `VMFSRDM`, `VMFSRAW` and their relatives: a device of the host that wrote the descriptor.
    Device(String),
    /// Anything else, in capitals.
    Unknown(String),
}

/// What is wrong with an extent line.
#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error("line {0} of the descriptor: extent of '{1}' sectors, a number is needed")]
    Sectors(usize, String),
    #[error("line {0} of the descriptor: extent at sector '{1}', a number is needed")]
    Offset(usize, String),
}

impl Storage {
    fn parse(word: &[u8]) -> Self {
        let word = String::from_utf8_lossy(word).to_ascii_uppercase();
        match word.as_str() {
            "FLAT" | "VMFS" => Self::Flat,
            "SPARSE" | "VMFSSPARSE" | "SESPARSE" => Self::Sparse,
            "ZERO" => Self::Zero,
            "VMFSRDM" | "VMFSRDMP" | "VMFSRAW" | "VMFSPASSTHROUGHRAWDEVICEMAP" => {
                Self::Device(word)
            }
            _ => Self::Unknown(word),
        }
    }

    /// The word for messages.
    pub(in crate::vmdk) fn as_str(&self) -> &str {
        match self {
            Self::Flat => "FLAT",
            Self::Sparse => "SPARSE",
            Self::Zero => "ZERO",
            Self::Device(word) | Self::Unknown(word) => word,
        }
    }
}

impl ExtentLine {
    /// Reads a line; `None` when it is another kind of line.
    ///
    /// The name of the file is in the encoding that the descriptor says, and its bytes are kept.
    pub(super) fn parse(
        line: usize,
        text: &[u8],
        encoding: &'static Encoding,
    ) -> Result<Option<Self>, Error> {
        let (access, rest) = word(text);
        let (sectors, rest) = word(rest);
        let is = |name: &str| access.eq_ignore_ascii_case(name.as_bytes());
        let access = match (is("RW") || is("RDONLY"), is("NOACCESS")) {
            _ if sectors.is_empty() || sectors.starts_with(b"=") => return Ok(None),
            (true, _) => Access::Readable,
            (_, true) => Access::None,
            _ => return Ok(None),
        };
        let wrong = |leaf: fn(usize, String) -> LineError, word: &[u8]| {
            Error::malformed(leaf(line, shown(&String::from_utf8_lossy(word))))
        };
        let (kind, rest) = word(rest);
        let (name, rest) = quoted(rest);
        let (offset, _) = word(rest);
        let storage = Storage::parse(kind);
        let offset_sectors = match storage {
            Storage::Flat if !offset.is_empty() => number(offset),
            _ => Some(0),
        };
        Ok(Some(Self {
            line,
            access,
            sectors: number(sectors).ok_or_else(|| wrong(LineError::Sectors, sectors))?,
            storage,
            name: name.map(|name| decode(name, encoding)),
            offset_sectors: offset_sectors.ok_or_else(|| wrong(LineError::Offset, offset))?,
        }))
    }
}

/// A name of a file in the encoding of its descriptor; it keeps the bytes, which may be the name, too.
pub(super) fn decode(raw: &[u8], encoding: &'static Encoding) -> FileName {
    let (text, _) = encoding.decode_without_bom_handling(raw);
    FileName::decoded(&text, raw)
}

/// The first word, and what stands behind it.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii_start();
    let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, &[]))
}

/// What stands between quotes, if anything does, and what stands behind it.
fn quoted(text: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let Some(inner) = text.trim_ascii_start().strip_prefix(b"\"") else { return (None, text) };
    let mut parts = inner.splitn(2, |byte| *byte == b'"');
    match (parts.next(), parts.next()) {
        (Some(name), Some(rest)) => (Some(name), rest),
        _ => (None, text),
    }
}

fn number(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<ExtentLine>, String> {
        ExtentLine::parse(7, text.as_bytes(), encoding_rs::UTF_8).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_access_length_type_name_and_offset() {
        for (text, access, sectors, storage, name, offset_sectors) in [
            (
                "RW 8 FLAT \"a b.vmdk\" 128",
                Access::Readable,
                8,
                Storage::Flat,
                Some("a b.vmdk"),
                128,
            ),
            ("rdonly\t8  vmfs \"a\"", Access::Readable, 8, Storage::Flat, Some("a"), 0),
            ("NOACCESS 9 ZERO", Access::None, 9, Storage::Zero, None, 0),
            ("RW 1 SESPARSE \"a\"", Access::Readable, 1, Storage::Sparse, Some("a"), 0),
            ("RW 1 VMFSSPARSE \"a\" x", Access::Readable, 1, Storage::Sparse, Some("a"), 0),
            (
                "RW 1 vmfsRDM \"a\" 0 \"vml.0\"",
                Access::Readable,
                1,
                Storage::Device("VMFSRDM".to_owned()),
                Some("a"),
                0,
            ),
            ("RW 1 NEW a", Access::Readable, 1, Storage::Unknown("NEW".to_owned()), None, 0),
        ] {
            let name = name.map(FileName::new);
            let want = ExtentLine { line: 7, access, sectors, storage, name, offset_sectors };
            assert_eq!(parse(text), Ok(Some(want)), "{text}");
        }
        for text in ["", "RW", "RW = 1", "RWX 8 FLAT", "version=1"] {
            assert_eq!(parse(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn names_the_number_that_is_none() {
        for (text, want) in [
            ("RW -1 FLAT \"a\"", "extent of '-1' sectors, a number is needed"),
            (
                "RW 99999999999999999999 ZERO",
                "extent of '99999999999999999999' sectors, a number is needed",
            ),
            ("RW 1 FLAT \"a b", "extent at sector '\\\"a', a number is needed"),
            ("RW 1 FLAT \"a\" 0x1\x1b", "extent at sector '0x1\\u{1b}', a number is needed"),
        ] {
            assert_eq!(parse(text), Err(format!("line 7 of the descriptor: {want}")));
        }
    }

    #[test]
    fn a_name_is_decoded_and_keeps_its_bytes() {
        let parse = |encoding| {
            let line = ExtentLine::parse(1, b"RW 1 FLAT \"\xe9.vmdk\" 0", encoding).unwrap();
            line.unwrap().name.unwrap()
        };
        for (encoding, text) in [
            (encoding_rs::WINDOWS_1252, "\u{e9}.vmdk"),
            (encoding_rs::KOI8_R, "\u{418}.vmdk"),
            (encoding_rs::UTF_8, "\u{fffd}.vmdk"),
        ] {
            let name = parse(encoding);
            assert_eq!((name.text(), name.raw()), (text, Some(&b"\xe9.vmdk"[..])));
        }
    }
}
