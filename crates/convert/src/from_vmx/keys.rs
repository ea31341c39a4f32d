//! Keys of a VMX that no device and no fact is made of.

use std::collections::HashSet;

use vmx::{Entry, Vmx};

use super::{network, storage};

/// Keys that are read, or that mean nothing outside VMware's products; those that end in a dot stand
/// for all that begin so.
const SILENT: &[&str] = &[
    // Read.
    "annotation",
    "bios.bootOrder",
    "bios.hddOrder",
    "checkpoint.vmState",
    "cpuid.coresPerSocket",
    "displayName",
    "firmware",
    "guestInfo.detailed.data",
    "guestOS",
    "guestOS.detailed.data",
    "guestOSAltName",
    "managedVM.autoAddVTPM",
    "mem.hotadd",
    "memsize",
    "numvcpus",
    "nvram",
    "sev.enable",
    "sgx.epcSize",
    "smc.present",
    "uefi.secureBoot.enabled",
    "uuid.bios",
    "vcpu.hotadd",
    "vhv.enable",
    "vpmc.enable",
    "vvtd.enable",
    "windows.vbs.enabled",
    // The file itself, and what VMware's programs remember.
    ".encoding",
    "checkpoint.",
    "chipset.onlineStandby",
    "cleanShutdown",
    "config.version",
    "evcCompatibilityMode",
    "extendedConfigFile",
    "gui.",
    "guestCPUID.",
    "hostCPUID.",
    "migrate.",
    "monitor.",
    "numa.autosize.",
    "policy.",
    "powerType.",
    "proxyApps.",
    "replay.",
    "sched.swap.derivedName",
    "snapshot.action",
    "softPowerOff",
    "toolScripts.",
    "tools.",
    "toolsInstallManager.",
    "userCPUID.",
    "uuid.action",
    "uuid.location",
    "vc.uuid",
    "virtualHW.",
    "vm.createDate",
    "vm.genid",
    "vm.genidX",
    "vmotion.",
    "vmxstats.filename",
    // libvirt gives every disk a serial number that the guest sees.
    "disk.EnableUUID",
];

/// Values with which a key says what would be so without it.
const DEFAULTS: &[&str] = &["", "normal", "0", "mhz", "off", "unlimited", "all", "none", "-1"];

/// Classes of devices that are read elsewhere, and have a row each.
const DEVICES: &[&str] = &[
    "ehci",
    "hpet",
    "nvdimm",
    "parallel",
    "pcibridge",
    "pcipassthru",
    "precisionclock",
    "serial",
    "sharedfolder",
    "sound",
    "svga",
    "usb",
    "usb_xhci",
    "vmci",
    "vtpm",
    "vwdt",
];

/// Keys of a device that mean something, and are not carried over, with the value that means
/// nothing.
const TOLD: &[(&str, &str)] =
    &[("deviceGroup", ""), ("filter", ""), ("sharedBus", "none"), ("sharing", "sharing-none")];

/// The keys that somebody should know to be without effect, in the order of the file.
pub(super) fn vendor(vmx: &Vmx) -> Vec<String> {
    let devices = device_heads(vmx);
    let is_told = |entry: &&Entry| {
        let value = entry.value.trim().to_ascii_lowercase();
        !DEFAULTS.contains(&value.as_str()) && !is_silent(&entry.key) && !is_of(&devices, entry)
    };
    vmx.entries().iter().filter(is_told).map(|entry| entry.key.clone()).collect()
}

/// What stands before the dot of every key that a device is made of.
fn device_heads(vmx: &Vmx) -> HashSet<String> {
    let all = vmx.devices();
    let is_read = |one: &&vmx::Device<'_>| {
        DEVICES.contains(&one.class.as_str())
            || one.is_present()
            || network::is_card(one)
            || storage::is_place(one)
    };
    all.iter().filter(is_read).map(|one| one.head.to_ascii_lowercase()).collect()
}

/// Whether a device is made of the key.
fn is_of(devices: &HashSet<String>, entry: &Entry) -> bool {
    let Some((head, key)) = entry.key.split_once('.') else { return false };
    let is_told = |(told, without): &(&str, &str)| {
        let begins = key.get(..told.len()).is_some_and(|start| start.eq_ignore_ascii_case(told));
        begins && !entry.value.trim().eq_ignore_ascii_case(without)
    };
    devices.contains(&head.to_ascii_lowercase()) && !TOLD.iter().any(is_told)
}

fn is_silent(key: &str) -> bool {
    SILENT.iter().any(|silent| {
        if silent.ends_with('.') {
            key.get(..silent.len()).is_some_and(|head| head.eq_ignore_ascii_case(silent))
        } else {
            key.eq_ignore_ascii_case(silent)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_keys_that_have_no_effect_here() {
        for (text, want) in [
            ("memsize = \"4\"\nvirtualHW.version = \"8\"\ntools.syncTime = \"TRUE\"", &[][..]),
            ("vcpu.hotadd = \"TRUE\"\nvcpu.hotplug = \"TRUE\"", &["vcpu.hotplug"]),
            ("sched.cpu.shares = \"normal\"\nsched.cpu.min = \"500\"", &["sched.cpu.min"]),
            ("isolation.tools.copy.disable = \"TRUE\"", &["isolation.tools.copy.disable"]),
            ("scsi0:0.redo = \"x\"\nscsi0.present = \"FALSE\"\nide0:1.present = \"FALSE\"", &[]),
            ("scsi0:0.mode = \"independent-nonpersistent\"\nscsi0:1.mode = \"Persistent\"", &[]),
            ("ethernet0.filter0.name = \"dvfilter\"", &["ethernet0.filter0.name"]),
            (
                "scsi9:0.present = \"FALSE\"\nscsi9:0.fileName = \"a\"",
                &["scsi9:0.present", "scsi9:0.fileName"],
            ),
            ("guestinfo.userdata = \"secret\"", &["guestinfo.userdata"]),
        ] {
            let vmx = Vmx::parse(text.as_bytes()).unwrap();
            assert_eq!(vendor(&vmx), want, "{text}");
        }
    }
}
