//! The names of a parent.

use std::ops::Range;

use super::header::Header;
use crate::{
    Error, FileName, ReadAt, Result,
    error::Kind,
    fields::{be32, be64, buffer_len},
};

/// The longest name: that of Windows, 32767 characters of UTF-16.
const MAX_NAME_BYTES: u32 = 65_534;

/// How a locator writes the parent's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Platform {
    /// `W2ru`: UTF-16LE, relative to the disk.
    WindowsRelative,
    /// `W2ku`: UTF-16LE, absolute.
    WindowsAbsolute,
    /// `MacX`: a file URL.
    MacUrl,
}

/// An entry of the dynamic header that says where a name of the parent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Locator {
    index: u32,
    platform: Platform,
    len_bytes: u32,
    offset_bytes: u64,
}

/// What is wrong with a locator.
#[derive(Debug, thiserror::Error)]
enum LocatorError {
    #[error("parent locator {index}: a name of {len} bytes is over the limit of {MAX_NAME_BYTES}")]
    Long { index: u32, len: u32 },
    #[error(
        "parent locator {index}: {len} bytes at byte {offset} are not inside the file of {file_bytes}"
    )]
    Outside { index: u32, len: u32, offset: u64, file_bytes: u64 },
}

impl Locator {
    /// Decodes an entry; `None` when it is empty or of a platform whose names are not read.
    pub(super) fn parse(index: u32, raw: &[u8]) -> Option<Self> {
        let platform = match raw.get(..4)? {
            b"W2ru" => Platform::WindowsRelative,
            b"W2ku" => Platform::WindowsAbsolute,
            b"MacX" => Platform::MacUrl,
            _ => return None,
        };
        Some(Self { index, platform, len_bytes: be32(raw, 8)?, offset_bytes: be64(raw, 16)? })
    }

    /// The bytes of the name.
    pub(super) fn range(&self) -> Range<u64> {
        self.offset_bytes..self.offset_bytes.saturating_add(self.len_bytes.into())
    }

    fn name(&self, bytes: &dyn ReadAt) -> Result<String> {
        let Self { index, len_bytes: len, offset_bytes: offset, .. } = *self;
        if len > MAX_NAME_BYTES {
            return Err(Error::new(Kind::Limit, LocatorError::Long { index, len }).at(offset));
        }
        let file_bytes = bytes.len_bytes();
        if offset.checked_add(len.into()).is_none_or(|end| end > file_bytes) {
            let leaf = LocatorError::Outside { index, len, offset, file_bytes };
            return Err(Error::malformed(leaf).at(offset));
        }
        let mut raw = vec![0; buffer_len(len.into())];
        bytes.fill(&mut raw, offset)?;
        Ok(match self.platform {
            Platform::WindowsRelative => relative(&utf16(&raw, u16::from_le_bytes)),
            Platform::WindowsAbsolute => base(&utf16(&raw, u16::from_le_bytes)),
            Platform::MacUrl => base(&url(&raw)),
        })
    }
}

/// The names under which the parent may lie, the best first: what is relative to the disk, then the
/// last part of every other name.
///
/// # Errors
///
/// When a locator is not inside the file, or its name is over the limit.
pub(super) fn names(bytes: &dyn ReadAt, header: &Header) -> Result<Vec<FileName>> {
    let mut locators: Vec<_> = header.locators().iter().collect();
    locators.sort_by_key(|locator| locator.platform != Platform::WindowsRelative);
    let mut names =
        locators.into_iter().map(|locator| locator.name(bytes)).collect::<Result<Vec<_>>>()?;
    names.push(base(&utf16(header.parent_name(), u16::from_be_bytes)));
    let mut distinct = Vec::new();
    for name in names.iter().filter(|name| !name.is_empty()).map(|name| FileName::new(name)) {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    Ok(distinct)
}

/// The text up to the first zero.
fn utf16(raw: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = raw.chunks_exact(2).filter_map(<[u8]>::first_chunk).map(|pair| unit(*pair));
    let units: Vec<_> = units.take_while(|unit| *unit != 0).collect();
    String::from_utf16_lossy(&units)
}

/// The text of a URL, its escapes decoded, up to the first zero.
fn url(raw: &[u8]) -> String {
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw.split(|byte| *byte == 0).next().unwrap_or_default();
    while let [byte, behind @ ..] = rest {
        let digits = behind.first_chunk().filter(|_| *byte == b'%');
        let escaped = digits.and_then(|[high, low]: &[u8; 2]| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
        });
        text.push(escaped.unwrap_or(*byte));
        rest = if escaped.is_some() { behind.get(2..).unwrap_or_default() } else { behind };
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// A name that is relative to the disk, with `/` between its parts; of one that is not, the last
/// part.
fn relative(name: &str) -> String {
    let name = name.replace('\\', "/");
    if name.starts_with('/') || name.contains(':') {
        return base(&name);
    }
    let mut rest = name.as_str();
    while let Some(behind) = rest.strip_prefix("./") {
        rest = behind.trim_start_matches('/');
    }
    rest.to_owned()
}

/// The last part of a name: where an absolute one leads to is a matter of another host.
fn base(name: &str) -> String {
    FileName::new(name).base().text().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_relative_name_as_a_path_and_of_others_the_last_part() {
        for (name, want) in [
            (r".\parent.vhd", "parent.vhd"),
            (r".\.\\base\parent.vhd", "base/parent.vhd"),
            ("parent.vhd", "parent.vhd"),
            (r"..\parent.vhd", "../parent.vhd"),
            (r"C:\disks\parent.vhd", "parent.vhd"),
            (r"\\server\share\parent.vhd", "parent.vhd"),
            ("/etc/passwd", "passwd"),
            ("", ""),
        ] {
            assert_eq!(relative(name), want);
        }
        assert_eq!(base(r"D:\a b\parent é.vhd"), "parent é.vhd");
    }

    #[test]
    fn decodes_a_url_before_it_takes_the_last_part() {
        for (text, want) in [
            ("file://localhost/Disks/a%20b%c3%A9.vhd\0\0", "a bé.vhd"),
            ("file:///x/..%2f..%2Fetc%2Fpasswd", "passwd"),
            ("100%.vhd", "100%.vhd"),
            ("a%zz%4", "a%zz%4"),
        ] {
            assert_eq!(base(&url(text.as_bytes())), want);
        }
    }

    #[test]
    fn ends_a_name_at_its_zero_and_shows_half_characters_as_such() {
        let raw: Vec<_> = "é.vhd\0junk".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(utf16(&raw, u16::from_be_bytes), "é.vhd");
        assert_eq!(utf16(&[0x00, 0xd8, b'a', 0, 9], u16::from_le_bytes), "\u{fffd}a");
    }
}
