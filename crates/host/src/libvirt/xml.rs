//! A bounded reader of the XML that libvirt answers with: a small tree of elements.
//!
//! A DOCTYPE, an entity or more than the named limits is refused. Names keep their prefix; libvirt's
//! own elements have none.

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};

/// The deepest nesting that is read (ours; a domain stays under 12).
const MAX_DEPTH: usize = 64;

/// The most elements of a document (ours; the capabilities of a host have some thousands).
const MAX_ELEMENTS: usize = 200_000;

/// An element with what it holds.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Self>,
    text: String,
}

/// Why an answer is not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum XmlError {
    #[error("not UTF-8")]
    Encoding,
    #[error("malformed XML")]
    Syntax(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("a DOCTYPE or an entity, which libvirt never writes")]
    Forbidden,
    #[error("nested deeper than {MAX_DEPTH}")]
    Depth,
    #[error("more than {MAX_ELEMENTS} elements")]
    Elements,
    #[error("ends in the middle of <{0}>")]
    Open(String),
    #[error("<{found}> in place of <{wanted}>")]
    Root { found: String, wanted: &'static str },
}

impl Element {
    /// An attribute by its name.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// The children of a name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The first child of a name.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The first element at the end of a path of names.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |element, name| element.child(name))
    }

    /// Its text without the white space around it; `None` where there is none.
    pub(crate) fn text(&self) -> Option<&str> {
        let text = self.text.trim();
        (!text.is_empty()).then_some(text)
    }

    /// The text of the first child of a name.
    pub(crate) fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name)?.text()
    }
}

/// Reads a document whose root has this name.
pub(crate) fn parse(bytes: &[u8], root: &'static str) -> Result<Element, XmlError> {
    let text = std::str::from_utf8(bytes).map_err(|_| XmlError::Encoding)?;
    let found = tree(text)?;
    if found.name == root {
        return Ok(found);
    }
    Err(XmlError::Root { found: found.name, wanted: root })
}

fn tree(text: &str) -> Result<Element, XmlError> {
    let mut reader = Reader::from_str(text);
    // The bottom of the stack is the document itself.
    let mut open = vec![Element::default()];
    let mut elements = 0_usize;
    loop {
        match reader.read_event().map_err(syntax)? {
            Event::Eof => break,
            Event::Start(tag) => {
                elements = elements.saturating_add(1);
                open.push(start(&tag)?);
            }
            Event::Empty(tag) => {
                elements = elements.saturating_add(1);
                open.push(start(&tag)?);
                close(&mut open);
            }
            Event::End(_) => close(&mut open),
            Event::Text(text) => append(&mut open, &text.xml10_content()),
            Event::CData(text) => append(&mut open, &text.xml10_content()),
            Event::GeneralRef(name) => {
                let named = quick_xml::escape::resolve_predefined_entity(&name);
                let c = name.resolve_char_ref().map_err(syntax)?.map(String::from);
                let text = named.map(str::to_owned).or(c).ok_or(XmlError::Forbidden)?;
                append(&mut open, &text);
            }
            Event::DocType(_) => return Err(XmlError::Forbidden),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
        if open.len() > MAX_DEPTH {
            return Err(XmlError::Depth);
        }
        if elements > MAX_ELEMENTS {
            return Err(XmlError::Elements);
        }
    }
    let name = open.last().map(|element| element.name.clone()).unwrap_or_default();
    let document = open.swap_remove(0);
    if !open.is_empty() {
        return Err(XmlError::Open(name));
    }
    Ok(document.children.into_iter().next().unwrap_or_default())
}

fn syntax(error: impl std::error::Error + Send + Sync + 'static) -> XmlError {
    XmlError::Syntax(Box::new(error))
}

fn start(tag: &BytesStart<'_>) -> Result<Element, XmlError> {
    let mut element = Element { name: tag.name().into_inner().to_owned(), ..Element::default() };
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(syntax)?;
        let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(syntax)?;
        element.attributes.push((attribute.key.into_inner().to_owned(), value.into_owned()));
    }
    Ok(element)
}

/// Puts the innermost element into the one around it. The reader has matched the tags.
fn close(open: &mut Vec<Element>) {
    if open.len() > 1
        && let (Some(element), Some(parent)) = (open.pop(), open.last_mut())
    {
        parent.children.push(element);
    }
}

fn append(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        parse(text.as_bytes(), "a").unwrap_err().to_string()
    }

    #[test]
    fn reads_elements_attributes_and_escaped_text() {
        let root = parse(b"<?xml version='1.0'?><a><b x='1&lt;2'>&amp;<c/>&#65;</b></a>", "a");
        let root = root.unwrap();
        let b = root.child("b").unwrap();
        assert_eq!((b.attribute("x"), b.text()), (Some("1<2"), Some("&A")));
        assert!(root.at(&["b", "c"]).is_some() && root.at(&["c"]).is_none());
    }

    #[test]
    fn refuses_what_libvirt_never_writes() {
        for (text, want) in [
            ("", "<> in place of <a>"),
            ("<b/>", "<b> in place of <a>"),
            ("<a>", "ends in the middle of <a>"),
            ("<a></b>", "malformed XML"),
            ("<!DOCTYPE a><a/>", "a DOCTYPE or an entity, which libvirt never writes"),
            ("<a>&x;</a>", "a DOCTYPE or an entity, which libvirt never writes"),
            (&"<a>".repeat(65), "nested deeper than 64"),
            (&format!("<a>{}</a>", "<b/>".repeat(200_000)), "more than 200000 elements"),
        ] {
            assert_eq!(refusal(text), want, "{}", &text[..text.len().min(20)]);
        }
        assert_eq!(parse(b"<a>\xff</a>", "a").unwrap_err().to_string(), "not UTF-8");
    }

    #[test]
    fn a_document_cut_anywhere_is_an_error() {
        let text = "<a><b x='1'>&amp;</b></a>";
        for end in 0..text.len() {
            assert!(parse(&text.as_bytes()[..end], "a").is_err(), "{end}");
        }
    }
}
