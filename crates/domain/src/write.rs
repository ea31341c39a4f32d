//! From a machine to the text of its domain.

mod cpu;
mod devices;
mod network;
mod platform;
mod storage;

use vm::{Accelerator, Machine};

use crate::{
    Error, check,
    error::{Item, Refusal},
};
use xml::Element;

/// The namespace of the libosinfo element, which virt-manager and its like write and read.
const LIBOSINFO: &str = "http://libosinfo.org/xmlns/libvirt/domain/1.0";

/// How many times memory can be added while the guest runs.
const MEMORY_SLOTS: u32 = 16;

/// Writes the libvirt domain XML of a machine.
///
/// The text has no XML declaration, is indented by two spaces and ends with a newline. PCI addresses
/// are left to libvirt, which hands them out in document order and keeps them; the addresses of
/// drives are written out. The machine's UUID is also what the guest finds in its SMBIOS tables: QEMU
/// puts it there. The video memory of a virtio-gpu and the capacity of a disk have no
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

fn domain(machine: &Machine) -> Element<'_> {
    let accelerator = match machine.accelerator {
        Accelerator::Kvm => "kvm",
        Accelerator::Qemu => "qemu",
    };
    Element::new("domain")
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
            .holding(storage::drives(machine))
            .holding(machine.nics.iter().map(network::interface))
            .holding(devices::devices(machine))])
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
