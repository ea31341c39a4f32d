//! Devices that are neither storage nor network.

use code::Code;
use vm::{Chipset, Serial, SerialTarget, Sound, Usb, Video, VideoModel};

use super::devices;
use crate::{
    Error,
    check::PLAIN_APIC_CPUS,
    document::{Element, Shown},
    notes::Notes,
};

/// The most video memory that is read, in KiB: what libvirt's own type holds.
const MAX_VIDEO_KIB: u64 = u32::MAX as u64;
/// The screens of QEMU's virtio-gpu (`VIRTIO_GPU_MAX_SCANOUTS`).
const MAX_HEADS: u64 = 16;
/// Every sound card, to find one by its name.
const SOUNDS: [Sound; 4] = [Sound::Ich9, Sound::Es1370, Sound::Ac97, Sound::Sb16];

/// The first graphics card.
pub(super) fn video(root: &Element<'_>, notes: &mut Notes<'_>) -> Result<Option<Video>, Error> {
    let mut cards = devices(root, "video");
    let Some(card) = cards.next() else { return Ok(None) };
    for other in cards {
        notes.leave_out(other, Code::W0203, "a second graphics card is left out");
    }
    let Some(model) = card.first("model") else {
        return Ok(Some(Video { model: VideoModel::Vga, memory_bytes: None, heads: 1 }));
    };
    match model.value("type") {
        Some("none") => Ok(None),
        Some("virtio") => {
            let heads = notes.number(model, "heads", 1..=MAX_HEADS)?.unwrap_or(1);
            let heads = u32::try_from(heads).unwrap_or(1);
            Ok(Some(Video { model: VideoModel::Virtio, memory_bytes: None, heads }))
        }
        Some("vga") | None => {
            let kib = notes.number(model, "vram", 0..=MAX_VIDEO_KIB)?;
            let memory_bytes = kib.map(|kib| kib.saturating_mul(1024));
            Ok(Some(Video { model: VideoModel::Vga, memory_bytes, heads: 1 }))
        }
        Some(other) => {
            let message = format!("the graphics card {} is read as vga", Shown(other));
            notes.note(card, Code::W0106, message);
            Ok(Some(Video { model: VideoModel::Vga, memory_bytes: None, heads: 1 }))
        }
    }
}

/// Notes the screens that are reached otherwise than by the VNC that the writer gives a machine.
pub(super) fn note_screens(root: &Element<'_>, notes: &mut Notes<'_>) {
    for screen in devices(root, "graphics") {
        let kind = screen.value("type").unwrap_or_default();
        if kind != "vnc" {
            let message = format!("the screen of type {} is left out", Shown(kind));
            notes.leave_out(screen, Code::W0203, message);
        }
    }
}

/// The first sound card that a machine can have.
pub(super) fn sound(root: &Element<'_>, notes: &mut Notes<'_>) -> Option<Sound> {
    let mut found = None;
    for card in devices(root, "sound") {
        let name = card.value("model").unwrap_or_default();
        let known = SOUNDS.into_iter().find(|sound| sound.as_str() == name);
        match (found, known) {
            (None, Some(sound)) => found = Some(sound),
            (None, None) if name == "ich6" => {
                notes.note(card, Code::W0106, "the sound card ich6 is read as ich9");
                found = Some(Sound::Ich9);
            }
            _ => {
                let message = format!("the sound card {} is left out", Shown(name));
                notes.leave_out(card, Code::W0203, message);
            }
        }
    }
    found
}

/// The USB controller; without a word libvirt adds the board's own, and `none` says there is none.
pub(super) fn usb(root: &Element<'_>, chipset: Chipset, notes: &mut Notes<'_>) -> Option<Usb> {
    let boards_own = match chipset {
        Chipset::Pc => Usb::Uhci,
        Chipset::Q35 => Usb::Ehci,
    };
    let is_usb = |controller: &&Element<'_>| controller.value("type") == Some("usb");
    let mut controllers = devices(root, "controller").filter(is_usb);
    let Some(controller) = controllers.next() else { return Some(boards_own) };
    for other in controllers {
        let is_companion = other.value("model").is_some_and(|m| m.starts_with("ich9-uhci"));
        if !is_companion {
            notes.leave_out(other, Code::W0203, "a second USB controller is left out");
        }
    }
    match controller.value("model") {
        Some("none") => None,
        None => Some(boards_own),
        Some("qemu-xhci" | "nec-xhci") => Some(Usb::Xhci),
        Some(name) if name == "ehci" || name.starts_with("ich9-") => Some(Usb::Ehci),
        Some("piix3-uhci") if chipset == Chipset::Pc => Some(Usb::Uhci),
        Some(name) => {
            let message = format!("the USB controller {} is read as the board's own", Shown(name));
            notes.note(controller, Code::W0106, message);
            Some(boards_own)
        }
    }
}

/// The serial ports; a console that is one where none is listed counts, since libvirt adds it.
pub(super) fn serials(root: &Element<'_>, notes: &mut Notes<'_>) -> Vec<Serial> {
    let mut serials = Vec::new();
    for port in devices(root, "serial") {
        let kind = port.value("type").unwrap_or_default();
        if kind != "pty" {
            let message = format!("a serial port on {} is read as one on a pty", Shown(kind));
            notes.note(port, Code::W0105, message);
        }
        serials.push(Serial { target: SerialTarget::Pty });
    }
    let is_serial = |console: &Element<'_>| {
        matches!(console.child_value("target", "type"), None | Some("serial"))
    };
    let mut has_console = false;
    for console in devices(root, "console") {
        if is_serial(console) {
            has_console = true;
        } else {
            notes.leave_out(console, Code::W0203, "a console that is no serial port is left out");
        }
    }
    if has_console && serials.is_empty() {
        serials.push(Serial { target: SerialTarget::Pty });
    }
    serials
}

/// Whether there is an emulated TPM 2.0; what it has stored stays behind.
pub(super) fn tpm(root: &Element<'_>, notes: &mut Notes<'_>) -> bool {
    let mut found = false;
    for tpm in devices(root, "tpm") {
        let kind = tpm.child_value("backend", "type");
        let version = tpm.child_value("backend", "version");
        if kind == Some("emulator") && matches!(version, None | Some("2.0")) {
            found = true;
        } else {
            notes.leave_out(tpm, Code::W0203, "a TPM that is no emulated TPM 2.0 is left out");
        }
    }
    found
}

/// Whether the guest has an IOMMU for its own use.
///
/// One that only numbers many processors is none: the writer adds that by itself, without the cached
/// mappings that a guest of guests needs.
pub(super) fn iommu(root: &Element<'_>, most_cpus: u32) -> bool {
    let is_for_guests = |iommu: &Element<'_>| {
        most_cpus <= PLAIN_APIC_CPUS
            || iommu.first("driver").is_some_and(|driver| driver.says_yes("caching_mode"))
    };
    devices(root, "iommu")
        .any(|iommu| iommu.value("model") == Some("intel") && is_for_guests(iommu))
}

/// Whether there is a watchdog that the guest can feed; the board's own (iTCO) is always there.
pub(super) fn watchdog(root: &Element<'_>, notes: &mut Notes<'_>) -> bool {
    let mut found = false;
    for watchdog in devices(root, "watchdog") {
        match watchdog.value("model") {
            Some("itco") => {}
            Some("i6300esb") => {
                found = true;
                if watchdog.value("action") != Some("none") {
                    notes.note(watchdog, Code::W0112, "the watchdog is read as one without an act");
                }
            }
            other => {
                let shown = Shown(other.unwrap_or_default());
                let message = format!("the watchdog {shown} is left out");
                notes.leave_out(watchdog, Code::W0203, message);
            }
        }
    }
    found
}

/// Whether there is a channel for the guest agent; other channels serve programs of the host.
pub(super) fn agent_channel(root: &Element<'_>, notes: &mut Notes<'_>) -> bool {
    let mut found = false;
    for channel in devices(root, "channel") {
        let name = channel.child_value("target", "name").unwrap_or_default();
        if name == "org.qemu.guest_agent.0" {
            found = true;
        } else {
            let message = format!("the channel {} is left out", Shown(name));
            notes.leave_out(channel, Code::W0203, message);
        }
    }
    found
}

/// Whether there is a random number generator that the host feeds.
pub(super) fn rng(root: &Element<'_>, notes: &mut Notes<'_>) -> bool {
    let mut found = false;
    for rng in devices(root, "rng") {
        if rng.child_value("backend", "model") == Some("egd") {
            notes.note(rng, Code::W0112, "the source of randomness is read as the host's own");
        }
        found = true;
    }
    found
}

/// Whether there is a balloon: libvirt adds one where a document does not say `none`.
pub(super) fn balloon(root: &Element<'_>) -> bool {
    devices(root, "memballoon").next().and_then(|balloon| balloon.value("model")) != Some("none")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::read_devices;

    /// A device, what the machine is asked for it, and what is said of it.
    type Case = (&'static str, fn(&vm::Machine) -> bool, &'static [&'static str]);

    fn assert_cases(cases: &[Case]) {
        for (devices, holds, want) in cases {
            let (machine, findings) = read_devices(devices);
            assert!(holds(&machine), "{devices}");
            let want: Vec<_> =
                want.iter().map(|text| text.replacen(' ', " /domain/devices/", 1)).collect();
            assert_eq!(findings, want, "{devices}");
        }
    }

    #[test]
    fn takes_the_nearest_model_and_says_so() {
        const VGA: Option<Video> =
            Some(Video { model: VideoModel::Vga, memory_bytes: None, heads: 1 });
        assert_cases(&[
            (
                "<video><model type='qxl' ram='65536' vram='65536' heads='1'/></video>",
                |m| m.video == VGA,
                &[r#"W0106 video: the graphics card "qxl" is read as vga"#],
            ),
            (
                "<sound model='ich6'/>",
                |m| m.sound == Some(Sound::Ich9),
                &["W0106 sound: the sound card ich6 is read as ich9"],
            ),
            (
                "<controller type='usb' model='pci-ohci'/>",
                |m| m.usb == Some(Usb::Ehci),
                &[r#"W0106 controller: the USB controller "pci-ohci" is read as the board's own"#],
            ),
            (
                "<watchdog model='i6300esb' action='reset'/>",
                |m| m.watchdog,
                &["W0112 watchdog: the watchdog is read as one without an act"],
            ),
            (
                "<serial type='tcp'><target port='0'/></serial>",
                |m| m.serials.len() == 1,
                &[r#"W0105 serial: a serial port on "tcp" is read as one on a pty"#],
            ),
        ]);
    }

    #[test]
    fn leaves_out_what_a_machine_cannot_have() {
        assert_cases(&[
            (
                "<video/><video><model type='virtio'/></video>",
                |m| m.video.is_some_and(|video| video.model == VideoModel::Vga),
                &["W0203 video[2]: a second graphics card is left out"],
            ),
            (
                "<sound model='ac97'/><sound model='es1370'/>",
                |m| m.sound == Some(Sound::Ac97),
                &[r#"W0203 sound[2]: the sound card "es1370" is left out"#],
            ),
            (
                "<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>",
                |m| !m.tpm,
                &["W0203 tpm: a TPM that is no emulated TPM 2.0 is left out"],
            ),
            (
                "<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>",
                |m| !m.agent_channel,
                &[r#"W0203 channel: the channel "com.redhat.spice.0" is left out"#],
            ),
            (
                "<graphics type='spice' autoport='yes'><image compression='off'/></graphics>",
                |m| m.video.is_none(),
                &[r#"W0203 graphics: the screen of type "spice" is left out"#],
            ),
            (
                "<console type='pty'><target type='virtio'/></console>",
                |m| m.serials.is_empty(),
                &["W0203 console: a console that is no serial port is left out"],
            ),
        ]);
    }

    #[test]
    fn takes_silence_as_libvirt_does() {
        assert_cases(&[
            ("<console type='pty'/>", |m| m.serials.len() == 1, &[]),
            ("<controller type='usb' index='0'/>", |m| m.usb == Some(Usb::Ehci), &[]),
            ("<controller type='usb' model='none'/>", |m| m.usb.is_none(), &[]),
            ("<watchdog model='itco' action='reset'/>", |m| !m.watchdog, &[]),
            (
                "<iommu model='intel'><driver intremap='on' caching_mode='on'/></iommu>",
                |m| m.iommu,
                &[],
            ),
            ("<memballoon model='none'/>", |m| !m.balloon, &[]),
            ("<tpm model='tpm-crb'><backend type='emulator'/></tpm>", |m| m.tpm, &[]),
            ("<video><model type='none'/></video>", |m| m.video.is_none(), &[]),
        ]);
    }
}
