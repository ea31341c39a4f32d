//! The explanation of a code.

use crate::Code;

/// What `relift explain` prints for one code: a cause, a fix and a longer text.
///
/// A page is a text file of this crate. Its first paragraph has the lines `cause: …` and `fix: …`,
/// each of which may go on in lines that are indented; what follows the first blank line is the
/// long text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    code: Code,
    text: &'static str,
}

impl Page {
    pub(crate) const fn new(code: Code, text: &'static str) -> Self {
        Self { code, text }
    }

    /// The code that the page explains.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The usual cause, in one sentence.
    #[must_use]
    pub fn cause(&self) -> String {
        self.field("cause: ")
    }

    /// What to do about it, in one sentence.
    #[must_use]
    pub fn fix(&self) -> String {
        self.field("fix: ")
    }

    /// The long text.
    #[must_use]
    pub fn body(&self) -> &'static str {
        self.text.split_once("\n\n").map_or("", |(_, body)| body).trim_end()
    }

    fn field(&self, name: &str) -> String {
        let head = self.text.split_once("\n\n").map_or(self.text, |(head, _)| head);
        let mut lines = head.lines().skip_while(|line| !line.starts_with(name));
        let first = lines.next().and_then(|line| line.strip_prefix(name)).unwrap_or_default();
        let rest = lines.take_while(|line| line.starts_with(' ')).map(str::trim);
        std::iter::once(first.trim()).chain(rest).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_cause_a_fix_and_a_long_text() {
        for code in Code::ALL {
            let page = code.page();
            assert!(page.cause().len() > 20, "{code} has no cause");
            assert!(page.fix().len() > 10, "{code} has no fix");
            assert!(page.body().len() > 80, "{code} has no long text");
        }
    }

    #[test]
    fn joins_the_indented_lines_of_a_field() {
        let page = Page::new(Code::E0101, "cause: a\n  b\nfix: c\n\nlong\n");
        assert_eq!(page.cause(), "a b");
        assert_eq!(page.fix(), "c");
        assert_eq!(page.body(), "long");
    }
}
