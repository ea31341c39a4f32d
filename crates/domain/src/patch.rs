//! A document with other names and places in it, and all else as it was.
//!
//! A machine read by [`crate::read()`] is less than its document. To define a machine anew under
//! another name or with its disks elsewhere, the document itself is edited: elements that relift does
//! not know, comments and blanks stay byte for byte.

mod board;
mod definition;
mod drives;
mod editor;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use vm::{Accelerator, DiskFormat, FwCfg, MacAddress, Uuid};

pub(crate) use self::{definition::CHANNEL_FOLDERS, editor::Editor};
use crate::{Error, check, document::Document, error::Item};

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
    /// A drive on anything else (a device of the host, a volume, a server) becomes one on a file, and
    /// its old `<source>` goes as a whole. Its `<backingStore>` goes, too: it is that of the old
    /// image, and libvirt finds the new one's by itself. A drive of type `lun` takes no file.
    pub images: BTreeMap<String, PathBuf>,
    /// The formats of images, by the drive's name.
    pub formats: BTreeMap<String, DiskFormat>,
    /// Names of CD and floppy drives that stay and lose their medium.
    pub eject: BTreeSet<String>,
    /// Names of drives that go; they take no other change.
    pub detach: BTreeSet<String>,
    /// The file of the firmware's variables; two machines must not share one.
    pub nvram: Option<PathBuf>,
    /// By what the guest is executed. Without KVM a processor that is the host's becomes all that QEMU
    /// can emulate.
    pub accelerator: Option<Accelerator>,
    /// Files in the firmware's configuration, each in the place of the one of its name.
    pub fw_cfg: Vec<FwCfg>,
    /// Whether the dump of a running machine becomes a definition that another host can take.
    ///
    /// What libvirt hands out anew at each start goes: the `id`, dynamic security labels, the chains
    /// of images that it found, the sockets of channels in its own folders.
    pub as_definition: bool,
}

/// Changes a libvirt domain XML.
///
/// A byte order mark is not kept.
///
/// # Errors
///
/// Text that is no bounded, sound XML; a value that libvirt would not take; a change of something
/// that the document does not have, or not as a drive of that kind.
pub fn patch(xml: &[u8], changes: &Changes) -> Result<String, Error> {
    let document = Document::parse(xml)?;
    let mut editor = Editor::new(&document);
    identity(&mut editor, changes)?;
    for (number, mac) in &changes.macs {
        address(&mut editor, *number, *mac)?;
    }
    drives::change(&mut editor, changes)?;
    if let Some(file) = &changes.nvram {
        let found = editor.root().at(&["os", "nvram"]);
        let nvram = found.ok_or_else(|| editor.missing("no firmware variables"))?;
        check::require_image_path(Item::Machine, file)?;
        // With a type it would hold a source instead.
        editor.remove_attribute(nvram, "type");
        editor.set_text(nvram, &file.to_string_lossy());
    }
    if let Some(accelerator) = changes.accelerator {
        board::execute_by(&mut editor, accelerator);
    }
    board::tell_firmware(&mut editor, &changes.fw_cfg)?;
    if changes.as_definition {
        definition::forget_the_run(&mut editor);
    }
    Ok(editor.apply())
}

fn identity(editor: &mut Editor<'_>, changes: &Changes) -> Result<(), Error> {
    let root = editor.root();
    let name = root.first("name").ok_or_else(|| editor.missing("no name"))?;
    if let Some(text) = &changes.name {
        check::check_name(text)?;
        editor.set_text(name, text);
    }
    let Some(uuid) = changes.uuid else { return Ok(()) };
    let text = uuid.to_string();
    match root.first("uuid") {
        Some(old) => editor.set_text(old, &text),
        None => editor.append(name, format!("<uuid>{text}</uuid>")),
    }
    let tables = root.all("sysinfo").flat_map(|info| info.all("system"));
    for entry in tables.flat_map(|system| system.all("entry")) {
        if entry.value("name") == Some("uuid") {
            editor.set_text(entry, &text);
        }
    }
    Ok(())
}

fn address(editor: &mut Editor<'_>, number: usize, mac: MacAddress) -> Result<(), Error> {
    let card = editor.devices("interface").nth(number);
    let card = card.ok_or_else(|| editor.missing(&format!("no network card {number}")))?;
    if !mac.is_usable() {
        let message = format!("the address {mac} is multicast or zero");
        return Err(editor.contradiction(card, &message));
    }
    let text = mac.to_string();
    match card.first("mac") {
        Some(element) => editor.set_attribute(element, "address", &text),
        None => editor.prepend(card, &format!("<mac address=\"{text}\"/>")),
    }
    Ok(())
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
    <disk type='file' device='disk'><source file='/old/a'/><target dev='vda'/></disk>
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
    fn gives_the_firmware_a_file_of_its_own() {
        let changes = Changes { nvram: Some("/n.fd".into()), ..Changes::default() };
        assert_patch(&changes, &[("<nvram template='/t'/>", "<nvram template='/t'>/n.fd</nvram>")]);
    }

    #[test]
    fn gives_the_firmware_a_file_in_the_place_of_a_source_of_any_type() {
        let text = "<domain><name>n</name><os>\
            <nvram type='network' format='raw'><source protocol='iscsi' name='n'/></nvram></os></domain>";
        let changes = Changes { nvram: Some("/n.fd".into()), ..Changes::default() };
        let want = "<domain><name>n</name><os><nvram format='raw'>/n.fd</nvram></os></domain>";
        assert_eq!(patch(text.as_bytes(), &changes).unwrap(), want);
    }

    #[test]
    fn refuses_changes_of_what_is_not_there_and_values_that_cannot_be() {
        let mac = |number, mac| Changes { macs: [(number, mac)].into(), ..Changes::default() };
        for (changes, want) in [
            (mac(2, MacAddress([2; 6])), "the domain has no network card 2 (/domain, line 3)"),
            (
                mac(1, MacAddress([1; 6])),
                "the address 01:01:01:01:01:01 is multicast or zero (/domain/devices/interface[2], line 11)",
            ),
            (
                Changes { name: Some("a/b".into()), ..Changes::default() },
                r#"machine: name "a/b" is not a file name"#,
            ),
        ] {
            assert_eq!(refusal(&changes), want);
        }
    }
}
