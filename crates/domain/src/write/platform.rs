//! Board, firmware, clock, and what the guest is told about running on KVM.

use vm::{Accelerator, Chipset, Clock, Firmware, GuestFamily, Machine};

use crate::check::PLAIN_APIC_CPUS;
use xml::Element;

/// Files for the guest in the firmware's configuration.
pub(super) fn sysinfo(machine: &Machine) -> Option<Element<'_>> {
    let entries = machine.fw_cfg.iter().map(|entry| {
        Element::new("entry")
            .with("name", entry.name.as_str())
            .with("file", entry.file.to_string_lossy())
    });
    let is_there = !machine.fw_cfg.is_empty();
    is_there.then(|| Element::new("sysinfo").with("type", "fwcfg").holding(entries))
}

pub(super) fn os(machine: &Machine) -> Element<'static> {
    let board = match machine.chipset {
        Chipset::Pc => "pc",
        Chipset::Q35 => "q35",
    };
    let kind = Element::text("type", "hvm").with("arch", "x86_64").with("machine", board);
    let os = Element::new("os");
    match machine.firmware {
        Firmware::Bios => os.holding([kind]),
        Firmware::Uefi => os.with("firmware", "efi").holding([kind, firmware("no")]),
        Firmware::UefiSecure => os.with("firmware", "efi").holding([kind, firmware("yes")]),
    }
}

/// Both features are always stated: left open, libvirt takes the image with enrolled keys, which
/// does not start an unsigned boot loader.
fn firmware(is_secure: &'static str) -> Element<'static> {
    Element::new("firmware").holding(
        ["secure-boot", "enrolled-keys"]
            .map(|name| Element::new("feature").with("enabled", is_secure).with("name", name)),
    )
}

pub(super) fn features(machine: &Machine) -> Element<'static> {
    let hyperv = has_enlightenments(machine).then(hyperv);
    let ioapic = iommu(machine).is_some().then(|| Element::new("ioapic").with("driver", "qemu"));
    Element::new("features")
        .holding([Element::new("acpi"), Element::new("apic")])
        .holding(hyperv)
        .holding(machine.pmu.then(|| Element::new("pmu").with("state", "on")))
        .holding(ioapic)
}

/// Interrupt remapping: asked for, or with wide APIC ids for more processors than 8 bits can number.
/// It needs the I/O APIC in QEMU.
pub(super) fn iommu(machine: &Machine) -> Option<Element<'static>> {
    let is_wide = machine.cpus.most() > PLAIN_APIC_CPUS;
    if !is_wide && !machine.iommu {
        return None;
    }
    let driver = Element::new("driver").with("intremap", "on");
    // A guest that hands devices on to its own guests needs the cached mappings to be told.
    let driver = if machine.iommu { driver.with("caching_mode", "on") } else { driver };
    let driver = if is_wide { driver.with("eim", "on") } else { driver };
    Some(Element::new("iommu").with("model", "intel").holding([driver]))
}

/// Windows is told that it runs on a hypervisor like its own; the emulator has no such interface.
fn has_enlightenments(machine: &Machine) -> bool {
    machine.guest.family == GuestFamily::Windows && machine.accelerator == Accelerator::Kvm
}

/// The enlightenments that need nothing of the host's processor.
fn hyperv() -> Element<'static> {
    let on = |name| Element::new(name).with("state", "on");
    Element::new("hyperv").with("mode", "custom").holding([
        on("relaxed"),
        on("vapic"),
        on("spinlocks").with_number("retries", 8191_u32),
        on("vpindex"),
        on("runtime"),
        on("synic"),
        on("stimer"),
    ])
}

pub(super) fn clock(machine: &Machine) -> Element<'static> {
    let offset = match machine.clock {
        Clock::Utc => "utc",
        Clock::LocalTime => "localtime",
    };
    let timer = |name| Element::new("timer").with("name", name);
    // stimer needs it.
    let hypervclock =
        has_enlightenments(machine).then(|| timer("hypervclock").with("present", "yes"));
    Element::new("clock")
        .with("offset", offset)
        .holding([
            timer("rtc").with("tickpolicy", "catchup"),
            timer("pit").with("tickpolicy", "delay"),
            timer("hpet").with("present", "no"),
        ])
        .holding(hypervclock)
}
