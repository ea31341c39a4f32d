//! A bounded reader of XML: text in, a small tree of elements out.
//!
//! ```text
//!  bytes --decode--> text --quick-xml events, counted and checked--> Document {root, comments}
//! ```
//!
//! DOCTYPE, entities and more than the named limits are refused before anything is built of them.
//! Elements and attributes carry the namespace they mean, not their prefix.

mod decode;
mod element;
mod space;

use code::Code;
use quick_xml::{
    NsReader, XmlVersion,
    events::{BytesDecl, BytesRef, BytesStart, Event},
    name::ResolveResult,
};

pub(crate) use element::{Attribute, Element, boolean};
pub(crate) use space::Space;

use crate::{Error, Finding, Kind, Place, quote};

/// The deepest nesting that is read (ours; real descriptors stay under 15).
const MAX_DEPTH: usize = 64;
/// The most elements of a document (ours; the largest real descriptor has some thousands).
const MAX_ELEMENTS: usize = 200_000;
/// The most attributes of an element (ours).
const MAX_ATTRIBUTES: usize = 64;
/// The most namespace declarations of an element (ours).
const MAX_XMLNS: usize = 32;
/// How many comments are kept to find the producer.
const KEPT_COMMENTS: usize = 16;

/// A document that was read to its end.
#[derive(Debug)]
pub(crate) struct Document {
    /// The root element.
    pub(crate) root: Element,
    /// The first comments, wherever they stand.
    pub(crate) comments: Vec<String>,
    /// What was tolerated.
    pub(crate) findings: Vec<Finding>,
}

/// Reads a document.
pub(crate) fn parse(bytes: &[u8]) -> Result<Document, Error> {
    let decoded = decode::decode(bytes)?;
    let mut builder = Builder::new(&decoded);
    builder.run()?;
    let Some(root) = builder.root else {
        return Err(no_root(&decoded.text));
    };
    Ok(Document { root, comments: builder.comments, findings: builder.findings })
}

/// Adds the lines around its place to an error that has a line and no lines yet.
pub(crate) fn with_context(error: Error, bytes: &[u8]) -> Error {
    let line = match (error.place(), error.context()) {
        (Some(Place::Line(line)), None) => *line,
        _ => return error,
    };
    match decode::decode(bytes) {
        Ok(decoded) => error.with_context(decode::around(&decoded.text, line)),
        Err(_) => error,
    }
}

fn no_root(text: &str) -> Error {
    let error = Error::malformed(Code::E0301, "no XML element in the descriptor");
    if text.trim().is_empty() { error.with_hint("this is an empty file") } else { error }
}

struct Builder<'t> {
    text: &'t str,
    encoding: decode::Encoding,
    reader: NsReader<&'t [u8]>,
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
    comments: Vec<String>,
    findings: Vec<Finding>,
    unbound: Vec<String>,
    lines: Lines,
}

/// Counts lines as the reader moves forward.
#[derive(Default)]
struct Lines {
    counted_to: usize,
    newlines: u64,
}

impl Lines {
    /// The line of an offset that is not before the last one asked for.
    fn advance(&mut self, text: &str, offset: usize) -> u64 {
        if let Some(passed) = text.as_bytes().get(self.counted_to..offset) {
            let more = passed.iter().filter(|byte| **byte == b'\n').count();
            self.newlines = self.newlines.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
            self.counted_to = offset;
        }
        self.newlines.saturating_add(1)
    }
}

impl<'t> Builder<'t> {
    fn new(decoded: &'t decode::Decoded<'_>) -> Self {
        let mut reader = NsReader::from_str(&decoded.text);
        let config = reader.config_mut();
        config.check_comments = true;
        config.expand_empty_elements = false;
        Self {
            text: &decoded.text,
            encoding: decoded.encoding,
            reader,
            open: Vec::new(),
            root: None,
            elements: 0,
            comments: Vec::new(),
            findings: decoded.findings.clone(),
            unbound: Vec::new(),
            lines: Lines::default(),
        }
    }

    fn run(&mut self) -> Result<(), Error> {
        loop {
            let start = self.offset();
            let event = self.reader.read_event().map_err(|e| self.xml_error(&e))?;
            match event {
                Event::Eof => return self.end(start),
                Event::Start(tag) => self.open(&tag, start)?,
                Event::Empty(tag) => {
                    self.open(&tag, start)?;
                    self.close(start)?;
                }
                Event::End(_) => self.close(start)?,
                Event::Text(text) => self.text(&text.xml10_content(), start)?,
                Event::CData(text) if !self.open.is_empty() => {
                    self.text(&text.xml10_content(), start)?;
                }
                Event::CData(_) => return Err(self.malformed("text outside the root", start)),
                Event::GeneralRef(reference) => self.reference(&reference, start)?,
                Event::Comment(text) => self.comment(&text),
                Event::Decl(declaration) => self.declaration(&declaration, start)?,
                Event::PI(_) => {}
                Event::DocType(text) => return Err(self.doctype(&text, start)),
            }
        }
    }

    fn offset(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX)
    }

    fn end(&self, start: usize) -> Result<(), Error> {
        match self.open.last() {
            Some(element) => Err(self.malformed(
                &format!("the document ends inside the element {}", quote::Quoted(&element.name)),
                start,
            )),
            None => Ok(()),
        }
    }

    fn open(&mut self, tag: &BytesStart<'_>, start: usize) -> Result<(), Error> {
        if self.root.is_some() {
            return Err(self.malformed("a second root element", start));
        }
        if self.open.len() >= MAX_DEPTH {
            let message = format!("elements nest deeper than {MAX_DEPTH}");
            return Err(self.limit(&message, start));
        }
        self.elements = self.elements.saturating_add(1);
        if self.elements > MAX_ELEMENTS {
            let message = format!("more than {MAX_ELEMENTS} elements");
            return Err(self.limit(&message, start));
        }
        let raw = tag.name().into_inner();
        if !is_name(raw) {
            let message = format!("{} is no name of an element", quote::Quoted(raw));
            return Err(self.malformed(&message, start));
        }
        let attributes = self.attributes(tag, start)?;
        let line = self.lines.advance(self.text, start);
        let name = tag.local_name().into_inner().to_owned();
        let space = self.element_space(tag, line);
        self.open.push(Element { name, space, attributes, line, ..Element::default() });
        Ok(())
    }

    fn close(&mut self, start: usize) -> Result<(), Error> {
        let Some(element) = self.open.pop() else {
            return Err(self.malformed("an end tag without its start", start));
        };
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn text(&mut self, text: &str, start: usize) -> Result<(), Error> {
        match self.open.last_mut() {
            Some(element) => {
                element.text.push_str(text);
                Ok(())
            }
            None if text.trim_matches([' ', '\t', '\r', '\n']).is_empty() => Ok(()),
            None => Err(self.outside(start)),
        }
    }

    fn outside(&self, start: usize) -> Error {
        let error = self.malformed("text outside the root element", start);
        if self.root.is_none() && self.open.is_empty() {
            return error.with_hint("this is not an OVF descriptor");
        }
        error
    }

    fn reference(&mut self, reference: &BytesRef<'_>, start: usize) -> Result<(), Error> {
        let named = match &**reference {
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            "apos" => Some('\''),
            "quot" => Some('"'),
            _ => None,
        };
        let resolved = match named {
            Some(c) => Some(c),
            None => reference.resolve_char_ref().map_err(|e| self.xml_error(&e))?,
        };
        match resolved {
            Some(c) if decode::is_xml_char(c) => self.text(c.encode_utf8(&mut [0; 4]), start),
            Some(c) => {
                let message = format!("the character U+{:04X} is not allowed in XML", u32::from(c));
                Err(self.malformed(&message, start))
            }
            None => {
                let message = format!("the entity {} is forbidden", quote::Quoted(reference));
                Err(self.forbidden(&message, start))
            }
        }
    }

    fn comment(&mut self, text: &str) {
        if self.comments.len() < KEPT_COMMENTS {
            self.comments.push(text.chars().take(400).collect());
        }
    }

    fn declaration(&self, declaration: &BytesDecl<'_>, start: usize) -> Result<(), Error> {
        if start != 0 {
            return Err(self.malformed("bytes stand before the XML declaration", start));
        }
        let Some(encoding) = declaration.encoding() else { return Ok(()) };
        let encoding = encoding.map_err(|e| {
            self.malformed("the XML declaration cannot be read", start).caused_by(e)
        })?;
        if self.encoding.is_named(&encoding) {
            return Ok(());
        }
        let message = format!(
            "the encoding {} is declared, but the bytes are {}",
            quote::Quoted(&encoding),
            self.encoding.as_str()
        );
        Err(self.malformed(&message, start))
    }

    fn doctype(&self, text: &str, start: usize) -> Error {
        let error = self.forbidden("a DOCTYPE is forbidden", start);
        if text.trim_start().get(..4).is_some_and(|word| word.eq_ignore_ascii_case("html")) {
            return error.with_hint("this is an HTML page");
        }
        error
    }

    fn attributes(&mut self, tag: &BytesStart<'_>, start: usize) -> Result<Vec<Attribute>, Error> {
        let mut found = Vec::new();
        let (mut count, mut declarations) = (0_usize, 0_usize);
        for attribute in tag.attributes() {
            let attribute = attribute
                .map_err(|e| self.malformed("an attribute cannot be read", start).caused_by(e))?;
            if attribute.key.as_namespace_binding().is_some() {
                declarations = declarations.saturating_add(1);
                if declarations > MAX_XMLNS {
                    let message = format!("more than {MAX_XMLNS} namespaces on one element");
                    return Err(self.limit(&message, start));
                }
                continue;
            }
            count = count.saturating_add(1);
            if count > MAX_ATTRIBUTES {
                let message = format!("more than {MAX_ATTRIBUTES} attributes on one element");
                return Err(self.limit(&message, start));
            }
            let raw = attribute.key.into_inner();
            if !is_name(raw) || attribute.value.contains('<') {
                let message = format!("the attribute {} is malformed", quote::Quoted(raw));
                return Err(self.malformed(&message, start));
            }
            let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(|e| {
                let message = format!(
                    "the value of the attribute {} is malformed or holds an entity",
                    quote::Quoted(raw)
                );
                self.forbidden(&message, start).caused_by(e)
            })?;
            if let Some(bad) = value.chars().find(|c| !decode::is_xml_char(*c)) {
                let message =
                    format!("the character U+{:04X} is not allowed in XML", u32::from(bad));
                return Err(self.malformed(&message, start));
            }
            let line = self.lines.advance(self.text, start);
            let space = self.attribute_space(&attribute, line);
            let name = attribute.key.local_name().into_inner().to_owned();
            found.push(Attribute { name, space, value: value.into_owned() });
        }
        Ok(found)
    }

    fn element_space(&mut self, tag: &BytesStart<'_>, line: u64) -> Space {
        let unbound = match self.reader.resolver().resolve_element(tag.name()).0 {
            ResolveResult::Bound(namespace) => return Space::of_uri(namespace.into_inner()),
            ResolveResult::Unbound => return Space::None,
            ResolveResult::Unknown(prefix) => prefix,
        };
        let space = Space::of_usual_prefix(&unbound).unwrap_or(Space::Other(unbound.clone()));
        self.note_unbound(unbound, line);
        space
    }

    fn attribute_space(
        &mut self,
        attribute: &quick_xml::events::attributes::Attribute<'_>,
        line: u64,
    ) -> Space {
        let unbound = match self.reader.resolver().resolve_attribute(attribute.key).0 {
            ResolveResult::Bound(namespace) => return Space::of_uri(namespace.into_inner()),
            ResolveResult::Unbound => return Space::None,
            ResolveResult::Unknown(prefix) => prefix,
        };
        // A mistyped prefix on `required` must not hide the attribute: read it as unqualified.
        let space = Space::of_usual_prefix(&unbound).unwrap_or(Space::None);
        self.note_unbound(unbound, line);
        space
    }

    fn note_unbound(&mut self, prefix: String, line: u64) {
        if self.unbound.contains(&prefix) {
            return;
        }
        let message = format!("the prefix {} is not declared", quote::Quoted(&prefix));
        self.findings.push(Finding::new(Code::W0610, message).at_line(line));
        self.unbound.push(prefix);
    }

    fn xml_error(&self, error: &quick_xml::Error) -> Error {
        let offset = usize::try_from(self.reader.error_position()).unwrap_or(usize::MAX);
        self.malformed("the XML is malformed", offset).caused_by(error.to_string())
    }

    fn malformed(&self, message: &str, offset: usize) -> Error {
        self.placed(Error::malformed(Code::E0301, message), offset)
    }

    fn limit(&self, message: &str, offset: usize) -> Error {
        self.placed(Error::limit(Code::E0301, message), offset)
    }

    fn forbidden(&self, message: &str, offset: usize) -> Error {
        self.placed(Error::new(Code::E0301, Kind::Denied, message), offset)
    }

    fn placed(&self, error: Error, offset: usize) -> Error {
        let (line, column) = decode::line_and_column(self.text, offset);
        error.at(Place::Column { line, column }).with_context(decode::around(self.text, line))
    }
}

/// Tells a name of XML (section 2.3, roughly: what can never stand in a name is refused).
fn is_name(name: &str) -> bool {
    let starts = |c: char| c.is_alphabetic() || c == '_' || c == ':' || !c.is_ascii();
    let goes_on = |c: char| starts(c) || c.is_ascii_digit() || c == '-' || c == '.';
    name.split(':').all(|part| part.starts_with(starts) && part.chars().all(goes_on))
        && name.matches(':').count() <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn reads_elements_attributes_and_text_by_namespace() {
        let text = "\u{feff}<?xml version='1.0' encoding='UTF-8'?><!-- by x -->\n\
            <o:E xmlns:o='http://schemas.dmtf.org/ovf/envelope/1' o:a='1 &amp; 2' b='3'>\n\
            <N> x &lt;<![CDATA[&]]>&#x41; </N></o:E>\n";
        let document = parse(text.as_bytes()).unwrap();
        assert!(document.root.is("E"));
        assert_eq!(document.root.attribute("a"), Some("1 & 2"));
        assert_eq!(document.root.attribute("b"), Some("3"));
        let child = document.root.first("N").unwrap();
        assert_eq!((child.filled_text().unwrap().as_str(), child.line), ("x <&A", 3));
        assert_eq!(document.comments, [" by x "]);
        assert_eq!(document.findings, []);
    }

    #[test]
    fn refuses_what_is_not_well_formed_or_forbidden() {
        for (text, want) in [
            ("", "no XML element in the descriptor"),
            ("<a>", "the document ends inside the element 'a' (line 1, column 4)"),
            ("<a></b>", "the XML is malformed (line 1, column 4)"),
            ("<a/><b/>", "a second root element (line 1, column 5)"),
            ("<a/>x", "text outside the root element (line 1, column 5)"),
            (
                " <?xml version='1.0'?><a/>",
                "bytes stand before the XML declaration (line 1, column 2)",
            ),
            ("<a b='1' b='2'/>", "an attribute cannot be read (line 1, column 1)"),
            ("<a b='<'/>", "the attribute 'b' is malformed (line 1, column 1)"),
            ("<1/>", "'1' is no name of an element (line 1, column 1)"),
            ("<a>&x;</a>", "the entity 'x' is forbidden (line 1, column 4)"),
            (
                "<a b='&x;'/>",
                "the value of the attribute 'b' is malformed or holds an entity (line 1, column 1)",
            ),
            ("<a>&#1;</a>", "the character U+0001 is not allowed in XML (line 1, column 4)"),
            ("<!DOCTYPE a><a/>", "a DOCTYPE is forbidden (line 1, column 1)"),
            (
                "<?xml version='1.0' encoding='latin1'?><a/>",
                "the encoding 'latin1' is declared, but the bytes are UTF-8 (line 1, column 1)",
            ),
        ] {
            assert_eq!(message(text), want, "{text}");
        }
    }

    #[test]
    fn says_what_a_file_is_that_is_no_descriptor() {
        for (text, want) in [
            (" \n", "this is an empty file"),
            ("<!DOCTYPE html><html/>", "this is an HTML page"),
            ("PK", "this is not an OVF descriptor"),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().hint(), Some(want));
        }
    }

    #[test]
    fn stops_at_every_limit() {
        let deep = "<x>".repeat(200_000);
        assert_eq!(message(&deep), "elements nest deeper than 64 (line 1, column 193)");
        let many = format!("<a>{}</a>", "<b/>".repeat(MAX_ELEMENTS));
        assert!(message(&many).starts_with("more than 200000 elements"));
        let wide: String = (0..60_000).map(|n| format!(" a{n}=''")).collect();
        assert!(message(&format!("<a{wide}/>")).starts_with("more than 64 attributes"));
        let spaces: String = (0..40).map(|n| format!(" xmlns:a{n}='u'")).collect();
        assert!(message(&format!("<a{spaces}/>")).starts_with("more than 32 namespaces"));
        let long = vec![b' '; decode::MAX_DESCRIPTOR_BYTES + 1];
        assert_eq!(
            parse(&long).unwrap_err().to_string(),
            "the descriptor has 16777217 bytes, at most 16777216 are allowed"
        );
    }

    #[test]
    fn binds_the_usual_prefixes_when_they_are_not_declared() {
        let document =
            parse(b"<ovf:E ovf-x:required='false'><vmw:C/><vmw:C/><q:C/></ovf:E>").unwrap();
        assert_eq!(document.root.space, Space::Envelope(crate::descriptor::Version::V1));
        assert_eq!(document.root.required(), Some(false));
        assert_eq!(document.root.children[0].space, Space::Vmware);
        assert_eq!(document.root.children[2].space, Space::Other("q".into()));
        let messages: Vec<_> = document.findings.iter().map(|f| f.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "the prefix 'ovf-x' is not declared",
                "the prefix 'ovf' is not declared",
                "the prefix 'vmw' is not declared",
                "the prefix 'q' is not declared"
            ]
        );
    }

    #[test]
    fn cut_at_any_length_it_is_an_error() {
        let text = "<?xml version='1.0'?><a b='c'><d>&lt;</d><!-- e --></a>";
        for length in 0..text.len() {
            assert!(parse(&text.as_bytes()[..length]).is_err(), "{length}");
        }
        assert!(parse(text.as_bytes()).is_ok());
    }
}
