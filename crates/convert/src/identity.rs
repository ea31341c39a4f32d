//! Identities that are made from the source, so that the same input gives the same output.

use sha2::{Digest as _, Sha256};
use vm::{MacAddress, Uuid};

/// What identities are made from: the descriptor's bytes, the system's id, the machine's final name.
#[derive(Debug, Clone)]
pub struct Identity {
    seed: Sha256,
}

impl Identity {
    /// Collects what identities are made from.
    #[must_use]
    pub fn new(descriptor: &[u8], system_id: &str, name: &str) -> Self {
        let mut seed = Sha256::new();
        for part in [descriptor, system_id.as_bytes(), name.as_bytes()] {
            seed.update((part.len() as u64).to_be_bytes());
            seed.update(part);
        }
        Self { seed }
    }

    /// The machine's UUID, version 8.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        Uuid::from_digest(&self.seed.clone().finalize().into())
    }

    /// The Ethernet address of a card: QEMU's prefix and three bytes of a digest.
    #[must_use]
    pub fn mac(&self, card: usize) -> MacAddress {
        let [a, b, c, ..] = self.digest("nic", card);
        MacAddress([0x52, 0x54, 0x00, a, b, c])
    }

    /// The serial number of a disk, 16 hexadecimal digits.
    #[must_use]
    pub fn disk_serial(&self, disk: usize) -> String {
        let [a, b, c, d, e, f, g, h, ..] = self.digest("disk", disk);
        format!("{:016x}", u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    /// The world wide name of a disk: NAA 5, a vendor's number, 32 bits of a digest.
    #[must_use]
    pub fn disk_wwn(&self, disk: usize) -> u64 {
        let [a, b, c, d, ..] = self.digest("wwn", disk);
        0x5000_c500_0000_0000 | u64::from(u32::from_be_bytes([a, b, c, d]))
    }

    fn digest(&self, what: &str, number: usize) -> [u8; 32] {
        let mut hash = self.seed.clone();
        hash.update(what.as_bytes());
        hash.update((number as u64).to_be_bytes());
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_same_for_the_same_and_another_for_another() {
        let one = Identity::new(b"<Envelope/>", "vm", "demo");
        let same = Identity::new(b"<Envelope/>", "vm", "demo");
        let other = Identity::new(b"<Envelope/>", "vmd", "emo");
        assert_eq!((one.uuid(), one.mac(0)), (same.uuid(), same.mac(0)));
        assert_ne!(one.uuid(), other.uuid());
        assert_ne!(one.mac(0), one.mac(1));
        assert!(one.mac(0).is_usable() && one.mac(0).to_string().starts_with("52:54:00:"));
        assert_eq!(one.disk_serial(0).len(), 16);
        assert_eq!(one.disk_wwn(0) >> 32, 0x5000_c500);
    }
}
