//! The machine's definition, as far as a bundle has to know it.

use code::Code;
use quick_xml::{
    Reader,
    escape::resolve_predefined_entity,
    events::{BytesRef, Event},
};

use crate::{Error, Kind, Result};

/// The most bytes of a definition (ours; libvirt's own are some ten thousand).
pub(crate) const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// A libvirt domain XML of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The member that has it.
    pub member: String,
    /// The time in its name, in seconds since 1970.
    pub unix_seconds: u64,
    /// The document.
    pub xml: String,
    /// The machine's name.
    pub name: String,
    /// The machine's UUID, as it is written.
    pub uuid: Option<String>,
}

impl Config {
    /// Reads a definition: well-formed, with the root `domain` and a name, and without a DOCTYPE.
    ///
    /// What else it says is judged by whoever builds a machine of it.
    ///
    /// # Errors
    /// `E0604` when it is not that.
    pub(crate) fn parse(member: &str, unix_seconds: u64, bytes: Vec<u8>) -> Result<Self> {
        let xml = String::from_utf8(bytes).map_err(|error| refused("no UTF-8").caused_by(error))?;
        let (name, uuid) = identity(&xml)?;
        let name = name.ok_or_else(|| refused("a domain without a name"))?;
        Ok(Self { member: member.to_owned(), unix_seconds, xml, name, uuid })
    }
}

fn refused(what: &str) -> Error {
    Error::new(Code::E0604, Kind::Malformed, format!("{what}, a libvirt domain XML is due"))
}

/// Reads the whole document and gives the texts of `/domain/name` and `/domain/uuid`.
fn identity(xml: &str) -> Result<(Option<String>, Option<String>)> {
    let mut reader = Reader::from_str(xml.trim_start_matches('\u{feff}'));
    let mut found = Found::default();
    loop {
        let position = reader.buffer_position();
        let malformed = |error: quick_xml::Error| {
            refused("XML that is not well-formed").at(position).caused_by(error)
        };
        match reader.read_event().map_err(malformed)? {
            Event::DocType(_) => return Err(refused("a DOCTYPE").at(position)),
            Event::Start(start) => found.enter(start.local_name().as_ref())?,
            Event::Empty(empty) => {
                found.enter(empty.local_name().as_ref())?;
                found.path.pop();
            }
            Event::End(_) => drop(found.path.pop()),
            Event::Text(text) => found.text(&text.xml10_content()),
            Event::GeneralRef(reference) => found.text(&resolved(&reference, position)?),
            Event::Eof if found.path.is_empty() && found.roots == 1 => {
                return Ok((trimmed(found.name), trimmed(found.uuid)));
            }
            Event::Eof => return Err(refused("XML that ends too early").at(position)),
            _ => {}
        }
    }
}

fn trimmed(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned())
}

/// What was found so far.
#[derive(Default)]
struct Found {
    /// The names of the open elements.
    path: Vec<String>,
    roots: u32,
    name: Option<String>,
    uuid: Option<String>,
}

impl Found {
    fn enter(&mut self, local_name: &str) -> Result<()> {
        if self.path.is_empty() {
            self.roots = self.roots.saturating_add(1);
            check_root(local_name)?;
        }
        self.path.push(local_name.to_owned());
        Ok(())
    }

    fn text(&mut self, text: &str) {
        let slot = match self.path.as_slice() {
            [_, leaf] if leaf == "name" => &mut self.name,
            [_, leaf] if leaf == "uuid" => &mut self.uuid,
            _ => return,
        };
        slot.get_or_insert_with(String::new).push_str(text);
    }
}

/// A character reference, or one of the five entities that XML has by itself.
fn resolved(reference: &BytesRef<'_>, position: u64) -> Result<String> {
    let unknown = || refused("an entity that is not of XML itself").at(position);
    if let Some(letter) = reference.resolve_char_ref().map_err(|_| unknown())? {
        return Ok(letter.to_string());
    }
    resolve_predefined_entity(reference).map(str::to_owned).ok_or_else(unknown)
}

fn check_root(local_name: &str) -> Result<()> {
    if local_name != "domain" {
        let found = crate::error::shown(local_name);
        return Err(refused(&format!("a root element {found}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(xml: &str) -> Result<Config> {
        Config::parse("7-a.xml", 7, xml.as_bytes().to_vec())
    }

    #[test]
    fn knows_the_machine_by_its_name() {
        let xml = "<?xml version='1.0'?><domain type='kvm'><uuid> 1-2 </uuid><name> R&amp;D &#x31;</name>\
                   <metadata><name>other</name></metadata></domain>\n";
        let config = parse(xml).unwrap();
        assert_eq!((config.name.as_str(), config.uuid.as_deref()), ("R&D 1", Some("1-2")));
        assert_eq!((config.xml.as_str(), config.unix_seconds), (xml, 7));
    }

    #[test]
    fn refuses_what_is_no_domain() {
        for (xml, want) in [
            ("<Envelope/>", "a root element Envelope, a libvirt domain XML is due"),
            ("<domain/>", "a domain without a name, a libvirt domain XML is due"),
            ("", "XML that ends too early, a libvirt domain XML is due, at byte 0"),
            ("<domain><name>", "XML that ends too early, a libvirt domain XML is due, at byte 14"),
            ("<!DOCTYPE a []><domain/>", "a DOCTYPE, a libvirt domain XML is due, at byte 0"),
            (
                "<domain></name>",
                "XML that is not well-formed, a libvirt domain XML is due, at byte 8",
            ),
        ] {
            assert_eq!(parse(xml).unwrap_err().to_string(), want, "{xml}");
        }
    }
}
