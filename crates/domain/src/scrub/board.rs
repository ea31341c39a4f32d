//! What is not a device: the board, its firmware, and how libvirt runs the machine.

use code::Code;

use super::{Verdict, paths::is_within};
use crate::document::{Element, Shown};

/// The elements below `<domain>` that may come from elsewhere.
const ELEMENTS: [&str; 34] = [
    "blkiotune",
    "clock",
    "cpu",
    "cputune",
    "currentMemory",
    "defaultiothread",
    "description",
    "devices",
    "features",
    "genid",
    "iothreadids",
    "iothreads",
    "keywrap",
    "maxMemory",
    "memory",
    "memoryBacking",
    "memtune",
    "metadata",
    "name",
    "numatune",
    "on_crash",
    "on_lockfailure",
    "on_poweroff",
    "on_reboot",
    "os",
    "perf",
    "pm",
    "resource",
    "seclabel",
    "sysinfo",
    "title",
    "uuid",
    "vcpu",
    "vcpus",
];

/// The elements below `<os>` that may come from elsewhere: all but those of a kernel or an init.
const OS_ELEMENTS: [&str; 8] =
    ["bios", "boot", "bootmenu", "firmware", "loader", "nvram", "smbios", "type"];

/// Where distributions have firmware and the templates of its variables.
const FIRMWARE_FOLDERS: [&str; 9] = [
    "/usr/share/AAVMF/",
    "/usr/share/OVMF/",
    "/usr/share/edk2/",
    "/usr/share/edk2-ovmf/",
    "/usr/share/edk2.git/",
    "/usr/share/ovmf/",
    "/usr/share/qemu/",
    "/usr/share/qemu-efi-aarch64/",
    "/usr/share/seabios/",
];

/// The most threads for the disks of a machine: the limit of this product; a disk has use for one.
const MAX_IO_THREADS: u32 = 1024;

/// Where libvirt keeps the variables of machines.
const VARIABLES_FOLDER: &str = "/var/lib/libvirt/qemu/nvram/";

/// Judges an element that is not below `<devices>`.
pub(super) fn judge(element: &Element<'_>, parent: &Element<'_>, path: &str) -> Verdict {
    let mut parts = path.split('/').skip(1);
    match (parts.next(), parts.next(), parts.next()) {
        (Some("metadata"), None, _) => Verdict::Keep,
        (Some("bootloader" | "bootloader_args"), None, _) => {
            Verdict::remove(Code::W0607, "no program of the host is run to start the guest")
        }
        (Some("launchSecurity"), None, _) => {
            Verdict::remove(Code::W0207, "memory encryption is bound to the old host's processor")
        }
        (Some("seclabel"), None, _) => seclabel(element),
        (Some("resource"), None, _) => resource(element),
        (Some("iothreads"), None, _) => io_threads(element),
        (Some(name), None, _) if ELEMENTS.contains(&name) => Verdict::Judge,
        (Some(_), None, _) => Verdict::remove(Code::W0204, NOT_LISTED),
        (Some("blkiotune"), Some("device"), None) => {
            Verdict::remove(Code::W0205, "limits of a device of the old host mean nothing here")
        }
        (Some("os"), Some(name), None) => os(element, parent, name),
        _ => Verdict::Judge,
    }
}

/// Why an element that is on no list goes.
pub(super) const NOT_LISTED: &str = "is not among what a machine from elsewhere may have";

/// How the host guards its machines is for the host to say; a dynamic label leaves that to it.
fn seclabel(label: &Element<'_>) -> Verdict {
    let is_plain = label.value("type").unwrap_or("dynamic") == "dynamic"
        && label.value("relabel") != Some("no")
        && label.first("baselabel").is_none();
    if is_plain {
        return Verdict::Judge;
    }
    Verdict::remove(Code::W0205, GUARDED)
}

/// Why a label goes.
pub(super) const GUARDED: &str = "the host's own rules say how its machines are guarded";

/// The host's default for its machines is the only place that is known to be for them.
fn resource(element: &Element<'_>) -> Verdict {
    let mut partitions = element.all("partition").filter_map(Element::word);
    if partitions.all(|partition| partition == "/machine") {
        return Verdict::Judge;
    }
    Verdict::remove(Code::W0205, "the host says which share its machines have")
}

/// Threads are made for as many as a definition asks for.
fn io_threads(element: &Element<'_>) -> Verdict {
    let count = element.word().and_then(|text| text.parse::<u32>().ok());
    if count.is_some_and(|count| count <= MAX_IO_THREADS) {
        return Verdict::Judge;
    }
    let why = format!("is no number of threads in 0..={MAX_IO_THREADS}");
    Verdict::remove(Code::W0204, why)
}

fn os(element: &Element<'_>, os: &Element<'_>, name: &str) -> Verdict {
    match name {
        "loader" => loader(element),
        "nvram" if os.first("loader").is_some_and(is_elsewhere) => {
            Verdict::remove(Code::W0108, "the variables are those of a firmware that is not taken")
        }
        "nvram" => variables(element),
        name if OS_ELEMENTS.contains(&name) => Verdict::Judge,
        "acpi" => {
            Verdict::remove(Code::W0205, "no file of the host becomes a table of the firmware")
        }
        "kernel" | "initrd" | "cmdline" | "dtb" | "shim" => {
            Verdict::remove(Code::W0205, "no kernel of the host is started in the guest's place")
        }
        _ => Verdict::remove(Code::W0204, NOT_LISTED),
    }
}

fn loader(element: &Element<'_>) -> Verdict {
    if !is_elsewhere(element) {
        return Verdict::Judge;
    }
    let file = element.word().unwrap_or_default();
    let why = format!("the firmware {} is in no folder of firmware", Shown(file));
    Verdict::remove(Code::W0108, why)
}

fn is_elsewhere(loader: &Element<'_>) -> bool {
    loader.word().is_some_and(|file| !is_within(file, &FIRMWARE_FOLDERS))
}

/// The variables of a machine, and what they are made of.
fn variables(element: &Element<'_>) -> Verdict {
    if element.value("type").is_some_and(|kind| kind != "file") {
        return Verdict::remove(Code::W0108, "the firmware's variables are not in a file");
    }
    let sources = element.all("source").filter_map(|source| source.value("file"));
    if let Some(file) =
        element.word().into_iter().chain(sources).find(|file| !is_within(file, &[VARIABLES_FOLDER]))
    {
        let why = format!("the variables {} are not where libvirt keeps them", Shown(file));
        return Verdict::remove(Code::W0108, why);
    }
    match element.value("template") {
        Some(file) if !is_within(file, &FIRMWARE_FOLDERS) => {
            let why = format!("the template {} is in no folder of firmware", Shown(file));
            Verdict::remove(Code::W0108, why)
        }
        _ => Verdict::Judge,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        read::tests::document,
        scrub::tests::{assert_kept, assert_removed, scrubbed},
    };

    #[test]
    fn removes_elements_that_are_not_listed() {
        for (part, want) in [
            ("<idmap/>", format!("W0204 /domain/idmap: {NOT_LISTED}")),
            (
                "<bootloader>/usr/bin/pygrub</bootloader>",
                "W0607 /domain/bootloader: no program of the host is run to start the guest".to_owned(),
            ),
            (
                "<iothreads>4294967295</iothreads>",
                "W0204 /domain/iothreads: is no number of threads in 0..=1024".to_owned(),
            ),
            (
                "<iothreads>-1</iothreads>",
                "W0204 /domain/iothreads: is no number of threads in 0..=1024".to_owned(),
            ),
            (
                "<launchSecurity type='sev'/>",
                "W0207 /domain/launchSecurity: memory encryption is bound to the old host's processor".to_owned(),
            ),
        ] {
            assert_removed(part, |part| document(part, ""), &want);
        }
    }

    #[test]
    fn removes_shares_and_limits_of_the_old_host() {
        assert_removed(
            "<resource><partition>/system.slice</partition></resource>",
            |part| document(part, ""),
            "W0205 /domain/resource: the host says which share its machines have",
        );
        assert_removed(
            "<device><path>/dev/sda</path><weight>9</weight></device>",
            |part| document(&format!("<blkiotune><weight>9</weight>{part}</blkiotune>"), ""),
            "W0205 /domain/blkiotune/device: limits of a device of the old host mean nothing here",
        );
    }

    #[test]
    fn removes_labels_that_unguard_a_machine() {
        let want = "W0205 /domain/seclabel: the host's own rules say how its machines are guarded";
        for label in [
            "<seclabel type='none'/>",
            "<seclabel type='static' model='dac'><label>0:0</label></seclabel>",
            "<seclabel type='dynamic' relabel='no'/>",
            "<seclabel><baselabel>x</baselabel></seclabel>",
        ] {
            assert_removed(label, |part| document(part, ""), want);
        }
    }

    #[test]
    fn removes_labels_of_single_files() {
        let label = "<seclabel model='dac' relabel='yes'><label>1001:1001</label></seclabel>";
        for (around, at) in [
            ("<disk><source file='/a'>%</source><target dev='vda'/></disk>", "disk/source"),
            ("<serial type='pty'><source>%</source></serial>", "serial/source"),
            ("<channel type='pty'>%</channel>", "channel"),
        ] {
            let want = format!("W0205 /domain/devices/{at}/seclabel: {GUARDED}");
            assert_removed(label, |part| document("", &around.replace('%', part)), &want);
        }
        let nvram = |part: &str| {
            let text = "<os><nvram type='file'><source file='/var/lib/libvirt/qemu/nvram/v.fd'>%</source></nvram></os>";
            document(&text.replace('%', part), "")
        };
        assert_removed(
            label,
            nvram,
            &format!("W0205 /domain/os[2]/nvram/source/seclabel: {GUARDED}"),
        );
    }

    #[test]
    fn removes_what_boots_from_files_of_the_host() {
        let kernel = "no kernel of the host is started in the guest's place";
        for (part, want) in [
            ("<kernel>/k</kernel>", format!("W0205 /domain/os[2]/kernel: {kernel}")),
            ("<initrd>/i</initrd>", format!("W0205 /domain/os[2]/initrd: {kernel}")),
            ("<cmdline>x</cmdline>", format!("W0205 /domain/os[2]/cmdline: {kernel}")),
            ("<dtb>/d</dtb>", format!("W0205 /domain/os[2]/dtb: {kernel}")),
            (
                "<acpi><table type='slic'>/t</table></acpi>",
                "W0205 /domain/os[2]/acpi: no file of the host becomes a table of the firmware".to_owned(),
            ),
            ("<init>/sbin/init</init>", format!("W0204 /domain/os[2]/init: {NOT_LISTED}")),
            (
                "<loader>/etc/shadow</loader>",
                r#"W0108 /domain/os[2]/loader: the firmware "/etc/shadow" is in no folder of firmware"#.to_owned(),
            ),
            (
                "<loader>/usr/share/OVMF/../../../etc/shadow</loader>",
                r#"W0108 /domain/os[2]/loader: the firmware "/usr/share/OVMF/../../../etc/shadow" is in no folder of firmware"#.to_owned(),
            ),
            (
                "<nvram>/etc/shadow</nvram>",
                r#"W0108 /domain/os[2]/nvram: the variables "/etc/shadow" are not where libvirt keeps them"#.to_owned(),
            ),
            (
                "<nvram type='file'><source file='/etc/shadow'/></nvram>",
                r#"W0108 /domain/os[2]/nvram: the variables "/etc/shadow" are not where libvirt keeps them"#.to_owned(),
            ),
            (
                "<nvram type='block'><source dev='/dev/sda'/></nvram>",
                "W0108 /domain/os[2]/nvram: the firmware's variables are not in a file".to_owned(),
            ),
            (
                "<nvram template='/etc/shadow'/>",
                r#"W0108 /domain/os[2]/nvram: the template "/etc/shadow" is in no folder of firmware"#.to_owned(),
            ),
        ] {
            assert_removed(part, |part| document(&format!("<os>{part}</os>"), ""), &want);
        }
    }

    #[test]
    fn removes_the_variables_with_their_firmware() {
        let text =
            document("<os><loader>/l</loader><nvram template='/usr/share/OVMF/V.fd'/></os>", "");
        let (text, findings) = scrubbed(&text);
        assert_eq!(text, document("<os></os>", ""));
        assert_eq!(
            findings[1],
            "W0108 /domain/os[2]/nvram: the variables are those of a firmware that is not taken"
        );
    }

    #[test]
    fn keeps_firmware_where_distributions_have_it() {
        assert_kept(&[document(
            "<os firmware='efi'><loader type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>\
             <nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>/var/lib/libvirt/qemu/nvram/n_VARS.fd</nvram>\
             <bootmenu enable='yes'/></os><iothreads>1024</iothreads><seclabel type='dynamic' model='dac' relabel='yes'/>",
            "",
        )]);
    }
}
