//! VMX files as VMware writes them.

use std::fmt::Write as _;

/// The text of a VMX, put together key by key.
#[derive(Debug, Clone)]
pub struct Vmx {
    text: String,
}

impl Vmx {
    /// A machine with one processor and 512 MiB that runs this guest (a `guestOS`).
    #[must_use]
    pub fn new(name: &str, guest: &str) -> Self {
        Self { text: String::new() }
            .set(".encoding", "UTF-8")
            .set("config.version", "8")
            .set("virtualHW.version", "14")
            .set("displayName", name)
            .set("guestOS", guest)
            .set("memSize", "512")
    }

    /// A Debian machine with a disk `NAME.vmdk` on PVSCSI, an empty CD drive on IDE, and a VMXNET3 card
    /// on `VM Network`.
    #[must_use]
    pub fn small(name: &str) -> Self {
        Self::new(name, "debian10-64")
            .controller("scsi0", "pvscsi")
            .disk("scsi0:0", &format!("{name}.vmdk"))
            .cdrom("ide1:0", "")
            .nic("ethernet0", "vmxnet3", "VM Network")
    }

    /// Adds a key; quotes, bars and new lines of the value are escaped.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        let value = value.replace('|', "|7C").replace('"', "|22").replace('\n', "|0A");
        writeln!(self.text, "{key} = \"{value}\"").expect("a String takes every write");
        self
    }

    /// Adds a device that is there: `scsi0`, `sound`, `serial0`.
    #[must_use]
    pub fn device(self, head: &str, keys: &[(&str, &str)]) -> Self {
        let there = self.set(&format!("{head}.present"), "TRUE");
        keys.iter().fold(there, |vmx, (key, value)| vmx.set(&format!("{head}.{key}"), value))
    }

    /// Adds a controller.
    #[must_use]
    pub fn controller(self, head: &str, model: &str) -> Self {
        self.device(head, &[("virtualDev", model)])
    }

    /// Adds a hard disk.
    #[must_use]
    pub fn disk(self, head: &str, file: &str) -> Self {
        self.device(head, &[("deviceType", "scsi-hardDisk"), ("fileName", file)])
    }

    /// Adds a CD drive; without a file it is an empty one.
    #[must_use]
    pub fn cdrom(self, head: &str, file: &str) -> Self {
        if file.is_empty() {
            let client = [("deviceType", "cdrom-raw"), ("clientDevice", "TRUE")];
            return self
                .device(head, &[&client[..], &[("fileName", "emptyBackingString")]].concat());
        }
        self.device(head, &[("deviceType", "cdrom-image"), ("fileName", file)])
    }

    /// Adds a network card.
    #[must_use]
    pub fn nic(self, head: &str, model: &str, network: &str) -> Self {
        self.device(
            head,
            &[("virtualDev", model), ("networkName", network), ("addressType", "generated")],
        )
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}
