//! From a machine to the text of its domain.

mod cpu;
mod devices;
mod network;
mod pci;
mod platform;
mod storage;

pub(crate) use self::pci::{PORT_ALIAS, SLOTS_SHOWN};

use std::path::PathBuf;

use vm::{Accelerator, Machine, PciLayout};

use crate::{
    Error, LIBOSINFO, check,
    error::{Item, Refusal},
};
use xml::Element;

/// How many times memory can be added while the guest runs.
const MEMORY_SLOTS: u32 = 16;

/// Writes the libvirt domain XML of a machine.
///
/// The text has no XML declaration, is indented by two spaces and ends with a newline. The addresses of
/// drives and the PCI addresses of network cards are written out, so that the guest finds them in this
/// order whatever else is added later; all others are left to libvirt, which hands them out around
/// these and keeps them. A card with a slot number makes the text one for libvirt 8.2 and later, with
/// elements of the `qemu:` namespace. The machine's UUID is also what the guest finds in its SMBIOS tables:
/// QEMU puts it there. The video memory of a virtio-gpu and the capacity of a disk have no
/// place in it.
///
/// # Errors
///
/// A machine that libvirt would not define, QEMU not start or the guest not find its disks on. The
/// message names the item, what it holds and what is allowed.
pub fn write(machine: &Machine) -> Result<String, Error> {
    check::check(machine)?;
    domain(machine).print().map_err(|cause| Item::Machine.refuse(Refusal::Xml(cause)))
}

/// Writes the domain XML of a machine whose images are members of the archive that the text goes into:
/// each is named without its folder, since nobody knows where it will be.
///
/// # Errors
///
/// As [`write()`]: the paths are absolute all the same.
pub fn write_bundled(machine: &Machine) -> Result<String, Error> {
    check::check(machine)?;
    let mut bundled = machine.clone();
    let disks = bundled.disks.iter_mut().map(|disk| &mut disk.image);
    let media = bundled.removables.iter_mut().filter_map(|drive| drive.image.as_mut());
    let settings = bundled.fw_cfg.iter_mut().map(|entry| &mut entry.file);
    for image in disks.chain(media).chain(settings) {
        if let Some(name) = image.file_name() {
            *image = PathBuf::from(name);
        }
    }
    domain(&bundled).print().map_err(|cause| Item::Machine.refuse(Refusal::Xml(cause)))
}

fn domain(machine: &Machine) -> Element<'_> {
    let accelerator = match machine.accelerator {
        Accelerator::Kvm => "kvm",
        Accelerator::Qemu => "qemu",
    };
    let pci = PciLayout::of(machine.chipset, &machine.nics);
    let cards = machine.nics.iter().zip(&pci.cards);
    let domain = Element::new("domain")
        .with("type", accelerator)
        .holding(identity(machine))
        .holding(memory(machine))
        .holding([cpu::vcpu(&machine.cpus)])
        .holding(platform::sysinfo(machine))
        .holding([platform::os(machine), platform::features(machine)])
        .holding([cpu::cpu(machine), platform::clock(machine)])
        .holding(lifecycle())
        .holding([Element::new("devices")
            .holding(storage::controllers(machine))
            .holding(devices::controllers(machine))
            .holding(pci::controllers(&pci))
            .holding(storage::drives(machine))
            .holding(cards.map(|(nic, address)| network::interface(nic, *address)))
            .holding(devices::devices(machine))]);
    pci::show_slots(domain, &pci)
}

fn identity(machine: &Machine) -> impl Iterator<Item = Element<'_>> {
    let name = Element::text("name", machine.name.as_str());
    let uuid = machine.uuid.map(|uuid| Element::text("uuid", uuid.to_string()));
    let title = machine.title.as_deref().map(|text| Element::text("title", text));
    let description = machine.description.as_deref();
    let description = description.map(|text| Element::text("description", text));
    let metadata = machine.guest.osinfo.as_deref().map(metadata);
    [Some(name), uuid, title, description, metadata].into_iter().flatten()
}

fn metadata(osinfo: &str) -> Element<'_> {
    let os = Element::new("libosinfo:os").with("id", osinfo);
    let libosinfo =
        Element::new("libosinfo:libosinfo").with("xmlns:libosinfo", LIBOSINFO).holding([os]);
    Element::new("metadata").holding([libosinfo])
}

/// The memory at start, and what it may grow to.
fn memory(machine: &Machine) -> impl Iterator<Item = Element<'_>> {
    let kib =
        |name, bytes: u64| Element::text(name, (bytes / 1024).to_string()).with("unit", "KiB");
    let most = machine.max_memory_bytes;
    let most = most.map(|bytes| kib("maxMemory", bytes).with_number("slots", MEMORY_SLOTS));
    most.into_iter().chain([kib("memory", machine.memory_bytes)])
}

fn lifecycle() -> [Element<'static>; 3] {
    [
        Element::text("on_poweroff", "destroy"),
        Element::text("on_reboot", "restart"),
        Element::text("on_crash", "destroy"),
    ]
}
