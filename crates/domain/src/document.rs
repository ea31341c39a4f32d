//! A bounded reader of domain XML: text in, a tree of elements that know where they stand out.
//!
//! ```text
//!  bytes --UTF-8--> text --quick-xml events, counted and checked--> Document {text, root}
//! ```
//!
//! DOCTYPE, entities and more than the named limits are refused before anything is built of them.
//! Each element and attribute keeps its place in the text, so that a finding can name it and an
//! edit can replace it and nothing else.

mod element;
mod fault;

use code::Code;
use quick_xml::{
    NsReader, XmlVersion,
    events::{BytesDecl, BytesRef, BytesStart, Event, attributes::Attribute as RawAttribute},
    name::ResolveResult,
};

pub(crate) use self::{
    element::{Attribute, Element, Space},
    fault::{Fault, Place, Shown},
};
use crate::{Error, Kind};

/// The longest document in bytes: what libvirt hands out at most (`REMOTE_STRING_MAX`).
const MAX_BYTES: usize = 4 << 20;
/// The deepest nesting (ours; each image of a chain of a running machine is one level).
const MAX_DEPTH: usize = 256;
/// The most elements (ours; a machine with a hundred disks has some thousands).
const MAX_ELEMENTS: usize = 50_000;
/// The most attributes and namespaces of one element (ours; libvirt knows under 20 of any).
const MAX_ATTRIBUTES: usize = 64;

/// A document that was read to its end.
#[derive(Debug)]
pub(crate) struct Document<'t> {
    /// The text, without a byte order mark.
    pub(crate) text: &'t str,
    /// The root element.
    pub(crate) root: Element<'t>,
}

impl<'t> Document<'t> {
    /// Reads a document whose root is `<domain>`.
    pub(crate) fn parse(bytes: &'t [u8]) -> Result<Self, Error> {
        Self::parse_as(bytes, "domain")
    }

    /// Reads a document with this root.
    pub(crate) fn parse_as(bytes: &'t [u8], wanted: &str) -> Result<Self, Error> {
        let text = decode(bytes)?;
        let mut builder = Builder::new(text);
        builder.run()?;
        let Some(root) = builder.root else {
            return Err(Fault::new(Code::E0301, Kind::Malformed, "no XML element").into());
        };
        if root.is(wanted) {
            return Ok(Self { text, root });
        }
        let message = format!("the root element is {}, not a {wanted}", Shown(root.name));
        Err(builder.errors.fault(Kind::Malformed, &message, root.span.start))
    }

    /// Refuses an element, and says where it is.
    pub(crate) fn refuse(&self, element: &Element<'_>, message: &str) -> Error {
        let fault = Fault::new(Code::E0303, Kind::Malformed, message);
        fault.at(self.place(element)).into()
    }

    /// The path of an element, such as `/domain/devices/disk[2]`, and its line.
    ///
    /// Elements of one name are counted from 1; the only one of its name has no number.
    pub(crate) fn place(&self, element: &Element<'_>) -> Place {
        let mut path = String::new();
        let mut at = &self.root;
        path_step(&mut path, at.name, None);
        while at.span != element.span {
            let inside = |child: &&Element<'_>| child.span.contains(&element.span.start);
            let Some(child) = at.children.iter().find(inside) else { break };
            let same = || at.children.iter().filter(|other| other.name == child.name);
            let before = same().take_while(|other| other.span != child.span).count();
            let number = (same().nth(1).is_some()).then(|| before.saturating_add(1));
            path_step(&mut path, child.name, number);
            at = child;
        }
        Place::Element { path, line: line_and_column(self.text, element.span.start).0 }
    }
}

fn path_step(path: &mut String, name: &str, number: Option<usize>) {
    path.push('/');
    path.extend(name.chars().take(fault::SHOWN_CHARS).flat_map(char::escape_debug));
    if let Some(number) = number {
        path.push('[');
        path.push_str(&number.to_string());
        path.push(']');
    }
}

/// Decodes UTF-8, which is all that libvirt writes.
fn decode(bytes: &[u8]) -> Result<&str, Error> {
    if bytes.len() > MAX_BYTES {
        let message =
            format!("the document has {} bytes, at most {MAX_BYTES} are allowed", bytes.len());
        return Err(Fault::new(Code::E0301, Kind::Limit, message).into());
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let message = format!("byte {} is not UTF-8", error.valid_up_to());
        Fault::new(Code::E0301, Kind::Malformed, message)
    })?;
    match text.char_indices().find(|(_, c)| !is_xml_char(*c)) {
        Some((offset, bad)) => Err(Errors { text }.character(bad, offset)),
        None => Ok(text),
    }
}

/// Makes errors that say where in a text they are.
#[derive(Debug, Clone, Copy)]
struct Errors<'t> {
    text: &'t str,
}

impl Errors<'_> {
    fn malformed(self, message: &str, offset: usize) -> Error {
        self.fault(Kind::Malformed, message, offset)
    }

    fn character(self, bad: char, offset: usize) -> Error {
        let message = format!("the character U+{:04X} is not allowed in XML", u32::from(bad));
        self.malformed(&message, offset)
    }

    fn fault(self, kind: Kind, message: &str, offset: usize) -> Error {
        let (line, column) = line_and_column(self.text, offset);
        Fault::new(Code::E0301, kind, message).at(Place::Column { line, column }).into()
    }
}

struct Builder<'t> {
    text: &'t str,
    errors: Errors<'t>,
    reader: NsReader<&'t [u8]>,
    open: Vec<Element<'t>>,
    root: Option<Element<'t>>,
    elements: usize,
}

impl<'t> Builder<'t> {
    fn new(text: &'t str) -> Self {
        let mut reader = NsReader::from_str(text);
        reader.config_mut().check_comments = true;
        let errors = Errors { text };
        Self { text, errors, reader, open: Vec::new(), root: None, elements: 0 }
    }

    fn run(&mut self) -> Result<(), Error> {
        loop {
            let start = self.offset();
            let event = self.reader.read_event().map_err(|error| {
                let at = usize::try_from(self.reader.error_position()).unwrap_or(usize::MAX);
                self.errors.malformed(&format!("the XML is malformed: {error}"), at)
            })?;
            match event {
                Event::Eof => return self.end(start),
                Event::Start(tag) => self.open(&tag, start)?,
                Event::Empty(tag) => {
                    self.open(&tag, start)?;
                    let end = self.offset();
                    self.close(end)?;
                }
                Event::End(_) => self.close(start)?,
                Event::Text(text) => self.text(&text.xml10_content(), start)?,
                Event::CData(text) if !self.open.is_empty() => {
                    self.text(&text.xml10_content(), start)?;
                }
                Event::CData(_) => return Err(self.outside(start)),
                Event::GeneralRef(reference) => self.reference(&reference, start)?,
                Event::Decl(declaration) => self.declaration(&declaration, start)?,
                Event::Comment(_) | Event::PI(_) => {}
                Event::DocType(_) => {
                    return Err(self.errors.fault(Kind::Denied, "a DOCTYPE is forbidden", start));
                }
            }
        }
    }

    fn offset(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX)
    }

    fn end(&self, start: usize) -> Result<(), Error> {
        let Some(element) = self.open.last() else { return Ok(()) };
        let message = format!("the document ends inside the element {}", Shown(element.name));
        Err(self.errors.malformed(&message, start))
    }

    fn open(&mut self, tag: &BytesStart<'_>, start: usize) -> Result<(), Error> {
        if self.root.is_some() {
            return Err(self.errors.malformed("a second root element", start));
        }
        if self.open.len() >= MAX_DEPTH {
            let message = format!("elements nest deeper than {MAX_DEPTH}");
            return Err(self.errors.fault(Kind::Limit, &message, start));
        }
        self.elements = self.elements.saturating_add(1);
        if self.elements > MAX_ELEMENTS {
            let message = format!("more than {MAX_ELEMENTS} elements");
            return Err(self.errors.fault(Kind::Limit, &message, start));
        }
        let inside = start.saturating_add(1);
        let name = self.part(inside, tag.name().into_inner().len());
        if !is_name(name) {
            let message = format!("{} is no name of an element", Shown(name));
            return Err(self.errors.malformed(&message, start));
        }
        let attributes = self.attributes(tag, inside)?;
        let space = match self.reader.resolver().resolve_element(tag.name()).0 {
            ResolveResult::Bound(uri) => Space::of_uri(uri.into_inner()),
            ResolveResult::Unbound => Space::None,
            ResolveResult::Unknown(_) => Space::Other,
        };
        let after = self.offset();
        self.open.push(Element {
            name,
            space,
            attributes,
            text: String::new(),
            children: Vec::new(),
            span: start..after,
            content: after..after,
        });
        Ok(())
    }

    /// Closes the innermost element; its content ends at `content_end`.
    fn close(&mut self, content_end: usize) -> Result<(), Error> {
        let Some(mut element) = self.open.pop() else {
            return Err(self.errors.malformed("an end tag without its start", content_end));
        };
        element.content.end = content_end;
        element.span.end = self.offset();
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn attributes(&self, tag: &BytesStart<'_>, inside: usize) -> Result<Vec<Attribute<'t>>, Error> {
        let mut found = Vec::new();
        for (at, attribute) in tag.attributes().enumerate() {
            if at >= MAX_ATTRIBUTES {
                let message = format!("more than {MAX_ATTRIBUTES} attributes on one element");
                return Err(self.errors.fault(Kind::Limit, &message, inside));
            }
            let attribute = attribute.map_err(|error| {
                let message = format!("an attribute cannot be read: {error}");
                self.errors.malformed(&message, inside)
            })?;
            if attribute.key.as_namespace_binding().is_none() {
                found.push(self.attribute(tag, &attribute, inside)?);
            }
        }
        Ok(found)
    }

    fn attribute(
        &self,
        tag: &BytesStart<'_>,
        attribute: &RawAttribute<'_>,
        inside: usize,
    ) -> Result<Attribute<'t>, Error> {
        let raw = attribute.key.into_inner();
        if !is_name(raw) || attribute.value.contains('<') {
            let message = format!("the attribute {} is malformed", Shown(raw));
            return Err(self.errors.malformed(&message, inside));
        }
        let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(|_| {
            let message = format!("the value of the attribute {} holds an entity", Shown(raw));
            self.errors.fault(Kind::Denied, &message, inside)
        })?;
        if let Some(bad) = value.chars().find(|c| !is_xml_char(*c)) {
            return Err(self.errors.character(bad, inside));
        }
        let name_at = inside.saturating_add(offset_within(tag, raw));
        let value_at = inside.saturating_add(offset_within(tag, &attribute.value));
        let quote_at = value_at.saturating_add(attribute.value.len());
        let span = name_at..quote_at.saturating_add(1);
        Ok(Attribute { name: self.part(name_at, raw.len()), value: value.into_owned(), span })
    }

    fn part(&self, start: usize, len: usize) -> &'t str {
        self.text.get(start..start.saturating_add(len)).unwrap_or_default()
    }

    fn text(&mut self, text: &str, start: usize) -> Result<(), Error> {
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim_matches([' ', '\t', '\r', '\n']).is_empty() => {}
            None => return Err(self.outside(start)),
        }
        Ok(())
    }

    fn outside(&self, start: usize) -> Error {
        self.errors.malformed("text outside the root element", start)
    }

    fn reference(&mut self, reference: &BytesRef<'_>, start: usize) -> Result<(), Error> {
        let named = match &**reference {
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            "apos" => Some('\''),
            "quot" => Some('"'),
            _ => reference.resolve_char_ref().map_err(|error| {
                let message = format!("a character reference cannot be read: {error}");
                self.errors.malformed(&message, start)
            })?,
        };
        match named {
            Some(c) if is_xml_char(c) => self.text(c.encode_utf8(&mut [0; 4]), start),
            Some(c) => Err(self.errors.character(c, start)),
            None => {
                let message = format!("the entity {} is forbidden", Shown(reference));
                Err(self.errors.fault(Kind::Denied, &message, start))
            }
        }
    }

    fn declaration(&self, declaration: &BytesDecl<'_>, start: usize) -> Result<(), Error> {
        if start != 0 {
            return Err(self.errors.malformed("bytes stand before the XML declaration", start));
        }
        match declaration.encoding() {
            None => Ok(()),
            Some(Ok(name)) if ["utf-8", "utf8"].contains(&name.to_ascii_lowercase().as_str()) => {
                Ok(())
            }
            Some(Ok(name)) => {
                let message = format!("the encoding {} is declared, not UTF-8", Shown(&name));
                Err(self.errors.malformed(&message, start))
            }
            Some(Err(_)) => Err(self.errors.malformed("the XML declaration cannot be read", start)),
        }
    }
}

/// Where a part of a tag begins in it, in bytes.
fn offset_within(tag: &str, part: &str) -> usize {
    part.as_ptr().addr().saturating_sub(tag.as_ptr().addr())
}

/// The line and the column of an offset, both counted from 1, the column in characters.
fn line_and_column(text: &str, offset: usize) -> (u64, u64) {
    let before = text.get(..offset).unwrap_or(text);
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX).saturating_add(1);
    let last = before.rsplit('\n').next().unwrap_or_default();
    (count(before.matches('\n').count()), count(last.chars().count()))
}

/// Tells a character that XML 1.0 allows (section 2.2).
pub(crate) const fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Tells a name of XML (section 2.3, roughly: what can never stand in a name is refused).
fn is_name(name: &str) -> bool {
    let starts = |c: char| c.is_alphabetic() || c == '_' || !c.is_ascii();
    let goes_on = |c: char| starts(c) || c.is_ascii_digit() || c == '-' || c == '.';
    name.split(':').all(|part| part.starts_with(starts) && part.chars().all(goes_on))
        && name.matches(':').count() <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Document::parse(text.as_bytes()).expect_err(text).to_string()
    }

    #[test]
    fn reads_text_attributes_and_namespaces() {
        let text = "\u{feff}<?xml version='1.0' encoding='UTF-8'?><!-- c -->\n\
                    <domain a='1 &amp; &#50;' xmlns:l='http://libosinfo.org/xmlns/libvirt/domain/1.0'>\
                    x &lt;<![CDATA[&<]]>\r\n<l:os/><b/></domain>\n";
        let document = Document::parse(text.as_bytes()).unwrap();
        let root = &document.root;
        assert_eq!(root.value("a"), Some("1 & 2"));
        assert_eq!(root.text, "x <&<\n");
        assert_eq!(root.children.len(), 2);
        assert_eq!(root.children[0].space, Space::Libosinfo);
        assert!(root.children[1].is("b"));
    }

    #[test]
    fn knows_where_elements_stand() {
        let text = "<domain>é<a x='1'>t</a><b/></domain>";
        let document = Document::parse(text.as_bytes()).unwrap();
        let part = |element: &Element<'_>| &text[element.span.clone()];
        let children: Vec<_> = document.root.children.iter().map(part).collect();
        assert_eq!(children, ["<a x='1'>t</a>", "<b/>"]);
        assert_eq!(part(&document.root), text);
        let a = &document.root.children[0];
        assert_eq!(&text[a.attributes[0].span.clone()], "x='1'");
        assert_eq!(&text[a.content.clone()], "t");
    }

    #[test]
    fn refuses_what_expands_or_reaches_out() {
        for (text, want) in [
            ("<!DOCTYPE d><domain/>", "a DOCTYPE is forbidden (line 1, column 1)"),
            ("<domain>\n&x;</domain>", r#"the entity "x" is forbidden (line 2, column 1)"#),
            (
                "<domain a='&x;'/>",
                r#"the value of the attribute "a" holds an entity (line 1, column 2)"#,
            ),
        ] {
            assert_eq!(refusal(text), want);
        }
    }

    #[test]
    fn refuses_what_is_no_xml() {
        for (text, want) in [
            ("", "no XML element"),
            ("x", "text outside the root element (line 1, column 1)"),
            ("<domain/><domain/>", "a second root element (line 1, column 10)"),
            ("<domain/>x", "text outside the root element (line 1, column 10)"),
            ("<domain><a>", r#"the document ends inside the element "a" (line 1, column 12)"#),
            (
                "<domain>&#8;</domain>",
                "the character U+0008 is not allowed in XML (line 1, column 9)",
            ),
            (
                "<domain>\u{8}</domain>",
                "the character U+0008 is not allowed in XML (line 1, column 9)",
            ),
            ("<domain><1/></domain>", r#""1" is no name of an element (line 1, column 9)"#),
            (
                " <?xml version='1.0'?><domain/>",
                "bytes stand before the XML declaration (line 1, column 2)",
            ),
            (
                "<?xml version='1.0' encoding='latin1'?><domain/>",
                r#"the encoding "latin1" is declared, not UTF-8 (line 1, column 1)"#,
            ),
            ("<domstatus/>", r#"the root element is "domstatus", not a domain (line 1, column 1)"#),
            (
                "<domain xmlns='urn:x'/>",
                r#"the root element is "domain", not a domain (line 1, column 1)"#,
            ),
        ] {
            assert_eq!(refusal(text), want);
        }
        let error = Document::parse(b"<domain>\xff</domain>").unwrap_err();
        assert_eq!(error.to_string(), "byte 8 is not UTF-8");
    }

    #[test]
    fn gives_each_kind_of_fault_its_code() {
        for (text, kind) in [
            ("<a/>", Kind::Malformed),
            ("<!DOCTYPE d><domain/>", Kind::Denied),
            (&" ".repeat(MAX_BYTES + 1), Kind::Limit),
        ] {
            let error = Document::parse(text.as_bytes()).unwrap_err();
            assert_eq!((error.kind(), error.code()), (kind, Code::E0301));
        }
    }

    #[test]
    fn holds_its_limits() {
        let nested = |depth: usize| {
            format!("<domain>{}{}</domain>", "<a>".repeat(depth), "</a>".repeat(depth))
        };
        Document::parse(nested(MAX_DEPTH - 1).as_bytes()).unwrap();
        assert_eq!(
            refusal(&nested(MAX_DEPTH)),
            "elements nest deeper than 256 (line 1, column 774)"
        );
        let many = |count: usize| format!("<domain>{}</domain>", "<a/>".repeat(count));
        Document::parse(many(MAX_ELEMENTS - 1).as_bytes()).unwrap();
        assert_eq!(
            refusal(&many(MAX_ELEMENTS)),
            "more than 50000 elements (line 1, column 200005)"
        );
        let attributes: String = (0..=MAX_ATTRIBUTES).map(|at| format!(" a{at}=''")).collect();
        assert_eq!(
            refusal(&format!("<domain{attributes}/>")),
            "more than 64 attributes on one element (line 1, column 2)"
        );
        assert_eq!(
            refusal(&" ".repeat(MAX_BYTES + 1)),
            "the document has 4194305 bytes, at most 4194304 are allowed"
        );
    }

    #[test]
    fn reads_or_refuses_a_document_cut_anywhere() {
        let text = "<domain type='kvm'><name>é</name><a x='&lt;'/><![CDATA[x]]><!-- y --></domain>";
        for end in 0..text.len() {
            Document::parse(&text.as_bytes()[..end]).unwrap_err();
        }
    }
}
