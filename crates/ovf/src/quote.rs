//! Text of a file, made safe to stand in a message.

use std::fmt;

/// How many characters of a text from a file a message shows.
const SHOWN_CHARS: usize = 120;

/// Shows a text of a file in single quotes, with everything that could forge a line or turn the
/// reading direction escaped, and cut after 120 characters.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}", Plain(self.0))?;
        f.write_str("'")
    }
}

/// As [`Quoted`], without the quotes.
pub(crate) struct Plain<'a>(pub(crate) &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, c) in self.0.chars().enumerate() {
            if at == SHOWN_CHARS {
                return f.write_str("…");
            }
            if is_unsafe(c) {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

/// Tells a control character, a line or paragraph separator, or a bidirectional override.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_could_forge_a_line_and_keeps_other_letters() {
        assert_eq!(Quoted("a\nb\u{202e}c 虚").to_string(), "'a\\nb\\u{202e}c 虚'");
    }

    #[test]
    fn cuts_a_long_text() {
        let text = Plain(&"x".repeat(5000)).to_string();
        assert_eq!(text.chars().count(), SHOWN_CHARS + 1);
        assert!(text.ends_with('…'));
    }
}
