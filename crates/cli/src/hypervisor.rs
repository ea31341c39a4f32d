//! Which libvirt host is meant, and what it offers a machine.

use host::libvirt::{Known, Libvirt, LibvirtError, Offered};
use vm::{Accelerator, Offer};

use crate::{
    args::{HardwareArgs, HostArgs, VirtTypeChoice},
    failure::Result,
    session::Session,
};

/// Where machines of the host itself are managed.
const USUAL: &str = "qemu:///system";

/// What a host says that it offers, or why it says nothing.
pub(crate) type Answer = std::result::Result<Offered, LibvirtError>;

/// The libvirt host of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hypervisor {
    /// Its address.
    pub(crate) uri: String,
    /// Whether the user named it for this program: then it must answer.
    is_named: bool,
}

impl Hypervisor {
    /// The host that `--connect` names, else the usual one of virsh.
    pub(crate) fn of(connect: Option<&str>) -> Self {
        let usual = || std::env::var("LIBVIRT_DEFAULT_URI").ok().filter(|uri| !uri.is_empty());
        Self {
            uri: connect.map(str::to_owned).or_else(usual).unwrap_or_else(|| USUAL.to_owned()),
            is_named: connect.is_some(),
        }
    }

    /// The same host as one that must answer.
    pub(crate) fn named(&self) -> Self {
        Self { uri: self.uri.clone(), is_named: true }
    }

    /// The words that name it on a command line; none where the user did not name it.
    pub(crate) fn words(&self) -> Option<[&str; 2]> {
        self.is_named.then_some(["--connect", &self.uri])
    }

    /// Asks it what it offers.
    pub(crate) fn ask(&self) -> Answer {
        Libvirt::connect(&self.uri).and_then(|host| host.offered())
    }
}

/// Asks the host what it offers, and lets the choices know.
///
/// A host that nobody named need not be there: a folder is written without one.
pub(crate) fn consult(
    session: &Session,
    asked: &Hypervisor,
    args: (&HostArgs, &HardwareArgs),
    hardware: &mut convert::Choices,
) -> Result<()> {
    let (host, flags) = args;
    let Some(offer) = offered(session, asked, host)? else { return Ok(()) };
    if flags.virt_type == VirtTypeChoice::Auto && !offer.kvm {
        hardware.accelerator = Accelerator::Qemu;
    }
    hardware.offer = offer;
    Ok(())
}

/// What the host offers; `None` where none is asked, or none answers and need not.
pub(crate) fn offered(
    session: &Session,
    asked: &Hypervisor,
    host: &HostArgs,
) -> Result<Option<Offer>> {
    if host.offline {
        return Ok(None);
    }
    let uri = &asked.uri;
    let late;
    // Whoever is confined by now cannot ask any more.
    let answer = match session.answer(asked) {
        Some(answer) => answer,
        None => {
            late = asked.ask();
            &late
        }
    };
    match answer {
        Ok(offered) => {
            session.detail(&told(uri, offered));
            Ok(Some(offered.offer.clone()))
        }
        Err(error) if asked.is_named => Err(error.into()),
        Err(error) => {
            session.detail(&format!("no host is asked what it offers: {error}"));
            Ok(None)
        }
    }
}

fn told(uri: &str, offered: &Offered) -> String {
    match offered.devices {
        Known::Told => format!("{uri} and its QEMU were asked what they offer"),
        Known::Assumed => {
            format!("{uri} was asked what it offers; its QEMU is taken to have all devices")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_was_named_must_answer() {
        let named = Hypervisor::of(Some("qemu+ssh://h/system"));
        assert_eq!((named.uri.as_str(), named.is_named), ("qemu+ssh://h/system", true));
        assert_eq!(named.words(), Some(["--connect", "qemu+ssh://h/system"]));
        assert!(!Hypervisor::of(None).is_named && Hypervisor::of(None).words().is_none());
    }
}
