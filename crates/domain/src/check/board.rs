//! The machine itself: names, processors, memory, firmware.

use vm::{Accelerator, Chipset, Cpus, Firmware, Machine};

use super::text::Text;
use crate::{
    Error,
    error::{Item, Refusal},
};

/// The longest name: it becomes a file name of libvirt's, and Linux ends those at 255 bytes.
const MAX_NAME_BYTES: u64 = 255;
/// relift's own bounds on memory: 1 MiB, under which no firmware starts, and 64 TiB.
const MEMORY_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=64 << 40;
/// As many processors as an 8-bit APIC id has numbers for; more need interrupt remapping.
pub(crate) const PLAIN_APIC_CPUS: u32 = 255;
/// QEMU's own limit on the processors of a q35 board, as of QEMU 9.1.
const MAX_CPUS: u32 = 4096;

pub(super) fn check(machine: &Machine) -> Result<(), Error> {
    check_names(machine)?;
    check_memory(machine.memory_bytes)?;
    check_room(machine)?;
    check_cpus(&machine.cpus, max_cpus(machine))?;
    if machine.iommu && max_cpus(machine) == PLAIN_APIC_CPUS {
        let needs = "the q35 board and KVM";
        return Err(Item::Machine.refuse(Refusal::Needs { what: "an IOMMU", needs }));
    }
    // Secure Boot needs system management mode, which i440fx lacks: "Unable to find any firmware".
    if machine.firmware == Firmware::UefiSecure && machine.chipset == Chipset::Pc {
        return Err(
            Item::Machine.refuse(Refusal::Needs { what: "Secure Boot", needs: "the q35 board" })
        );
    }
    Ok(())
}

/// Refuses a name that libvirt cannot keep.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let text = Text::new(Item::Machine, "name", name);
    text.require_line()?;
    text.require_length(MAX_NAME_BYTES)?;
    // libvirt names files and folders after the machine.
    if name.contains('/') || matches!(name, "." | "..") {
        return Err(text.refuse("a file name"));
    }
    Ok(())
}

fn check_names(machine: &Machine) -> Result<(), Error> {
    check_name(&machine.name)?;
    if let Some(title) = &machine.title {
        Text::new(Item::Machine, "title", title).require_line()?;
    }
    if let Some(description) = &machine.description {
        Text::new(Item::Machine, "description", description).require_xml()?;
    }
    if let Some(osinfo) = &machine.guest.osinfo {
        check_osinfo(Text::new(Item::Machine, "libosinfo id", osinfo), osinfo)?;
    }
    Ok(())
}

fn check_osinfo(text: Text<'_>, id: &str) -> Result<(), Error> {
    text.require_line()?;
    let is_url = id.starts_with("http://") || id.starts_with("https://");
    if is_url && !id.contains(char::is_whitespace) { Ok(()) } else { Err(text.refuse("a URL")) }
}

fn check_memory(bytes: u64) -> Result<(), Error> {
    Item::Machine.require_range("memory", bytes, MEMORY_BYTES)?;
    if bytes.is_multiple_of(1024) {
        return Ok(());
    }
    Err(Item::Machine.refuse(Refusal::Memory { bytes, wanted: "a multiple of 1024" }))
}

/// Memory that can grow is more than what is there at start.
fn check_room(machine: &Machine) -> Result<(), Error> {
    let Some(most) = machine.max_memory_bytes else { return Ok(()) };
    let least = machine.memory_bytes.saturating_add(1024);
    Item::Machine.require_range("greatest memory", most, least..=*MEMORY_BYTES.end())?;
    if most.is_multiple_of(1024) {
        return Ok(());
    }
    Err(Item::Machine.refuse(Refusal::Memory { bytes: most, wanted: "a multiple of 1024" }))
}

/// Interrupt remapping is an Intel IOMMU on q35 with KVM's split interrupt controller.
fn max_cpus(machine: &Machine) -> u32 {
    match (machine.chipset, machine.accelerator) {
        (Chipset::Q35, Accelerator::Kvm) => MAX_CPUS,
        _ => PLAIN_APIC_CPUS,
    }
}

fn check_cpus(cpus: &Cpus, most: u32) -> Result<(), Error> {
    Item::Cpus.require_range("count", cpus.count.into(), 1..=most.into())?;
    if let Some(greatest) = cpus.max_count {
        let allowed = cpus.count.into()..=most.into();
        Item::Cpus.require_range("greatest count", greatest.into(), allowed)?;
    }
    if let Some(model) = &cpus.model {
        Text::new(Item::Cpus, "model", model).require_token()?;
    }
    let Some(topology) = cpus.topology else { return Ok(()) };
    let product =
        topology.sockets.checked_mul(topology.cores).and_then(|n| n.checked_mul(topology.threads));
    if product == Some(cpus.most()) {
        return Ok(());
    }
    Err(Item::Cpus.refuse(Refusal::Topology {
        sockets: topology.sockets,
        cores: topology.cores,
        threads: topology.threads,
        count: cpus.most(),
    }))
}

#[cfg(test)]
mod tests {
    use vm::Topology;

    use super::*;
    use crate::check::tests::{assert_refusals, sound};

    #[test]
    fn refuses_names_that_libvirt_cannot_keep() {
        assert_refusals(&[
            (|m| m.name = "a/b".into(), r#"machine: name "a/b" is not a file name"#),
            (|m| m.name = "..".into(), r#"machine: name ".." is not a file name"#),
            (|m| m.name = String::new(), r#"machine: name "" is not a word"#),
            (|m| m.name = "a\0".into(), "machine: name holds the character U+0000 at byte 1"),
            (|m| m.name = "ü".repeat(128), "machine: name has 256 bytes, 255 are allowed"),
            (
                |m| m.title = Some("a\nb".into()),
                "machine: title holds the character U+000A at byte 1",
            ),
            (
                |m| m.description = Some("a\x1b[31m".into()),
                "machine: description holds the character U+001B at byte 1",
            ),
            (
                |m| m.guest.osinfo = Some("debian12".into()),
                r#"machine: libosinfo id "debian12" is not a URL"#,
            ),
        ]);
    }

    #[test]
    fn refuses_memory_out_of_range_or_between_kibibytes() {
        assert_refusals(&[
            (|m| m.memory_bytes = 0, "machine: memory of 0 is not in 1048576..=70368744177664"),
            (
                |m| m.memory_bytes = u64::MAX,
                "machine: memory of 18446744073709551615 is not in 1048576..=70368744177664",
            ),
            (
                |m| m.memory_bytes = (1 << 20) + 512,
                "machine: memory of 1049088 bytes is not a multiple of 1024",
            ),
        ]);
    }

    #[test]
    fn refuses_processors_that_do_not_add_up() {
        const fn grouped(sockets: u32, cores: u32, threads: u32) -> Option<Topology> {
            Some(Topology { sockets, cores, threads })
        }
        assert_refusals(&[
            (|m| m.cpus.count = 0, "cpus: count of 0 is not in 1..=4096"),
            (|m| m.cpus.count = 4097, "cpus: count of 4097 is not in 1..=4096"),
            (
                |m| m.cpus.topology = grouped(1, 2, 2),
                "cpus: 1 sockets x 2 cores x 2 threads are not 2 processors",
            ),
            (
                |m| m.cpus.topology = grouped(65_536, 65_536, 2),
                "cpus: 65536 sockets x 65536 cores x 2 threads are not 2 processors",
            ),
            (
                |m| m.cpus.model = Some("EPYC,+svm".into()),
                r#"cpus: model "EPYC,+svm" is not made of letters, digits and ._+- only"#,
            ),
        ]);
    }

    #[test]
    fn allows_more_than_255_processors_on_q35_with_kvm_only() {
        let mut machine = sound();
        machine.cpus.count = 256;
        check(&machine).unwrap();
        assert_refusals(&[
            (
                |m| (m.cpus.count, m.chipset) = (256, Chipset::Pc),
                "cpus: count of 256 is not in 1..=255",
            ),
            (
                |m| (m.cpus.count, m.accelerator) = (256, Accelerator::Qemu),
                "cpus: count of 256 is not in 1..=255",
            ),
        ]);
    }

    #[test]
    fn refuses_ceilings_below_what_is_there_at_start_or_above_the_limits() {
        assert_refusals(&[
            (
                |m| m.max_memory_bytes = Some(m.memory_bytes),
                "machine: greatest memory of 1073741824 is not in 1073742848..=70368744177664",
            ),
            (
                |m| m.max_memory_bytes = Some((2 << 30) + 1),
                "machine: memory of 2147483649 bytes is not a multiple of 1024",
            ),
            (|m| m.cpus.max_count = Some(1), "cpus: greatest count of 1 is not in 2..=4096"),
            (
                |m| (m.cpus.max_count, m.chipset) = (Some(256), Chipset::Pc),
                "cpus: greatest count of 256 is not in 2..=255",
            ),
            (
                |m| {
                    m.cpus.topology = Some(Topology { sockets: 1, cores: 2, threads: 1 });
                    m.cpus.max_count = Some(4);
                },
                "cpus: 1 sockets x 2 cores x 1 threads are not 4 processors",
            ),
        ]);
    }

    #[test]
    fn refuses_an_iommu_where_it_would_not_start() {
        const WANT: &str = "machine: an IOMMU needs the q35 board and KVM";
        assert_refusals(&[
            (|m| (m.iommu, m.chipset) = (true, Chipset::Pc), WANT),
            (|m| (m.iommu, m.accelerator) = (true, Accelerator::Qemu), WANT),
        ]);
    }

    #[test]
    fn refuses_secure_boot_on_i440fx() {
        assert_refusals(&[(
            |m| (m.chipset, m.firmware) = (Chipset::Pc, Firmware::UefiSecure),
            "machine: Secure Boot needs the q35 board",
        )]);
    }
}
