//! Devices: what stands before the dot of a key.

use std::collections::HashSet;

use crate::Vmx;

/// A device that keys speak of: `scsi0:1`, `ethernet0`, `usb`.
#[derive(Debug, Clone)]
pub struct Device<'a> {
    vmx: &'a Vmx,
    /// What stands before the dot, as written first.
    pub head: &'a str,
    /// Its letters, in lower case: `scsi`, `ethernet`, `usb_xhci`.
    pub class: String,
    /// The number behind the letters.
    pub number: Option<u16>,
    /// The number behind a colon: a device on a controller.
    pub unit: Option<u16>,
}

impl Vmx {
    /// Every device, once, in the order of the file.
    #[must_use]
    pub fn devices(&self) -> Vec<Device<'_>> {
        let mut seen = HashSet::new();
        let heads = self.entries().iter().filter_map(|entry| Some(entry.key.split_once('.')?.0));
        heads
            .filter(|head| seen.insert(head.to_ascii_lowercase()))
            .filter_map(|head| Device::read(self, head))
            .collect()
    }
}

impl<'a> Device<'a> {
    /// Reads `letters`, `letters7` or `letters7:3`.
    fn read(vmx: &'a Vmx, head: &'a str) -> Option<Self> {
        let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
        let numbers = head.trim_start_matches(is_letter);
        let class = head.strip_suffix(numbers)?.to_ascii_lowercase();
        if class.is_empty() {
            return None;
        }
        let (number, unit) = match numbers.split_once(':') {
            Some((number, unit)) => (number, Some(unit)),
            None => (numbers, None),
        };
        Some(Self {
            vmx,
            head,
            class,
            // The USB devices of old are `usb:1`.
            number: if number.is_empty() { None } else { Some(decimal(number)?) },
            unit: match unit {
                Some(unit) => Some(decimal(unit)?),
                None => None,
            },
        })
    }

    /// The value of one of its keys, trimmed; an empty one is absent.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.vmx.text(&format!("{}.{key}", self.head))
    }

    /// The truth value of one of its keys.
    #[must_use]
    pub fn boolean(&self, key: &str) -> Option<bool> {
        self.vmx.boolean(&format!("{}.{key}", self.head))
    }

    /// Whether the machine has it: VMware takes a device for absent that does not say so.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.boolean("present") == Some(true)
    }
}

fn decimal(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_each_device_once() {
        let text = "scsi0.present = \"TRUE\"\nscsi0:1.present = \"TRUE\"\nSCSI0:1.fileName = \"a\"\n\
                    usb:2.port = \"2\"\nusb_xhci.present = \"FALSE\"\nmemsize = \"1\"\n\
                    hostCPUID.0 = \"0\"\nx99999.y = \"1\"\n0.y = \"1\"\n.encoding = \"UTF-8\"\na-b.c = \"\"\n";
        let vmx = Vmx::parse(text.as_bytes()).unwrap();
        let all = vmx.devices();
        let names: Vec<_> = all.iter().map(|d| (d.class.as_str(), d.number, d.unit)).collect();
        assert_eq!(
            names,
            [
                ("scsi", Some(0), None),
                ("scsi", Some(0), Some(1)),
                ("usb", None, Some(2)),
                ("usb_xhci", None, None),
                ("hostcpuid", None, None),
            ]
        );
        assert_eq!(all[1].text("filename"), Some("a"));
        let present: Vec<_> = all.iter().map(Device::is_present).collect();
        assert_eq!(present, [true, true, false, false, false]);
    }
}
