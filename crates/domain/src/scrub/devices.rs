//! Devices: which kinds may come from elsewhere, and of which types.

use code::Code;

use super::{Verdict, board::NOT_LISTED};
use crate::document::{Element, Shown};

/// Devices that are nothing but the guest's own, of whatever type; paths in them are looked for.
const OF_THE_GUEST: [&str; 13] = [
    "controller",
    "crypto",
    "hub",
    "iommu",
    "memballoon",
    "nvram",
    "panic",
    "redirfilter",
    "sound",
    "video",
    "vsock",
    "watchdog",
    "pstore",
];

/// Where hosts have QEMU under its names for KVM.
const EMULATORS: [&str; 3] = ["/usr/bin/kvm", "/usr/bin/qemu-kvm", "/usr/libexec/qemu-kvm"];
/// Where they have it by architecture.
const EMULATOR_OF: &str = "/usr/bin/qemu-system-";

/// Sources of random numbers that give nothing away.
const RANDOM: [&str; 3] = ["/dev/random", "/dev/urandom", "/dev/hwrng"];

const GIVES_THE_HOST: &str = "gives the guest a device or a folder of the host";

/// Judges an element below `<devices>`; `path` begins with the device's name.
pub(super) fn judge(element: &Element<'_>, parent: &Element<'_>, path: &str) -> Verdict {
    match path.split_once('/') {
        None => device(element),
        Some(("interface", "script" | "downscript")) => {
            Verdict::remove(Code::W0607, "no program of the host is run for a network card")
        }
        Some(("disk", "backingStore")) if parent.value("device") == Some("lun") => {
            Verdict::remove(Code::W0204, "a device of the host has no image behind it")
        }
        Some(_) => Verdict::Judge,
    }
}

fn device(element: &Element<'_>) -> Verdict {
    match element.name {
        "hostdev" | "filesystem" | "shmem" => Verdict::remove(Code::W0206, GIVES_THE_HOST),
        "emulator" => emulator(element),
        "disk" => of_type(element, Code::W0206, "file", &["file", "block", "network", "volume"]),
        "interface" => interface(element),
        "serial" | "parallel" | "console" => {
            character(element, &["pty", "null", "vc", "spiceport"])
        }
        "channel" => {
            character(element, &["pty", "null", "unix", "spicevmc", "spiceport", "qemu-vdagent"])
        }
        "redirdev" => of_type(element, Code::W0206, "", &["spicevmc"]),
        "smartcard" => smartcard(element),
        "graphics" => of_type(element, Code::W0203, "", &["vnc", "spice", "egl-headless"]),
        "audio" => of_type(element, Code::W0203, "", &["none", "spice"]),
        "input" => of_type(element, Code::W0206, "", &["tablet", "mouse", "keyboard"]),
        "rng" => rng(element),
        "tpm" => tpm(element),
        "memory" => memory(element),
        name if OF_THE_GUEST.contains(&name) => Verdict::Judge,
        _ => Verdict::remove(Code::W0204, NOT_LISTED),
    }
}

/// Keeps a device of these types; `silent` is what libvirt takes where none is said.
fn of_type(element: &Element<'_>, code: Code, silent: &str, kept: &[&str]) -> Verdict {
    let kind = element.value("type").unwrap_or(silent);
    if kept.contains(&kind) {
        return Verdict::Judge;
    }
    let why = format!("its type {} would reach outside the machine", Shown(kind));
    Verdict::remove(code, why)
}

fn emulator(element: &Element<'_>) -> Verdict {
    let program = element.word().unwrap_or_default();
    let is_name = |rest: &str| {
        rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    let is_qemu =
        EMULATORS.contains(&program) || program.strip_prefix(EMULATOR_OF).is_some_and(is_name);
    if is_qemu {
        return Verdict::Judge;
    }
    let why = format!("{} is not where a host has QEMU", Shown(program));
    Verdict::remove(Code::W0607, why)
}

fn interface(element: &Element<'_>) -> Verdict {
    if element.child_value("source", "mode") == Some("passthrough") {
        return Verdict::remove(Code::W0206, GIVES_THE_HOST);
    }
    let kept = ["network", "bridge", "user", "internal", "direct", "null"];
    of_type(element, Code::W0206, "", &kept)
}

/// A character device of a type that stays inside, or the agent's kind of socket, whose path is
/// judged by itself.
fn character(element: &Element<'_>, kept: &[&str]) -> Verdict {
    let code = if element.value("type") == Some("dev") { Code::W0206 } else { Code::W0203 };
    of_type(element, code, "", kept)
}

fn smartcard(element: &Element<'_>) -> Verdict {
    match element.value("mode") {
        Some("passthrough") => of_type(element, Code::W0206, "", &["spicevmc"]),
        _ => Verdict::remove(Code::W0206, GIVES_THE_HOST),
    }
}

fn rng(element: &Element<'_>) -> Verdict {
    let is_harmless = |backend: &Element<'_>| match backend.value("model") {
        Some("builtin") => true,
        Some("random") => backend.word().is_none_or(|file| RANDOM.contains(&file)),
        _ => false,
    };
    if element.all("backend").all(is_harmless) {
        return Verdict::Judge;
    }
    Verdict::remove(Code::W0206, "takes random numbers from elsewhere than the kernel")
}

fn tpm(element: &Element<'_>) -> Verdict {
    if element.all("backend").all(|backend| backend.value("type") == Some("emulator")) {
        return Verdict::Judge;
    }
    Verdict::remove(Code::W0206, GIVES_THE_HOST)
}

fn memory(element: &Element<'_>) -> Verdict {
    match element.value("model") {
        Some("dimm" | "virtio-mem") => Verdict::Judge,
        _ => Verdict::remove(Code::W0207, "memory that is kept in a file or a device of the host"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        read::tests::document,
        scrub::tests::{assert_devices_removed, assert_kept, assert_removed},
    };

    #[test]
    fn removes_devices_of_the_host() {
        let host = |device: &str| format!("W0206 {device}: {GIVES_THE_HOST}");
        for (part, device) in [
            ("<hostdev mode='subsystem' type='pci'/>", "hostdev"),
            ("<filesystem type='mount'><source dir='/'/></filesystem>", "filesystem"),
            ("<shmem name='x'/>", "shmem"),
            ("<smartcard mode='host'/>", "smartcard"),
            ("<smartcard mode='host-certificates'/>", "smartcard"),
            ("<tpm><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>", "tpm"),
            (
                "<interface type='direct'><source dev='eth0' mode='passthrough'/></interface>",
                "interface",
            ),
        ] {
            assert_devices_removed(&[(part, host(device).as_str())]);
        }
    }

    #[test]
    fn removes_devices_of_types_that_reach_outside() {
        for (device, kind, code) in [
            ("disk", "nvme", "W0206"),
            ("disk", "vhostuser", "W0206"),
            ("disk", "dir", "W0206"),
            ("interface", "ethernet", "W0206"),
            ("interface", "hostdev", "W0206"),
            ("interface", "vdpa", "W0206"),
            ("interface", "vhostuser", "W0206"),
            ("interface", "server", "W0206"),
            ("serial", "file", "W0203"),
            ("serial", "dev", "W0206"),
            ("serial", "tcp", "W0203"),
            ("serial", "unix", "W0203"),
            ("console", "pipe", "W0203"),
            ("parallel", "udp", "W0203"),
            ("channel", "file", "W0203"),
            ("redirdev", "tcp", "W0206"),
            ("graphics", "dbus", "W0203"),
            ("audio", "file", "W0203"),
            ("input", "evdev", "W0206"),
            ("input", "passthrough", "W0206"),
        ] {
            let part = format!("<{device} type='{kind}'/>");
            let want =
                format!(r#"{code} {device}: its type "{kind}" would reach outside the machine"#);
            assert_devices_removed(&[(&part, &want)]);
        }
    }

    #[test]
    fn removes_programs_sources_and_memory_of_the_host() {
        let random = "W0206 rng: takes random numbers from elsewhere than the kernel";
        let memory = "W0207 memory: memory that is kept in a file or a device of the host";
        assert_devices_removed(&[
            (
                "<emulator>/tmp/x</emulator>",
                r#"W0607 emulator: "/tmp/x" is not where a host has QEMU"#,
            ),
            (
                "<emulator>/usr/bin/qemu-system-x/../sh</emulator>",
                r#"W0607 emulator: "/usr/bin/qemu-system-x/../sh" is not where a host has QEMU"#,
            ),
            (
                "<emulator>/usr/bin/kvmtool</emulator>",
                r#"W0607 emulator: "/usr/bin/kvmtool" is not where a host has QEMU"#,
            ),
            ("<rng model='virtio'><backend model='random'>/etc/shadow</backend></rng>", random),
            ("<rng model='virtio'><backend model='egd' type='tcp'/></rng>", random),
            ("<memory model='nvdimm'><source><path>/x</path></source></memory>", memory),
            ("<lease><target path='/x'/></lease>", &format!("W0204 lease: {NOT_LISTED}")),
        ]);
    }

    #[test]
    fn removes_scripts_of_cards_and_images_behind_devices() {
        for script in ["<script path='/x'/>", "<downscript path='x'/>"] {
            let name = &script[1..script.find(' ').unwrap()];
            assert_removed(
                script,
                |part| document("", &format!("<interface type='bridge'>{part}</interface>")),
                &format!(
                    "W0607 /domain/devices/interface/{name}: no program of the host is run for a network card"
                ),
            );
        }
        assert_removed(
            "<backingStore type='file'><source file='/x'/></backingStore>",
            |part| {
                document(
                    "",
                    &format!("<disk type='block' device='lun'>{part}<target dev='sda'/></disk>"),
                )
            },
            "W0204 /domain/devices/disk/backingStore: a device of the host has no image behind it",
        );
    }

    #[test]
    fn keeps_devices_that_are_the_guests_own() {
        let devices = "<emulator>/usr/libexec/qemu-kvm</emulator>\
            <interface type='direct'><source dev='eth0' mode='bridge'/></interface>\
            <disk><source file='/a'/><target dev='vda'/></disk><tpm><backend type='emulator'/></tpm>\
            <rng model='virtio'><backend model='builtin'/></rng><memory model='dimm'/>\
            <smartcard mode='passthrough' type='spicevmc'/><vsock model='virtio'/>\
            <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>";
        assert_kept(&[document("", devices)]);
    }
}
