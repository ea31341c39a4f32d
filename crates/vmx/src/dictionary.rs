//! All keys of a VMX.

use std::collections::HashMap;

use code::Code;

use crate::{
    Error,
    decode::Charset,
    error::Fault,
    line::{self, RawEntry},
};

/// The longest text that is read: the limit of this product. Real ones have some kilobytes, and a
/// cloud-init document inside at most.
const MAX_BYTES: usize = 1 << 20;

/// The most keys that are read: the limit of this product. Real ones have some hundred.
const MAX_KEYS: usize = 8192;

/// What a VMX says.
#[derive(Debug, Clone, Default)]
pub struct Vmx {
    entries: Vec<Entry>,
    /// Where the entry of a key is; keys in lower case.
    places: HashMap<String, usize>,
    /// What was tolerated.
    pub findings: Vec<Finding>,
}

/// One key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key as written; its case does not matter.
    pub key: String,
    /// The value, decoded.
    pub value: String,
    /// The line, counted from 1.
    pub line: u64,
}

/// One oddity that was read past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The published code.
    pub code: Code,
    /// What was found and what was made of it: a lowercase fragment, escaped for printing.
    pub message: String,
    /// The line, counted from 1, where one line is meant.
    pub line: Option<u64>,
}

impl Vmx {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// `E0301` for what is no VMX or a broken one, `E0106` for one over a named limit, `E0402` for an
    /// encrypted one.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_BYTES {
            return Err(Error::new(Fault::TooLong { bytes: bytes.len(), max: MAX_BYTES }));
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if bytes.contains(&0) {
            return Err(Error::new(Fault::NoText));
        }
        let mut raw = Vec::new();
        for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            let entry = line::read(line).map_err(|fault| Error::at(fault, number))?;
            raw.extend(entry.map(|entry| (number, entry)));
            if raw.len() > MAX_KEYS {
                return Err(Error::new(Fault::TooManyKeys(MAX_KEYS)));
            }
        }
        if raw.is_empty() {
            return Err(Error::new(Fault::Empty));
        }
        let mut vmx = Self::default();
        let charset = vmx.charset(&raw)?;
        for (line, RawEntry { key, value }) in raw {
            let value = charset.text(value).map_err(|fault| Error::at(fault, line))?;
            vmx.insert(Entry { key: key.to_owned(), value, line });
        }
        if vmx.text("encryption.data").is_some() {
            return Err(Error::new(Fault::Encrypted));
        }
        Ok(vmx)
    }

    /// The encoding that the file names; without a name it is UTF-8, or what Windows of the west has.
    fn charset(&mut self, raw: &[(u64, RawEntry<'_>)]) -> Result<Charset, Error> {
        let named = raw.iter().find(|(_, entry)| entry.key.eq_ignore_ascii_case(".encoding"));
        if let Some((line, entry)) = named {
            let name = String::from_utf8_lossy(entry.value);
            return Charset::named(&name).map_err(|fault| Error::at(fault, *line));
        }
        let foreign = raw.iter().find(|(_, entry)| Charset::utf8().text(entry.value).is_err());
        let Some((line, _)) = foreign else { return Ok(Charset::utf8()) };
        self.findings.push(Finding {
            code: Code::W0608,
            message: "the file names no encoding and is not UTF-8; read as windows-1252".to_owned(),
            line: Some(*line),
        });
        Ok(Charset::western())
    }

    /// Adds an entry. Of two with one key the last counts, as it does for VMware.
    fn insert(&mut self, entry: Entry) {
        let key = entry.key.to_ascii_lowercase();
        let Some(before) = self.places.get(&key).and_then(|at| self.entries.get_mut(*at)) else {
            self.places.insert(key, self.entries.len());
            self.entries.push(entry);
            return;
        };
        if before.value != entry.value {
            self.findings.push(Finding {
                code: Code::W0610,
                message: format!(
                    "the key {} is in line {} with another value, the last one counts",
                    entry.key, before.line
                ),
                line: Some(entry.line),
            });
        }
        *before = entry;
    }

    /// Every key, in the order of the file.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The value of a key, trimmed; an empty one is absent. The key's case does not matter.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        let entry = self.places.get(&key.to_ascii_lowercase()).and_then(|at| self.entries.get(*at));
        entry.map(|entry| entry.value.trim()).filter(|value| !value.is_empty())
    }

    /// The truth value of a key, if it has one.
    #[must_use]
    pub fn boolean(&self, key: &str) -> Option<bool> {
        match self.text(key)?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "t" | "y" | "1" => Some(true),
            "false" | "no" | "off" | "f" | "n" | "0" => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Vmx, Error> {
        Vmx::parse(text.as_bytes())
    }

    #[test]
    fn finds_keys_whatever_their_case() {
        let vmx = parse(
            "\u{feff}#!/usr/bin/vmware\r\n\r\n.encoding = \"UTF-8\"\r\nMemSize = \" 512 \"\r\na = \"\"\r\n",
        )
        .unwrap();
        assert_eq!(vmx.text("memsize"), Some("512"));
        assert_eq!(vmx.text("MEMSIZE"), Some("512"));
        assert_eq!((vmx.text("a"), vmx.text("b")), (None, None));
        let lines: Vec<_> = vmx.entries().iter().map(|e| (e.key.as_str(), e.line)).collect();
        assert_eq!(lines, [(".encoding", 3), ("MemSize", 4), ("a", 5)]);
        assert_eq!(vmx.findings, []);
    }

    #[test]
    fn reads_truth_as_vmware_and_people_write_it() {
        let vmx = parse("a = \"TRUE\"\nb = \"false\"\nc = \"maybe\"\nd = \"1\"\n").unwrap();
        let all: Vec<_> = ["a", "b", "c", "d", "e"].map(|key| vmx.boolean(key)).into();
        assert_eq!(all, [Some(true), Some(false), None, Some(true), None]);
    }

    #[test]
    fn the_last_of_two_values_counts_and_is_said() {
        let vmx = parse("a = \"1\"\nb = \"x\"\nA = \"2\"\nb = \"x\"\n").unwrap();
        assert_eq!((vmx.text("a"), vmx.entries().len()), (Some("2"), 2));
        let said: Vec<_> = vmx.findings.iter().map(|f| (f.message.as_str(), f.line)).collect();
        assert_eq!(
            said,
            [("the key A is in line 1 with another value, the last one counts", Some(3))]
        );
    }

    #[test]
    fn a_text_without_an_encoding_is_utf_8_or_western() {
        let vmx = Vmx::parse(b"displayName = \"M\xc3\xbcnchen\"\n").unwrap();
        assert_eq!((vmx.text("displayname"), vmx.findings.len()), (Some("München"), 0));
        let vmx = Vmx::parse(b"a = \"x\"\ndisplayName = \"M\xfcnchen\"\n").unwrap();
        assert_eq!(vmx.text("displayname"), Some("München"));
        assert_eq!(
            vmx.findings,
            [Finding {
                code: Code::W0608,
                message: "the file names no encoding and is not UTF-8; read as windows-1252".into(),
                line: Some(2),
            }]
        );
    }

    #[test]
    fn refuses_what_is_no_vmx() {
        for (text, code, want) in [
            ("", Code::E0301, "no key at all, so that this is no VMX"),
            ("# only a comment\n", Code::E0301, "no key at all, so that this is no VMX"),
            ("<html>\n", Code::E0301, "a line that is not `key = \"value\"` (line 1)"),
            ("a = \"1\"\nb = \"2", Code::E0301, "a value without a closing quote (line 2)"),
            ("a = \"\0\"", Code::E0301, "a zero byte, so that this is no text"),
            (
                ".encoding = \"klingon\"\n",
                Code::E0301,
                "the encoding 'klingon' is not known (line 1)",
            ),
            (
                ".encoding = \"UTF-8\"\na = \"|FF\"\n",
                Code::E0301,
                "text that is not UTF-8, which is its encoding (line 2)",
            ),
            (
                "encryption.keySafe = \"vmware:key/list\"\nencryption.data = \"AAAA\"\n",
                Code::E0402,
                "the VMX is encrypted",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.code()), (want, code));
        }
    }

    #[test]
    fn refuses_more_than_the_limits() {
        let error = parse(&"#".repeat(MAX_BYTES + 1)).unwrap_err();
        assert_eq!(error.to_string(), "1048577 bytes, a VMX has at most 1048576");
        assert_eq!((error.code(), error.kind()), (Code::E0106, crate::Kind::Limit));
        let keys: String = (0..=MAX_KEYS).map(|n| format!("k{n} = \"\"\n")).collect();
        assert_eq!(parse(&keys).unwrap_err().to_string(), "more than 8192 keys");
    }

    #[test]
    fn a_text_that_is_cut_anywhere_is_read_or_refused() {
        let whole =
            b".encoding = \"GBK\"\nscsi0:0.fileName = \"|D0|E9.vmdk\"\nmemsize = \"1024\"\n";
        for end in 0..whole.len() {
            drop(Vmx::parse(&whole[..end]));
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            if let Ok(vmx) = Vmx::parse(&bytes) {
                prop_assert!(vmx.devices().len() <= vmx.entries().len());
            }
        }
    }
}
