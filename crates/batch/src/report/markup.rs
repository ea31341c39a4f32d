//! HTML that is written in order: whatever is put in is a text, whatever stands around it an element.
//!
//! HTML is no XML: an element without content has an end tag all the same, and the white space of a
//! text is its own.

use super::escape;

/// A document that grows.
#[derive(Debug, Default)]
pub(super) struct Markup(String);

/// The attributes of an element: a name, and any text.
pub(super) type Attributes<'a> = &'a [(&'static str, &'a str)];

impl Markup {
    /// Puts in an element with what `inside` puts into it.
    pub(super) fn element(
        &mut self,
        name: &'static str,
        attributes: Attributes<'_>,
        inside: impl FnOnce(&mut Self),
    ) {
        self.open(name, attributes);
        inside(self);
        self.close(name);
    }

    /// Puts in an element that holds a text.
    pub(super) fn leaf(&mut self, name: &'static str, attributes: Attributes<'_>, text: &str) {
        self.element(name, attributes, |inside| inside.text(text));
    }

    /// Puts in a text.
    pub(super) fn text(&mut self, text: &str) {
        self.0.push_str(&escape::html(text));
    }

    /// Puts in what is no text of anybody's: a part of this program.
    pub(super) fn own(&mut self, markup: &'static str) {
        self.0.push_str(markup);
    }

    /// Begins a new line of the document, where it means nothing.
    pub(super) fn line(&mut self) {
        self.0.push('\n');
    }

    /// The document.
    pub(super) fn finish(self) -> String {
        self.0
    }

    fn open(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.0.push('<');
        self.0.push_str(name);
        for (name, value) in attributes {
            for part in [" ", name, "=\"", &escape::html(value), "\""] {
                self.0.push_str(part);
            }
        }
        self.0.push('>');
    }

    fn close(&mut self, name: &'static str) {
        for part in ["</", name, ">"] {
            self.0.push_str(part);
        }
    }
}
