//! Edits of a text by the places of its elements.

use std::{cmp::Reverse, ops::Range};

use code::Code;
use quick_xml::escape::escape;

use crate::{
    Error, Kind,
    document::{Document, Element, Fault},
};

/// Collects edits of a document; all that no edit touches stays byte for byte.
pub(crate) struct Editor<'d> {
    document: &'d Document<'d>,
    edits: Vec<(Range<usize>, String)>,
}

impl<'d> Editor<'d> {
    pub(crate) const fn new(document: &'d Document<'d>) -> Self {
        Self { document, edits: Vec::new() }
    }

    /// The root element.
    pub(crate) const fn root(&self) -> &'d Element<'d> {
        &self.document.root
    }

    /// libvirt's devices of one element name, in document order.
    pub(crate) fn devices(&self, name: &'d str) -> impl Iterator<Item = &'d Element<'d>> + use<'d> {
        self.document.root.all("devices").flat_map(move |devices| devices.all(name))
    }

    /// Gives an element an attribute of this value, in the place of the one of that name.
    pub(crate) fn set_attribute(&mut self, element: &Element<'_>, name: &str, value: &str) {
        let text = format!("{name}=\"{}\"", escape(value));
        if let Some(attribute) = element.attribute(name) {
            self.edits.push((attribute.span.clone(), text));
        } else {
            let behind_name = element.span.start.saturating_add(element.name.len());
            self.insert(behind_name.saturating_add(1), format!(" {text}"));
        }
    }

    /// Removes an attribute and the blanks in front of it.
    pub(crate) fn remove_attribute(&mut self, element: &Element<'_>, name: &str) {
        let Some(attribute) = element.attribute(name) else { return };
        let before = self.document.text.get(..attribute.span.start).unwrap_or_default();
        self.edits.push((before.trim_end().len()..attribute.span.end, String::new()));
    }

    /// Replaces all that an element holds by a text.
    pub(crate) fn set_text(&mut self, element: &Element<'_>, text: &str) {
        if element.content.is_empty() {
            self.prepend(element, &escape(text));
        } else {
            self.edits.push((element.content.clone(), escape(text).into_owned()));
        }
    }

    /// Puts XML in front of what an element holds.
    pub(crate) fn prepend(&mut self, element: &Element<'_>, xml: &str) {
        let whole = self.document.text.get(element.span.clone()).unwrap_or_default();
        if whole.ends_with("/>") {
            let slash = element.span.end.saturating_sub(2);
            self.edits.push((slash..element.span.end, format!(">{xml}</{}>", element.name)));
        } else {
            self.insert(element.content.start, xml.to_owned());
        }
    }

    /// Puts XML behind an element.
    pub(crate) fn append(&mut self, element: &Element<'_>, xml: String) {
        self.insert(element.span.end, xml);
    }

    /// Puts XML in the place of an element.
    pub(crate) fn replace(&mut self, element: &Element<'_>, xml: String) {
        self.edits.push((element.span.clone(), xml));
    }

    /// Removes an element, and its line where nothing else stands there.
    pub(crate) fn remove(&mut self, element: &Element<'_>) {
        let Range { mut start, end } = element.span.clone();
        let text = self.document.text;
        let before = text.get(..start).unwrap_or_default().trim_end_matches([' ', '\t']);
        let after = text.get(end..).unwrap_or_default();
        if before.ends_with('\n') && after.starts_with(['\r', '\n']) {
            start = before.strip_suffix('\n').unwrap_or(before).trim_end_matches('\r').len();
        }
        self.edits.push((start..end, String::new()));
    }

    fn insert(&mut self, at: usize, xml: String) {
        self.edits.push((at..at, xml));
    }

    /// The text with every edit in it; what lies inside a part that another edit replaces is lost.
    pub(crate) fn apply(mut self) -> String {
        // What is put in at a place comes before what is put in place of what begins there; of two
        // that replace from one place on, the longer counts.
        self.edits.sort_by_key(|(range, _)| (range.start, !range.is_empty(), Reverse(range.end)));
        let (mut text, mut at) = (String::new(), 0);
        for (range, replacement) in &self.edits {
            if range.start < at {
                continue;
            }
            text.push_str(self.document.text.get(at..range.start).unwrap_or_default());
            text.push_str(replacement);
            at = range.end;
        }
        text.push_str(self.document.text.get(at..).unwrap_or_default());
        text
    }

    /// Says that the document does not have what is to be changed.
    pub(crate) fn missing(&self, what: &str) -> Error {
        self.contradiction(&self.document.root, &format!("the domain has {what}"))
    }

    /// Says that an element cannot be changed so.
    pub(crate) fn contradiction(&self, element: &Element<'_>, message: &str) -> Error {
        self.fault(element, Code::E0303, Kind::Malformed, message)
    }

    /// Says that there is no change of this kind for an element.
    pub(crate) fn unsupported(&self, element: &Element<'_>, message: &str) -> Error {
        self.fault(element, Code::E0305, Kind::Unsupported, message)
    }

    fn fault(&self, element: &Element<'_>, code: Code, kind: Kind, message: &str) -> Error {
        Fault::new(code, kind, message).at(self.document.place(element)).into()
    }
}
