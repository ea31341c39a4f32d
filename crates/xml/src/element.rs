//! An XML element as a value, and the one place that prints it.

use std::{borrow::Cow, io};

use quick_xml::{
    Writer,
    escape::partial_escape,
    events::{BytesEnd, BytesStart, BytesText, Event},
};

/// An element with its attributes and its content, both in order.
///
/// Whether text may stand in XML at all is not asked here: the machine has been checked before.
#[derive(Debug)]
pub struct Element<'a> {
    name: &'static str,
    attributes: Vec<(&'static str, Cow<'a, str>)>,
    content: Vec<Node<'a>>,
}

#[derive(Debug)]
enum Node<'a> {
    Element(Element<'a>),
    Text(Cow<'a, str>),
}

impl<'a> Element<'a> {
    /// Makes an empty element.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, attributes: Vec::new(), content: Vec::new() }
    }

    /// Makes an element that holds text.
    #[must_use]
    pub fn text(name: &'static str, text: impl Into<Cow<'a, str>>) -> Self {
        Self { name, attributes: Vec::new(), content: vec![Node::Text(text.into())] }
    }

    /// Adds an attribute behind the ones that are there.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'a, str>>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    /// Adds an attribute whose value is a number.
    #[must_use]
    pub fn with_number(self, name: &'static str, value: impl Into<u64>) -> Self {
        self.with(name, value.into().to_string())
    }

    /// Adds elements behind the content that is there.
    #[must_use]
    pub fn holding(mut self, more: impl IntoIterator<Item = Self>) -> Self {
        self.content.extend(more.into_iter().map(Node::Element));
        self
    }

    /// Prints the element and all below it, indented by two spaces a level, with a final newline.
    ///
    /// # Errors
    ///
    /// Memory is the only thing written to, so an error means that the XML library failed.
    pub fn print(&self) -> io::Result<String> {
        let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
        self.print_to(&mut writer)?;
        let mut text = String::from_utf8(writer.into_inner()).map_err(io::Error::other)?;
        text.push('\n');
        Ok(text)
    }

    /// The depth is that of the elements this crate nests, which no input decides.
    fn print_to(&self, writer: &mut Writer<Vec<u8>>) -> io::Result<()> {
        let start = BytesStart::new(self.name)
            .with_attributes(self.attributes.iter().map(|(name, value)| (*name, value.as_ref())));
        if self.content.is_empty() {
            return writer.write_event(Event::Empty(start));
        }
        writer.write_event(Event::Start(start))?;
        for node in &self.content {
            match node {
                Node::Element(element) => element.print_to(writer)?,
                Node::Text(text) => {
                    let escaped = BytesText::from_escaped(partial_escape(text.as_ref()));
                    writer.write_event(Event::Text(escaped))?;
                }
            }
        }
        writer.write_event(Event::End(BytesEnd::new(self.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indents_children_and_leaves_text_as_it_is() {
        let element = Element::new("a")
            .with("x", "1")
            .holding([Element::new("b"), Element::text("c", "two\n words").with("y", "2")]);
        assert_eq!(
            element.print().unwrap(),
            "<a x=\"1\">\n  <b/>\n  <c y=\"2\">two\n words</c>\n</a>\n"
        );
    }

    #[test]
    fn escapes_markup_quotes_and_carriage_returns() {
        let element = Element::text("a", "</a><!--&\r\"").with("x", "\"'<>&\r");
        assert_eq!(
            element.print().unwrap(),
            "<a x=\"&quot;&apos;&lt;&gt;&amp;&#13;\">&lt;/a&gt;&lt;!--&amp;&#13;\"</a>\n"
        );
    }
}
