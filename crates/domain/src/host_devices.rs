//! The devices of the host that a guest has for itself.

use crate::{
    Error,
    document::{Document, Element},
};

/// A device of the host that is given to a guest, as its `<hostdev>` element tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostDevice {
    /// What it is.
    pub kind: HostDeviceKind,
    /// Where it is on the host, in words; empty where the document does not say.
    pub place: String,
}

/// What kind of device is given to a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostDeviceKind {
    /// A mediated device: a part of a device of the host with a state of its own, such as a virtual GPU.
    Mediated,
    /// A LUN, or a host adapter with its LUNs.
    Scsi,
    /// Of another type, such as `pci` or `usb`.
    Other,
}

/// Lists the devices of the host that a domain XML gives to its guest, in document order.
///
/// # Errors
///
/// Text that is no bounded, sound XML.
pub fn host_devices(xml: &[u8]) -> Result<Vec<HostDevice>, Error> {
    let document = Document::parse(xml)?;
    let devices = document.root.all("devices").flat_map(|devices| devices.all("hostdev"));
    Ok(devices.map(device).collect())
}

fn device(element: &Element<'_>) -> HostDevice {
    let kind = match element.value("type") {
        Some("mdev") => HostDeviceKind::Mediated,
        Some("scsi" | "scsi_host") => HostDeviceKind::Scsi,
        _ => HostDeviceKind::Other,
    };
    let place = element.first("source").map(place).unwrap_or_default();
    HostDevice { kind, place }
}

/// The name of an adapter or a target, and an address, as far as they are said.
fn place(source: &Element<'_>) -> String {
    let adapter = source.child_value("adapter", "name");
    let name = adapter.or_else(|| source.value("name")).or_else(|| source.value("wwpn"));
    let address = source.first("address");
    let uuid = address.and_then(|it| it.value("uuid")).map(str::to_owned);
    let unit = address.and_then(|it| {
        let (bus, target, unit) = (it.value("bus")?, it.value("target")?, it.value("unit")?);
        Some(format!("{bus}:{target}:{unit}"))
    });
    let words = [name.map(str::to_owned), uuid.or(unit)];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_mediated_devices_and_luns_from_others() {
        let xml = "<domain><devices>\
            <hostdev mode='subsystem' type='mdev' model='vfio-pci'>\
              <source><address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source></hostdev>\
            <hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host2'/>\
              <address bus='0' target='1' unit='3'/></source></hostdev>\
            <hostdev mode='subsystem' type='scsi'>\
              <source protocol='iscsi' name='iqn.2026-11.x:a/1'/></hostdev>\
            <hostdev mode='subsystem' type='scsi_host'>\
              <source protocol='vhost' wwpn='naa.5'/></hostdev>\
            <hostdev mode='subsystem' type='usb'/></devices></domain>";
        let found = host_devices(xml.as_bytes()).unwrap();
        let found: Vec<_> = found.iter().map(|it| (it.kind, it.place.as_str())).collect();
        let want = [
            (HostDeviceKind::Mediated, "c2177883-f1bb-47f0-914d-32a22e3a8804"),
            (HostDeviceKind::Scsi, "scsi_host2 0:1:3"),
            (HostDeviceKind::Scsi, "iqn.2026-11.x:a/1"),
            (HostDeviceKind::Scsi, "naa.5"),
            (HostDeviceKind::Other, ""),
        ];
        assert_eq!(found, want);
    }
}
