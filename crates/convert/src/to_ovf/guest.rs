//! The guest's id.

use ovf::writer::Os;

use super::Draft;
use crate::{
    Row,
    guest::{self, Statement},
};

/// CIM's number for a 64-bit Linux.
const LINUX_64: u16 = 101;

/// CIM's number for what none of the others is.
const OTHER: u16 = 1;

/// CIM numbers that every reader understands the same way, by the beginning of a libosinfo id.
const CIM_IDS: [(&str, u16); 9] = [
    ("http://debian.org/", 96),
    ("http://ubuntu.com/", 94),
    ("http://redhat.com/", 80),
    ("http://centos.org/", 107),
    ("http://oracle.com/ol/", 109),
    ("http://suse.com/sle", 85),
    ("http://opensuse.org/", 83),
    ("http://freebsd.org/", 78),
    ("http://microsoft.com/msdos/", 14),
];

/// Says which system runs inside, so that the way in finds the same one.
pub(super) fn os(draft: &mut Draft<'_>) -> Os {
    let machine = draft.machine;
    let url = machine.guest.osinfo.as_deref();
    let vmware = url.and_then(guest::vmware_id);
    let said = Statement { vmware: vmware.as_deref(), ..Statement::default() };
    let description = match url.and_then(ubuntu) {
        Some(release) => format!("Ubuntu {release} 64-bit"),
        None if vmware.is_some() => guest::identify(said).label,
        None => format!("{:?}", machine.guest.family),
    };
    let listed = CIM_IDS.iter().find(|(start, _)| url.is_some_and(|url| url.starts_with(start)));
    let cim_id = match (listed, machine.guest.family) {
        (Some((_, id)), _) => *id,
        (None, vm::GuestFamily::Linux) => LINUX_64,
        _ => OTHER,
    };
    let from = url.unwrap_or("unknown").to_owned();
    let vmware = vmware.or_else(|| family_id(machine).map(str::to_owned));
    let to = vmware.clone().unwrap_or_else(|| description.clone());
    draft.say(Row::kept("guest", "guest", from, to));
    Os { cim_id, vmware, description }
}

/// VMware's id of a family, for a guest of which no more is known. A Linux that was given UHCI is
/// older than xHCI.
fn family_id(machine: &vm::Machine) -> Option<&'static str> {
    match machine.guest.family {
        vm::GuestFamily::Linux if machine.usb == Some(vm::Usb::Uhci) => {
            Some("other26xLinux64Guest")
        }
        vm::GuestFamily::Linux => Some("otherLinux64Guest"),
        vm::GuestFamily::Bsd => Some("freebsd64Guest"),
        vm::GuestFamily::Solaris => Some("solaris10_64Guest"),
        vm::GuestFamily::Windows | vm::GuestFamily::Other | vm::GuestFamily::Unknown => None,
    }
}

/// The release in a libosinfo id of Ubuntu, whose releases share one id at VMware.
fn ubuntu(url: &str) -> Option<&str> {
    url.strip_prefix("http://ubuntu.com/ubuntu/")
}
