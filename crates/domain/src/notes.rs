//! What is said about a document while it is read: findings, and the errors that end the reading.

use std::{collections::BTreeSet, ops::RangeInclusive};

use code::Code;

use crate::{
    Error, Kind,
    document::{Document, Element, Fault, Place, Shown},
};

/// The most findings (ours): more are no document that a machine can be taken from.
const MAX_FINDINGS: usize = 1000;

/// Something that a document says and what was made of it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The published code.
    ///
    /// An `E` code, such as [`Code::E0305`] for a disk that was left out, does not stop the reading,
    /// but must block a plan.
    pub code: Code,
    /// The path of the element, such as `/domain/devices/hostdev[2]`.
    pub path: String,
    /// The line of its start tag, counted from 1.
    pub line: u64,
    /// What was made of it: a lowercase fragment, escaped for printing.
    pub message: String,
}

/// Collects the findings of one document.
#[derive(Debug)]
pub(crate) struct Notes<'d> {
    document: &'d Document<'d>,
    findings: Vec<(usize, Finding)>,
    /// Where the elements begin that a finding speaks for as a whole.
    spoken_for: BTreeSet<usize>,
    is_over: bool,
}

impl<'d> Notes<'d> {
    pub(crate) const fn new(document: &'d Document<'d>) -> Self {
        Self { document, findings: Vec::new(), spoken_for: BTreeSet::new(), is_over: false }
    }

    /// Notes something about an element.
    pub(crate) fn note(&mut self, element: &Element<'_>, code: Code, message: impl Into<String>) {
        if self.findings.len() >= MAX_FINDINGS {
            self.is_over = true;
            return;
        }
        let (path, line) = match self.document.place(element) {
            Place::Element { path, line } => (path, line),
            Place::Column { line, .. } => (String::new(), line),
        };
        let finding = Finding { code, path, line, message: message.into() };
        self.findings.push((element.span.start, finding));
    }

    /// Notes something that is all there is to say about an element and what it holds.
    pub(crate) fn leave_out(
        &mut self,
        element: &Element<'_>,
        code: Code,
        message: impl Into<String>,
    ) {
        self.note(element, code, message);
        self.spoken_for.insert(element.span.start);
    }

    /// Whether [`Self::leave_out`] has said all about an element.
    pub(crate) fn is_spoken_for(&self, element: &Element<'_>) -> bool {
        self.spoken_for.contains(&element.span.start)
    }

    /// The findings in document order.
    pub(crate) fn finish(mut self) -> Result<Vec<Finding>, Error> {
        if self.is_over {
            let message = format!("more than {MAX_FINDINGS} things that are not understood");
            return Err(Fault::new(Code::E0301, Kind::Limit, message).into());
        }
        self.findings.sort_by_key(|(at, _)| *at);
        Ok(self.findings.into_iter().map(|(_, finding)| finding).collect())
    }

    /// Says that an element cannot be as it is.
    pub(crate) fn contradiction(&self, element: &Element<'_>, message: &str) -> Error {
        self.fault(Code::E0303, Kind::Malformed, element, message)
    }

    /// Says that relift has no machine for an element.
    pub(crate) fn unsupported(&self, element: &Element<'_>, message: &str) -> Error {
        self.fault(Code::E0305, Kind::Unsupported, element, message)
    }

    /// Reads an attribute that is a decimal number; `None` where it is not there.
    pub(crate) fn number(
        &self,
        element: &Element<'_>,
        name: &str,
        allowed: RangeInclusive<u64>,
    ) -> Result<Option<u64>, Error> {
        let what = |value| self.decimal(element, name, value, allowed.clone());
        element.value(name).map(what).transpose()
    }

    /// As [`Self::number`], for the numbers that a machine keeps in 16 bits.
    pub(crate) fn short(&self, element: &Element<'_>, name: &str) -> Result<Option<u16>, Error> {
        let number = self.number(element, name, 0..=u16::MAX.into())?;
        Ok(number.and_then(|number| u16::try_from(number).ok()))
    }

    /// Reads a decimal number.
    pub(crate) fn decimal(
        &self,
        element: &Element<'_>,
        what: &str,
        text: &str,
        allowed: RangeInclusive<u64>,
    ) -> Result<u64, Error> {
        let digits = text.trim();
        let number = if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            digits.parse().ok().filter(|number| allowed.contains(number))
        } else {
            None
        };
        number.ok_or_else(|| {
            let (low, high) = allowed.into_inner();
            let message = format!("{what} of {} is not in {low}..={high}", Shown(text));
            self.fault(Code::E0304, Kind::Limit, element, &message)
        })
    }

    fn fault(&self, code: Code, kind: Kind, element: &Element<'_>, message: &str) -> Error {
        Fault::new(code, kind, message).at(self.document.place(element)).into()
    }
}

#[cfg(test)]
mod tests {
    use crate::read::tests::{document, read_text, refusal};

    #[test]
    fn names_the_element_by_its_number_among_its_likes_and_its_line() {
        let text = document("", "\n<hub/><hostdev/>\n<hostdev/>");
        let read = crate::read(text.as_bytes()).unwrap();
        let places: Vec<_> = read.findings.iter().map(|f| (f.path.as_str(), f.line)).collect();
        assert_eq!(
            places,
            [
                ("/domain/devices/hub", 2),
                ("/domain/devices/hostdev[1]", 2),
                ("/domain/devices/hostdev[2]", 3)
            ]
        );
    }

    #[test]
    fn refuses_a_document_of_which_it_understands_too_little() {
        let (_, findings) = read_text(&document(&"<x/>".repeat(1000), ""));
        assert_eq!(findings.len(), 1000);
        assert_eq!(
            refusal(&document(&"<x/>".repeat(1001), "")),
            "more than 1000 things that are not understood"
        );
    }

    #[test]
    fn refuses_numbers_that_are_none_or_out_of_range() {
        for (vcpu, shown) in [
            ("0", r#""0""#),
            ("4097", r#""4097""#),
            ("-1", r#""-1""#),
            ("+1", r#""+1""#),
            ("0x1", r#""0x1""#),
            ("99999999999999999999", r#""99999999999999999999""#),
        ] {
            assert_eq!(
                refusal(&document(&format!("<vcpu>{vcpu}</vcpu>"), "")),
                format!("vcpu of {shown} is not in 1..=4096 (/domain/vcpu, line 1)")
            );
        }
    }
}
