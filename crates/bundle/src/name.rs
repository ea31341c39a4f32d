//! What a member is, by its name.

use ovf::EntryName;

use crate::{Error, Result, tar};

/// What a member of a bundle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// A disk, or the lowest image of its chain: `NAME.qcow2`.
    Disk,
    /// An image above another one, qcow2 as well: `NAME.snapshot`.
    Snapshot,
    /// The memory of a machine when a snapshot was taken: `NAME.memory`.
    Memory,
    /// What lies in a CD drive: `NAME.iso`.
    Iso,
    /// A libvirt domain XML: `TIME-NAME.xml`.
    Config {
        /// Seconds since 1970.
        unix_seconds: u64,
    },
    /// What relift knows of the bundle: `TIME-manifest.json`.
    Manifest {
        /// Seconds since 1970.
        unix_seconds: u64,
    },
    /// The descriptor of the appliance that the bundle was made from: `TIME-source.ovf`.
    SourceDescriptor,
    /// The manifest of that appliance: `TIME-source.mf`.
    SourceManifest,
    /// The certificate of that appliance: `TIME-source.cert`.
    SourceCertificate,
    /// What an append leaves between two generations: it hides the end blocks of the older one.
    Pad,
    /// Something else; kept and not looked at.
    Other,
}

impl Role {
    /// Tells the role of a member. What lies in a folder has none.
    #[must_use]
    pub fn of(name: &EntryName) -> Self {
        if name.folder().is_some() {
            return Self::Other;
        }
        let text = name.as_str();
        if text == tar::PAD_NAME {
            return Self::Pad;
        }
        let Some((stem, ending)) = text.rsplit_once('.').filter(|(stem, _)| !stem.is_empty())
        else {
            return Self::Other;
        };
        let dated = stem.split_once('-').and_then(|(time, rest)| Some((seconds(time)?, rest)));
        match (ending, dated) {
            ("qcow2", _) => Self::Disk,
            ("snapshot", _) => Self::Snapshot,
            ("memory", _) => Self::Memory,
            ("iso", _) => Self::Iso,
            ("json", Some((unix_seconds, "manifest"))) => Self::Manifest { unix_seconds },
            ("xml", Some((unix_seconds, _))) => Self::Config { unix_seconds },
            ("ovf", Some((_, "source"))) => Self::SourceDescriptor,
            ("mf", Some((_, "source"))) => Self::SourceManifest,
            ("cert", Some((_, "source"))) => Self::SourceCertificate,
            _ => Self::Other,
        }
    }

    /// One word for people and documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Snapshot => "snapshot",
            Self::Memory => "memory",
            Self::Iso => "iso",
            Self::Config { .. } => "config",
            Self::Manifest { .. } => "manifest",
            Self::SourceDescriptor => "source_descriptor",
            Self::SourceManifest => "source_manifest",
            Self::SourceCertificate => "source_certificate",
            Self::Pad => "pad",
            Self::Other => "other",
        }
    }

    /// Whether the member is a qcow2 image.
    #[must_use]
    pub const fn is_image(self) -> bool {
        matches!(self, Self::Disk | Self::Snapshot)
    }
}

/// Reads the time of a name: decimal digits and nothing else, compared as a number.
fn seconds(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Makes a name for a member from any text: what is not `[A-Za-z0-9._-]` is percent-encoded.
///
/// # Errors
/// `E0106` when that has more bytes than a plain tar header holds, `E0105` for a name of dots.
pub fn member_name(text: &str) -> Result<EntryName> {
    let mut name = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') {
            name.push(char::from(byte));
        } else {
            name.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    if name.len() > tar::MAX_NAME_BYTES {
        return Err(Error::limit(format!(
            "a member name of {} bytes, at most {} are allowed",
            name.len(),
            tar::MAX_NAME_BYTES
        )));
    }
    EntryName::parse(&name).map_err(Error::from)
}

/// A hexadecimal digit.
fn digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0').to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_what_a_member_is() {
        for (name, want) in [
            ("vm-disk0.qcow2", Role::Disk),
            ("a.b.snapshot", Role::Snapshot),
            ("1.memory", Role::Memory),
            ("debian.iso", Role::Iso),
            ("1700000000-web-01.xml", Role::Config { unix_seconds: 1_700_000_000 }),
            ("0009-x.xml", Role::Config { unix_seconds: 9 }),
            ("17-manifest.json", Role::Manifest { unix_seconds: 17 }),
            ("17-source.ovf", Role::SourceDescriptor),
            ("17-source.mf", Role::SourceManifest),
            ("17-source.cert", Role::SourceCertificate),
            (".pad", Role::Pad),
            ("domain.xml", Role::Other),
            ("+17-a.xml", Role::Other),
            ("99999999999999999999999-a.xml", Role::Other),
            ("17-other.json", Role::Other),
            (".qcow2", Role::Other),
            ("folder/a.qcow2", Role::Other),
            ("readme", Role::Other),
        ] {
            assert_eq!(Role::of(&EntryName::parse(name).unwrap()), want, "{name}");
        }
    }

    #[test]
    fn a_name_is_made_of_letters_that_every_tool_takes() {
        assert_eq!(member_name("a b/ü.qcow2").unwrap().as_str(), "a%20b%2F%C3%BC.qcow2");
        let error = member_name(&"x".repeat(101)).unwrap_err();
        assert_eq!(error.to_string(), "a member name of 101 bytes, at most 100 are allowed");
        assert!(member_name("..").is_err());
    }
}
