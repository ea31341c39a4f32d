//! What a VMX says, in the words of the hardware map.

mod boot;
mod devices;
mod keys;
mod network;
mod storage;

use code::Code;
use ovf::Finding;
use vmx::{FileName, Vmx};

use crate::source::{Compute, File, Firmware, Format, Listed, Nvram, Os, Remarks, System};

/// What VMware gives a machine whose VMX names no memory.
const DEFAULT_MEMORY_MIB: u64 = 32;

/// Describes the one machine of a VMX, and says what had to be interpreted.
#[must_use]
pub fn from_vmx(vmx: &Vmx) -> (System, Vec<Finding>) {
    let mut findings: Vec<Finding> = vmx.findings.iter().map(finding).collect();
    let stored = storage::read(vmx);
    let system = System {
        format: Format::Vmx,
        id: None,
        handle: "vm1".to_owned(),
        collections: Vec::new(),
        name: vmx.text("displayName").map(unescaped),
        annotation: vmx.text("annotation").map(str::to_owned),
        uuid: vmx.text("uuid.bios").and_then(|text| text.parse().ok()),
        os: os(vmx),
        compute: compute(vmx, &mut findings),
        firmware: Some(firmware(vmx, &mut findings)),
        secure_boot: vmx.boolean("uefi.secureBoot.enabled"),
        asks_for_vbs: vmx.boolean("windows.vbs.enabled") == Some(true),
        tpm: vmx.text("managedVM.autoAddVTPM").is_some(),
        iommu: vmx.boolean("vvtd.enable") == Some(true),
        controllers: stored.controllers,
        disks: stored.disks,
        cdroms: stored.cdroms,
        floppies: stored.floppies,
        nics: network::read(vmx),
        devices: devices::read(vmx),
        remarks: Remarks {
            nvram: vmx.text("nvram").map(nvram),
            vendor_keys: keys::vendor(vmx),
            has_saved_state: vmx.text("checkpoint.vmState").is_some(),
            ..Remarks::default()
        },
        listing: listing(vmx),
    };
    (system, findings)
}

fn finding(finding: &vmx::Finding) -> Finding {
    Finding {
        code: finding.code,
        message: finding.message.clone(),
        item: None,
        path: None,
        line: finding.line,
    }
}

/// The file with the firmware's variables, where its name is one beside the VMX.
fn nvram(text: &str) -> Nvram {
    let name = FileName::new(text);
    let file = name.beside().is_some().then_some(File::Named(name));
    Nvram { text: text.to_owned(), file }
}

fn interpreted(key: &str, message: String) -> Finding {
    Finding {
        code: Code::W0112,
        message,
        item: Some(key.to_owned()),
        path: Some(key.to_owned()),
        line: None,
    }
}

/// vSphere writes `/`, `\` and `%` of a machine's name as `%2f`, `%5c` and `%25`.
fn unescaped(name: &str) -> String {
    let mut text = String::new();
    let mut rest = name;
    while let Some((before, behind)) = rest.split_once('%') {
        text.push_str(before);
        let code = behind.get(..2).map(str::to_ascii_lowercase);
        let (letter, skipped) = match code.as_deref() {
            Some("2f") => ('/', 2),
            Some("5c") => ('\\', 2),
            Some("25") => ('%', 2),
            _ => ('%', 0),
        };
        text.push(letter);
        rest = behind.get(skipped..).unwrap_or_default();
    }
    text + rest
}

/// What runs inside: the id, and what VMware's tools said of the running system.
fn os(vmx: &Vmx) -> Os {
    let detailed = ["guestOS.detailed.data", "guestInfo.detailed.data"];
    let detailed = detailed.iter().find_map(|key| pretty_name(vmx.text(key)?));
    Os {
        vmware: vmx.text("guestOS").map(str::to_owned),
        description: detailed.or_else(|| vmx.text("guestOSAltName")).map(str::to_owned),
        ..Os::default()
    }
}

/// `… prettyName='Ubuntu 22.04.1 LTS' …`
fn pretty_name(data: &str) -> Option<&str> {
    let (_, behind) = data.split_once("prettyName=")?;
    let quote = behind.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let (name, _) = behind.get(1..)?.split_once(quote)?;
    (!name.is_empty()).then_some(name)
}

/// Processors and memory. A VMX that names no number of processors means one.
fn compute(vmx: &Vmx, findings: &mut Vec<Finding>) -> Compute {
    let says = |key: &str| vmx.boolean(key) == Some(true);
    let number = |key: &str| vmx.text(key).map(str::parse::<u32>);
    let memory_mib = match vmx.text("memsize") {
        Some(text) => text.parse().ok(),
        None => {
            let text =
                format!("no memsize; VMware's own default of {DEFAULT_MEMORY_MIB} MiB is taken");
            findings.push(interpreted("memsize", text));
            Some(DEFAULT_MEMORY_MIB)
        }
    };
    Compute {
        vcpus: number("numvcpus").unwrap_or(Ok(1)).ok(),
        cores_per_socket: number("cpuid.coresPerSocket").and_then(Result::ok),
        nested: says("vhv.enable"),
        pmu: says("vpmc.enable"),
        cpu_hot_add: says("vcpu.hotadd"),
        memory_hot_add: says("mem.hotadd"),
        memory_bytes: memory_mib.and_then(|mib: u64| mib.checked_mul(1 << 20)),
        ..Compute::default()
    }
}

/// A VMX that names no firmware means the BIOS.
fn firmware(vmx: &Vmx, findings: &mut Vec<Finding>) -> Firmware {
    match vmx.text("firmware").map(str::to_ascii_lowercase).as_deref() {
        Some("efi" | "uefi") => Firmware::Efi,
        None | Some("bios") => Firmware::Bios,
        Some(other) => {
            let message = format!("the firmware '{}' is read as BIOS", other.escape_debug());
            findings.push(Finding { code: Code::W0108, ..interpreted("firmware", message) });
            Firmware::Bios
        }
    }
}

/// Every device that is there.
fn listing(vmx: &Vmx) -> Vec<Listed> {
    let there = vmx.devices().into_iter().filter(vmx::Device::is_present);
    let text = |text: Option<&str>| text.map(str::to_owned);
    let listed = there.map(|device| Listed {
        id: Some(device.head.to_owned()),
        kind: text(device.text("deviceType")),
        subtype: text(device.text("virtualDev")),
        name: device.text("fileName").or(device.text("networkName")).unwrap_or("—").to_owned(),
    });
    listed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (System, Vec<String>) {
        let (system, findings) = from_vmx(&Vmx::parse(text.as_bytes()).unwrap());
        let said = findings.iter().map(|one| format!("{} {}", one.code, one.message));
        (system, said.collect())
    }

    #[test]
    fn what_is_not_named_is_what_vmware_takes() {
        let (system, said) = read("config.version = \"8\"\n");
        let compute = system.compute;
        assert_eq!((compute.vcpus, compute.memory_bytes), (Some(1), Some(32 << 20)));
        assert_eq!((system.firmware, system.secure_boot), (Some(Firmware::Bios), None));
        assert_eq!(said, ["W0112 no memsize; VMware's own default of 32 MiB is taken"]);
    }

    #[test]
    fn reads_processors_memory_and_firmware() {
        let (system, said) = read(
            "numvcpus = \"8\"\ncpuid.coresPerSocket = \"4\"\nmemSize = \"2048\"\nfirmware = \"EFI\"\n\
             uefi.secureBoot.enabled = \"TRUE\"\nvhv.enable = \"TRUE\"\n\
             uuid.bios = \"56 4d 99 89 a7 21 91 0d-cc 28 e2 db d5 4b 2b 8c\"\n",
        );
        let compute = system.compute;
        assert_eq!((compute.vcpus, compute.cores_per_socket), (Some(8), Some(4)));
        assert_eq!((compute.memory_bytes, compute.nested), (Some(2 << 30), true));
        assert_eq!((system.firmware, system.secure_boot), (Some(Firmware::Efi), Some(true)));
        assert_eq!(
            system.uuid.map(|uuid| uuid.to_string()).as_deref(),
            Some("564d9989-a721-910d-cc28-e2dbd54b2b8c")
        );
        assert_eq!(said, Vec::<String>::new());
    }

    #[test]
    fn reads_what_the_guest_was_let_to() {
        let (system, _) = read(
            "vcpu.hotadd = \"TRUE\"\nmem.hotadd = \"TRUE\"\nvvtd.enable = \"TRUE\"\nvpmc.enable = \"TRUE\"\n",
        );
        let Compute { cpu_hot_add, memory_hot_add, pmu, nested, .. } = system.compute;
        assert_eq!((cpu_hot_add, memory_hot_add, pmu, nested), (true, true, true, false));
        assert!(system.iommu);
        assert!(system.remarks.vendor_keys.is_empty());
        let (system, _) = read("vvtd.enable = \"FALSE\"\n");
        assert!(!system.iommu && !system.compute.pmu);
    }

    #[test]
    fn the_variables_of_the_firmware_lie_beside_the_vmx_or_nowhere() {
        for (text, want) in [("vm.nvram", Some("vm.nvram")), ("..", None)] {
            let (system, _) = read(&format!("nvram = \"{text}\"\n"));
            let nvram = system.remarks.nvram.unwrap();
            assert_eq!((nvram.text.as_str(), nvram.file.as_ref().map(File::text)), (text, want));
        }
    }

    #[test]
    fn numbers_that_cannot_be_read_are_no_numbers() {
        for text in ["two", "-1", "4294967296", "1.5"] {
            let (system, _) = read(&format!("numvcpus = \"{text}\"\nmemsize = \"1\"\n"));
            assert_eq!(system.compute.vcpus, None, "{text}");
        }
        for text in ["x", "-1", "18446744073709551615"] {
            let (system, _) = read(&format!("memsize = \"{text}\"\n"));
            assert_eq!(system.compute.memory_bytes, None, "{text}");
        }
        let (_, said) = read("memsize = \"1\"\nfirmware = \"open\"\n");
        assert_eq!(said, ["W0108 the firmware 'open' is read as BIOS"]);
    }

    #[test]
    fn names_are_read_as_vsphere_writes_them() {
        for (text, want) in [
            ("a%2fb", "a/b"),
            ("100%25", "100%"),
            ("x%5Cy", "x\\y"),
            ("50% of %zz", "50% of %zz"),
            ("%", "%"),
            ("%é", "%é"),
        ] {
            assert_eq!(unescaped(text), want, "{text}");
        }
    }

    #[test]
    fn the_tools_tell_the_release() {
        let data = "architecture='X86' bitness='64' prettyName='Ubuntu 22.04.1 LTS' version='22'";
        let (system, _) =
            read(&format!("guestOS = \"ubuntu-64\"\nguestInfo.detailed.data = \"{data}\"\n"));
        assert_eq!(system.os.vmware.as_deref(), Some("ubuntu-64"));
        assert_eq!(system.os.description.as_deref(), Some("Ubuntu 22.04.1 LTS"));
        assert_eq!((pretty_name("prettyName=x"), pretty_name("prettyName='")), (None, None));
    }
}
