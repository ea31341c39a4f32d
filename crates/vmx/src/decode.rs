//! From the bytes of a value to its text.

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

use crate::error::Fault;

/// Names that VMware writes and that the registry of encodings does not list.
const ALIASES: [(&str, &str); 4] = [
    ("windows-932", "shift_jis"),
    ("windows-936", "gbk"),
    ("windows-950", "big5"),
    ("x-windows-949", "euc-kr"),
];

/// The encoding of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Charset(&'static Encoding);

impl Charset {
    /// The encoding of this name, as `.encoding` gives it.
    pub(crate) fn named(name: &str) -> Result<Self, Fault> {
        let alias = ALIASES.iter().find(|(alias, _)| name.trim().eq_ignore_ascii_case(alias));
        let label = alias.map_or(name, |(_, label)| label);
        let found =
            Encoding::for_label(label.as_bytes()).filter(|found| found.is_ascii_compatible());
        found.map(Self).ok_or_else(|| Fault::UnknownEncoding(name.escape_default().to_string()))
    }

    /// UTF-8, which is meant where no encoding is named.
    pub(crate) const fn utf8() -> Self {
        Self(UTF_8)
    }

    /// What a file without a name for its encoding is in when it is not UTF-8.
    pub(crate) const fn western() -> Self {
        Self(WINDOWS_1252)
    }

    /// The text of a value: `|XX` is a byte in hexadecimal, and the bytes are of this encoding.
    pub(crate) fn text(self, value: &[u8]) -> Result<String, Fault> {
        let bytes = unescape(value);
        let text = self.0.decode_without_bom_handling_and_without_replacement(&bytes);
        text.map(std::borrow::Cow::into_owned).ok_or_else(|| Fault::NotEncoded(self.0.name()))
    }
}

/// Replaces `|XX`; a bar without two digits behind it stands for itself.
fn unescape(value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((first, behind)) = rest.split_first() {
        let escaped = (*first == b'|').then(|| behind.split_first_chunk::<2>()).flatten();
        match escaped.and_then(|(digits, behind)| Some((hex(*digits)?, behind))) {
            Some((byte, behind)) => {
                bytes.push(byte);
                rest = behind;
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    bytes
}

fn hex(digits: [u8; 2]) -> Option<u8> {
    let text = str::from_utf8(&digits).ok()?;
    text.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u8::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_bytes_in_hexadecimal_before_the_encoding_is_read() {
        for (value, want) in [
            ("plain", "plain"),
            ("a |22quoted|22 word", "a \"quoted\" word"),
            ("|7C|7c", "||"),
            ("one|0Atwo", "one\ntwo"),
            ("|C3|A4", "ä"),
            ("a|", "a|"),
            ("a|2", "a|2"),
            ("a|zz|+1", "a|zz|+1"),
        ] {
            assert_eq!(Charset::utf8().text(value.as_bytes()).unwrap(), want, "{value}");
        }
    }

    #[test]
    fn reads_the_encodings_that_vmware_writes() {
        for (name, bytes, want) in [
            ("UTF-8", &b"\xe8\x99\x9a"[..], "虚"),
            ("windows-1252", b"\xe4", "ä"),
            ("GBK", b"\xd0\xe9", "虚"),
            ("windows-936", b"\xd0\xe9", "虚"),
            ("Shift_JIS", b"\x89\xbc", "仮"),
            ("Big5", b"\xb5\xea", "虛"),
        ] {
            assert_eq!(Charset::named(name).unwrap().text(bytes).unwrap(), want, "{name}");
        }
    }

    #[test]
    fn refuses_what_is_not_of_the_encoding_and_encodings_that_nobody_knows() {
        let error = Charset::utf8().text(b"\xe4").unwrap_err();
        assert_eq!(error.to_string(), "text that is not UTF-8, which is its encoding");
        for name in ["klingon", "UTF-16LE", ""] {
            let error = Charset::named(name).unwrap_err();
            assert_eq!(error.to_string(), format!("the encoding '{name}' is not known"));
        }
    }
}
