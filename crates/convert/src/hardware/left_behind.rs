//! What does not come along: parts of the old host, and what only VMware has.

use code::Code;

use crate::{
    Note, Row,
    source::{Device, DeviceKind, HostFeature},
};

/// The row of a device that no machine of ours has; one that the guest may need waits for somebody.
pub(super) fn row(device: &Device, (id, label): (&str, &str), kind: &DeviceKind) -> Row {
    let dropped = |code, text: &str| Row::dropped(id, label, &*device.name, Note::new(code, text));
    let blocked = |code, text: String| {
        let note = Note::blocker(code, text);
        let hint = format!("--ignore {id}, if the guest works without it");
        Row::blocked(id, label, &*device.name, note.hint(hint))
    };
    match kind {
        DeviceKind::PrinterPort => dropped(Code::W0203, "VMware's virtual printer"),
        DeviceKind::Parallel => dropped(Code::W0203, "no printer is there on the host"),
        DeviceKind::Vmci => dropped(Code::W0201, "VMware-only device"),
        DeviceKind::SharedFolder => {
            dropped(Code::W0201, "VMware shares a folder of the old host with the guest")
        }
        DeviceKind::Nvdimm => dropped(Code::W0207, "its content lies in a file of the old host"),
        DeviceKind::Passthrough(ids) => blocked(Code::W0206, passthrough(*ids)),
        DeviceKind::HostAdapter { carries_disk: true } => {
            blocked(Code::W0206, "a disk hangs on an adapter of the old host".to_owned())
        }
        DeviceKind::HostAdapter { carries_disk: false } => {
            dropped(Code::W0206, "a device of the old host is not here")
        }
        DeviceKind::Feature(HostFeature::Sev) => {
            dropped(Code::W0207, "the memory is not encrypted by the host's processor")
        }
        DeviceKind::Feature(HostFeature::Sgx) => {
            dropped(Code::W0207, "its enclaves belong to the old host's processor")
        }
        DeviceKind::Feature(HostFeature::AppleSmc) => {
            dropped(Code::W0201, "only macOS asks for Apple's SMC, and it is not provided")
        }
        DeviceKind::Repeated => dropped(Code::W0203, "said twice; the first one counts"),
        DeviceKind::Unknown(what) if device.origin.required == Some(true) => {
            blocked(Code::E0305, format!("{what}, and the package requires it"))
        }
        DeviceKind::Unknown(what) => dropped(Code::W0204, what),
        // The map builds or judges every other kind itself.
        _ => dropped(Code::W0204, "nothing is known of it"),
    }
}

/// What the passed-through device is, as far as the source says it.
fn passthrough(ids: Option<(u16, u16)>) -> String {
    match ids {
        Some((vendor, device)) => {
            format!("the device {vendor:04x}:{device:04x} of the old host is not here")
        }
        None => "a device of the old host is not here".to_owned(),
    }
}
