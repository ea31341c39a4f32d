//! The descriptor: a text that says what a VMDK is made of.

use crate::{
    Error, Reference, Warning,
    error::{Failure, Kind, shown},
};

/// A `parentCID` that stands for no parent.
const NO_PARENT: u32 = u32::MAX;

/// The extents that a descriptor may list: the limit of this product for the files of one disk.
const MAX_EXTENTS: usize = 64;

/// What a descriptor says, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) create_type: Option<String>,
    pub(super) content_id: Option<u32>,
    pub(super) parent_id: Option<u32>,
    pub(super) parent_hint: Option<String>,
    pub(super) extents: Vec<ExtentLine>,
    encryption: Option<String>,
    unread_lines: Vec<usize>,
}

/// A line that names one extent of the disk.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ExtentLine {
    pub(super) sectors: u64,
    /// `SPARSE`, `FLAT`, `VMFS`, …, in capitals.
    pub(super) kind: String,
    pub(super) name: Option<String>,
}

/// What is wrong with a descriptor, or with what it asks for.
#[derive(Debug, thiserror::Error)]
enum DescriptorError {
    #[error("line {0} of the descriptor: extent of '{1}' sectors, a number is needed")]
    Sectors(usize, String),
    #[error("the descriptor lists more than {MAX_EXTENTS} extents")]
    TooMany,
    #[error("the extents of the descriptor have more sectors than 64 bits can count")]
    Overflow,
    #[error("the disk is encrypted ('{0}' in its descriptor); decrypt it where it was made")]
    Encrypted(String),
    #[error(
        "the disk is a delta: it needs the parent '{hint}' with CID {parent:08x} (its own CID is {own:08x})"
    )]
    Delta { hint: String, parent: u32, own: u32 },
    #[error("the embedded descriptor names an extent of type {0}: the disk lies in other files")]
    OtherFiles(String),
}

impl Descriptor {
    /// Reads a descriptor, tolerant of line ends, spaces around `=`, quotes, case and encodings.
    ///
    /// A NUL ends the text. Unknown keys are ignored.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let text = String::from_utf8_lossy(text);
        let mut descriptor = Self::default();
        let mut total = 0_u64;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(words) = extent_words(line) {
                let extent = ExtentLine::parse(number, words)?;
                total = total
                    .checked_add(extent.sectors)
                    .ok_or_else(|| Error::malformed(DescriptorError::Overflow))?;
                if descriptor.extents.len() == MAX_EXTENTS {
                    return Err(Error::new(Kind::Limit, DescriptorError::TooMany));
                }
                descriptor.extents.push(extent);
            } else if let Some((key, value)) = line.split_once('=') {
                descriptor.set(key.trim(), value.trim().trim_matches('"'));
            } else {
                descriptor.unread_lines.push(number);
            }
        }
        Ok(descriptor)
    }

    fn set(&mut self, key: &str, value: &str) {
        let lower = key.to_ascii_lowercase();
        match lower.as_str() {
            "cid" => self.content_id = u32::from_str_radix(value, 16).ok(),
            // What cannot be read is no proof that there is no parent.
            "parentcid" => self.parent_id = Some(u32::from_str_radix(value, 16).unwrap_or(0)),
            "createtype" => self.create_type = Some(value.to_owned()),
            "parentfilenamehint" => self.parent_hint = Some(value.to_owned()),
            "ddb.iofilters" if value.to_ascii_lowercase().contains("vmwarevmcrypt") => {
                self.encryption = Some(key.to_owned());
            }
            _ if lower.starts_with("encryption") || lower.starts_with("ddb.encryption") => {
                self.encryption = Some(key.to_owned());
            }
            _ => {}
        }
    }

    /// Refuses a disk whose bytes are not all in one file, or not readable without a key.
    pub(super) fn refuse_incomplete(&self) -> Result<(), Error> {
        let denied = |leaf| Err(Error::new(Kind::Denied, leaf));
        if let Some(key) = &self.encryption {
            return denied(DescriptorError::Encrypted(shown(key)));
        }
        let parent = self.parent_id.unwrap_or(NO_PARENT);
        if parent != NO_PARENT || self.parent_hint.is_some() {
            return denied(DescriptorError::Delta {
                hint: self.parent_hint.as_deref().map(shown).unwrap_or_default(),
                parent,
                own: self.content_id.unwrap_or_default(),
            });
        }
        Ok(())
    }

    /// Refuses the embedded descriptor of a sparse extent that is about other files.
    ///
    /// Such a file describes itself with one SPARSE line. The name in that line is ignored, since
    /// files get renamed.
    pub(super) fn refuse_other_extents(&self) -> Result<(), Error> {
        let mut kinds = self.extents.iter().map(|extent| extent.kind.as_str());
        let other = kinds.find(|kind| *kind != "SPARSE");
        let other = other.or((self.extents.len() > 1).then_some("SPARSE, and several of them"));
        other.map_or(Ok(()), |kind| {
            Err(Error::new(Kind::Denied, DescriptorError::OtherFiles(shown(kind))))
        })
    }

    /// Refuses a descriptor that stands alone, by the name of what it describes.
    pub(super) fn refuse_alone(&self) -> Error {
        if let Err(error) = self.refuse_incomplete() {
            return error;
        }
        match self.extents.len() {
            0 => Error::malformed("a VMDK descriptor without an extent"),
            _ => Error::unsupported(Failure::NotYet("a VMDK whose extents are other files")),
        }
    }

    /// The lines that are neither comment, key nor extent, as a warning.
    pub(super) fn warning(&self, offset_bytes: u64) -> Option<Warning> {
        let first = self.unread_lines.first()?;
        let message =
            format!("line {first} of the descriptor is no comment, key or extent; ignored");
        Some(Warning::defect(offset_bytes, message))
    }

    /// The names of extents, as text.
    pub(super) fn references(&self) -> Vec<Reference> {
        let names = self.extents.iter().filter_map(|extent| extent.name.clone());
        names.map(|name| Reference { role: "extent", name }).collect()
    }
}

/// The words before the name of an extent line, and the rest; `None` for any other line.
fn extent_words(line: &str) -> Option<(&str, &str)> {
    let (access, rest) = line.split_once(char::is_whitespace)?;
    let is_access =
        ["RW", "RDONLY", "NOACCESS"].iter().any(|word| access.eq_ignore_ascii_case(word));
    let (sectors, rest) = rest.trim_start().split_once(char::is_whitespace)?;
    (is_access && !sectors.starts_with('=')).then_some((sectors, rest.trim_start()))
}

impl ExtentLine {
    fn parse(number: usize, (sectors, rest): (&str, &str)) -> Result<Self, Error> {
        let sectors = sectors
            .parse()
            .map_err(|_| Error::malformed(DescriptorError::Sectors(number, shown(sectors))))?;
        let (kind, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let name = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
        Ok(Self {
            sectors,
            kind: kind.to_ascii_uppercase(),
            name: name.map(|(name, _)| name.to_owned()),
        })
    }
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
                sectors: 2048,
                kind: "SPARSE".to_owned(),
                name: Some("disk 1.vmdk".to_owned()),
            }],
            ..Descriptor::default()
        };
        let padded = format!("{GOOD}\0\0\0junk\nparentCID=00000001");
        for text in [GOOD.to_owned(), GOOD.replace('\n', "\r\n"), GOOD.replace('=', " = "), padded]
        {
            assert_eq!(Descriptor::parse(text.as_bytes()).unwrap(), want, "{text}");
        }
        let windows = [b"# cr\xe9\xe9\n", GOOD.as_bytes()].concat();
        assert_eq!(Descriptor::parse(&windows).unwrap(), want);
        assert_eq!(want.refuse_incomplete().map_err(|error| error.to_string()), Ok(()));
        assert_eq!(want.refuse_other_extents().map_err(|error| error.to_string()), Ok(()));
        assert_eq!(want.references()[0].name, "disk 1.vmdk");
    }

    #[test]
    fn refuses_what_is_not_whole_by_name() {
        let refusal = |text: &str| {
            let descriptor = Descriptor::parse(text.as_bytes()).unwrap();
            let error = descriptor.refuse_incomplete().unwrap_err();
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
    fn a_descriptor_alone_is_refused_by_what_it_describes() {
        let refusal = |text: &str| match Descriptor::parse(text.as_bytes()) {
            Ok(descriptor) => descriptor.refuse_alone().to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            refusal("createType=\"vmfs\"\nRW 1 VMFS \"a\"\n"),
            "a VMDK whose extents are other files is not read yet"
        );
        assert_eq!(refusal("createType=\"vmfs\"\n"), "a VMDK descriptor without an extent");
        let many = "RW 1 FLAT \"a\" 0\n".repeat(65);
        assert_eq!(refusal(&many), "the descriptor lists more than 64 extents");
        let huge = format!("RW {0} ZERO\nRW {0} ZERO\nRW 2 ZERO\n", u64::MAX / 2);
        assert!(refusal(&huge).contains("more sectors than 64 bits"));
        assert_eq!(
            refusal("\nRW -1 FLAT \"a\"\n"),
            "line 2 of the descriptor: extent of '-1' sectors, a number is needed"
        );
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
