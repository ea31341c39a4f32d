//! What every section reader shares: findings and texts.

use code::Code;

use super::{
    Origin, Quantity, UnknownSection,
    bundles::{BundleFiles, Messages},
};
use crate::{
    Finding, quote,
    xml::{Element, Space},
};

/// Collects findings and replaces message ids while sections are read.
pub(super) struct Reader {
    pub(super) findings: Vec<Finding>,
    messages: Messages,
    replaced_bytes: usize,
    words: usize,
}

/// How many words all list attributes of a descriptor may have together (ours).
const MAX_WORDS: usize = 200_000;
/// How much text message ids may put into a descriptor, in bytes (ours).
const MAX_REPLACED_BYTES: usize = 16 << 20;

impl Reader {
    pub(super) fn new(
        mut findings: Vec<Finding>,
        root: &Element,
        files: &mut BundleFiles<'_>,
    ) -> Self {
        let messages = Messages::read(root, files, &mut findings);
        Self { findings, messages, replaced_bytes: 0, words: 0 }
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

    /// Keeps a section that is not acted upon, and says so.
    ///
    /// One that is marked as required blocks a plan (`E0305`), unless it is VMware's own, which are
    /// required by habit, or one that asks for nothing but what the plan reports.
    pub(super) fn unknown_section(&mut self, element: &Element, parent: &str) -> UnknownSection {
        let name = section_name(element).unwrap_or(&element.name).to_owned();
        let origin =
            Origin { line: element.line, path: format!("{parent}/{}", quote::Plain(&name)) };
        let required = element.required();
        let is_reported = element.space.is_standard() && REPORTED.contains(&name.as_str());
        let code = match required {
            Some(false) => Code::W0203,
            Some(true) if element.space != Space::Vmware && !is_reported => Code::E0305,
            _ => Code::W0204,
        };
        let section = UnknownSection {
            info: self.text(element, "Info"),
            namespace: element.space.foreign_name(),
            message: not_done(&name, element),
            name,
            required,
            code,
            origin,
        };
        self.note(code, section.message.clone(), &section.origin);
        if let Some(finding) = self.findings.last_mut() {
            finding.item = Some(section.item());
        }
        section
    }
}

/// Sections of the standard that say how to deploy on the old platform; a plan reports them.
const REPORTED: [&str; 6] = [
    "InstallSection",
    "PlacementGroupSection",
    "PlacementSection",
    "ResourceAllocationSection",
    "ScaleOutSection",
    "StartupSection",
];

/// What is not done with a section.
fn not_done(name: &str, element: &Element) -> String {
    let delay = element.filled("initialBootStopDelay").filter(|delay| delay != "0");
    match (name, delay) {
        ("InstallSection", Some(delay)) => format!(
            "the first start installs the machine, which then stops by itself within {} s",
            quote::Plain(&delay)
        ),
        ("InstallSection", None) => {
            "the first start installs the machine, which then stops by itself".to_owned()
        }
        _ => format!("the section {} is not read", quote::Quoted(name)),
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
