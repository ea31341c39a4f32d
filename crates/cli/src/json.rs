//! What crosses the program's edge as JSON, version 1 of each schema.
//!
//! Fields are never absent: what is unknown is `null`. No clock and no duration is in a document, so
//! that two runs give the same bytes.

use std::fmt::Write as _;

use code::{Code, Severity};
use convert::{Note, Row};
use ovf::Finding;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{failure::Failure, show};

/// Who signed a package, where the user's trust store knows it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SignerData {
    subject: String,
    fingerprint: String,
}

impl SignerData {
    /// The signer of a trusted signature.
    pub(crate) fn of(signature: &ovf::Signature) -> Option<Self> {
        let ovf::Signature::Trusted(identity) = signature else { return None };
        let (subject, fingerprint) = (identity.subject.clone(), identity.fingerprint.clone());
        Some(Self { subject, fingerprint: format!("sha256:{fingerprint}") })
    }
}

/// The one document of `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct Envelope<'a> {
    /// `relift.<verb>/1`.
    pub(crate) schema: String,
    /// Whether the run did what was asked; the exit code agrees.
    pub(crate) ok: bool,
    /// The result, as far as there is one.
    pub(crate) data: Option<&'a RawValue>,
    /// What somebody should know.
    pub(crate) warnings: &'a [Message],
    /// Why there is no result, or not the wanted one.
    pub(crate) error: Option<Message>,
}

/// A warning or an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Message {
    /// The published code; a wrong flag has none.
    pub(crate) code: Option<&'static str>,
    /// `info`, `warning`, `blocker` or `error`.
    pub(crate) severity: &'static str,
    /// What it is about: an item's id, a file.
    pub(crate) item: Option<String>,
    /// What becomes of the item.
    pub(crate) action: Option<&'static str>,
    /// What the source has.
    pub(crate) from: Option<String>,
    /// What the target gets.
    pub(crate) to: Option<String>,
    /// What is to be known.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
    /// Where the descriptor says it.
    pub(crate) path: Option<String>,
}

impl Message {
    /// A remark that is about no item.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code: Some(code.as_str()),
            severity: code.severity().as_str(),
            item: None,
            action: None,
            from: None,
            to: None,
            message: message.into(),
            hint: None,
            path: None,
        }
    }

    /// Says what it is about.
    pub(crate) fn about(mut self, item: impl Into<String>) -> Self {
        self.item = Some(item.into());
        self
    }

    /// A note of one row of a plan.
    pub(crate) fn of_row(row: &Row, note: &Note) -> Self {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self {
            item: Some(row.item.clone()),
            action: Some(row.action.as_str()),
            from: some(&row.from),
            to: some(&row.to),
            path: row.path.clone(),
            ..Self::of_note(note)
        }
    }

    /// A note that belongs to no row.
    pub(crate) fn of_note(note: &Note) -> Self {
        Self {
            severity: note.severity.as_str(),
            hint: note.hint.clone(),
            ..Self::new(note.code, &note.text)
        }
    }

    /// A warning about a disk image.
    pub(crate) fn of_image(warning: &disk::Warning, image: &str) -> Self {
        Self::new(warning.code, warning.to_string()).about(image)
    }
}

impl From<&Finding> for Message {
    fn from(finding: &Finding) -> Self {
        // A finding did not end the run, whatever its code: it keeps a plan from being executed.
        let severity = match finding.code.severity() {
            Severity::Error => Severity::Blocker,
            other => other,
        };
        Self {
            severity: severity.as_str(),
            item: finding.item.clone(),
            path: finding.path.clone(),
            ..Self::new(finding.code, &finding.message)
        }
    }
}

impl From<&Failure> for Message {
    fn from(failure: &Failure) -> Self {
        let details = failure.details.iter().map(|(name, value)| format!("{name} {value}"));
        let details = details.map(|detail| detail.trim_start().to_owned());
        let parts: Vec<String> = std::iter::once(failure.message.clone()).chain(details).collect();
        Self {
            code: failure.code.map(Code::as_str),
            severity: Severity::Error.as_str(),
            item: None,
            action: None,
            from: None,
            to: None,
            message: parts.join("; "),
            hint: failure.fix.clone().or_else(|| failure.tip.clone()),
            path: None,
        }
    }
}

/// Writes a value that is known to have a JSON form.
pub(crate) fn raw(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).expect("our own types have no maps with keys that are not text")
}

/// Escapes in a JSON text what could do something to a terminal that it is printed to, and that JSON
/// itself lets stand in a string: the C1 controls, separators, overrides of the reading direction.
pub(crate) fn harmless(text: String) -> String {
    // Lines of a document that is written for readers.
    let is_hostile = |c: char| c != '\n' && show::is_hostile(c);
    if !text.contains(is_hostile) {
        return text;
    }
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if is_hostile(c) {
            write!(out, "\\u{:04x}", u32::from(c)).expect("a String takes every write");
        } else {
            out.push(c);
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_is_ever_absent_and_the_order_is_that_of_the_contract() {
        let data = raw(&[1]);
        let envelope = Envelope {
            schema: "relift.test/1".to_owned(),
            ok: true,
            data: Some(&data),
            warnings: &[Message::new(Code::W0301, "m").about("nic1")],
            error: None,
        };
        assert_eq!(
            serde_json::to_string(&envelope).unwrap(),
            concat!(
                r#"{"schema":"relift.test/1","ok":true,"data":[1],"warnings":[{"code":"W0301","#,
                r#""severity":"warning","item":"nic1","action":null,"from":null,"to":null,"#,
                r#""message":"m","hint":null,"path":null}],"error":null}"#
            )
        );
    }

    #[test]
    fn a_document_does_nothing_to_a_terminal_and_says_the_same() {
        let name = "a\u{1b}b\u{9b}2Jc\u{202e}d\u{2028}\u{7f}é";
        let text = harmless(serde_json::to_string_pretty(&[name]).unwrap());
        assert_eq!(text, "[\n  \"a\\u001bb\\u009b2Jc\\u202ed\\u2028\\u007fé\"\n]");
        assert_eq!(serde_json::from_str::<[String; 1]>(&text).unwrap(), [name]);
    }

    #[test]
    fn an_error_tells_its_numbers_in_one_text() {
        let failure = Failure::new(Code::E0203, "checksum does not match for a")
            .detail("expected", "01")
            .detail("", "line 2");
        let message = Message::from(&*failure);
        assert_eq!(message.message, "checksum does not match for a; expected 01; line 2");
        assert_eq!((message.code, message.severity), (Some("E0203"), "error"));
    }

    #[test]
    fn a_finding_with_an_error_code_is_a_blocker() {
        let finding = Finding {
            code: Code::E0305,
            message: "m".to_owned(),
            item: None,
            path: Some("/Envelope".to_owned()),
            line: Some(3),
        };
        let message = Message::from(&finding);
        assert_eq!((message.severity, message.path.as_deref()), ("blocker", Some("/Envelope")));
    }
}
