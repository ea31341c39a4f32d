//! Devices other than storage.

use std::{fmt, str::FromStr};

/// A network card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// What the guest sees.
    pub model: NicModel,
    /// What it is plugged into.
    pub target: NicTarget,
    /// Its address; the host makes one up when it is absent.
    pub mac: Option<MacAddress>,
    /// The slot number that the guest shall see, so that Linux names the card `ens<slot>`: 1..=8191,
    /// for PCI Express cards on q35, no two alike.
    pub slot: Option<u16>,
    /// Whether the cable is plugged in at start.
    pub link_up: bool,
    /// Rank in the boot order, from 1.
    pub boot_order: Option<u16>,
}

/// Models of network cards that QEMU has and relift may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NicModel {
    /// virtio-net.
    Virtio,
    /// VMware VMXNET3.
    Vmxnet3,
    /// Intel 82540EM.
    E1000,
    /// Intel 82574L.
    E1000e,
    /// AMD PCnet.
    Pcnet,
    /// Realtek 8139.
    Rtl8139,
}

impl NicModel {
    /// The name that QEMU and libvirt use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Virtio => "virtio",
            Self::Vmxnet3 => "vmxnet3",
            Self::E1000 => "e1000",
            Self::E1000e => "e1000e",
            Self::Pcnet => "pcnet",
            Self::Rtl8139 => "rtl8139",
        }
    }

    /// Whether it is a PCI Express card; the others are conventional PCI.
    #[must_use]
    pub const fn is_express(self) -> bool {
        matches!(self, Self::Virtio | Self::Vmxnet3 | Self::E1000e)
    }
}

/// What a network card is plugged into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NicTarget {
    /// A network that libvirt manages.
    Network(String),
    /// A bridge of the host, with a VLAN tag if the bridge wants one.
    Bridge {
        /// The bridge's name.
        name: String,
        /// VLAN id, 1..=4094.
        vlan: Option<u16>,
    },
    /// libvirt's user network: no rights needed, outgoing connections only.
    User,
    /// Nothing: the card is there, the cable is not.
    None,
}

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Whether a card can have it: neither multicast nor all zeros.
    #[must_use]
    pub const fn is_usable(self) -> bool {
        let [a, b, c, d, e, f] = self.0;
        a & 1 == 0 && (a | b | c | d | e | f) != 0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The text is no Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoMacAddress;

impl fmt::Display for NoMacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an Ethernet address of six bytes")
    }
}

impl std::error::Error for NoMacAddress {}

impl FromStr for MacAddress {
    type Err = NoMacAddress;

    /// Reads `00:50:56:aa:bb:cc`, `00-50-56-AA-BB-CC` and `005056AABBCC`.
    fn from_str(text: &str) -> Result<Self, NoMacAddress> {
        let text = text.trim();
        let digits: Vec<u8> = match text.len() {
            17 if text.bytes().skip(2).step_by(3).all(|b| b == b':')
                || text.bytes().skip(2).step_by(3).all(|b| b == b'-') =>
            {
                text.bytes().enumerate().filter(|(at, _)| at % 3 != 2).map(|(_, b)| b).collect()
            }
            12 => text.bytes().collect(),
            _ => return Err(NoMacAddress),
        };
        let mut mac = [0_u8; 6];
        for (byte, pair) in mac.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| NoMacAddress)?;
            if !pair.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(NoMacAddress);
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NoMacAddress)?;
        }
        Ok(Self(mac))
    }
}

/// A graphics card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Video {
    /// What the guest sees.
    pub model: VideoModel,
    /// Video memory in bytes; a power of two from 16 MiB, or the host's default.
    pub memory_bytes: Option<u64>,
    /// How many screens can be connected, 1..=16; only virtio-gpu has more than one.
    pub heads: u32,
}

/// Models of graphics cards that relift may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoModel {
    /// The standard VGA card.
    Vga,
    /// virtio-gpu.
    Virtio,
}

/// A sound card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sound {
    /// Intel HD Audio of the ICH9.
    Ich9,
    /// Ensoniq AudioPCI ES1370.
    Es1370,
    /// Intel AC'97.
    Ac97,
    /// Sound Blaster 16 (`pc` only).
    Sb16,
}

impl Sound {
    /// The name that libvirt uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ich9 => "ich9",
            Self::Es1370 => "es1370",
            Self::Ac97 => "ac97",
            Self::Sb16 => "sb16",
        }
    }
}

/// A USB controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usb {
    /// xHCI, for guests of 2010 and later.
    Xhci,
    /// EHCI of the ICH9 with its companions.
    Ehci,
    /// UHCI of the PIIX3 (`pc` only).
    Uhci,
}

/// A serial port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serial {
    /// Where its other end is.
    pub target: SerialTarget,
}

/// The other end of a serial port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SerialTarget {
    /// A pseudo terminal of the host, which `virsh console` opens.
    Pty,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_three_spellings_of_an_ethernet_address() {
        for text in ["00:50:56:aa:bb:cc", "00-50-56-AA-BB-CC", "005056AABBCC"] {
            assert_eq!(text.parse::<MacAddress>().unwrap().to_string(), "00:50:56:aa:bb:cc");
        }
        for text in ["", "00:50:56:aa:bb", "00:50-56:aa-bb:cc", "+0:50:56:aa:bb:cc", "005056AABBC€"]
        {
            assert_eq!(text.parse::<MacAddress>(), Err(NoMacAddress), "{text}");
        }
    }

    #[test]
    fn calls_multicast_and_zero_unusable() {
        for (text, want) in [
            ("01:00:5e:00:00:01", false),
            ("00:00:00:00:00:00", false),
            ("52:54:00:00:00:00", true),
        ] {
            assert_eq!(text.parse::<MacAddress>().unwrap().is_usable(), want, "{text}");
        }
    }
}
