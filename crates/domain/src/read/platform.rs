//! Identity, memory, board, firmware, clock, boot order.

use code::Code;
use vm::{Accelerator, Chipset, Clock, Firmware, FwCfg, Nic, Uuid};

use super::storage::Drives;
use crate::{
    Error,
    document::{Element, Shown},
    notes::Notes,
};

/// The most memory that is read, in units of the document: 2^63 bytes are no machine's.
const MAX_MEMORY: u64 = 1 << 62;

pub(super) fn accelerator(root: &Element<'_>, notes: &Notes<'_>) -> Result<Accelerator, Error> {
    match root.value("type") {
        Some("kvm") => Ok(Accelerator::Kvm),
        Some("qemu") => Ok(Accelerator::Qemu),
        other => {
            let found = Shown(other.unwrap_or_default());
            let message = format!("a domain of type {found} is neither kvm nor qemu");
            Err(notes.unsupported(root, &message))
        }
    }
}

/// The board, whatever its version; `pc` where the document names none.
pub(super) fn chipset(root: &Element<'_>, notes: &mut Notes<'_>) -> Result<Chipset, Error> {
    let Some(kind) = root.at(&["os", "type"]) else {
        return Err(notes.contradiction(root, "the domain does not say what it starts"));
    };
    let word = kind.word().unwrap_or_default();
    if word != "hvm" {
        let message = format!("an operating system of type {} is not hvm", Shown(word));
        return Err(notes.unsupported(kind, &message));
    }
    match kind.value("arch") {
        None | Some("x86_64") => {}
        Some("i686") => notes.note(kind, Code::W0112, "a 32-bit machine is read as x86_64"),
        Some(arch) => {
            let message = format!("the processor {} is not x86_64", Shown(arch));
            return Err(notes.unsupported(kind, &message));
        }
    }
    let board = kind.value("machine").unwrap_or("pc");
    match board {
        "q35" => Ok(Chipset::Q35),
        "pc" => Ok(Chipset::Pc),
        _ if board.starts_with("pc-q35-") => Ok(Chipset::Q35),
        _ if board.starts_with("pc-") || board.starts_with("rhel6.") => Ok(Chipset::Pc),
        _ => {
            let message = format!("the board {} is neither pc nor q35", Shown(board));
            Err(notes.unsupported(kind, &message))
        }
    }
}

pub(super) fn uuid(root: &Element<'_>, notes: &Notes<'_>) -> Result<Option<Uuid>, Error> {
    let Some(element) = root.first("uuid") else { return Ok(None) };
    let Some(text) = element.word() else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        let message = format!("{} is no UUID", Shown(text));
        notes.contradiction(element, &message)
    })
}

/// The memory at start, and what it may grow to where that is more.
pub(super) fn memory_bytes(
    root: &Element<'_>,
    notes: &Notes<'_>,
) -> Result<(u64, Option<u64>), Error> {
    let Some(memory) = root.first("memory") else {
        return Err(notes.contradiction(root, "the domain has no memory"));
    };
    let bytes = amount(memory, notes)?;
    let most = root.first("maxMemory").map(|most| amount(most, notes)).transpose()?;
    Ok((bytes, most.filter(|most| *most > bytes)))
}

/// An amount of memory in bytes, rounded up to KiB as libvirt does.
fn amount(memory: &Element<'_>, notes: &Notes<'_>) -> Result<u64, Error> {
    let unit_text = memory.value("unit").unwrap_or("KiB");
    let Some(unit) = unit_bytes(unit_text) else {
        let message = format!("{} is no unit of memory", Shown(unit_text));
        return Err(notes.contradiction(memory, &message));
    };
    let most = MAX_MEMORY.checked_div(unit).unwrap_or_default();
    let number = notes.decimal(memory, "memory", memory.word().unwrap_or_default(), 1..=most)?;
    Ok(number.saturating_mul(unit).next_multiple_of(1024))
}

/// The units of "Memory Allocation" in `formatdomain`: powers of 1024, and of 1000 before a `B`.
fn unit_bytes(unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_lowercase();
    if matches!(unit.as_str(), "b" | "byte" | "bytes") {
        return Some(1);
    }
    let mut letters = unit.chars();
    let power = match letters.next()? {
        'k' => 1,
        'm' => 2,
        'g' => 3,
        't' => 4,
        _ => return None,
    };
    match letters.as_str() {
        "" | "ib" => 1024_u64.checked_pow(power),
        "b" => 1000_u64.checked_pow(power),
        _ => None,
    }
}

/// Whether the processor's performance counters are asked for expressly.
pub(super) fn pmu(root: &Element<'_>) -> bool {
    root.at(&["features", "pmu"]).is_some_and(|pmu| pmu.says_yes("state"))
}

/// Files in the firmware's configuration; texts that stand in the document itself are left out, as
/// are tables for the SMBIOS.
pub(super) fn fw_cfg(root: &Element<'_>, notes: &mut Notes<'_>) -> Vec<FwCfg> {
    let mut files = Vec::new();
    for info in root.all("sysinfo") {
        if info.value("type") != Some("fwcfg") {
            notes.leave_out(info, Code::W0204, "tables for the SMBIOS are not carried over");
            continue;
        }
        for entry in info.all("entry") {
            if let (Some(name), Some(file)) = (entry.value("name"), entry.value("file")) {
                files.push(FwCfg { name: name.to_owned(), file: file.into() });
            } else {
                notes.leave_out(entry, Code::W0204, "an entry without a file is not carried over");
            }
        }
    }
    files
}

/// What starts the guest.
///
/// Secure Boot is on where the firmware can do it and keys are in it; a document that names the
/// firmware by a file does not speak of keys, and then the loader decides.
pub(super) fn firmware(root: &Element<'_>, notes: &mut Notes<'_>) -> Firmware {
    let Some(os) = root.first("os") else { return Firmware::Bios };
    if let Some(variables) = os.first("nvram") {
        let message = "the firmware's variables are not carried over";
        notes.leave_out(variables, Code::W0104, message);
    }
    let loader = os.first("loader");
    let is_efi_file = loader.is_some_and(is_uefi_loader);
    if os.value("firmware") != Some("efi") && !is_efi_file {
        return Firmware::Bios;
    }
    let feature = |name| {
        let features = os.first("firmware").into_iter().flat_map(|list| list.all("feature"));
        let named = features.filter(|feature| feature.value("name") == Some(name)).last();
        named.map(|feature| feature.says_yes("enabled"))
    };
    let can = feature("secure-boot").unwrap_or(loader.is_some_and(|file| file.says_yes("secure")));
    if can && feature("enrolled-keys").unwrap_or(true) {
        Firmware::UefiSecure
    } else {
        Firmware::Uefi
    }
}

/// Flash is UEFI; an image in ROM is SeaBIOS or UEFI, and only its name tells which.
fn is_uefi_loader(loader: &Element<'_>) -> bool {
    let file = loader.text.to_ascii_lowercase();
    loader.value("type") == Some("pflash") || file.contains("ovmf") || file.contains("edk2")
}

/// The clock; what only a running clock knows is noted by whoever looks at the whole document.
pub(super) fn clock(root: &Element<'_>, notes: &mut Notes<'_>) -> Clock {
    let Some(clock) = root.first("clock") else { return Clock::Utc };
    let (read, is_exact) = match (clock.value("offset"), clock.value("basis")) {
        (Some("localtime"), _) => (Clock::LocalTime, true),
        (Some("variable"), Some("localtime")) => (Clock::LocalTime, true),
        (None | Some("utc" | "variable"), _) => (Clock::Utc, true),
        (Some("timezone"), _) => (Clock::LocalTime, false),
        (Some(_), _) => (Clock::Utc, false),
    };
    if !is_exact {
        let word = if read == Clock::Utc { "UTC" } else { "local time" };
        notes.note(clock, Code::W0112, format!("the clock is read as {word}"));
    }
    read
}

/// Turns `<boot dev=…>` of the whole machine into ranks of devices.
///
/// libvirt gives each class its place in the list, and the place to the first device of the class.
pub(super) fn spread_boot_order(root: &Element<'_>, drives: &mut Drives, nics: &mut [Nic]) {
    use vm::RemovableKind::{Cdrom, Floppy};
    let Some(os) = root.first("os") else { return };
    let classes = os.all("boot").filter_map(|boot| boot.value("dev"));
    for (rank, class) in (1_u16..).zip(classes) {
        let first_of = |kind| drives.removables.iter().position(|drive| drive.kind == kind);
        let slot = match class {
            "hd" => drives.disks.first_mut().map(|disk| &mut disk.boot_order),
            "cdrom" => first_of(Cdrom).and_then(|at| drives.removable_rank(at)),
            "fd" => first_of(Floppy).and_then(|at| drives.removable_rank(at)),
            "network" => nics.first_mut().map(|nic| &mut nic.boot_order),
            _ => None,
        };
        if let Some(slot @ None) = slot {
            *slot = Some(rank);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::{document, read_text, refusal};

    const OS: &str = "<os><type arch='x86_64' machine='q35'>hvm</type></os>";

    fn with_os(os: &str) -> String {
        document("", "").replace(OS, os)
    }

    fn with_board(board: &str) -> String {
        with_os(&format!("<os><type{board}>hvm</type></os>"))
    }

    #[test]
    fn knows_the_boards_of_every_version() {
        for (board, want) in [
            (" machine='pc-q35-8.2'", Chipset::Q35),
            (" machine='pc-q35-rhel9.4.0'", Chipset::Q35),
            (" machine='pc-i440fx-7.2'", Chipset::Pc),
            (" machine='pc-1.0'", Chipset::Pc),
            (" machine='rhel6.6.0'", Chipset::Pc),
            (" arch='x86_64'", Chipset::Pc),
        ] {
            assert_eq!(read_text(&with_board(board)).0.chipset, want, "{board}");
        }
    }

    #[test]
    fn refuses_machines_of_another_kind() {
        for (text, want) in [
            (
                document("", "").replace("'kvm'", "'xen'"),
                r#"a domain of type "xen" is neither kvm nor qemu (/domain, line 1)"#,
            ),
            (
                with_board(" arch='aarch64' machine='virt'"),
                r#"the processor "aarch64" is not x86_64 (/domain/os/type, line 1)"#,
            ),
            (
                with_board(" machine='microvm'"),
                r#"the board "microvm" is neither pc nor q35 (/domain/os/type, line 1)"#,
            ),
            (
                with_os("<os><type>exe</type></os>"),
                r#"an operating system of type "exe" is not hvm (/domain/os/type, line 1)"#,
            ),
            (with_os(""), "the domain does not say what it starts (/domain, line 1)"),
        ] {
            assert_eq!(refusal(&text), want);
        }
    }

    #[test]
    fn tells_the_firmware_by_choice_features_and_file() {
        let efi = |inside: &str| format!("<os firmware='efi'><type>hvm</type>{inside}</os>");
        let own = |inside: &str| format!("<os><type>hvm</type>{inside}</os>");
        let secure = "<feature enabled='yes' name='secure-boot'/>";
        let keyless = "<feature enabled='no' name='enrolled-keys'/>";
        for (os, want) in [
            (own(""), Firmware::Bios),
            (own("<loader type='rom'>/usr/share/seabios/bios.bin</loader>"), Firmware::Bios),
            (own("<loader type='rom'>/usr/share/ovmf/OVMF.fd</loader>"), Firmware::Uefi),
            (own("<loader readonly='yes' type='pflash'>/x.fd</loader>"), Firmware::Uefi),
            (own("<loader secure='yes' type='pflash'>/x.fd</loader>"), Firmware::UefiSecure),
            (efi(""), Firmware::Uefi),
            (efi("<loader secure='yes'/>"), Firmware::UefiSecure),
            (efi(&format!("<firmware>{secure}</firmware>")), Firmware::UefiSecure),
            (efi(&format!("<firmware>{secure}{keyless}</firmware>")), Firmware::Uefi),
        ] {
            assert_eq!(read_text(&with_os(&os)).0.firmware, want, "{os}");
        }
    }

    #[test]
    fn says_that_the_firmwares_variables_stay() {
        let (_, findings) = read_text(&with_os(
            "<os firmware='efi'><type>hvm</type><nvram template='/t'>/n</nvram></os>",
        ));
        assert_eq!(
            findings,
            ["W0104 /domain/os/nvram: the firmware's variables are not carried over"]
        );
    }

    #[test]
    fn reads_memory_in_every_unit_and_rounds_it_up() {
        let with = |memory: &str| document("", "").replace("<memory>65536</memory>", memory);
        for (unit, number, want) in [
            ("b", 1025, 2048),
            ("KB", 1000, 1_000_448),
            ("k", 1, 1024),
            ("MiB", 3, 3 << 20),
            ("M", 3, 3 << 20),
            ("GB", 1, 1_000_000_512),
            ("GiB", 2, 2 << 30),
            ("TiB", 1, 1 << 40),
        ] {
            let text = with(&format!("<memory unit='{unit}'>{number}</memory>"));
            assert_eq!(read_text(&text).0.memory_bytes, want, "{unit}");
        }
        for (memory, want) in [
            ("", "the domain has no memory (/domain, line 1)"),
            (
                "<memory unit='PiB'>1</memory>",
                r#""PiB" is no unit of memory (/domain/memory, line 1)"#,
            ),
            (
                "<memory unit='TiB'>4194305</memory>",
                r#"memory of "4194305" is not in 1..=4194304 (/domain/memory, line 1)"#,
            ),
            (
                "<memory/>",
                r#"memory of "" is not in 1..=4503599627370496 (/domain/memory, line 1)"#,
            ),
        ] {
            assert_eq!(refusal(&with(memory)), want);
        }
    }

    #[test]
    fn reads_files_for_the_guest_and_leaves_out_texts_and_tables() {
        let (machine, findings) = read_text(&document(
            "<sysinfo type='fwcfg'><entry name='opt/a' file='/a'/><entry name='opt/b'>b</entry></sysinfo>\
             <sysinfo type='smbios'><bios><entry name='vendor'>v</entry></bios></sysinfo>",
            "",
        ));
        assert_eq!(machine.fw_cfg, [FwCfg { name: "opt/a".into(), file: "/a".into() }]);
        assert_eq!(
            findings,
            [
                "W0204 /domain/sysinfo[1]/entry[2]: an entry without a file is not carried over",
                "W0204 /domain/sysinfo[2]: tables for the SMBIOS are not carried over",
            ]
        );
    }

    #[test]
    fn reads_the_clock_and_says_when_it_guesses() {
        for (clock, want, finding) in [
            ("offset='localtime'", Clock::LocalTime, None),
            ("offset='variable' basis='localtime' adjustment='0'", Clock::LocalTime, None),
            ("offset='variable' basis='utc' adjustment='0'", Clock::Utc, None),
            (
                "offset='timezone' timezone='Europe/Paris'",
                Clock::LocalTime,
                Some("the clock is read as local time"),
            ),
            ("offset='absolute'", Clock::Utc, Some("the clock is read as UTC")),
        ] {
            let (machine, findings) = read_text(&document(&format!("<clock {clock}/>"), ""));
            assert_eq!(machine.clock, want, "{clock}");
            let expected: Vec<_> =
                finding.iter().map(|text| format!("W0112 /domain/clock: {text}")).collect();
            assert_eq!(findings, expected);
        }
    }

    #[test]
    fn gives_the_first_device_of_each_class_its_place_in_the_boot_order() {
        let text = with_os(
            "<os><type machine='pc'>hvm</type><boot dev='network'/><boot dev='cdrom'/>\
             <boot dev='hd'/></os>",
        )
        .replace(
            "<devices>",
            "<devices><disk><source file='/a'/><target dev='hda'/></disk>\
             <disk><source file='/b'/><target dev='hdb'/></disk>\
             <disk device='cdrom'><target dev='hdc'/></disk><interface type='user'/>",
        );
        let (machine, findings) = read_text(&text);
        assert_eq!(findings, [""; 0]);
        let disks: Vec<_> = machine.disks.iter().map(|disk| disk.boot_order).collect();
        assert_eq!(disks, [Some(3), None]);
        assert_eq!(machine.removables[0].boot_order, Some(2));
        assert_eq!(machine.nics[0].boot_order, Some(1));
    }

    #[test]
    fn refuses_a_uuid_that_is_none() {
        assert_eq!(
            refusal(&document("<uuid>12\n</uuid>", "")),
            r#""12" is no UUID (/domain/uuid, line 1)"#
        );
    }
}
