//! Text that goes into the domain XML.

use std::path::Path;

use crate::{
    Error,
    error::{Item, Refusal},
};

/// A text of an item, with the word that messages use for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    item: Item,
    what: &'static str,
    text: &'a str,
}

impl<'a> Text<'a> {
    pub(super) const fn new(item: Item, what: &'static str, text: &'a str) -> Self {
        Self { item, what, text }
    }

    /// Refuses what XML 1.0 has no way to write, not even escaped (section 2.2, `Char`).
    pub(super) fn require_xml(self) -> Result<(), Error> {
        self.refuse_characters(|c| {
            matches!(c, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')
        })
    }

    /// Refuses control characters, line ends among them, and a text of blanks.
    pub(super) fn require_line(self) -> Result<(), Error> {
        self.require_xml()?;
        self.refuse_characters(char::is_control)?;
        if self.text.trim().is_empty() {
            return Err(self.refuse("a word"));
        }
        Ok(())
    }

    /// Refuses everything but ASCII letters, digits and `.`, `_`, `+`, `-`.
    pub(super) fn require_token(self) -> Result<(), Error> {
        self.require_line()?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
        if self.text.chars().all(is_plain) {
            return Ok(());
        }
        Err(self.refuse("made of letters, digits and ._+- only"))
    }

    /// Refuses a length in bytes of more than `most`.
    pub(super) fn require_length(self, most: u64) -> Result<(), Error> {
        let bytes = u64::try_from(self.text.len()).unwrap_or(u64::MAX);
        if bytes <= most {
            return Ok(());
        }
        Err(self.item.refuse(Refusal::Length { what: self.what, bytes, most }))
    }

    /// Makes the error that says what the text should have been.
    pub(super) fn refuse(self, wanted: &'static str) -> Error {
        self.item.refuse(Refusal::Text { what: self.what, text: self.text.to_owned(), wanted })
    }

    fn refuse_characters(self, is_refused: impl Fn(char) -> bool) -> Result<(), Error> {
        match self.text.char_indices().find(|(_, c)| is_refused(*c)) {
            Some((at, found)) => {
                Err(self.item.refuse(Refusal::Character { what: self.what, found, at }))
            }
            None => Ok(()),
        }
    }
}

/// Refuses an image path that is relative, no UTF-8, or of more than one line.
///
/// libvirt reads a path in its own working folder, and its XML is UTF-8.
pub(crate) fn require_image_path(item: Item, path: &Path) -> Result<(), Error> {
    let lossy = path.to_string_lossy();
    let text = Text::new(item, "image path", &lossy);
    if path.to_str().is_none() {
        return Err(text.refuse("UTF-8"));
    }
    text.require_line()?;
    if path.is_absolute() { Ok(()) } else { Err(text.refuse("absolute")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(result: Result<(), Error>) -> String {
        result.unwrap_err().to_string()
    }

    fn text(text: &str) -> Text<'_> {
        Text::new(Item::Machine, "name", text)
    }

    #[test]
    fn lets_a_text_of_several_lines_and_scripts_pass() {
        text("a\tb\r\nü 虚拟机 \u{10ffff}").require_xml().unwrap();
        text("a <b> & 'c'").require_line().unwrap();
        text("EPYC-v4.2_a+b").require_token().unwrap();
    }

    #[test]
    fn refuses_the_characters_that_xml_cannot_write() {
        for c in ['\0', '\x08', '\x0b', '\x1f', '\u{fffe}', '\u{ffff}'] {
            let want =
                format!("machine: name holds the character U+{:04X} at byte 2", u32::from(c));
            assert_eq!(message(text(&format!("ü{c}")).require_xml()), want);
        }
    }

    #[test]
    fn refuses_a_line_that_is_empty_or_broken() {
        for (spoilt, want) in [
            ("", r#"machine: name "" is not a word"#),
            (" \u{a0}", r#"machine: name " \u{a0}" is not a word"#),
            ("a\nb", "machine: name holds the character U+000A at byte 1"),
            ("a\u{9b}31m", "machine: name holds the character U+009B at byte 1"),
        ] {
            assert_eq!(message(text(spoilt).require_line()), want);
        }
    }

    #[test]
    fn refuses_a_token_with_other_characters() {
        assert_eq!(
            message(text("a,b").require_token()),
            r#"machine: name "a,b" is not made of letters, digits and ._+- only"#
        );
    }

    #[test]
    fn refuses_a_text_that_is_too_long() {
        text("aü").require_length(3).unwrap();
        assert_eq!(
            message(text("aü").require_length(2)),
            "machine: name has 3 bytes, 2 are allowed"
        );
    }

    #[test]
    fn refuses_an_image_path_that_libvirt_would_read_otherwise() {
        let check = |path: &str| require_image_path(Item::Disk(0), Path::new(path));
        check("/var/lib/a b.qcow2").unwrap();
        for (path, want) in [
            ("a.qcow2", r#"disk 0: image path "a.qcow2" is not absolute"#),
            ("", r#"disk 0: image path "" is not a word"#),
            ("/a\nb", "disk 0: image path holds the character U+000A at byte 2"),
        ] {
            assert_eq!(message(check(path)), want);
        }
    }

    #[cfg(unix)]
    #[test]
    fn refuses_an_image_path_that_is_no_utf8() {
        use std::os::unix::ffi::OsStrExt as _;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"/a\xff"));
        assert_eq!(
            message(require_image_path(Item::Disk(0), path)),
            "disk 0: image path \"/a\u{fffd}\" is not UTF-8"
        );
    }
}
