//! What every section reader shares: findings and message bundles.

use std::collections::HashMap;

use code::Code;

use super::{Origin, Quantity, UnknownSection};
use crate::{
    Finding, quote,
    xml::{Element, Space},
};

/// Collects findings and replaces message ids while sections are read.
pub(super) struct Reader {
    pub(super) findings: Vec<Finding>,
    messages: HashMap<String, String>,
    replaced_bytes: usize,
    words: usize,
}

/// How many words all list attributes of a descriptor may have together (ours).
const MAX_WORDS: usize = 200_000;
/// How much text message ids may put into a descriptor, in bytes (ours).
const MAX_REPLACED_BYTES: usize = 16 << 20;

impl Reader {
    pub(super) fn new(findings: Vec<Finding>, root: &Element) -> Self {
        let mut reader = Self { findings, messages: HashMap::new(), replaced_bytes: 0, words: 0 };
        reader.read_bundles(root);
        reader
    }

    /// Notes a defect of the descriptor at an element.
    pub(super) fn note(&mut self, code: Code, message: impl Into<String>, origin: &Origin) {
        let mut finding = Finding::new(code, message).at_line(origin.line);
        finding.path = (!origin.path.is_empty()).then(|| origin.path.clone());
        self.findings.push(finding);
    }

    /// The text of the first child of this name, in the reader's language.
    pub(super) fn text(&mut self, parent: &Element, name: &str) -> Option<String> {
        parent.first(name).and_then(|child| self.own_text(child))
    }

    /// The text of an element, in the reader's language (DSP0243 section 10).
    pub(super) fn own_text(&mut self, element: &Element) -> Option<String> {
        let own = element.filled_text();
        let Some(id) = element.filled("msgid") else { return own };
        let problem = match self.messages.get(&id) {
            Some(text) => {
                self.replaced_bytes = self.replaced_bytes.saturating_add(text.len());
                if self.replaced_bytes <= MAX_REPLACED_BYTES {
                    return Some(text.clone());
                }
                "too much text by message ids, left out is"
            }
            None => "no text for the message id",
        };
        let message = format!("{problem} {}", quote::Quoted(&id));
        self.findings.push(Finding::new(Code::W0610, message).at_line(element.line));
        own
    }

    /// The words of a list attribute, split at white space.
    pub(super) fn words(&mut self, element: &Element, attribute: &str) -> Vec<String> {
        let left = MAX_WORDS.saturating_sub(self.words);
        let mut words = element.attribute(attribute).unwrap_or_default().split_whitespace();
        let read: Vec<String> = words.by_ref().take(left).map(str::to_owned).collect();
        self.words = self.words.saturating_add(read.len());
        if words.next().is_some() {
            let message =
                format!("the list {attribute} is cut: more than {MAX_WORDS} words in all");
            self.findings.push(Finding::new(Code::W0610, message).at_line(element.line));
        }
        read
    }

    /// Reads an unsigned number of an attribute; anything else is a finding and absent.
    pub(super) fn number(
        &mut self,
        element: &Element,
        attribute: &str,
        origin: &Origin,
    ) -> Option<u64> {
        let text = element.filled(attribute)?;
        let value = Quantity::read(&text).value.filter(|value| i64::try_from(*value).is_ok());
        if value.is_none() {
            let message = format!("{attribute} {} is no number below 2^63", quote::Quoted(&text));
            self.note(Code::W0610, message, origin);
        }
        value
    }

    /// Keeps a section that is not read, and says so.
    ///
    /// One that is marked as required blocks a plan (`E0305`), unless it is VMware's own: those are
    /// required by habit.
    pub(super) fn unknown_section(&mut self, element: &Element, parent: &str) -> UnknownSection {
        let name = section_name(element).unwrap_or(&element.name).to_owned();
        let origin =
            Origin { line: element.line, path: format!("{parent}/{}", quote::Plain(&name)) };
        let required = element.required();
        let blocks = required == Some(true) && element.space != Space::Vmware;
        let code = match required {
            Some(false) => Code::W0203,
            _ if blocks => Code::E0305,
            _ => Code::W0204,
        };
        self.note(code, format!("the section {} is not read", quote::Quoted(&name)), &origin);
        let info = self.text(element, "Info");
        UnknownSection { name, namespace: element.space.foreign_name(), required, info, origin }
    }

    fn read_bundles(&mut self, root: &Element) {
        let mut bundles = Vec::new();
        find_bundles(root, &mut bundles);
        let language = root.attribute_in(&Space::Xml, "lang").unwrap_or("en-US").to_owned();
        // The best bundle is read last and overwrites the others.
        bundles.sort_by_key(|bundle| std::cmp::Reverse(rank(bundle, &language)));
        for bundle in bundles {
            if let Some(reference) = bundle.filled("fileRef") {
                let message =
                    format!("the message bundle {} is not read", quote::Quoted(&reference));
                self.findings.push(Finding::new(Code::W0610, message).at_line(bundle.line));
            }
            if rank(bundle, &language) == OTHER_LANGUAGE {
                continue;
            }
            for message in bundle.all("Msg") {
                if let (Some(id), Some(text)) = (message.filled("msgid"), message.filled_text()) {
                    self.messages.insert(id, text);
                }
            }
        }
    }
}

/// The rank of a bundle in a language that nobody asked for.
const OTHER_LANGUAGE: u8 = 4;

/// How good a bundle is: English, then one of no language, then that of the envelope.
fn rank(bundle: &Element, envelope_language: &str) -> u8 {
    match bundle.attribute_in(&Space::Xml, "lang").map(str::trim) {
        Some(language) if language.eq_ignore_ascii_case("en-US") => 0,
        Some(language) if language.eq_ignore_ascii_case("en") => 1,
        None | Some("") => 2,
        Some(language) if language.eq_ignore_ascii_case(envelope_language) => 3,
        Some(_) => OTHER_LANGUAGE,
    }
}

fn find_bundles<'e>(element: &'e Element, found: &mut Vec<&'e Element>) {
    for child in &element.children {
        if child.is("Strings") {
            found.push(child);
        } else {
            find_bundles(child, found);
        }
    }
}

/// The name of a section: the element's own, or the type of a `Section` or `Content` of OVF 0.9.
pub(super) fn section_name(element: &Element) -> Option<&str> {
    if !element.space.is_standard() {
        return None;
    }
    match element.name.as_str() {
        "Section" | "Content" => element.xsi_type(),
        name => Some(name),
    }
}
