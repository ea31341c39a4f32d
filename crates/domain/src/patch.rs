//! A document with other names and places in it, and all else as it was.
//!
//! A machine read by [`crate::read()`] is less than its document. To define a machine anew under
//! another name or with its disks elsewhere, the document itself is edited: elements that relift does
//! not know, comments and blanks stay byte for byte.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

use code::Code;
use quick_xml::escape::escape;
use vm::{MacAddress, Uuid};

use crate::{
    Error, Kind, check,
    document::{Document, Element, Fault, Shown},
    error::Item,
};

/// What a document shall say instead; what is empty stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// The name of the machine.
    pub name: Option<String>,
    /// The identity, in the SMBIOS tables of the document as well: libvirt wants both the same.
    pub uuid: Option<Uuid>,
    /// Addresses of network cards, by the place of the card in the document, from 0.
    pub macs: BTreeMap<usize, MacAddress>,
    /// Image files of drives, by the drive's name (`vda`).
    ///
    /// A drive on a device of the host becomes one on a file. Its `<backingStore>` goes: it is that
    /// of the old image, and libvirt finds the new one's by itself.
    pub images: BTreeMap<String, PathBuf>,
    /// The file of the firmware's variables; two machines must not share one.
    pub nvram: Option<PathBuf>,
}

/// Changes a libvirt domain XML.
///
/// A byte order mark is not kept.
///
/// # Errors
///
/// Text that is no bounded, sound XML; a value that libvirt would not take; a change of something
/// that the document does not have, or not as a file.
pub fn patch(xml: &[u8], changes: &Changes) -> Result<String, Error> {
    let document = Document::parse(xml)?;
    let mut editor = Editor { document: &document, edits: Vec::new() };
    editor.identity(changes)?;
    for (number, mac) in &changes.macs {
        editor.mac(*number, *mac)?;
    }
    for (name, image) in &changes.images {
        editor.image(name, image)?;
    }
    if let Some(file) = &changes.nvram {
        let found = document.root.at(&["os", "nvram"]);
        let nvram = found.ok_or_else(|| editor.missing("no firmware variables"))?;
        check::require_image_path(Item::Machine, file)?;
        editor.set_text(nvram, &file.to_string_lossy());
    }
    Ok(editor.apply())
}

/// Collects edits, each of a part of the text that no other touches.
struct Editor<'d> {
    document: &'d Document<'d>,
    edits: Vec<(Range<usize>, String)>,
}

impl<'d> Editor<'d> {
    fn identity(&mut self, changes: &Changes) -> Result<(), Error> {
        let root = &self.document.root;
        let name = root.first("name").ok_or_else(|| self.missing("no name"))?;
        if let Some(text) = &changes.name {
            check::check_name(text)?;
            self.set_text(name, text);
        }
        let Some(uuid) = changes.uuid else { return Ok(()) };
        let text = uuid.to_string();
        match root.first("uuid") {
            Some(old) => self.set_text(old, &text),
            None => self.insert(name.span.end, format!("<uuid>{text}</uuid>")),
        }
        let tables = root.all("sysinfo").flat_map(|info| info.all("system"));
        for entry in tables.flat_map(|system| system.all("entry")) {
            if entry.value("name") == Some("uuid") {
                self.set_text(entry, &text);
            }
        }
        Ok(())
    }

    fn mac(&mut self, number: usize, mac: MacAddress) -> Result<(), Error> {
        let card = self.devices("interface").nth(number);
        let card = card.ok_or_else(|| self.missing(&format!("no network card {number}")))?;
        if !mac.is_usable() {
            let message = format!("the address {mac} is multicast or zero");
            return Err(self.contradiction(card, &message));
        }
        let text = mac.to_string();
        match card.first("mac") {
            Some(element) => self.set_attribute(element, "address", ("address", &text)),
            None => self.prepend(card, &format!("<mac address=\"{text}\"/>")),
        }
        Ok(())
    }

    fn image(&mut self, name: &str, image: &Path) -> Result<(), Error> {
        let is_it = |drive: &&Element<'_>| drive.child_value("target", "dev") == Some(name);
        let mut found = self.devices("disk").enumerate().filter(|(_, drive)| is_it(drive));
        let (number, drive) =
            found.next().ok_or_else(|| self.missing(&format!("no drive {}", Shown(name))))?;
        if let Some((_, other)) = found.next() {
            let message = format!("a second drive is called {}", Shown(name));
            return Err(self.contradiction(other, &message));
        }
        check::require_image_path(Item::Disk(number), image)?;
        let path = image.to_string_lossy();
        let attribute = match drive.value("type").unwrap_or("file") {
            "file" => "file",
            "block" => "dev",
            other => {
                let message = format!("a source of type {} is no file", Shown(other));
                let place = self.document.place(drive);
                return Err(Fault::new(Code::E0305, Kind::Unsupported, message).at(place).into());
            }
        };
        if attribute == "dev" {
            self.set_attribute(drive, "type", ("type", "file"));
        }
        match drive.first("source") {
            Some(source) => self.set_attribute(source, attribute, ("file", &path)),
            None => self.prepend(drive, &format!("<source file=\"{}\"/>", escape(&*path))),
        }
        for old in drive.all("backingStore") {
            self.edits.push((old.span.clone(), String::new()));
        }
        Ok(())
    }

    fn devices(&self, name: &'d str) -> impl Iterator<Item = &'d Element<'d>> + use<'d> {
        self.document.root.all("devices").flat_map(move |devices| devices.all(name))
    }

    /// Replaces the attribute `old` by another, or adds that behind the element's name.
    fn set_attribute(&mut self, element: &Element<'_>, old: &str, (name, value): (&str, &str)) {
        let text = format!("{name}=\"{}\"", escape(value));
        if let Some(attribute) = element.attribute(old) {
            self.edits.push((attribute.span.clone(), text));
        } else {
            let behind_name = element.span.start.saturating_add(element.name.len());
            self.insert(behind_name.saturating_add(1), format!(" {text}"));
        }
    }

    /// Replaces all that an element holds by a text.
    fn set_text(&mut self, element: &Element<'_>, text: &str) {
        if element.content.is_empty() {
            self.prepend(element, &escape(text));
        } else {
            self.edits.push((element.content.clone(), escape(text).into_owned()));
        }
    }

    /// Puts XML in front of what an element holds.
    fn prepend(&mut self, element: &Element<'_>, xml: &str) {
        let whole = self.document.text.get(element.span.clone()).unwrap_or_default();
        if whole.ends_with("/>") {
            let slash = element.span.end.saturating_sub(2);
            self.edits.push((slash..element.span.end, format!(">{xml}</{}>", element.name)));
        } else {
            self.insert(element.content.start, xml.to_owned());
        }
    }

    fn insert(&mut self, at: usize, xml: String) {
        self.edits.push((at..at, xml));
    }

    fn apply(mut self) -> String {
        self.edits.sort_by_key(|(range, _)| range.start);
        let (mut text, mut at) = (String::new(), 0);
        for (range, replacement) in &self.edits {
            text.push_str(self.document.text.get(at..range.start).unwrap_or_default());
            text.push_str(replacement);
            at = range.end;
        }
        text.push_str(self.document.text.get(at..).unwrap_or_default());
        text
    }

    fn missing(&self, what: &str) -> Error {
        self.contradiction(&self.document.root, &format!("the domain has {what}"))
    }

    fn contradiction(&self, element: &Element<'_>, message: &str) -> Error {
        let place = self.document.place(element);
        Fault::new(Code::E0303, Kind::Malformed, message).at(place).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOMAIN: &str = "<?xml version='1.0'?>
<!-- mine -->
<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>old</name>
  <uuid>00000000-0000-0000-0000-000000000001</uuid>
  <sysinfo type='smbios'><system><entry name='serial'>S</entry><entry name='uuid'>00000000-0000-0000-0000-000000000001</entry></system></sysinfo>
  <os><type>hvm</type><nvram template='/t'/></os>
  <devices>
    <disk type='file' device='disk'><source file='/old/a' index='1'/><backingStore type='file'/><target dev='vda'/></disk>
    <disk type='block'><source dev=\"/dev/x\"><reservations/></source><target dev='vdb'/></disk>
    <disk type='file' device='cdrom'><target dev='sda'/></disk>
    <interface type='user'/>
    <interface type='user'><mac address='52:54:00:00:00:01'/></interface>
  </devices>
  <qemu:commandline><qemu:arg value='-x'/></qemu:commandline>
</domain>
";

    /// What differs, as pairs of a text of the old document and what stands there in the new one.
    fn assert_patch(changes: &Changes, replaced: &[(&str, &str)]) {
        let mut want = DOMAIN.to_owned();
        for (old, new) in replaced {
            assert!(want.contains(old), "{old}");
            want = want.replace(old, new);
        }
        assert_eq!(patch(DOMAIN.as_bytes(), changes).unwrap(), want);
    }

    fn refusal(changes: &Changes) -> String {
        patch(DOMAIN.as_bytes(), changes).unwrap_err().to_string()
    }

    #[test]
    fn leaves_a_document_without_changes_as_it_is() {
        assert_patch(&Changes::default(), &[]);
    }

    #[test]
    fn changes_the_name_and_every_uuid() {
        let changes = Changes {
            name: Some("a <&> b".into()),
            uuid: Some(Uuid([0xab; 16])),
            ..Changes::default()
        };
        assert_patch(
            &changes,
            &[
                ("<name>old</name>", "<name>a &lt;&amp;&gt; b</name>"),
                ("00000000-0000-0000-0000-000000000001", "abababab-abab-abab-abab-abababababab"),
            ],
        );
    }

    #[test]
    fn adds_a_uuid_where_there_is_none() {
        let changes = Changes { uuid: Some(Uuid([1; 16])), ..Changes::default() };
        let patched = patch(b"<domain><name>n</name></domain>", &changes).unwrap();
        let uuid = "01010101-0101-0101-0101-010101010101";
        assert_eq!(patched, format!("<domain><name>n</name><uuid>{uuid}</uuid></domain>"));
    }

    #[test]
    fn changes_and_adds_addresses_of_cards() {
        let macs = [(0, MacAddress([2, 0, 0, 0, 0, 1])), (1, MacAddress([2, 0, 0, 0, 0, 2]))];
        let changes = Changes { macs: macs.into(), ..Changes::default() };
        assert_patch(
            &changes,
            &[
                (
                    "<interface type='user'/>",
                    "<interface type='user'><mac address=\"02:00:00:00:00:01\"/></interface>",
                ),
                ("address='52:54:00:00:00:01'", "address=\"02:00:00:00:00:02\""),
            ],
        );
    }

    #[test]
    fn moves_drives_to_files_and_keeps_what_else_they_say() {
        let images = [("vda", "/new/a"), ("vdb", "/new/b & c"), ("sda", "/new/cd.iso")];
        let images = images.map(|(name, path)| (name.to_owned(), path.into()));
        let changes = Changes { images: images.into(), ..Changes::default() };
        assert_patch(
            &changes,
            &[
                (
                    "file='/old/a' index='1'/><backingStore type='file'/>",
                    "file=\"/new/a\" index='1'/>",
                ),
                ("<disk type='block'>", "<disk type=\"file\">"),
                ("dev=\"/dev/x\"", "file=\"/new/b &amp; c\""),
                ("device='cdrom'>", "device='cdrom'><source file=\"/new/cd.iso\"/>"),
            ],
        );
    }

    #[test]
    fn gives_the_firmware_a_file_of_its_own() {
        let changes = Changes { nvram: Some("/n.fd".into()), ..Changes::default() };
        assert_patch(&changes, &[("<nvram template='/t'/>", "<nvram template='/t'>/n.fd</nvram>")]);
    }

    #[test]
    fn refuses_changes_of_what_is_not_there_and_values_that_cannot_be() {
        let image = |name: &str, path: &str| Changes {
            images: [(name.to_owned(), path.into())].into(),
            ..Changes::default()
        };
        let mac = |number, mac| Changes { macs: [(number, mac)].into(), ..Changes::default() };
        for (changes, want) in [
            (image("vdz", "/a"), r#"the domain has no drive "vdz" (/domain, line 3)"#),
            (image("vda", "a"), r#"disk 0: image path "a" is not absolute"#),
            (mac(2, MacAddress([2; 6])), "the domain has no network card 2 (/domain, line 3)"),
            (
                mac(1, MacAddress([1; 6])),
                "the address 01:01:01:01:01:01 is multicast or zero (/domain/devices/interface[2], line 13)",
            ),
            (
                Changes { name: Some("a/b".into()), ..Changes::default() },
                r#"machine: name "a/b" is not a file name"#,
            ),
        ] {
            assert_eq!(refusal(&changes), want);
        }
    }

    #[test]
    fn refuses_a_drive_that_is_no_file_or_has_a_namesake() {
        let changes =
            Changes { images: [("vda".to_owned(), "/a".into())].into(), ..Changes::default() };
        let with =
            |disks: &str| format!("<domain><name>n</name><devices>{disks}</devices></domain>");
        for (disks, want) in [
            (
                "<disk type='network'><target dev='vda'/></disk>",
                r#"a source of type "network" is no file (/domain/devices/disk, line 1)"#,
            ),
            (
                "<disk><target dev='vda'/></disk><disk><target dev='vda'/></disk>",
                r#"a second drive is called "vda" (/domain/devices/disk[2], line 1)"#,
            ),
        ] {
            let error = patch(with(disks).as_bytes(), &changes).unwrap_err();
            assert_eq!(error.to_string(), want);
        }
    }
}
