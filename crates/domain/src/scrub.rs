//! What a document of unknown origin must not bring to a host.
//!
//! A definition can name any file, program and device of the host, and QEMU's own command line; libvirt
//! does as it says, often as root. So what comes out of a backup passes an allow-list: elements below
//! `<domain>` and `<devices>` that are not on it go, and of those that are on it, what names something
//! of the host.
//!
//! ```text
//! element --> of libvirt's namespace? --> board / devices: on the list, of a harmless type?
//!                                           --> any path in it that is not the host's own? --> its children
//! ```
//!
//! The namespace is looked at closely, since libvirt is lax: it takes an attribute by its local name
//! whatever its prefix, and in places an element, too.

mod board;
mod devices;
mod extension;
mod paths;

use code::Code;

pub(crate) use self::extension::keeps_names;
use crate::{
    Error,
    document::{Document, Element, Space},
    notes::{Finding, Notes},
    patch::Editor,
};

/// Characters of a name that are looked at; those in the rules are shorter.
const LONGEST_NAME: usize = 64;
/// Bytes of a path after which nothing more is added; those in the rules are shorter.
const LONGEST_PATH: usize = 256;

/// A document that a host can take, and what it lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scrubbed {
    /// The document without what the findings name; all else is as it was, byte for byte.
    pub text: String,
    /// What went and why, in document order.
    pub findings: Vec<Finding>,
}

/// What becomes of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// It stays, if nothing in it speaks against it.
    Judge,
    /// It stays with all that it holds.
    Keep,
    /// It goes.
    Remove(Code, String),
}

impl Verdict {
    fn remove(code: Code, why: impl Into<String>) -> Self {
        Self::Remove(code, why.into())
    }
}

/// Takes out of a domain XML what a host must not take from a stranger.
///
/// Where the bytes of drives are is not judged, but for types that are no storage: give each drive of
/// [`crate::drives()`] an image of your own, eject it or detach it. Files of the firmware must lie in the
/// folders where distributions and libvirt have them. A network card can lose its script or go, so
/// take the places for [`crate::Changes::macs`] from the text that this gives.
///
/// # Errors
///
/// Text that is no bounded, sound XML, or with more than 1000 findings.
pub fn scrub(xml: &[u8]) -> Result<Scrubbed, Error> {
    let document = Document::parse(xml)?;
    let mut walk = Walk { notes: Notes::new(&document), editor: Editor::new(&document) };
    walk.inside(&document.root, "domain");
    Ok(Scrubbed { text: walk.editor.apply(), findings: walk.notes.finish()? })
}

struct Walk<'d> {
    notes: Notes<'d>,
    editor: Editor<'d>,
}

impl Walk<'_> {
    /// Judges the children of an element that stays.
    fn inside(&mut self, element: &Element<'_>, path: &str) {
        self.remove_attributes(element, path);
        for child in &element.children {
            let path = below(path, child.name);
            match judge(child, element, &path) {
                Verdict::Keep => {}
                Verdict::Judge => self.inside(child, &path),
                Verdict::Remove(code, why) => {
                    self.notes.note(child, code, why);
                    self.editor.remove(child);
                }
            }
        }
    }

    /// Removes attributes with a prefix, since to libvirt they are its own, and those that give a
    /// drive more rights on a device than its content.
    fn remove_attributes(&mut self, element: &Element<'_>, path: &str) {
        for attribute in &element.attributes {
            let (code, why) = match (attribute.name, attribute.value.as_str()) {
                (name, _) if name.contains(':') => {
                    (Code::W0204, "an attribute of another namespace is removed")
                }
                ("rawio", "yes") | ("sgio", "unfiltered") if path == "domain/devices/disk" => {
                    (Code::W0206, "any command to a device of the host is not allowed")
                }
                _ => continue,
            };
            self.notes.note(element, code, why);
            self.editor.remove_attribute(element, attribute.name);
        }
    }
}

/// The path of a child, less what no rule asks for: names can be as long as the document, and many.
fn below(path: &str, name: &str) -> String {
    let longest =
        |text: &str| text.char_indices().nth(LONGEST_NAME).map_or(text.len(), |(at, _)| at);
    if path.len() > LONGEST_PATH {
        return path.to_owned();
    }
    format!("{path}/{}", name.get(..longest(name)).unwrap_or_default())
}

fn judge(element: &Element<'_>, parent: &Element<'_>, path: &str) -> Verdict {
    match element.space {
        Space::None => {}
        _ if keeps_names(element) && path.matches('/').count() == 1 => return Verdict::Keep,
        _ => {
            let why = "what is not libvirt's own is not handed on, such as a command line of QEMU";
            return Verdict::remove(Code::W0205, why);
        }
    }
    // Of one file: it could be given to another user of the host.
    if element.is("seclabel") && path != "domain/seclabel" {
        return Verdict::remove(Code::W0205, board::GUARDED);
    }
    let verdict = match path.strip_prefix("domain/devices/") {
        Some(device) => devices::judge(element, parent, device),
        None => board::judge(element, parent, path),
    };
    match verdict {
        Verdict::Judge => paths::judge(element, parent, path),
        decided => decided,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::document;

    /// The text that stays, and the findings as `code path: message`.
    pub(super) fn scrubbed(text: &str) -> (String, Vec<String>) {
        let scrubbed = scrub(text.as_bytes()).expect(text);
        let show = |f: &Finding| format!("{} {}: {}", f.code, f.path, f.message);
        (scrubbed.text, scrubbed.findings.iter().map(show).collect())
    }

    /// Asserts that a part goes, with one finding, and all around it stays.
    pub(super) fn assert_removed(part: &str, around: impl Fn(&str) -> String, want: &str) {
        let (text, findings) = scrubbed(&around(part));
        assert_eq!(findings, [want], "{part}");
        assert_eq!(text, around(""), "{part}");
    }

    /// Asserts the same of a part of the devices, each with its finding less `/domain/devices/`.
    pub(super) fn assert_devices_removed(cases: &[(&str, &str)]) {
        for (part, want) in cases {
            let want = want.replacen(' ', " /domain/devices/", 1);
            assert_removed(part, |part| document("", part), &want);
        }
    }

    /// Asserts that documents stay as they are.
    pub(super) fn assert_kept(texts: &[String]) {
        for text in texts {
            assert_eq!(scrubbed(text), (text.clone(), Vec::new()));
        }
    }

    const STRANGE: &str =
        "what is not libvirt's own is not handed on, such as a command line of QEMU";

    #[test]
    fn removes_elements_of_other_namespaces() {
        for (part, path) in [
            (
                "<qemu:commandline><qemu:arg value='-x'/></qemu:commandline>",
                "/domain/qemu:commandline",
            ),
            ("<lxc:namespace/>", "/domain/lxc:namespace"),
            ("<libosinfo:libosinfo/>", "/domain/libosinfo:libosinfo"),
        ] {
            let around = |part: &str| {
                document(part, "").replace(
                    "<domain",
                    "<domain xmlns:qemu='urn:q' xmlns:lxc='urn:l' xmlns:libosinfo='urn:o'",
                )
            };
            assert_removed(part, around, &format!("W0205 {path}: {STRANGE}"));
        }
    }

    #[test]
    fn removes_what_libvirt_would_take_for_its_own_by_the_local_name() {
        let disk = |source: &str| {
            document("", &format!("<disk xmlns:q='urn:q'>{source}<target dev='vda'/></disk>"))
        };
        let want = format!("W0205 /domain/devices/disk/q:source: {STRANGE}");
        assert_removed("<q:source file='/etc/shadow'/>", disk, &want);
        let source = |attribute: &str| disk(&format!("<source{attribute}/>"));
        let want =
            "W0204 /domain/devices/disk/source: an attribute of another namespace is removed";
        assert_removed(" q:file='/etc/shadow'", source, want);
    }

    #[test]
    fn removes_more_rights_on_a_device_than_its_content() {
        for attribute in [" rawio='yes'", " sgio='unfiltered'"] {
            assert_removed(
                attribute,
                |part| {
                    document("", &format!("<disk device='lun'{part}><target dev='sda'/></disk>"))
                },
                "W0206 /domain/devices/disk: any command to a device of the host is not allowed",
            );
        }
    }

    #[test]
    fn looks_below_names_of_any_length_and_depth() {
        let long = "n".repeat(1 << 20);
        let many = "<a/>".repeat(1000);
        let deep = "<d>".repeat(200) + "<e path='/x'/>" + &"</d>".repeat(200);
        let text = document(&format!("<cpu><{long}>{many}{deep}</{long}></cpu>"), "");
        let (left, findings) = scrubbed(&text);
        assert_eq!(findings.len(), 1);
        assert_eq!(left, text.replace("<e path='/x'/>", ""));
    }

    #[test]
    fn looks_at_every_element_of_a_name() {
        let text = document("", "<tpm/>").replace(
            "</domain>",
            "<devices><hostdev mode='capabilities'/></devices><os><kernel>/k</kernel></os></domain>",
        );
        let (_, findings) = scrubbed(&text);
        assert_eq!(findings.len(), 2, "{findings:?}");
    }

    #[test]
    fn keeps_whatever_metadata_hold() {
        assert_kept(&[document(
            "<metadata><a:b xmlns:a='urn:a' a:c='/d'>/e</a:b></metadata><title>/t</title>",
            "",
        )]);
    }

    #[test]
    fn keeps_lines_around_what_goes() {
        let text = "<domain>\n  <name>n</name>\n  <devices>\n    <hostdev/>\n    <hub/>\n  </devices>\n</domain>\n";
        let want = "<domain>\n  <name>n</name>\n  <devices>\n    <hub/>\n  </devices>\n</domain>\n";
        assert_eq!(scrubbed(text).0, want);
        assert_eq!(scrub(text.as_bytes()).unwrap().findings[0].line, 4);
    }

    #[test]
    fn finds_nothing_more_in_what_it_leaves() {
        let text = document(
            "<os><kernel>/k</kernel></os><bootloader>/b</bootloader>",
            "<hostdev/><serial type='file'><source path='/x'/></serial><emulator>/e</emulator>",
        );
        let (left, findings) = scrubbed(&text);
        assert_eq!(findings.len(), 5, "{findings:?}");
        assert_kept(&[left]);
    }
}
