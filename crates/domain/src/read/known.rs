//! What of a document is read, or only says how the host has set the machine up.

use code::Code;

use crate::{
    document::{Attribute, Element, Shown, Space},
    notes::Notes,
    scrub::keeps_names,
};

/// Elements that any device may have: libvirt hands them out anew wherever the machine is defined.
const OF_ANY_DEVICE: [&str; 2] = ["alias", "address"];

/// What is said of an element that is not listed.
const NOT_UNDERSTOOD: &str = "is not understood and not carried over";

/// Stands for all attributes and all that is inside.
const ALL: &str = "**";

/// Each element, and its attributes: `name`, or `name=value|value` where other values are not
/// understood. What is not listed is a finding.
const KNOWN: &[(&str, &str)] = &[
    ("domain", "type id"),
    ("domain/name", ""),
    ("domain/uuid", ""),
    ("domain/title", ""),
    ("domain/description", ""),
    ("domain/metadata", ""),
    ("domain/memory", "unit"),
    ("domain/maxMemory", "unit slots"),
    ("domain/currentMemory", ALL),
    ("domain/vcpu", "placement current"),
    ("domain/sysinfo", "type"),
    ("domain/sysinfo/entry", "name file"),
    ("domain/resource", ALL),
    ("domain/seclabel", ALL),
    ("domain/on_poweroff", ""),
    ("domain/on_reboot", ""),
    ("domain/on_crash", ""),
    ("domain/pm", ALL),
    ("domain/os", "firmware=efi|bios"),
    ("domain/os/type", "arch machine"),
    ("domain/os/boot", "dev"),
    ("domain/os/loader", "readonly secure=yes|no type stateless=no format"),
    ("domain/os/firmware", ""),
    ("domain/os/firmware/feature", "enabled name=secure-boot|enrolled-keys"),
    ("domain/features", ""),
    ("domain/features/acpi", ""),
    ("domain/features/apic", "eoi"),
    ("domain/features/pae", ""),
    ("domain/features/hyperv", ALL),
    ("domain/features/ioapic", "driver=qemu|kvm"),
    ("domain/features/pmu", "state=on"),
    ("domain/features/smm", "state"),
    ("domain/features/vmport", "state"),
    ("domain/cpu", "mode match check migratable"),
    ("domain/cpu/model", "fallback"),
    ("domain/cpu/vendor", ""),
    ("domain/cpu/topology", "sockets dies clusters cores threads"),
    ("domain/cpu/feature", ALL),
    ("domain/cpu/numa", ""),
    ("domain/cpu/numa/cell", "id=0 cpus memory unit"),
    ("domain/clock", "offset basis timezone adjustment=0"),
    ("domain/clock/timer", ALL),
    ("domain/devices", ""),
    ("domain/devices/emulator", ""),
    ("domain/devices/controller", "type=ide|sata|scsi|usb|fdc|pci|virtio-serial index model ports"),
    ("domain/devices/controller/master", "startport"),
    ("domain/devices/controller/model", "name"),
    ("domain/devices/controller/target", ALL),
    ("domain/devices/disk", "type device snapshot=internal|external|no|manual|none"),
    ("domain/devices/disk/driver", "name=qemu type discard=unmap"),
    ("domain/devices/disk/source", "file dev index"),
    ("domain/devices/disk/source/seclabel", ALL),
    ("domain/devices/disk/backingStore", ALL),
    ("domain/devices/disk/target", "dev bus tray=closed rotation_rate=1"),
    ("domain/devices/disk/serial", ""),
    ("domain/devices/disk/wwn", ""),
    ("domain/devices/disk/readonly", ""),
    ("domain/devices/disk/boot", "order"),
    ("domain/devices/interface", "type"),
    ("domain/devices/interface/mac", "address type"),
    ("domain/devices/interface/source", "network bridge portid"),
    ("domain/devices/interface/target", "dev managed"),
    ("domain/devices/interface/backend", "type=default|passt"),
    ("domain/devices/interface/model", "type"),
    ("domain/devices/interface/link", "state"),
    ("domain/devices/interface/boot", "order"),
    ("domain/devices/interface/vlan", ""),
    ("domain/devices/interface/vlan/tag", "id"),
    ("domain/devices/serial", "type"),
    ("domain/devices/serial/source", ALL),
    ("domain/devices/serial/target", "port type=isa-serial"),
    ("domain/devices/serial/target/model", "name=isa-serial"),
    ("domain/devices/console", ALL),
    ("domain/devices/channel", "type=unix"),
    ("domain/devices/channel/source", ALL),
    ("domain/devices/channel/target", ALL),
    ("domain/devices/input", "type=tablet|mouse|keyboard bus=usb|ps2"),
    ("domain/devices/tpm", "model=tpm-crb|tpm-tis"),
    ("domain/devices/tpm/backend", "type version"),
    ("domain/devices/graphics", "type port autoport listen websocket"),
    ("domain/devices/graphics/listen", ALL),
    ("domain/devices/video", ""),
    ("domain/devices/video/model", "type heads primary vram ram vgamem"),
    ("domain/devices/sound", "model"),
    ("domain/devices/audio", "type id"),
    ("domain/devices/memballoon", "model=virtio|none"),
    ("domain/devices/memballoon/stats", ALL),
    ("domain/devices/rng", "model=virtio"),
    ("domain/devices/rng/backend", "model"),
    ("domain/devices/watchdog", "model action"),
    ("domain/devices/iommu", "model=intel"),
    ("domain/devices/iommu/driver", "intremap eim caching_mode"),
];

/// Notes everything that is not known, without looking inside it.
pub(super) fn note_unknown(root: &Element<'_>, notes: &mut Notes<'_>) {
    look(root, "domain", notes);
}

fn look(element: &Element<'_>, path: &str, notes: &mut Notes<'_>) {
    if notes.is_spoken_for(element) {
        return;
    }
    let Some((_, attributes)) = KNOWN.iter().find(|(known, _)| *known == path) else {
        let code = if path == "domain/devices/hostdev" { Code::W0206 } else { Code::W0204 };
        notes.note(element, code, NOT_UNDERSTOOD);
        return;
    };
    if *attributes == ALL {
        return;
    }
    for attribute in &element.attributes {
        look_at_attribute(element, attribute, attributes, notes);
    }
    for child in &element.children {
        match child.space {
            Space::Libosinfo => {}
            Space::None if OF_ANY_DEVICE.contains(&child.name) => {}
            Space::None => look(child, &format!("{path}/{}", child.name), notes),
            Space::Other if keeps_names(child) => {}
            Space::Other => notes.note(child, Code::W0204, NOT_UNDERSTOOD),
        }
    }
}

fn look_at_attribute(
    element: &Element<'_>,
    attribute: &Attribute<'_>,
    known: &str,
    notes: &mut Notes<'_>,
) {
    let name = attribute.name;
    let words = known.split(' ').map(|word| word.split_once('=').unwrap_or((word, "")));
    let message = match words.filter(|(word, _)| *word == name).map(|(_, values)| values).next() {
        Some("") => return,
        Some(values) if values.split('|').any(|value| value == attribute.value) => return,
        Some(_) => format!("{name} {} is not carried over", Shown(&attribute.value)),
        None => format!("the attribute {} is not carried over", Shown(name)),
    };
    notes.note(element, Code::W0204, message);
}

#[cfg(test)]
mod tests {
    use crate::read::tests::{document, read_devices, read_text};

    #[test]
    fn notes_the_topmost_element_that_it_does_not_know() {
        let text = document("<memtune><hard_limit unit='G'>1</hard_limit></memtune>", "");
        let (_, findings) = read_text(&text);
        assert_eq!(findings, ["W0204 /domain/memtune: is not understood and not carried over"]);
    }

    #[test]
    fn notes_attributes_and_values_that_it_does_not_know() {
        let (_, findings) = read_devices("<rng model='virtio-transitional' x='1'/>");
        assert_eq!(
            findings,
            [
                r#"W0204 /domain/devices/rng: model "virtio-transitional" is not carried over"#,
                r#"W0204 /domain/devices/rng: the attribute "x" is not carried over"#,
            ]
        );
    }

    #[test]
    fn takes_no_element_of_another_namespace_for_libvirts() {
        let text = document("<q:cpu xmlns:q='urn:q'/>", "")
            .replace("<devices>", "<devices xmlns='urn:q'>");
        let (_, findings) = read_text(&text);
        assert_eq!(
            findings,
            [
                "W0204 /domain/q:cpu: is not understood and not carried over",
                "W0204 /domain/devices: is not understood and not carried over",
            ]
        );
    }

    #[test]
    fn shows_names_without_what_could_forge_a_line() {
        let (_, findings) = read_devices("<a\u{202e}b/>");
        assert_eq!(
            findings,
            ["W0204 /domain/devices/a\\u{202e}b: is not understood and not carried over"]
        );
    }

    #[test]
    fn reads_past_what_the_host_hands_out() {
        let (_, findings) = read_devices(
            "<emulator>/usr/bin/qemu</emulator>\
             <controller type='pci' index='0' model='pcie-root'><alias name='pcie.0'/></controller>\
             <memballoon model='virtio'><address type='pci' bus='0x05'/></memballoon>",
        );
        assert_eq!(findings, [""; 0]);
    }
}
