//! Texts of packages and journals, made safe for each format.

use std::fmt::Write as _;

/// Shows what could move a cursor, reverse the reading direction or forge a line: control characters,
/// bidirectional marks and overrides, line separators.
pub(super) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_hostile(letter) {
            // Writing to a String does not fail.
            let _written = write!(out, "\\u{{{:x}}}", u32::from(letter));
        } else {
            out.push(letter);
        }
    }
    out
}

/// The same for a text that may have several lines: they become one.
pub(super) fn one_line(text: &str) -> String {
    let lines = text.lines().map(|line| visible(line.trim()));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The text or the value of an attribute in HTML.
pub(super) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in visible(text).chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(letter),
        }
    }
    out
}

/// Text within a line or a cell of Markdown: no mark-up, no link, no HTML.
pub(super) fn markdown(text: &str) -> String {
    let text = one_line(text);
    let mut out = String::with_capacity(text.len());
    for (at, letter) in text.char_indices() {
        // "://" and "www." make a link of what is around them (GitHub Flavored Markdown 0.29, section 6.9).
        let rest = text.get(at..).unwrap_or_default();
        let links = rest.starts_with("://") || (letter == '.' && is_behind_www(&text, at));
        if links || "\\`*_{}[]<>|~#&!@$".contains(letter) {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

fn is_behind_www(text: &str, at: usize) -> bool {
    let start = at.checked_sub(3);
    let before = start.and_then(|start| text.as_bytes().get(start..at));
    before.is_some_and(|before| before.eq_ignore_ascii_case(b"www"))
}

/// A name as a code span of Markdown, within a cell of a table, too.
pub(super) fn markdown_code(text: &str) -> String {
    // A bar ends a cell even in a code span (GitHub Flavored Markdown 0.29, section 4.10).
    let text = visible(text).replace('|', "\\|");
    if text.trim().is_empty() {
        return "—".to_owned();
    }
    let longest = text.split(|letter| letter != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.saturating_add(1));
    let pad = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// A cell of a table that a spreadsheet may open: one that it would take for a formula is led by an
/// apostrophe (OWASP, "CSV Injection"). Quotes are the writer's business.
pub(super) fn cell(text: &str) -> String {
    let lead = if text.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']) {
        "'"
    } else {
        ""
    };
    format!("{lead}{}", visible(text))
}

/// A JSON document, with the hostile characters of its texts as JSON escapes them: the values stay.
pub(super) fn json(document: &str) -> String {
    let mut out = String::with_capacity(document.len());
    for letter in document.chars() {
        // Line breaks are those between the values: the ones in texts are escaped already. No hostile
        // character is beyond the 16 bits that an escape has room for.
        if is_hostile(letter) && letter != '\n' {
            let _written = write!(out, "\\u{:04x}", u32::from(letter));
        } else {
            out.push(letter);
        }
    }
    out
}

fn is_hostile(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}'
                | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_bidi_characters_are_shown_and_not_done() {
        assert_eq!(
            visible("a\u{1b}[2J\nb\u{202e}c\u{9b} é"),
            "a\\u{1b}[2J\\u{a}b\\u{202e}c\\u{9b} é"
        );
        assert_eq!(one_line(" a\r\n\n  b\u{7}\n"), "a b\\u{7}");
    }

    #[test]
    fn html_keeps_a_text_a_text() {
        assert_eq!(html("<a b='c'>&\"\u{202e}"), "&lt;a b=&#39;c&#39;&gt;&amp;&quot;\\u{202e}");
    }

    #[test]
    fn markdown_makes_no_mark_up_of_a_text() {
        for (text, want) in [
            ("<b>*x*</b>", r"\<b\>\*x\*\</b\>"),
            ("a|b [c](d)", r"a\|b \[c\](d)"),
            ("see https://x.y or WWW.x.y: w.z", r"see https\://x.y or WWW\.x.y: w.z"),
            ("two\nlines", "two lines"),
        ] {
            assert_eq!(markdown(text), want);
        }
    }

    #[test]
    fn a_code_span_holds_bars_and_backticks() {
        for (text, want) in [
            ("a.ova", "`a.ova`"),
            ("a|b", r"`a\|b`"),
            ("a``b", "```a``b```"),
            ("`", "`` ` ``"),
            ("", "—"),
        ] {
            assert_eq!(markdown_code(text), want);
        }
    }

    #[test]
    fn a_cell_is_no_formula() {
        for (text, want) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\\u{9}=1"),
            ("＝1", "'＝1"),
            ("a=1", "a=1"),
        ] {
            assert_eq!(cell(text), want);
        }
    }

    #[test]
    fn a_json_text_is_the_same_text_when_it_is_read() {
        let text = "a\u{7f}\u{202e}\n\u{85}\u{2028}é";
        let document = json(&serde_json::to_string_pretty(&[text]).unwrap());
        assert!(document.chars().all(|letter| letter == '\n' || !is_hostile(letter)), "{document}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&document).unwrap(), [text]);
    }
}
