//! Paths of the host in elements whose type is harmless.

use code::Code;

use super::Verdict;
use crate::{document::Element, patch::CHANNEL_FOLDERS};

/// Attributes that name something of the host even where they do not begin with a slash.
const PATHS: [&str; 11] = [
    "agentsock",
    "dir",
    "evdev",
    "file",
    "keyfile",
    "logFile",
    "path",
    "rendernode",
    "socket",
    "tap",
    "vhost",
];

/// Elements whose text and attributes are data, or are judged as a whole elsewhere.
const DATA: [&str; 9] = [
    "domain/name",
    "domain/title",
    "domain/description",
    "domain/os/loader",
    "domain/devices/emulator",
    "domain/devices/disk/product",
    "domain/devices/disk/serial",
    "domain/devices/disk/source",
    "domain/devices/disk/vendor",
];

/// The same with all that is in them: where the bytes of a drive lie is for who restores it.
const DATA_BELOW: [&str; 4] = [
    "domain/os/nvram",
    "domain/resource",
    "domain/devices/disk/backingStore",
    "domain/devices/disk/mirror",
];

/// Refuses an element that names a path of the host.
pub(super) fn judge(element: &Element<'_>, parent: &Element<'_>, path: &str) -> Verdict {
    if path.starts_with("domain/sysinfo") {
        return sysinfo(element);
    }
    if DATA.contains(&path) || DATA_BELOW.iter().any(|data| path.starts_with(data)) {
        return Verdict::Judge;
    }
    if names_a_path(element) && !is_handed_out(element, parent, path) {
        return Verdict::remove(Code::W0203, "a path of the host is not handed on");
    }
    Verdict::Judge
}

/// A file of the host would become part of the firmware's configuration.
fn sysinfo(element: &Element<'_>) -> Verdict {
    if element.is("entry") && element.value("file").is_some() {
        return Verdict::remove(Code::W0205, "a file of the host is not handed to the firmware");
    }
    Verdict::Judge
}

fn names_a_path(element: &Element<'_>) -> bool {
    let is_path = |name: &str, value: &str| {
        !value.is_empty() && (PATHS.contains(&name) || value.trim_start().starts_with('/'))
    };
    element.attributes.iter().any(|attribute| is_path(attribute.name, &attribute.value))
        || element.word().is_some_and(|text| element.is("path") || text.starts_with('/'))
}

/// Whether it repeats what libvirt made for a running machine, and makes anew.
fn is_handed_out(element: &Element<'_>, parent: &Element<'_>, path: &str) -> bool {
    let is_terminal = |value: &str| is_within(value, &["/dev/pts/"]);
    match path {
        "domain/devices/console" => element.value("tty").is_some_and(is_terminal),
        // Which source it may be, the device was asked.
        "domain/devices/rng/backend" => true,
        _ if element.is("source") => {
            let value = element.value("path").unwrap_or_default();
            match parent.value("type") {
                Some("pty") => is_terminal(value),
                // To connect to a socket there would be to speak for another machine.
                Some("unix") => {
                    element.value("mode") == Some("bind") && is_within(value, &CHANNEL_FOLDERS)
                }
                _ => false,
            }
        }
        _ => false,
    }
}

/// Whether a path lies in one of these folders, each with its slash, by its text alone.
pub(super) fn is_within(path: &str, folders: &[&str]) -> bool {
    let climbs = path.split('/').any(|part| part == "..");
    !climbs && folders.iter().any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use crate::{
        read::tests::document,
        scrub::tests::{assert_devices_removed, assert_kept, assert_removed},
    };

    #[test]
    fn removes_what_names_a_path_of_the_host() {
        let path = "a path of the host is not handed on";
        for (around, part, at) in [
            ("<interface type='user'>%</interface>", "<rom file='/etc/shadow'/>", "interface/rom"),
            ("<interface type='user'>%</interface>", "<rom file='relative'/>", "interface/rom"),
            (
                "<interface type='user'>%</interface>",
                "<backend type='passt' logFile='/l'/>",
                "interface/backend",
            ),
            (
                "<interface type='network'>%</interface>",
                "<backend vhost='dev/vhost-net'/>",
                "interface/backend",
            ),
            ("<serial type='pty'>%</serial>", "<log file='/etc/x'/>", "serial/log"),
            ("<serial type='pty'>%</serial>", "<source path='/dev/sda'/>", "serial/source"),
            ("<serial type='pty'>%</serial>", "<source path='/dev/pts/../sda'/>", "serial/source"),
            (
                "<channel type='unix'>%</channel>",
                "<source mode='connect' path='/var/lib/libvirt/qemu/channel/x'/>",
                "channel/source",
            ),
            (
                "<channel type='unix'>%</channel>",
                "<source mode='bind' path='/run/docker.sock'/>",
                "channel/source",
            ),
            (
                "<graphics type='vnc'>%</graphics>",
                "<listen type='socket' socket='/s'/>",
                "graphics/listen",
            ),
            ("<graphics type='spice'>%</graphics>", "<gl rendernode='/dev/dri/x'/>", "graphics/gl"),
            ("<panic>%</panic>", "<x> /etc/shadow </x>", "panic/x"),
            // QEMU runs in the root of the file system: what does not begin with a slash is a path, too.
            ("<pstore backend='acpi-erst'>%</pstore>", "<path>etc/shadow</path>", "pstore/path"),
            ("<disk>%<target dev='vda'/></disk>", "<driver name='qemu' x='/y'/>", "disk/driver"),
        ] {
            let around = |part: &str| document("", &around.replace('%', part));
            assert_removed(part, around, &format!("W0203 /domain/devices/{at}: {path}"));
        }
        assert_devices_removed(&[(
            "<graphics type='vnc' socket='/s'/>",
            "W0203 graphics: a path of the host is not handed on",
        )]);
    }

    #[test]
    fn removes_files_handed_to_the_firmware() {
        let around = |part: &str| document(&format!("<sysinfo type='fwcfg'>{part}</sysinfo>"), "");
        assert_removed(
            "<entry name='opt/x' file='etc/shadow'/>",
            around,
            "W0205 /domain/sysinfo/entry: a file of the host is not handed to the firmware",
        );
    }

    #[test]
    fn keeps_what_only_looks_like_a_path_or_is_libvirts_own() {
        assert_kept(&[
            document("<sysinfo><system><entry name='serial'>/S</entry></system></sysinfo>", ""),
            document("<resource><partition>/machine</partition></resource>", ""),
            document("", "<serial type='pty'><source path='/dev/pts/3'/></serial>"),
            document("", "<console type='pty' tty='/dev/pts/3'/>"),
            document(
                "",
                "<channel type='unix'><source mode='bind' \
                 path='/run/libvirt/qemu/channel/7-n/org.qemu.guest_agent.0'/></channel>",
            ),
            document(
                "",
                "<disk type='block'><source dev='/dev/x'/><backingStore type='file'>\
                 <source file='/b'/></backingStore><target dev='vda'/><serial>/S</serial></disk>",
            ),
        ]);
    }
}
