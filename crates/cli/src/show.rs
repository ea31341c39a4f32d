//! The only place that prints: results on stdout, talk on stderr.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
};

use code::Code;

use crate::{args::ColorChoice, failure::Failure, json::Message};

pub(crate) mod table;

/// The most bytes of warnings that are said, and of a failure: with progress, a run says at most
/// 64 KiB on stderr, whatever is wrong with how much of a package.
const MAX_WARNINGS_BYTES: usize = 40 << 10;
/// See [`MAX_WARNINGS_BYTES`].
const MAX_FAILURE_BYTES: usize = 16 << 10;
/// The most characters of one line of a failure: a list of names can be long.
const MAX_LINE_CHARS: usize = 2000;

/// Where the words go, and how they look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Show {
    pub(crate) volume: Volume,
    color_out: bool,
    color_err: bool,
    width: Option<usize>,
}

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Volume {
    /// Errors only.
    Errors,
    /// Warnings and progress as well.
    Usual,
    /// Details as well.
    Details,
}

/// How a word looks.
#[derive(Debug, Clone, Copy)]
enum Paint {
    Red,
    Yellow,
    Bold,
}

impl Show {
    /// Decides colour for stdout and stderr, one by one, and asks for the width of the terminal.
    pub(crate) fn new(color: ColorChoice, volume: Volume) -> Self {
        let wanted = |is_terminal: bool| match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
                !set("NO_COLOR") && (set("CLICOLOR_FORCE") || is_terminal)
            }
        };
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
        Self {
            volume,
            color_out: wanted(io::stdout().is_terminal()),
            color_err: wanted(io::stderr().is_terminal()),
            width: size.map(|size| usize::from(size.ws_col)).filter(|width| *width >= 40),
        }
    }

    /// How many columns the terminal on stdout has; `None` where there is none.
    pub(crate) const fn width(&self) -> Option<usize> {
        self.width
    }

    /// A heading of the result.
    pub(crate) fn heading(&self, text: &str) -> String {
        paint(self.color_out, Paint::Bold, text)
    }

    /// Says something on stderr, unless only errors are wanted.
    pub(crate) fn say(&self, text: &str) {
        if self.volume > Volume::Errors {
            talk(text);
        }
    }

    /// Says warnings on stderr, as many as there is room for.
    pub(crate) fn warnings(&self, messages: &[Message]) {
        let texts = messages.iter().map(|message| self.warning(message));
        let (said, left_out) = fitting(texts, MAX_WARNINGS_BYTES);
        said.iter().for_each(|text| self.say(text));
        if left_out > 0 {
            self.say(&format!("{left_out} more warnings are not shown; --json lists them all"));
        }
    }

    /// A warning, with what to do about it.
    fn warning(&self, message: &Message) -> String {
        let code = message.code.unwrap_or("-");
        let head = paint(self.color_err, Paint::Yellow, &format!("warning[{code}]"));
        let item = message.item.as_deref().map(|item| format!("{}: ", clean(item)));
        let mut text = format!("{head}: {}{}", item.unwrap_or_default(), clean(&message.message));
        if let Some(hint) = &message.hint {
            push_line(&mut text, &format!("  fix:   {}", clean(hint)));
        }
        text.truncate(text.trim_end().len());
        text
    }

    /// Says why the run ended.
    pub(crate) fn failure(&self, failure: &Failure) {
        let name = failure.code.map_or_else(|| "error".to_owned(), |code| format!("error[{code}]"));
        let head = paint(self.color_err, Paint::Red, &name);
        talk(&format!("{head}: {}", failure_text(failure)));
    }
}

/// Columns and rows of the terminal on stderr; `None` where there is none.
pub(crate) fn terminal() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
    let (columns, rows) = (usize::from(size.ws_col), usize::from(size.ws_row));
    (columns > 0 && rows > 0).then_some((columns, rows))
}

/// Says something on stderr. A listener that went away is no reason to end the work.
pub(crate) fn talk(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}

/// Writes a part of the result to stdout.
pub(crate) fn result(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Says what a run left behind that was told to stop a second time.
pub(crate) fn stopped_at_once(left: &[PathBuf]) {
    talk("error: stopped at once");
    for path in left {
        talk(&format!("  left behind  {}", clean(&path.display().to_string())));
    }
}

/// The first texts that have room together, and how many others there are. One that is too long by
/// itself is among the others.
fn fitting(texts: impl Iterator<Item = String>, max_bytes: usize) -> (Vec<String>, usize) {
    let (mut said, mut left_out, mut rest) = (Vec::new(), 0, max_bytes);
    for text in texts {
        match rest.checked_sub(text.len() + 1) {
            Some(less) => {
                rest = less;
                said.push(text);
            }
            None => left_out += 1,
        }
    }
    (said, left_out)
}

/// One line of a failure, escaped and cut.
fn line(text: &str) -> String {
    let clean = clean(text);
    match clean.char_indices().nth(MAX_LINE_CHARS) {
        Some((end, _)) => format!("{}…", &clean[..end]),
        None => clean,
    }
}

/// A failure without its first word.
fn failure_text(failure: &Failure) -> String {
    let mut text = line(&failure.message);
    let width = failure.details.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(8);
    for (name, value) in &failure.details {
        let value = line(value);
        match name.as_str() {
            "" => push_line(&mut text, &format!("  {value}")),
            name => push_line(&mut text, &format!("  {name:<width$}  {value}")),
        }
    }
    let lines = [("tip:", &failure.tip), ("cause:", &failure.cause), ("fix:", &failure.fix)];
    for (name, value) in lines {
        if let Some(value) = value {
            let width = if name == "tip:" { name.len() } else { 6 };
            push_line(&mut text, &format!("  {name:<width$} {}", line(value)));
        }
    }
    if let Some(code) = failure.code {
        push_line(&mut text, &format!("  more:  relift explain {code}"));
    }
    let (said, left_out) = fitting(failure.others.iter().map(other_text), MAX_FAILURE_BYTES);
    said.iter().for_each(|other| push_line(&mut text, other));
    if left_out > 0 {
        push_line(&mut text, &format!("{left_out} more errors are not shown"));
    }
    text.truncate(text.trim_end().len());
    text
}

/// An independent problem beside a failure.
fn other_text(other: &Message) -> String {
    let code = other.code.unwrap_or("-");
    let mut text = format!("error[{code}]: {}", line(&other.message));
    if let Some(hint) = &other.hint {
        push_line(&mut text, &format!("  fix:   {}", line(hint)));
        text.truncate(text.trim_end().len());
    }
    text
}

/// The long text of a code.
pub(crate) fn page(code: Code) -> String {
    let page = code.page();
    let mut text = format!("{code}: {}\n\n", code.title());
    for (name, value) in [("cause:", page.cause()), ("fix:", page.fix())] {
        push_line(&mut text, &format!("  {name:<6} {value}"));
    }
    if code.as_str().starts_with('E') {
        push_line(&mut text, &format!("  exit:  {}", code.exit().number()));
    }
    push_line(&mut text, "");
    push_line(&mut text, page.body());
    text
}

fn push_line(text: &mut String, line: &str) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
}

/// Escapes what could move the cursor, reverse the reading direction or start a line of its own:
/// control characters, bidirectional overrides and line separators.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hostile(c) {
            write!(out, "\\u{{{:x}}}", u32::from(c)).expect("a String takes every write");
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether a character does something to a terminal instead of being shown.
pub(crate) fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// The same, line by line: a text that may have several.
pub(crate) fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

/// A name as a shell takes it.
pub(crate) fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !name.is_empty() && !name.starts_with('=') && name.chars().all(is_plain) {
        return name.to_owned();
    }
    format!("'{}'", name.replace('\'', r"'\''"))
}

fn paint(color: bool, paint: Paint, text: &str) -> String {
    if !color {
        return text.to_owned();
    }
    let number = match paint {
        Paint::Red => "1;31",
        Paint::Yellow => "1;33",
        Paint::Bold => "1",
    };
    format!("\u{1b}[{number}m{text}\u{1b}[0m")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_a_package_could_do_to_a_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{202e}d é"), "a\\u{1b}[2Jb\\u{a}c\\u{202e}d é");
        assert_eq!(clean_lines("a\r\nb\u{7}\n"), "a\nb\\u{7}");
    }

    #[test]
    fn quotes_names_for_a_shell() {
        for (name, want) in [
            ("a/b.ova", "a/b.ova"),
            ("my vm.ova", "'my vm.ova'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(name), want);
        }
    }

    #[test]
    fn a_failure_says_what_where_why_and_what_to_do() {
        let failure = Failure::new(Code::E0203, "checksum does not match for a.vmdk")
            .detail("package", "bad.ova")
            .detail("expected", "01")
            .cause("c")
            .fix("f")
            .others(vec![Message::new(Code::E0104, "b.vmdk is missing")]);
        assert_eq!(
            failure_text(&failure),
            "checksum does not match for a.vmdk
  package   bad.ova
  expected  01
  cause: c
  fix:   f
  more:  relift explain E0203
error[E0104]: b.vmdk is missing"
        );
    }

    #[test]
    fn a_thousand_problems_are_told_in_a_bounded_text() {
        let many: Vec<Message> =
            (0..9000).map(|n| Message::new(Code::E0104, format!("{n} is missing"))).collect();
        let text = failure_text(&Failure::new(Code::E0103, "x".repeat(1 << 20)).others(many));
        assert!(text.len() < 24 << 10, "{}", text.len());
        assert!(text.starts_with("xxx") && text.contains("xxx…\n  cause: "), "{text}");
        let (said, left_out) =
            fitting(["12345", "1234567890", "123"].map(Into::into).into_iter(), 10);
        assert_eq!((said, left_out), (vec!["12345".to_owned(), "123".to_owned()], 1));
    }

    #[test]
    fn a_wrong_word_gets_a_tip() {
        let failure =
            Failure::usage("unknown command 'improt'").tip("a similar command exists: 'import'");
        assert_eq!(
            failure_text(&failure),
            "unknown command 'improt'\n  tip: a similar command exists: 'import'"
        );
    }

    #[test]
    fn the_page_of_an_error_names_its_exit_status() {
        let text = page(Code::E0203);
        assert!(text.starts_with("E0203: a checksum does not match\n\n  cause: "), "{text}");
        assert!(text.contains("\n  exit:  5\n\n"), "{text}");
        assert!(!page(Code::W0101).contains("exit:"));
    }
}
