//! What a command has to say once it is done.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    failure::Failure,
    json::{Message, raw},
};

/// The result of a command, once for people and once for programs.
#[derive(Debug)]
pub(crate) struct Report {
    /// For people, on stdout: text, or the bytes of a descriptor as they stand.
    pub(crate) text: Vec<u8>,
    /// For programs: the `data` of the document.
    pub(crate) data: Box<RawValue>,
    /// What somebody should know; part of the document.
    pub(crate) warnings: Vec<Message>,
    /// How many of the warnings, counted from the end, the text says already.
    pub(crate) told: usize,
    /// Why the result is not the wanted one.
    pub(crate) failure: Option<Box<Failure>>,
}

impl Report {
    /// A result that is as wanted.
    pub(crate) fn new(text: impl Into<Vec<u8>>, data: &impl Serialize) -> Self {
        Self { text: text.into(), data: raw(data), warnings: Vec::new(), told: 0, failure: None }
    }

    /// Adds what somebody should know and the text does not say.
    pub(crate) fn warnings(mut self, warnings: impl IntoIterator<Item = Message>) -> Self {
        let at = self.warnings.len() - self.told;
        self.warnings.splice(at..at, warnings);
        self
    }

    /// Adds what somebody should know and the text says already.
    pub(crate) fn told(mut self, warnings: impl IntoIterator<Item = Message>) -> Self {
        let before = self.warnings.len();
        self.warnings.extend(warnings);
        self.told += self.warnings.len() - before;
        self
    }

    /// The warnings that the text does not say.
    pub(crate) fn untold(&self) -> &[Message] {
        let count = self.warnings.len() - self.told;
        &self.warnings[..count]
    }

    /// Says that the result is not the wanted one.
    pub(crate) fn failed(mut self, failure: Option<Box<Failure>>) -> Self {
        self.failure = failure;
        self
    }
}

#[cfg(test)]
mod tests {
    use code::Code;

    use super::*;

    #[test]
    fn keeps_what_the_text_says_behind_what_it_does_not() {
        let message = |text: &str| Message::new(Code::W0301, text);
        let report = Report::new("", &())
            .warnings([message("a")])
            .told([message("b")])
            .warnings([message("c")]);
        let all: Vec<&str> = report.warnings.iter().map(|one| one.message.as_str()).collect();
        assert_eq!(all, ["a", "c", "b"]);
        assert_eq!(report.untold().len(), 2);
    }
}
