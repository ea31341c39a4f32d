//! From the text of a domain to a machine, and what of the text the machine has no place for.
//!
//! Three answers to what a document says: what libvirt itself would refuse is an [`Error`]; what
//! libvirt takes and a [`Machine`] cannot say is a [`Finding`]; what only repeats how the host has
//! set the machine up (aliases, PCI addresses, labels) is read past. `known` lists that last part,
//! so that nothing else is lost without a word.

mod cpu;
mod devices;
mod guest;
mod known;
mod network;
mod platform;
mod storage;

use vm::Machine;

use crate::{
    Error,
    document::{Document, Element},
    notes::{Finding, Notes},
};

/// A machine that was read from domain XML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The machine.
    ///
    /// The capacity of its disks is 0: domain XML does not tell it, the images do. Texts and paths
    /// are as they stand in the document, so that who uses one checks it; [`crate::write()`] does.
    pub machine: Machine,
    /// What the machine does not say of what the document says, in document order.
    pub findings: Vec<Finding>,
}

/// Reads libvirt domain XML: a definition, or the dump of a running machine.
///
/// What libvirt adds where a document is silent is added here as well: controllers that drives hang
/// on, addresses that follow from a drive's name, a USB controller, a balloon.
///
/// # Errors
///
/// Text that is no bounded, sound XML, a machine that is no x86 machine of KVM or QEMU on a `pc` or
/// `q35` board, and values that libvirt would not take either. The message names the place.
pub fn read(xml: &[u8]) -> Result<Read, Error> {
    let document = Document::parse(xml)?;
    let mut notes = Notes::new(&document);
    let machine = machine(&document.root, &mut notes)?;
    devices::note_screens(&document.root, &mut notes);
    known::note_unknown(&document.root, &mut notes);
    Ok(Read { machine, findings: notes.finish()? })
}

fn machine(root: &Element<'_>, notes: &mut Notes<'_>) -> Result<Machine, Error> {
    let accelerator = platform::accelerator(root, notes)?;
    let chipset = platform::chipset(root, notes)?;
    let mut drives = storage::drives(root, notes)?;
    let mut nics = network::cards(root, notes)?;
    let cpus = cpu::cpus(root, accelerator, notes)?;
    let iommu = devices::iommu(root, cpus.most());
    let (memory_bytes, max_memory_bytes) = platform::memory_bytes(root, notes)?;
    platform::spread_boot_order(root, &mut drives, &mut nics);
    let text = |name| {
        let element = root.first(name)?;
        element.word().map(|_| element.text.clone())
    };
    let Some(name) = text("name") else {
        return Err(notes.contradiction(root, "the domain has no name"));
    };
    Ok(Machine {
        name,
        title: text("title"),
        description: text("description"),
        uuid: platform::uuid(root, notes)?,
        guest: guest::guest(root),
        accelerator,
        cpus,
        memory_bytes,
        max_memory_bytes,
        chipset,
        firmware: platform::firmware(root, notes),
        clock: platform::clock(root, notes),
        controllers: drives.controllers,
        disks: drives.disks,
        removables: drives.removables,
        nics,
        video: devices::video(root, notes)?,
        sound: devices::sound(root, notes),
        usb: devices::usb(root, chipset, notes),
        serials: devices::serials(root, notes),
        tpm: devices::tpm(root, notes),
        iommu,
        pmu: platform::pmu(root),
        watchdog: devices::watchdog(root, notes),
        agent_channel: devices::agent_channel(root, notes),
        rng: devices::rng(root, notes),
        balloon: devices::balloon(root),
        fw_cfg: platform::fw_cfg(root, notes),
    })
}

/// libvirt's devices of one element name, in document order.
fn devices<'a, 't>(
    root: &'a Element<'t>,
    name: &'static str,
) -> impl Iterator<Item = &'a Element<'t>> {
    root.all("devices").flat_map(move |devices| devices.all(name))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The smallest document, with more elements of the domain and more devices in it.
    pub(crate) fn document(elements: &str, devices: &str) -> String {
        format!(
            "<domain type='kvm'><name>m</name><memory>65536</memory>\
             <os><type arch='x86_64' machine='q35'>hvm</type></os>{elements}\
             <devices>{devices}</devices></domain>"
        )
    }

    /// The machine of a document, and its findings as `code path: message`.
    pub(crate) fn read_text(text: &str) -> (Machine, Vec<String>) {
        let read = read(text.as_bytes()).expect(text);
        let show = |f: &Finding| format!("{} {}: {}", f.code, f.path, f.message);
        (read.machine, read.findings.iter().map(show).collect())
    }

    /// The machine of a document with these devices.
    pub(super) fn read_devices(devices: &str) -> (Machine, Vec<String>) {
        read_text(&document("", devices))
    }

    /// The error that a document gives.
    pub(crate) fn refusal(text: &str) -> String {
        read(text.as_bytes()).expect_err(text).to_string()
    }

    #[test]
    fn adds_what_libvirt_adds_to_the_smallest_document() {
        let (machine, findings) = read_text(&document("", ""));
        assert_eq!(findings, [""; 0]);
        assert_eq!((machine.cpus.count, machine.cpus.model.as_deref()), (1, Some("qemu64")));
        assert_eq!(machine.usb, Some(vm::Usb::Ehci));
        assert!(machine.balloon);
        assert_eq!(machine.memory_bytes, 64 << 20);
    }

    #[test]
    fn refuses_a_domain_without_a_name() {
        for name in ["", "<name/>", "<name> </name>"] {
            let text = document("", "").replace("<name>m</name>", name);
            assert_eq!(refusal(&text), "the domain has no name (/domain, line 1)");
        }
    }

    #[test]
    fn keeps_blanks_and_line_ends_of_texts() {
        let text = document("<title> a </title><description>\n x\n</description>", "");
        let (machine, _) = read_text(&text);
        assert_eq!(machine.title.as_deref(), Some(" a "));
        assert_eq!(machine.description.as_deref(), Some("\n x\n"));
    }
}
