//! What libvirt says that a machine on one board can have: `virsh domcapabilities`.

use std::path::{Path, PathBuf};

use vm::Accelerator;

use super::{Libvirt, LibvirtError, virsh::Order, xml::Element};

/// What a machine on one board can have. A list that libvirt does not give is `None`: old versions
/// know nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Capabilities {
    /// The program that runs machines; only an absolute path is taken.
    pub(super) emulator: Option<PathBuf>,
    /// How instructions are executed, the best way there is.
    pub(super) accelerator: Accelerator,
    /// Firmware that libvirt finds by itself, as `efi`.
    pub(super) firmwares: Option<Vec<String>>,
    /// Whether there is firmware that protects its variables.
    pub(super) secure_boot: bool,
    /// Buses of disks.
    pub(super) disk_buses: Option<Vec<String>>,
    /// Graphics cards.
    pub(super) videos: Option<Vec<String>>,
    /// Where a TPM can come from: `passthrough`, `emulator`.
    pub(super) tpm_backends: Option<Vec<String>>,
}

impl Libvirt {
    /// Asks what a machine on this board can have; libvirt takes KVM where it can.
    pub(super) fn capabilities(&self, board: &str) -> Result<Capabilities, LibvirtError> {
        let order = Order {
            what: "say what a machine can have",
            verb: &["domcapabilities", "--arch", "x86_64"],
            values: &[("--machine", board)],
        };
        Ok(read(&self.document(&order, "domainCapabilities")?))
    }
}

fn read(root: &Element) -> Capabilities {
    let accelerator = match root.text_of("domain") {
        Some("kvm") => Accelerator::Kvm,
        _ => Accelerator::Qemu,
    };
    let secure = root.at(&["os", "loader"]).and_then(|loader| values(loader, "secure"));
    let list = |path: &[&str], name| root.at(path).and_then(|element| values(element, name));
    let is_supported = |element: &&Element| element.attribute("supported") == Some("yes");
    let tpm = root.at(&["devices", "tpm"]);
    let tpm_backends = match tpm {
        Some(tpm) if !is_supported(&tpm) => Some(Vec::new()),
        other => other.and_then(|tpm| values(tpm, "backendModel")),
    };
    Capabilities {
        emulator: root.text_of("path").map(PathBuf::from).filter(|path| Path::is_absolute(path)),
        accelerator,
        firmwares: list(&["os"], "firmware"),
        secure_boot: secure.is_some_and(|values| values.iter().any(|value| value == "yes")),
        disk_buses: list(&["devices", "disk"], "bus"),
        videos: list(&["devices", "video"], "modelType"),
        tpm_backends,
    }
}

/// The values of an `<enum name='…'>`.
fn values(element: &Element, name: &str) -> Option<Vec<String>> {
    let list = element.all("enum").find(|list| list.attribute("name") == Some(name))?;
    Some(list.all("value").filter_map(Element::text).map(str::to_owned).collect())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::libvirt::xml;

    /// The answer of a host on Debian 12 for the board q35, less what is not read.
    pub(in crate::libvirt) const Q35: &str = "<domainCapabilities>
  <path>/usr/bin/qemu-system-x86_64</path>
  <domain>qemu</domain>
  <machine>pc-q35-7.2</machine>
  <os supported='yes'>
    <enum name='firmware'><value>efi</value></enum>
    <loader supported='yes'>
      <value>/usr/share/OVMF/OVMF_CODE_4M.ms.fd</value>
      <enum name='type'><value>rom</value><value>pflash</value></enum>
      <enum name='secure'><value>yes</value><value>no</value></enum>
    </loader>
  </os>
  <devices>
    <disk supported='yes'>
      <enum name='diskDevice'><value>disk</value><value>cdrom</value></enum>
      <enum name='bus'><value>fdc</value><value>scsi</value><value>virtio</value><value>sata</value></enum>
    </disk>
    <video supported='yes'>
      <enum name='modelType'><value>vga</value><value>virtio</value></enum>
    </video>
    <tpm supported='yes'>
      <enum name='model'><value>tpm-tis</value></enum>
      <enum name='backendModel'><value>passthrough</value></enum>
    </tpm>
  </devices>
</domainCapabilities>";

    pub(in crate::libvirt) fn of(text: &str) -> Capabilities {
        read(&xml::parse(text.as_bytes(), "domainCapabilities").unwrap())
    }

    #[test]
    fn reads_what_a_host_of_today_says() {
        let words = |text: &str| Some(text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let want = Capabilities {
            emulator: Some("/usr/bin/qemu-system-x86_64".into()),
            accelerator: Accelerator::Qemu,
            firmwares: words("efi"),
            secure_boot: true,
            disk_buses: words("fdc scsi virtio sata"),
            videos: words("vga virtio"),
            tpm_backends: words("passthrough"),
        };
        assert_eq!(of(Q35), want);
        assert_eq!(of(&Q35.replace(">qemu<", ">kvm<")).accelerator, Accelerator::Kvm);
    }

    #[test]
    fn what_an_old_host_does_not_say_is_unknown() {
        let text = "<domainCapabilities><path>qemu</path><os supported='yes'/>\
                    <devices><tpm supported='no'/></devices></domainCapabilities>";
        let said = of(text);
        assert_eq!((&said.emulator, &said.firmwares, &said.videos), (&None, &None, &None));
        assert_eq!(said.tpm_backends, Some(Vec::new()));
        assert!(!said.secure_boot);
    }
}
