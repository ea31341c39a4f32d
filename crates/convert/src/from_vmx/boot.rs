//! Which device a VMX wants the firmware to try first.
//!
//! `bios.bootOrder` lists classes (`cdrom,hdd,ethernet0`), `bios.hddOrder` the disks among
//! themselves (`scsi0:1,scsi0:0`).

use vmx::Vmx;

/// Room for the disks of one class: more than a machine has.
const CLASS: u32 = 1024;

/// Classes of devices that a firmware boots from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Boots {
    Disk,
    Cdrom,
    Network,
}

/// The boot order of a VMX; empty where it has none.
#[derive(Debug, Default)]
pub(super) struct Order {
    classes: Vec<String>,
    disks: Vec<String>,
}

impl Order {
    pub(super) fn of(vmx: &Vmx) -> Self {
        let list = |key: &str| -> Vec<String> {
            let text = vmx.text(key).unwrap_or_default().to_ascii_lowercase();
            let text = text.strip_prefix("allow:").unwrap_or(&text);
            let words = text.split([',', ' ']).filter(|word| !word.is_empty());
            words.take(CLASS as usize).map(str::to_owned).collect()
        };
        Self { classes: list("bios.bootOrder"), disks: list("bios.hddOrder") }
    }

    /// The place of a device; smaller is earlier.
    pub(super) fn rank(&self, boots: Boots, head: &str) -> Option<u32> {
        let head = head.to_ascii_lowercase();
        let is_meant = |word: &String| match boots {
            Boots::Disk => word == "hdd",
            Boots::Cdrom => matches!(word.as_str(), "cdrom" | "cd"),
            Boots::Network => *word == head || matches!(word.as_str(), "ethernet" | "net"),
        };
        let class = place(self.classes.iter().position(is_meant));
        let disk = place(self.disks.iter().position(|word| *word == head));
        match (boots, class, disk) {
            (Boots::Disk, class, Some(disk)) => Some(class.unwrap_or(0) * CLASS + disk),
            (Boots::Disk, Some(class), None) => Some(class * CLASS + CLASS - 1),
            (_, class, _) => class.map(|class| class * CLASS),
        }
    }
}

fn place(at: Option<usize>) -> Option<u32> {
    at.and_then(|at| u32::try_from(at).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(text: &str) -> Vec<&'static str> {
        let order = Order::of(&Vmx::parse(text.as_bytes()).unwrap());
        let mut all = [
            (Boots::Disk, "scsi0:0"),
            (Boots::Disk, "scsi0:1"),
            (Boots::Cdrom, "ide1:0"),
            (Boots::Network, "ethernet0"),
        ];
        all.sort_by_key(|(boots, head)| order.rank(*boots, head).unwrap_or(u32::MAX));
        all.into_iter().map(|(_, head)| head).collect()
    }

    #[test]
    fn orders_classes_and_disks_among_themselves() {
        for (text, want) in [
            ("a = \"1\"", ["scsi0:0", "scsi0:1", "ide1:0", "ethernet0"]),
            ("bios.bootOrder = \"cdrom,hdd\"", ["ide1:0", "scsi0:0", "scsi0:1", "ethernet0"]),
            ("bios.bootOrder = \"allow:ethernet0\"", ["ethernet0", "scsi0:0", "scsi0:1", "ide1:0"]),
            ("bios.hddOrder = \"scsi0:1,scsi0:0\"", ["scsi0:1", "scsi0:0", "ide1:0", "ethernet0"]),
            (
                "bios.bootOrder = \"CDROM,HDD\"\nbios.hddOrder = \"SCSI0:1\"",
                ["ide1:0", "scsi0:1", "scsi0:0", "ethernet0"],
            ),
        ] {
            assert_eq!(order(text), want, "{text}");
        }
    }
}
