//! VMX files, on their way to a machine.

use convert::from_vmx;
use testkit::Vmx as Text;
use vmx::{FileName, Vmx};

use crate::{Feed, machine};

pub(crate) const VMX: Feed = Feed {
    name: "vmx",
    read,
    seeds: || {
        let many = Text::new("all", "windows9-64")
            .set(".encoding", "windows-1252")
            .set("firmware", "efi")
            .set("uefi.secureBoot.enabled", "TRUE")
            .set("numvcpus", "8")
            .set("cpuid.coresPerSocket", "4")
            .set("uuid.bios", "56 4d 11 22 33 44 55 66-77 88 99 aa bb cc dd ee")
            .set("annotation", "line|0Aline")
            .set("bios.bootOrder", "hdd,cdrom")
            .controller("scsi0", "lsisas1068")
            .controller("scsi1", "lsilogic")
            .device("nvme0", &[])
            .device("sata0", &[])
            .disk("scsi0:0", "disk.vmdk")
            .disk("scsi1:15", "[store] folder/disk-000001.vmdk")
            .disk("nvme0:0", "/vmfs/volumes/x/disk_1.vmdk")
            .cdrom("sata0:1", "linux.iso")
            .device("floppy0", &[("fileType", "file"), ("fileName", "a.flp")])
            .nic("ethernet0", "e1000e", "VM Network")
            .device("ethernet1", &[("address", "00:50:56:01:02:03"), ("addressType", "static")])
            .device("serial0", &[("fileType", "pipe"), ("fileName", "/dev/x")])
            .device("sound", &[("virtualDev", "hdaudio")])
            .device("vtpm", &[])
            .device("usb_xhci", &[])
            .device("pciPassthru0", &[]);
        [Text::small("a"), many].map(|vmx| vmx.text().as_bytes().to_vec()).to_vec()
    },
    words: &[
        b"\"\n",
        b" = \"",
        b"|22",
        b"|0A",
        b"|FF",
        b"|",
        b".present = \"TRUE\"",
        b"scsi3:16.",
        b"ethernet9.",
        b"18446744073709551616",
        b"-1",
        b"GBK",
        b"Shift_JIS",
        b"\x81\x40",
        b"#!",
    ],
    seal: None,
};

/// Reads a VMX, and builds its machine.
///
/// # Panics
///
/// When a device has a key that the file has not.
fn read(bytes: &[u8]) {
    let Ok(vmx) = Vmx::parse(bytes) else { return };
    for device in vmx.devices() {
        let file = device.text("fileName");
        assert_eq!(file, vmx.text(&format!("{}.fileName", device.head)), "{}", device.head);
        let file = FileName::new(file.unwrap_or_default());
        let leads_out = |name: &str| name.split('/').any(|part| part == "..");
        assert!(!file.base().is_some_and(leads_out), "{file:?} stays beside the VMX");
        assert_eq!(file.without_base().base(), None);
    }
    machine::build(&[from_vmx(&vmx).0]);
}
