//! The parent locator: by which names a parent is looked for, and how it is known.

use crate::{
    Error, FileName, Kind, Result,
    fields::{le16, le32},
    vhdx::guid::Guid,
};

/// The only type of locator: a VHDX file.
const VHDX_TYPE: Guid =
    Guid::new(0xb04a_efb7, 0xd19e, 0x4a81, [0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13]);

/// The bytes before the first entry, and those of an entry ([MS-VHDX] 2.6.2.6).
const HEADER_BYTES: usize = 20;
const ENTRY_BYTES: usize = 12;

/// The parent's data write GUID.
const LINKAGE: &str = "parent_linkage";
/// Another one that the parent may have, while its content is being changed.
const LINKAGE2: &str = "parent_linkage2";

/// The keys whose values end with a name of the parent, in the order in which they are tried.
const NAMES: [&str; 3] = ["relative_path", "volume_path", "absolute_win32_path"];

/// How the parent of a delta is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Locator {
    linkage: Guid,
    linkage2: Option<Guid>,
    /// The base names, without folders, each once.
    names: Vec<FileName>,
    at: u64,
}

#[derive(Debug, thiserror::Error)]
enum LocatorError {
    #[error("a parent locator of {0} bytes is cut")]
    Short(usize),
    #[error("a parent locator of the type {0}, only {VHDX_TYPE} is known")]
    Type(Guid),
    #[error("entry {index} of the parent locator: its {part} is not inside the {len} bytes")]
    Outside { index: usize, part: &'static str, len: usize },
    #[error("the parent locator has {0} twice")]
    Twice(&'static str),
    #[error("the {0} of the parent locator is no UTF-16")]
    Text(&'static str),
    #[error("the {key} '{text}' of the parent locator is no GUID")]
    Guid { key: &'static str, text: String },
    #[error("the parent locator has no parent_linkage")]
    NoLinkage,
    #[error("{refusal}; its data write GUID is {linkage}")]
    NotOpened { refusal: String, linkage: Guid },
    #[error(
        "the parent '{name}' has the data write GUID {found}, the disk was made above {linkage}"
    )]
    Other { name: String, found: Guid, linkage: Guid },
}

impl Locator {
    /// Parses the item, which starts at byte `at` of the file.
    pub(super) fn parse(item: &[u8], at: u64) -> Result<Self> {
        let fail = |leaf| Error::malformed(leaf).at(at);
        let short = || fail(LocatorError::Short(item.len()));
        let locator_type = Guid::at(item, 0).ok_or_else(short)?;
        if locator_type != VHDX_TYPE {
            return Err(Error::unsupported(LocatorError::Type(locator_type)).at(at));
        }
        let count = usize::from(le16(item, 18).ok_or_else(short)?);
        let table_bytes = count.saturating_mul(ENTRY_BYTES);
        let table = item.get(HEADER_BYTES..).and_then(|rest| rest.get(..table_bytes));
        let entries = Entries { item, table: table.ok_or_else(short)? };
        let guid = |key| {
            let text = entries.value(key)?;
            text.map(|text| Guid::parse(&text).ok_or_else(|| not_a_guid(key, &text))).transpose()
        };
        let linkage = guid(LINKAGE).map_err(fail)?.ok_or_else(|| fail(LocatorError::NoLinkage))?;
        let linkage2 = guid(LINKAGE2).map_err(fail)?;
        let mut names = Vec::new();
        for key in NAMES {
            let Some(path) = entries.value(key).map_err(fail)? else { continue };
            let name = FileName::new(&path).base();
            if !name.text().is_empty() && !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(Self { linkage, linkage2, names, at })
    }

    /// The names under which the parent may lie beside the disk.
    pub(super) fn names(&self) -> &[FileName] {
        &self.names
    }

    /// The reason why no parent was opened, with the GUID by which a person can find it.
    pub(super) fn refused(&self, error: Error) -> Error {
        if !matches!(error.kind(), Kind::Denied | Kind::Missing) {
            return error;
        }
        let leaf = LocatorError::NotOpened { refusal: error.to_string(), linkage: self.linkage };
        Error::new(error.kind(), leaf).at(self.at)
    }

    /// Refuses a parent whose data write GUID is not the one that the disk was made above.
    pub(super) fn verify(&self, name: &str, found: Guid) -> Result<()> {
        if found == self.linkage || Some(found) == self.linkage2 {
            return Ok(());
        }
        let name = crate::error::shown(name);
        let leaf = LocatorError::Other { name, found, linkage: self.linkage };
        Err(Error::malformed(leaf).at(self.at))
    }
}

fn not_a_guid(key: &'static str, text: &str) -> LocatorError {
    LocatorError::Guid { key, text: crate::error::shown(text) }
}

/// The keys and values of an item.
struct Entries<'a> {
    item: &'a [u8],
    table: &'a [u8],
}

impl Entries<'_> {
    /// The value of `key`, if it is there.
    ///
    /// Only values that are asked for are decoded: many entries may point at one long text.
    fn value(&self, key: &'static str) -> std::result::Result<Option<String>, LocatorError> {
        let wanted: Vec<u8> = key.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut found = None;
        for (index, entry) in self.table.chunks_exact(ENTRY_BYTES).enumerate() {
            if self.part(index, "key", (le32(entry, 0), le16(entry, 8)))? != wanted {
                continue;
            }
            let value = self.part(index, "value", (le32(entry, 4), le16(entry, 10)))?;
            if found.replace(value).is_some() {
                return Err(LocatorError::Twice(key));
            }
        }
        found.map(|value| decode(value).ok_or(LocatorError::Text(key))).transpose()
    }

    fn part(
        &self,
        index: usize,
        part: &'static str,
        (at, len): (Option<u32>, Option<u16>),
    ) -> std::result::Result<&[u8], LocatorError> {
        let text = at.zip(len).and_then(|(at, len)| {
            let start = usize::try_from(at).ok()?;
            self.item.get(start..)?.get(..usize::from(len))
        });
        text.ok_or(LocatorError::Outside { index, part, len: self.item.len() })
    }
}

/// Decodes UTF-16LE; `None` when it is not.
fn decode(bytes: &[u8]) -> Option<String> {
    let units = bytes.chunks_exact(2).map(|unit| le16(unit, 0).unwrap_or_default());
    let whole = bytes.len().is_multiple_of(2);
    char::decode_utf16(units).collect::<std::result::Result<_, _>>().ok().filter(|_| whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "{83ed0ec3-24c8-49a6-a959-5e4bcd1288bf}";

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    /// A locator with these keys and values, which follow one another.
    fn item(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut item = vec![0; HEADER_BYTES + pairs.len() * ENTRY_BYTES];
        item[..16].copy_from_slice(&VHDX_TYPE.bytes());
        item[18] = pairs.len() as u8;
        for (entry, (key, value)) in (HEADER_BYTES..).step_by(ENTRY_BYTES).zip(pairs) {
            for (part, text) in [utf16(key), value.clone()].into_iter().enumerate() {
                let (at, len) = (item.len() as u32, text.len() as u16);
                item[entry + part * 4..][..4].copy_from_slice(&at.to_le_bytes());
                item[entry + 8 + part * 2..][..2].copy_from_slice(&len.to_le_bytes());
                item.extend(text);
            }
        }
        item
    }

    fn good() -> Vec<u8> {
        item(&[
            ("absolute_win32_path", utf16(r"C:\vm\old name.vhdx")),
            ("parent_linkage", utf16(GUID)),
            ("relative_path", utf16(r"..\disks\parent.vhdx")),
            ("volume_path", utf16(r"\\?\Volume{26a21bda}\vm/parent.vhdx")),
            ("something else", utf16("?")),
        ])
    }

    fn refusal(item: &[u8]) -> String {
        Locator::parse(item, 100).unwrap_err().to_string()
    }

    #[test]
    fn finds_the_guid_and_the_base_names() {
        let locator = Locator::parse(&good(), 100).unwrap();
        let names: Vec<_> = locator.names().iter().map(FileName::text).collect();
        assert_eq!(names, ["parent.vhdx", "old name.vhdx"]);
        let guid = Guid::parse(GUID).unwrap();
        locator.verify("x", guid).unwrap();
        let want = "the parent 'x' has the data write GUID 00000000-0000-0000-0000-000000000000, the disk was made above 83ed0ec3-24c8-49a6-a959-5e4bcd1288bf, at byte 100";
        assert_eq!(locator.verify("x", Guid::NIL).unwrap_err().to_string(), want);
        let two =
            [("parent_linkage2", utf16(GUID)), ("parent_linkage", utf16(&GUID.replace('8', "9")))];
        let locator = Locator::parse(&item(&two), 100).unwrap();
        locator.verify("x", guid).unwrap();
        assert_eq!(locator.names(), []);
    }

    #[test]
    fn names_what_is_wrong() {
        let linkage = ("parent_linkage", utf16(GUID));
        let lone = vec![0x00, 0xd8];
        for (pairs, want) in [
            (&[][..], "the parent locator has no parent_linkage, at byte 100"),
            (
                &[("parent_linkage", utf16("{a\u{202e}}"))],
                r"the parent_linkage '{a\u{202e}}' of the parent locator is no GUID, at byte 100",
            ),
            (
                &[linkage.clone(), linkage.clone()],
                "the parent locator has parent_linkage twice, at byte 100",
            ),
            (
                &[linkage.clone(), ("volume_path", lone)],
                "the volume_path of the parent locator is no UTF-16, at byte 100",
            ),
            (
                &[linkage, ("relative_path", vec![b'a', 0, b'b'])],
                "the relative_path of the parent locator is no UTF-16, at byte 100",
            ),
        ] {
            assert_eq!(refusal(&item(pairs)), want);
        }
        let mut other = good();
        other[0] = 0;
        let error = Locator::parse(&other, 100).unwrap_err();
        let want = "a parent locator of the type b04aef00-d19e-4a81-b789-25b8e9445913, only b04aefb7-d19e-4a81-b789-25b8e9445913 is known, at byte 100";
        assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Unsupported, want));
    }

    #[test]
    fn refuses_a_locator_that_is_cut_anywhere() {
        let good = good();
        let behind_last_used = good.len() - utf16("something else?").len();
        for len in 0..good.len() {
            let cut = Locator::parse(&good[..len], 100);
            // The last value is not asked for, so it may be missing; its key may not.
            assert_eq!(cut.is_ok(), len == good.len() - 1 || len == good.len() - 2, "{len}");
        }
        assert_eq!(refusal(&good[..19]), "a parent locator of 19 bytes is cut, at byte 100");
        assert_eq!(refusal(&good[..60]), "a parent locator of 60 bytes is cut, at byte 100");
        let len = behind_last_used;
        let want = format!(
            "entry 4 of the parent locator: its key is not inside the {len} bytes, at byte 100"
        );
        assert_eq!(refusal(&good[..len]), want);
    }
}
