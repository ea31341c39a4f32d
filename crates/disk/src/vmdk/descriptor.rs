//! The descriptor: a text that says what a VMDK is made of.

use encoding_rs::{Encoding, UTF_8};

use crate::{
    Error, FileName, Reference, Role, Warning,
    error::{Kind, shown},
};

mod extent_line;

pub(super) use extent_line::{Access, ExtentLine, Storage};

/// A `parentCID` that stands for no parent.
const NO_PARENT: u32 = u32::MAX;

/// The extents that a descriptor may list: the limit of this product for the files of one disk.
///
/// A disk that is split at 2 GiB has one for each; so 8 TiB can be read.
const MAX_EXTENTS: usize = 4096;

/// What a descriptor says, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) create_type: Option<String>,
    pub(super) content_id: Option<u32>,
    parent_id: Option<u32>,
    parent_hint: Option<FileName>,
    pub(super) extents: Vec<ExtentLine>,
    encryption: Option<String>,
    /// The first line that is neither comment, key nor extent.
    unread_line: Option<usize>,
}

/// What a delta says of the disk that it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parent {
    /// The content id that the parent must have.
    pub(super) content_id: u32,
    /// The content id of the delta itself.
    pub(super) child_id: u32,
    /// Where the parent lay when the delta was made: often a path of another host.
    pub(super) hint: Option<FileName>,
}

/// What is wrong with a descriptor, or with what it asks for.
#[derive(Debug, thiserror::Error)]
enum DescriptorError {
    #[error("the descriptor lists more than {MAX_EXTENTS} extents")]
    TooMany,
    #[error("line {line} of the descriptor: {key} is there a second time, with another value")]
    Contradiction { line: usize, key: String },
    #[error("the extents of the descriptor have more sectors than 64 bits can count")]
    Overflow,
    #[error("the disk is encrypted ('{0}' in its descriptor); decrypt it where it was made")]
    Encrypted(String),
    #[error(
        "the disk is a delta: it needs the parent '{hint}' with CID {parent:08x} (its own CID is {own:08x})"
    )]
    Delta { hint: String, parent: u32, own: u32, source: Option<Error> },
    #[error("the embedded descriptor names an extent of type {0}: the disk lies in other files")]
    OtherFiles(String),
}

impl Descriptor {
    /// Reads a descriptor, tolerant of line ends, spaces around `=`, quotes, case and encodings.
    ///
    /// A NUL ends the text. Unknown keys are ignored.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let encoding = encoding_of(text);
        let mut descriptor = Self::default();
        let mut total = 0_u64;
        for (number, line) in (1..).zip(lines(text)) {
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            if let Some(extent) = ExtentLine::parse(number, line, encoding)? {
                total = total
                    .checked_add(extent.sectors)
                    .ok_or_else(|| Error::malformed(DescriptorError::Overflow))?;
                if descriptor.extents.len() == MAX_EXTENTS {
                    return Err(Error::new(Kind::Limit, DescriptorError::TooMany));
                }
                descriptor.extents.push(extent);
            } else if let Some((key, value)) = key_and_value(line) {
                if !descriptor.set(&key, value, encoding) {
                    let leaf = DescriptorError::Contradiction { line: number, key: shown(&key) };
                    return Err(Error::malformed(leaf));
                }
            } else {
                descriptor.unread_line.get_or_insert(number);
            }
        }
        Ok(descriptor)
    }

    /// Takes a value; `false` when it contradicts what was said before of the disk or its parent,
    /// where readers that take the first and readers that take the last would see two disks.
    fn set(&mut self, key: &str, raw: &[u8], encoding: &'static Encoding) -> bool {
        let lower = key.to_ascii_lowercase();
        let value = String::from_utf8_lossy(raw);
        match lower.as_str() {
            "cid" => {
                let id = u32::from_str_radix(&value, 16).ok();
                return id.is_none_or(|id| *self.content_id.get_or_insert(id) == id);
            }
            "parentcid" => {
                // What cannot be read is no proof that there is no parent.
                let id = u32::from_str_radix(&value, 16).unwrap_or(0);
                return *self.parent_id.get_or_insert(id) == id;
            }
            "createtype" => self.create_type = Some(value.into_owned()),
            "parentfilenamehint" if !raw.is_empty() => {
                let hint = extent_line::decode(raw, encoding);
                return *self.parent_hint.get_or_insert_with(|| hint.clone()) == hint;
            }
            "ddb.iofilters" if value.to_ascii_lowercase().contains("vmwarevmcrypt") => {
                self.encryption = Some(key.to_owned());
            }
            _ if lower.starts_with("encryption") || lower.starts_with("ddb.encryption") => {
                self.encryption = Some(key.to_owned());
            }
            _ => {}
        }
        true
    }

    /// The disk that this one stands on, if it is a delta.
    pub(super) fn parent(&self) -> Option<Parent> {
        let content_id = self.parent_id.unwrap_or(NO_PARENT);
        (content_id != NO_PARENT || self.parent_hint.is_some()).then(|| Parent {
            content_id,
            child_id: self.content_id.unwrap_or_default(),
            hint: self.parent_hint.clone(),
        })
    }

    /// Refuses a disk that is not readable without a key.
    pub(super) fn refuse_encrypted(&self) -> Result<(), Error> {
        self.encryption.as_ref().map_or(Ok(()), |key| {
            Err(Error::new(Kind::Denied, DescriptorError::Encrypted(shown(key))))
        })
    }

    /// Refuses a delta, where no parent can be opened.
    pub(super) fn refuse_delta(&self) -> Result<(), Error> {
        self.parent().map_or(Ok(()), |parent| Err(parent.refused(Kind::Denied, None)))
    }

    /// Refuses the embedded descriptor of a sparse extent that is about other files.
    ///
    /// Such a file describes itself with one SPARSE line. The name in that line is ignored, since
    /// files get renamed.
    pub(super) fn refuse_other_extents(&self) -> Result<(), Error> {
        let mut kinds = self.extents.iter().map(|extent| extent.storage.as_str());
        let other = kinds.find(|kind| *kind != "SPARSE");
        let other = other.or((self.extents.len() > 1).then_some("SPARSE, and several of them"));
        other.map_or(Ok(()), |kind| {
            Err(Error::new(Kind::Denied, DescriptorError::OtherFiles(shown(kind))))
        })
    }

    /// A line that is neither comment, key nor extent, as a warning.
    pub(super) fn warning(&self, offset_bytes: u64) -> Option<Warning> {
        let first = self.unread_line?;
        let message =
            format!("line {first} of the descriptor is no comment, key or extent; ignored");
        Some(Warning::defect(offset_bytes, message))
    }

    /// The names of the extents and of the parent, as text.
    pub(super) fn references(&self) -> Vec<Reference> {
        let extents = self.extents.iter().filter_map(|extent| extent.name.as_ref());
        let parts = extents.map(|name| (Role::Extent, name));
        let parent = self.parent_hint.iter().map(|name| (Role::Parent, name));
        parts
            .chain(parent)
            .map(|(role, name)| Reference { role: role.as_str(), name: name.text().to_owned() })
            .collect()
    }
}

impl Parent {
    /// The error that the parent is not there, or may not be opened, and why.
    pub(super) fn refused(&self, kind: Kind, source: Option<Error>) -> Error {
        let hint = self.hint.as_ref().map(ToString::to_string).unwrap_or_default();
        let leaf =
            DescriptorError::Delta { hint, parent: self.content_id, own: self.child_id, source };
        Error::new(kind, leaf)
    }
}

/// The lines of a text, without the spaces around them.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii)
}

/// The key of a line, and its value without quotes.
fn key_and_value(line: &[u8]) -> Option<(String, &[u8])> {
    let mut parts = line.splitn(2, |byte| *byte == b'=');
    let (key, value) = (parts.next()?, parts.next()?.trim_ascii());
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    let value = value.strip_suffix(b"\"").unwrap_or(value);
    Some((String::from_utf8_lossy(key.trim_ascii()).into_owned(), value))
}

/// The encoding that the text says it has; UTF-8 when it says none, or one in which a quote is not
/// the one byte that it is in ASCII.
fn encoding_of(text: &[u8]) -> &'static Encoding {
    let mut keys = lines(text).filter_map(key_and_value);
    keys.find(|(key, _)| key.eq_ignore_ascii_case("encoding"))
        .and_then(|(_, label)| Encoding::for_label(label))
        .filter(|encoding| encoding.is_ascii_compatible())
        .unwrap_or(UTF_8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Disk DescriptorFile\nversion=1\nCID=0badc0de\nparentCID=ffffffff\n\
        createType=\"streamOptimized\"\n\n# Extent description\nRDONLY 2048 SPARSE \"disk 1.vmdk\"\n\n\
        #DDB\nddb.adapterType = \"lsilogic\"\n";

    #[test]
    fn reads_the_text_in_any_dress() {
        let want = Descriptor {
            create_type: Some("streamOptimized".to_owned()),
            content_id: Some(0x0bad_c0de),
            parent_id: Some(NO_PARENT),
            extents: vec![ExtentLine {
                line: 8,
                access: Access::Readable,
                sectors: 2048,
                storage: Storage::Sparse,
                name: Some(FileName::new("disk 1.vmdk")),
                offset_sectors: 0,
            }],
            ..Descriptor::default()
        };
        let padded = format!("{GOOD}\0\0\0junk\nparentCID=00000001");
        for text in [GOOD.to_owned(), GOOD.replace('\n', "\r\n"), GOOD.replace('=', " = "), padded]
        {
            assert_eq!(Descriptor::parse(text.as_bytes()).unwrap(), want, "{text}");
        }
        let windows = GOOD.replacen("Disk", "cr\u{e9}\u{e9}", 1);
        let (windows, _, _) = encoding_rs::WINDOWS_1252.encode(&windows);
        assert_eq!(Descriptor::parse(&windows).unwrap(), want);
        assert_eq!(want.refuse_encrypted().map_err(|error| error.to_string()), Ok(()));
        assert_eq!(want.parent(), None);
        assert_eq!(want.refuse_other_extents().map_err(|error| error.to_string()), Ok(()));
        assert_eq!(want.references()[0].name, "disk 1.vmdk");
    }

    #[test]
    fn refuses_what_is_not_whole_by_name() {
        let refusal = |text: &str| {
            let descriptor = Descriptor::parse(text.as_bytes()).unwrap();
            let refused = descriptor.refuse_encrypted().and_then(|()| descriptor.refuse_delta());
            let error = refused.unwrap_err();
            assert_eq!(error.code(), code::Code::E0402);
            error.to_string()
        };
        assert_eq!(
            refusal("CID=2\nparentCID=12345678\nparentFileNameHint=\"/etc/base.vmdk\"\n"),
            "the disk is a delta: it needs the parent '/etc/base.vmdk' with CID 12345678 (its own CID is 00000002)"
        );
        assert_eq!(
            refusal("CID=2\nparentCID=xyz\n"),
            "the disk is a delta: it needs the parent '' with CID 00000000 (its own CID is 00000002)"
        );
        assert_eq!(
            refusal("encryption.keySafe = \"vmware:key/list\"\n"),
            "the disk is encrypted ('encryption.keySafe' in its descriptor); decrypt it where it was made"
        );
        let hint = refusal("parentFileNameHint=\"a\x1b[31m\u{202e}b\"");
        assert!(hint.contains("'a\\u{1b}[31m\\u{202e}b'"), "{hint}");
        assert!(refusal("ddb.iofilters = \"vmwarevmcrypt\"\n").contains("is encrypted"));
    }

    #[test]
    fn refuses_an_embedded_descriptor_about_other_files() {
        for (line, want) in [
            ("RW 128 FLAT \"/etc/hostname\" 0", "type FLAT:"),
            ("RW 1 SPARSE \"a\"\nRW 1 SPARSE \"b\"", "type SPARSE, and several of them:"),
        ] {
            let descriptor = Descriptor::parse(line.as_bytes()).unwrap();
            let error = descriptor.refuse_other_extents().unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    fn bounds_what_it_lists() {
        let refusal = |text: &str| Descriptor::parse(text.as_bytes()).unwrap_err().to_string();
        let many = "RW 1 FLAT \"a\" 0\n".repeat(4097);
        assert_eq!(refusal(&many), "the descriptor lists more than 4096 extents");
        assert_eq!(Descriptor::parse(&many.as_bytes()[16..]).unwrap().extents.len(), 4096);
        let huge = format!("RW {0} ZERO\nRW {0} ZERO\nRW 2 ZERO\n", u64::MAX / 2);
        assert!(refusal(&huge).contains("more sectors than 64 bits"));
        let want = "line 2 of the descriptor: extent of '-1' sectors, a number is needed";
        assert_eq!(refusal("\nRW -1 FLAT \"a\"\n"), want);
    }

    #[test]
    fn names_are_in_the_encoding_that_it_says() {
        let parse = |encoding: &str| {
            let mut text = format!("encoding = \"{encoding}\"\n").into_bytes();
            text.extend(b"RW 1 FLAT \"caf\xe9\"\nparentFileNameHint=\"/x/\xe9\"");
            let descriptor = Descriptor::parse(&text).unwrap();
            let names = descriptor.references().into_iter().map(|reference| reference.name);
            names.collect::<Vec<_>>()
        };
        assert_eq!(parse("windows-1252"), ["caf\u{e9}", "/x/\u{e9}"]);
        assert_eq!(parse("ISO-8859-5"), ["caf\u{449}", "/x/\u{449}"]);
        for unknown in ["UTF-8", "UTF-16LE", "klingon"] {
            assert_eq!(parse(unknown), ["caf\u{fffd}", "/x/\u{fffd}"]);
        }
    }

    #[test]
    fn refuses_two_answers_to_what_the_disk_stands_on() {
        for (key, one, other) in [
            ("CID", "0000000a", "0000000b"),
            ("parentCID", "0000000a", "ffffffff"),
            ("parentFileNameHint", "\"a.vmdk\"", "\"b.vmdk\""),
        ] {
            let parse =
                |second: &str| Descriptor::parse(format!("{key}={one}\n{key}={second}").as_bytes());
            let want = format!(
                "line 2 of the descriptor: {key} is there a second time, with another value"
            );
            assert_eq!(parse(other).unwrap_err().to_string(), want);
            parse(one).unwrap();
        }
    }

    #[test]
    fn an_empty_hint_names_no_parent() {
        let parent = |text: &str| Descriptor::parse(text.as_bytes()).unwrap().parent();
        assert_eq!(parent("parentCID=ffffffff\nparentFileNameHint=\"\"\n"), None);
        assert!(parent("parentCID=0000000a\nparentFileNameHint=\"\"\n").is_some());
    }

    #[test]
    fn warns_of_a_line_that_says_nothing() {
        let descriptor = Descriptor::parse(b"version=1\nwhat is this\n").unwrap();
        assert_eq!(
            descriptor.warning(512).unwrap().to_string(),
            "line 2 of the descriptor is no comment, key or extent; ignored, at byte 512"
        );
    }
}
