//! The name of a file inside an appliance.

use std::fmt;

use code::Code;

use crate::{Error, Kind, quote};

/// The longest name that is accepted, in bytes (the usual limit of file systems).
const MAX_NAME_BYTES: usize = 255;

/// The name of a file inside an appliance: `disk1.vmdk` or `folder/disk1.vmdk`.
///
/// Never a path on this host: it names an entry of the archive, and does nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryName(String);

impl EntryName {
    /// Checks a name: leading `./` and doubled `/` are taken away, everything unsafe is refused.
    ///
    /// # Errors
    /// `E0105` for a name that is empty, absolute, climbs with `..`, holds a backslash, a NUL or
    /// another control character, or lies deeper than one folder; `E0106` for one over 255 bytes.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |why: &str| {
            let message = format!("the name {} {why}", quote::Quoted(text));
            Err(Error::new(Code::E0105, Kind::Denied, message))
        };
        if text.len() > MAX_NAME_BYTES {
            let message = format!(
                "the name {} has {} bytes, at most {MAX_NAME_BYTES} are allowed",
                quote::Quoted(text),
                text.len()
            );
            return Err(Error::limit(Code::E0106, message));
        }
        if text.chars().any(quote::is_unsafe) {
            return refuse("holds a control character");
        }
        if text.contains('\\') {
            return refuse("holds a backslash");
        }
        if text.starts_with('/') {
            return refuse("is an absolute path");
        }
        let parts: Vec<&str> =
            text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.contains(&"..") {
            return refuse("climbs out of the package");
        }
        match parts.len() {
            0 => refuse("is empty"),
            1 | 2 => Ok(Self(parts.join("/"))),
            depth => refuse(&format!("has {depth} components, at most 2 are allowed")),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component.
    #[must_use]
    pub fn base(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, base)| base)
    }

    /// The folder, if the name has one.
    #[must_use]
    pub fn folder(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(folder, _)| folder)
    }

    /// The last component without its last extension: `vm` for `vm.ovf`.
    #[must_use]
    pub fn stem(&self) -> &str {
        match self.base().rsplit_once('.') {
            Some((stem, _)) if !stem.is_empty() => stem,
            _ => self.base(),
        }
    }

    /// Whether the name ends in this extension, without regard to case.
    #[must_use]
    pub fn has_extension(&self, extension: &str) -> bool {
        self.base()
            .rsplit_once('.')
            .is_some_and(|(stem, last)| !stem.is_empty() && last.eq_ignore_ascii_case(extension))
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_away_what_means_nothing() {
        for (text, want) in [("./a.ovf", "a.ovf"), ("d//a.ovf", "d/a.ovf"), ("././b", "b")] {
            assert_eq!(EntryName::parse(text).unwrap().as_str(), want);
        }
    }

    #[test]
    fn accepts_names_that_only_look_dangerous() {
        for text in ["--help.vmdk", "nbd:127.0.0.1:1", "a,b", "虚拟机.ovf", "...", "a..b"] {
            assert_eq!(EntryName::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn refuses_a_name_that_leaves_the_appliance() {
        for (text, want) in [
            ("", "the name '' is empty"),
            ("./", "the name './' is empty"),
            ("/etc/passwd", "the name '/etc/passwd' is an absolute path"),
            ("../x", "the name '../x' climbs out of the package"),
            ("a/../x", "the name 'a/../x' climbs out of the package"),
            ("a\\b", "the name 'a\\b' holds a backslash"),
            ("a\nb", "the name 'a\\nb' holds a control character"),
            ("a\u{202e}b", "the name 'a\\u{202e}b' holds a control character"),
            ("a\0", "the name 'a\\u{0}' holds a control character"),
            ("a/b/c", "the name 'a/b/c' has 3 components, at most 2 are allowed"),
        ] {
            let error = EntryName::parse(text).unwrap_err();
            assert_eq!(error.to_string(), want);
            assert_eq!(error.code(), Code::E0105);
        }
    }

    #[test]
    fn refuses_a_name_over_the_limit() {
        assert!(EntryName::parse(&"x".repeat(255)).is_ok());
        let error = EntryName::parse(&"x".repeat(256)).unwrap_err();
        assert!(error.to_string().ends_with("…' has 256 bytes, at most 255 are allowed"));
        assert_eq!(error.code(), Code::E0106);
    }

    #[test]
    fn knows_its_parts() {
        let name = EntryName::parse("d/vm.1.OVF").unwrap();
        assert_eq!((name.base(), name.folder(), name.stem()), ("vm.1.OVF", Some("d"), "vm.1"));
        assert!(name.has_extension("ovf"));
        assert!(!EntryName::parse(".ovf").unwrap().has_extension("ovf"));
    }
}
