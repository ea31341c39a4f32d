//! Devices that are neither storage nor network.

use vm::{Machine, Sound, Usb, Video, VideoModel};

use super::platform;
use xml::Element;

/// The USB controller; a machine without one says so, because libvirt adds one of its own.
pub(super) fn controllers(machine: &Machine) -> Vec<Element<'static>> {
    let usb = |model| {
        Element::new("controller").with("type", "usb").with("index", "0").with("model", model)
    };
    match machine.usb {
        Some(Usb::Xhci) => vec![usb("qemu-xhci")],
        Some(Usb::Uhci) => vec![usb("piix3-uhci")],
        Some(Usb::Ehci) => {
            let companion = |(model, port)| usb(model).holding([master(port)]);
            let companions = [("ich9-uhci1", 0), ("ich9-uhci2", 2), ("ich9-uhci3", 4)];
            std::iter::once(usb("ich9-ehci1")).chain(companions.map(companion)).collect()
        }
        None => vec![usb("none")],
    }
}

fn master(start_port: u32) -> Element<'static> {
    Element::new("master").with_number("startport", start_port)
}

pub(super) fn devices(machine: &Machine) -> Vec<Element<'static>> {
    let mut all = consoles(machine.serials.len());
    all.extend(machine.agent_channel.then(agent_channel));
    all.extend(machine.usb.map(|_| tablet()));
    all.extend(machine.tpm.then(tpm));
    if let Some(video) = machine.video {
        all.extend([graphics(), video_card(video)]);
    }
    all.extend(machine.sound.map(sound));
    all.push(balloon(if machine.balloon { "virtio" } else { "none" }));
    all.extend(machine.watchdog.then(watchdog));
    all.extend(machine.rng.then(rng));
    all.extend(platform::iommu(machine));
    all
}

/// Serial ports on pseudo terminals; the first is what `virsh console` opens.
fn consoles(serials: usize) -> Vec<Element<'static>> {
    let port = |name, kind, port: u32| {
        let target = Element::new("target").with("type", kind).with_number("port", port);
        Element::new(name).with("type", "pty").holding([target])
    };
    let console = (serials > 0).then(|| port("console", "serial", 0));
    (0_u32..).take(serials).map(|at| port("serial", "isa-serial", at)).chain(console).collect()
}

fn agent_channel() -> Element<'static> {
    let target =
        Element::new("target").with("type", "virtio").with("name", "org.qemu.guest_agent.0");
    Element::new("channel").with("type", "unix").holding([target])
}

/// A pointer with absolute coordinates: the mouse of a remote screen follows without being caught.
fn tablet() -> Element<'static> {
    Element::new("input").with("type", "tablet").with("bus", "usb")
}

fn tpm() -> Element<'static> {
    let backend = Element::new("backend").with("type", "emulator").with("version", "2.0");
    Element::new("tpm").with("model", "tpm-crb").holding([backend])
}

/// The screen, for this host alone.
fn graphics() -> Element<'static> {
    let listen = Element::new("listen").with("type", "address").with("address", "127.0.0.1");
    Element::new("graphics")
        .with("type", "vnc")
        .with("port", "-1")
        .with("autoport", "yes")
        .with("listen", "127.0.0.1")
        .holding([listen])
}

fn video_card(video: Video) -> Element<'static> {
    let model = Element::new("model");
    let model = match (video.model, video.memory_bytes) {
        (VideoModel::Vga, Some(bytes)) => {
            model.with("type", "vga").with_number("vram", bytes / 1024)
        }
        (VideoModel::Vga, None) => model.with("type", "vga"),
        (VideoModel::Virtio, _) => model.with("type", "virtio"),
    };
    Element::new("video").holding([model.with_number("heads", video.heads).with("primary", "yes")])
}

fn sound(sound: Sound) -> Element<'static> {
    Element::new("sound").with("model", sound.as_str())
}

fn balloon(model: &'static str) -> Element<'static> {
    Element::new("memballoon").with("model", model)
}

fn rng() -> Element<'static> {
    let backend = Element::text("backend", "/dev/urandom").with("model", "random");
    Element::new("rng").with("model", "virtio").holding([backend])
}

/// A timer that the guest can feed; when it runs out the host looks on, as nobody asked for more.
fn watchdog() -> Element<'static> {
    Element::new("watchdog").with("model", "i6300esb").with("action", "none")
}
