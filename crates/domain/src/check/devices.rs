//! Network cards and the devices that are not storage.

use std::collections::BTreeMap;

use vm::{Chipset, Machine, Nic, NicTarget, Sound, Usb, Video, VideoModel};

use super::text::Text;
use crate::{
    Error,
    error::{Item, Refusal},
};

/// VLAN ids that a tag can carry (IEEE 802.1Q: 0 and 4095 are reserved).
const VLAN_IDS: std::ops::RangeInclusive<u64> = 1..=4094;
/// The longest name of a Linux network interface (`IFNAMSIZ` less the final NUL).
const MAX_BRIDGE_BYTES: u64 = 15;
/// The video memory that QEMU's VGA takes and a guest of this century can use.
const VIDEO_MEMORY_BYTES: std::ops::RangeInclusive<u64> = 16 << 20..=256 << 20;
/// The screens of QEMU's virtio-gpu (`VIRTIO_GPU_MAX_SCANOUTS`).
const MAX_HEADS: u64 = 16;
/// ISA has four serial ports.
const MAX_SERIALS: u64 = 4;

pub(super) fn check(machine: &Machine) -> Result<(), Error> {
    check_nics(&machine.nics)?;
    if let Some(video) = machine.video {
        check_video(video)?;
    }
    if machine.chipset == Chipset::Q35 {
        refuse_on_q35(machine.sound, machine.usb)?;
    }
    let serials = u64::try_from(machine.serials.len()).unwrap_or(u64::MAX);
    Item::Serials.require_range("count", serials, 0..=MAX_SERIALS)
}

fn check_nics(nics: &[Nic]) -> Result<(), Error> {
    let mut taken = BTreeMap::new();
    for (at, nic) in nics.iter().enumerate() {
        let item = Item::Nic(at);
        check_target(item, &nic.target)?;
        let Some(mac) = nic.mac else { continue };
        let value = mac.to_string();
        if !mac.is_usable() {
            let why = "is multicast or zero";
            return Err(item.refuse(Refusal::Unusable { what: "address", value, why }));
        }
        if let Some(by) = taken.insert(mac, item) {
            return Err(item.refuse(Refusal::Taken { what: "address", value, by }));
        }
    }
    Ok(())
}

fn check_target(item: Item, target: &NicTarget) -> Result<(), Error> {
    match target {
        NicTarget::Network(name) => Text::new(item, "network name", name).require_line(),
        NicTarget::Bridge { name, vlan } => {
            let text = Text::new(item, "bridge name", name);
            text.require_token()?;
            text.require_length(MAX_BRIDGE_BYTES)?;
            vlan.map_or(Ok(()), |id| item.require_range("VLAN id", id.into(), VLAN_IDS))
        }
        NicTarget::User | NicTarget::None => Ok(()),
    }
}

/// virtio-gpu has no fixed memory, so that a number asked for it is not looked at; VGA has one screen.
fn check_video(video: Video) -> Result<(), Error> {
    let most = if video.model == VideoModel::Virtio { MAX_HEADS } else { 1 };
    Item::Video.require_range("heads", video.heads.into(), 1..=most)?;
    let (VideoModel::Vga, Some(bytes)) = (video.model, video.memory_bytes) else { return Ok(()) };
    Item::Video.require_range("memory", bytes, VIDEO_MEMORY_BYTES)?;
    if bytes.is_power_of_two() {
        return Ok(());
    }
    Err(Item::Video.refuse(Refusal::Memory { bytes, wanted: "a power of two" }))
}

/// The PIIX3 is a chip of the i440fx board, and a Sound Blaster is for guests of its age ([`Sound`]).
fn refuse_on_q35(sound: Option<Sound>, usb: Option<Usb>) -> Result<(), Error> {
    let needs = "the pc board";
    if sound == Some(Sound::Sb16) {
        return Err(Item::Sound.refuse(Refusal::Needs { what: "sb16", needs }));
    }
    if usb == Some(Usb::Uhci) {
        return Err(Item::Usb.refuse(Refusal::Needs { what: "piix3-uhci", needs }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use vm::{MacAddress, Serial, SerialTarget};

    use super::*;
    use crate::check::tests::{assert_refusals, sound};

    fn bridge(name: &str, vlan: Option<u16>) -> NicTarget {
        NicTarget::Bridge { name: name.into(), vlan }
    }

    #[test]
    fn refuses_addresses_that_no_card_can_have() {
        assert_refusals(&[
            (
                |m| m.nics[0].mac = Some(MacAddress([1, 0, 0x5e, 0, 0, 1])),
                "nic 0: address 01:00:5e:00:00:01 is multicast or zero",
            ),
            (
                |m| m.nics[0].mac = Some(MacAddress([0; 6])),
                "nic 0: address 00:00:00:00:00:00 is multicast or zero",
            ),
            (
                |m| m.nics[1].mac = m.nics[0].mac,
                "nic 1: address 52:54:00:00:00:01 is taken by nic 0",
            ),
        ]);
    }

    #[test]
    fn refuses_networks_and_bridges_without_a_usable_name() {
        assert_refusals(&[
            (
                |m| m.nics[0].target = NicTarget::Network(String::new()),
                r#"nic 0: network name "" is not a word"#,
            ),
            (
                |m| m.nics[0].target = bridge("VM Network", None),
                r#"nic 0: bridge name "VM Network" is not made of letters, digits and ._+- only"#,
            ),
            (
                |m| m.nics[0].target = bridge("bridge-of-sixteen", None),
                "nic 0: bridge name has 17 bytes, 15 are allowed",
            ),
            (
                |m| m.nics[0].target = bridge("br0", Some(0)),
                "nic 0: VLAN id of 0 is not in 1..=4094",
            ),
            (
                |m| m.nics[0].target = bridge("br0", Some(4095)),
                "nic 0: VLAN id of 4095 is not in 1..=4094",
            ),
        ]);
    }

    #[test]
    fn refuses_video_memory_that_qemu_would_round() {
        const fn vga(bytes: u64) -> Option<Video> {
            Some(Video { model: VideoModel::Vga, memory_bytes: Some(bytes), heads: 1 })
        }
        assert_refusals(&[
            (|m| m.video = vga(1 << 20), "video: memory of 1048576 is not in 16777216..=268435456"),
            (
                |m| m.video = vga(1 << 29),
                "video: memory of 536870912 is not in 16777216..=268435456",
            ),
            (|m| m.video = vga(17 << 20), "video: memory of 17825792 bytes is not a power of two"),
        ]);
    }

    #[test]
    fn refuses_more_screens_than_a_card_has() {
        const fn card(model: VideoModel, heads: u32) -> Option<Video> {
            Some(Video { model, memory_bytes: None, heads })
        }
        assert_refusals(&[
            (|m| m.video = card(VideoModel::Vga, 2), "video: heads of 2 is not in 1..=1"),
            (|m| m.video = card(VideoModel::Virtio, 0), "video: heads of 0 is not in 1..=16"),
            (|m| m.video = card(VideoModel::Virtio, 17), "video: heads of 17 is not in 1..=16"),
        ]);
    }

    #[test]
    fn refuses_old_devices_on_q35_and_allows_them_on_i440fx() {
        assert_refusals(&[
            (|m| m.sound = Some(Sound::Sb16), "sound: sb16 needs the pc board"),
            (|m| m.usb = Some(Usb::Uhci), "usb: piix3-uhci needs the pc board"),
        ]);
        let mut machine = sound();
        (machine.chipset, machine.sound, machine.usb) =
            (Chipset::Pc, Some(Sound::Sb16), Some(Usb::Uhci));
        check(&machine).unwrap();
    }

    #[test]
    fn refuses_a_fifth_serial_port() {
        assert_refusals(&[(
            |m| m.serials = vec![Serial { target: SerialTarget::Pty }; 5],
            "serials: count of 5 is not in 0..=4",
        )]);
    }
}
