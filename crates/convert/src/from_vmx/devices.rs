//! Devices of a VMX that are neither storage nor network.

use vmx::{Device as Keys, Vmx};

use super::storage::{self, Medium};
use crate::{
    from_ovf::pci_id,
    source::{Device, DeviceKind, HostFeature, Origin, SoundCard, UsbClass},
};

/// USB devices that every machine has, or needs none of.
const USB_PARTS: [&str; 4] = ["hub", "hid", "mouse", "keyboard"];

/// Reads every device that is there.
///
/// Bridges are one device together. xHCI comes first, because a machine has one USB controller.
pub(super) fn read(vmx: &Vmx) -> Vec<Device> {
    let all = vmx.devices();
    let mut devices: Vec<Device> = all.iter().filter_map(|keys| one(vmx, keys)).collect();
    devices.extend(bridges(&all));
    let slots = storage::slots(&all).map(|(_, slot)| slot);
    let passed = slots.filter(|slot| storage::medium(slot) == Medium::Passthrough);
    let adapter = DeviceKind::HostAdapter { carries_disk: false };
    devices.extend(passed.map(|slot| device(slot, adapter.clone(), "scsi-passthru")));
    devices.extend(features(vmx));
    devices.sort_by_key(|device| device.kind != DeviceKind::Usb(UsbClass::Xhci));
    devices
}

/// What a device of the VMX is called in a plan.
pub(super) fn origin(keys: &Keys<'_>) -> Origin {
    let head = keys.head.to_owned();
    Origin { row: head.clone(), id: Some(head.clone()), path: head, required: None }
}

/// The device that keys speak of; `None` where another file reads it, or it is not there.
fn one(vmx: &Vmx, keys: &Keys<'_>) -> Option<Device> {
    let is_part = keys.unit.is_some();
    let class = keys.class.as_str();
    if class == "svga" && keys.boolean("present") != Some(false) {
        let memory_bytes = keys.text("vramSize").and_then(|text| text.parse().ok());
        let displays = keys.text("numDisplays").and_then(|text| text.parse().ok());
        return Some(device(keys, DeviceKind::Video { memory_bytes, displays }, "VMware SVGA"));
    }
    if !keys.is_present() {
        return None;
    }
    let (kind, name) = match class {
        "scsi" | "sata" | "nvme" | "ide" | "floppy" | "ethernet" | "pcibridge" => return None,
        "usb" | "usb_xhci" if is_part => usb_part(keys),
        "usb_xhci" => (DeviceKind::Usb(UsbClass::Xhci), "USB 3 (xHCI)"),
        // EHCI is the fast half of the one controller that `usb` names.
        "ehci" if vmx.boolean("usb.present") == Some(true) => {
            (DeviceKind::Implicit, "USB 2 (EHCI)")
        }
        "usb" | "ehci" => (DeviceKind::Usb(UsbClass::Ehci), "USB 2 (EHCI)"),
        "sound" => {
            let model = keys.text("virtualDev").unwrap_or("es1371");
            (DeviceKind::Sound(sound(model)), model)
        }
        "serial" if says(keys, "fileType", "thinprint") => (DeviceKind::PrinterPort, "thinprint"),
        "serial" => (DeviceKind::Serial, keys.text("fileType").unwrap_or("device")),
        "parallel" => (DeviceKind::Parallel, keys.text("fileName").unwrap_or("parallel port")),
        "vtpm" => (DeviceKind::Tpm, "TPM"),
        "vwdt" => (DeviceKind::Watchdog, "watchdog timer"),
        // A feature of the machine, not a device.
        "smc" => return None,
        "vmci" => (DeviceKind::Vmci, "VMCI"),
        "sharedfolder" => {
            (DeviceKind::SharedFolder, keys.text("guestName").unwrap_or("shared folder"))
        }
        "nvdimm" => (DeviceKind::Nvdimm, "NVDIMM"),
        "pcipassthru" => (passthrough(keys), "PCI device"),
        "hpet" => (DeviceKind::Implicit, "HPET"),
        "precisionclock" => (DeviceKind::Implicit, "precision clock"),
        _ => (DeviceKind::Unknown("a device that is not known".to_owned()), keys.head),
    };
    Some(device(keys, kind, name))
}

fn device(keys: &Keys<'_>, kind: DeviceKind, name: &str) -> Device {
    Device { origin: origin(keys), kind, name: name.to_owned() }
}

fn says(keys: &Keys<'_>, key: &str, value: &str) -> bool {
    keys.text(key).is_some_and(|text| text.eq_ignore_ascii_case(value))
}

fn sound(model: &str) -> SoundCard {
    match model.to_ascii_lowercase().as_str() {
        "hdaudio" => SoundCard::Hda,
        "es1371" => SoundCard::Ensoniq,
        "sb16" => SoundCard::Sb16,
        _ => SoundCard::Unknown,
    }
}

fn usb_part<'a>(keys: &Keys<'a>) -> (DeviceKind, &'a str) {
    let kind = keys.text("deviceType").unwrap_or("USB device");
    if USB_PARTS.contains(&kind.to_ascii_lowercase().as_str()) {
        (DeviceKind::Implicit, kind)
    } else {
        (DeviceKind::Unknown("a USB device of the old host".to_owned()), kind)
    }
}

fn passthrough(keys: &Keys<'_>) -> DeviceKind {
    let id = |key: &str| keys.text(key).and_then(pci_id);
    DeviceKind::Passthrough(id("vendorId").zip(id("deviceId")))
}

/// Features of the old host that keys of the machine speak of.
fn features(vmx: &Vmx) -> impl Iterator<Item = Device> {
    let says = |key| vmx.boolean(key) == Some(true);
    let enclaves = vmx.text("sgx.epcSize").unwrap_or_default();
    [
        ("sev.enable", says("sev.enable"), HostFeature::Sev),
        ("sgx.epcSize", !matches!(enclaves, "" | "0"), HostFeature::Sgx),
        ("smc.present", says("smc.present"), HostFeature::AppleSmc),
    ]
    .into_iter()
    .filter(|(_, is_there, _)| *is_there)
    .map(|(key, _, feature)| Device {
        origin: Origin { row: key.to_owned(), path: key.to_owned(), ..Origin::default() },
        kind: DeviceKind::Feature(feature),
        name: key.to_owned(),
    })
}

/// All PCI bridges as one device: they say nothing about the guest.
fn bridges(all: &[Keys<'_>]) -> Option<Device> {
    let mut bridges = all.iter().filter(|keys| keys.class == "pcibridge" && keys.is_present());
    let first = bridges.next()?;
    let name = match bridges.count() {
        0 => "a PCI bridge".to_owned(),
        more => format!("{} PCI bridges", more + 1),
    };
    Some(device(first, DeviceKind::Implicit, &name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Vec<Device> {
        read(&Vmx::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn knows_the_devices_that_vmware_has() {
        use DeviceKind::{
            Feature, HostAdapter, Implicit, Nvdimm, Parallel, Passthrough, PrinterPort, Serial,
            SharedFolder, Sound, Tpm, Usb, Video, Vmci, Watchdog,
        };
        for (text, want) in [
            ("sound.present = \"TRUE\"", Sound(SoundCard::Ensoniq)),
            ("sound.present = \"TRUE\"\nsound.virtualDev = \"HDaudio\"", Sound(SoundCard::Hda)),
            (
                "svga.vramSize = \"8388608\"\nsvga.numDisplays = \"2\"",
                Video { memory_bytes: Some(8 << 20), displays: Some(2) },
            ),
            ("usb.present = \"TRUE\"", Usb(UsbClass::Ehci)),
            ("usb_xhci.present = \"TRUE\"", Usb(UsbClass::Xhci)),
            ("smc.present = \"TRUE\"", Feature(HostFeature::AppleSmc)),
            ("sev.enable = \"TRUE\"", Feature(HostFeature::Sev)),
            ("sgx.epcSize = \"64\"\nsmc.present = \"FALSE\"", Feature(HostFeature::Sgx)),
            ("usb:1.present = \"TRUE\"\nusb:1.deviceType = \"hub\"", Implicit),
            ("serial0.present = \"TRUE\"", Serial),
            ("serial0.present = \"TRUE\"\nserial0.fileType = \"thinprint\"", PrinterPort),
            ("parallel0.present = \"TRUE\"", Parallel),
            ("vtpm.present = \"TRUE\"", Tpm),
            ("vwdt.present = \"TRUE\"", Watchdog),
            ("vmci0.present = \"TRUE\"", Vmci),
            ("sharedFolder0.present = \"TRUE\"", SharedFolder),
            ("nvdimm0:0.present = \"TRUE\"", Nvdimm),
            ("hpet0.present = \"TRUE\"", Implicit),
            (
                "pciPassthru0.present = \"TRUE\"\npciPassthru0.vendorId = \"0x8086\"\npciPassthru0.deviceId = \"0x10d3\"",
                Passthrough(Some((0x8086, 0x10d3))),
            ),
            (
                "scsi0:5.present = \"TRUE\"\nscsi0:5.deviceType = \"scsi-passthru\"",
                HostAdapter { carries_disk: false },
            ),
            (
                "warpCore0.present = \"TRUE\"",
                DeviceKind::Unknown("a device that is not known".to_owned()),
            ),
        ] {
            let all = read_text(text);
            assert_eq!(all.iter().map(|one| &one.kind).collect::<Vec<_>>(), [&want], "{text}");
        }
    }

    #[test]
    fn what_is_not_present_is_not_there() {
        for text in ["sound.present = \"FALSE\"", "serial0.fileType = \"file\"", "memsize = \"1\""]
        {
            assert!(read_text(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn bridges_are_one_device_and_xhci_comes_first() {
        let all = read_text(
            "pciBridge0.present = \"TRUE\"\nusb.present = \"TRUE\"\nehci.present = \"TRUE\"\n\
             pciBridge4.present = \"TRUE\"\nusb_xhci.present = \"TRUE\"\n",
        );
        let names: Vec<_> = all.iter().map(|d| (d.origin.row.as_str(), d.name.as_str())).collect();
        assert_eq!(
            names,
            [
                ("usb_xhci", "USB 3 (xHCI)"),
                ("usb", "USB 2 (EHCI)"),
                ("ehci", "USB 2 (EHCI)"),
                ("pciBridge0", "2 PCI bridges"),
            ]
        );
    }
}
