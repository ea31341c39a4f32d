//! The one way to libvirt: virsh, with XML in and out.

use std::{ffi::OsStr, ops::RangeInclusive, time::Duration};

use vm::Uuid;

use super::{
    LibvirtError,
    xml::{self, Element, XmlError},
};
use crate::program::{Call, Paper, Said, call};

/// How long a host may take until it is taken for unreachable.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// How long a question may take: libvirt may have to start QEMU first to know what it can do.
const ANSWER_LIMIT: Duration = Duration::from_secs(6);

/// How long an act may take.
pub(super) const ACT_LIMIT: Duration = Duration::from_secs(120);

/// How long a question to the machine's QEMU may take: libvirt waits 30 seconds for another job to
/// let go of it (`QEMU_JOB_WAIT_TIME`).
const MACHINE_LIMIT: Duration = Duration::from_secs(40);

/// How long an act may take that moves memory or data of a guest (ours): ending virsh does not end
/// it in libvirt, so this is only for one that hangs.
pub(super) const DATA_LIMIT: Duration = Duration::from_secs(6 * 60 * 60);

/// The end of an act that is always awaited (ours): what virsh needs around it.
const GRACE: Duration = Duration::from_secs(10);

/// The longest value that is handed to virsh (ours; paths are at most 4096 bytes).
const VALUE_BYTES: RangeInclusive<usize> = 1..=4096;

/// The most machines, pools or networks that a host is asked about (ours).
pub(super) const MAX_LISTED: usize = 10_000;

/// A libvirt host by its address.
#[derive(Debug, Clone)]
pub struct Libvirt {
    uri: String,
    virsh: String,
}

/// One call of virsh. What is not fixed in the program stands behind an option of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order<'a> {
    /// What is tried, as an error says it: `define the machine a`.
    pub(super) what: &'a str,
    /// The command, then its flags.
    pub(super) verb: &'a [&'static str],
    /// Options with the values that come from outside.
    pub(super) values: &'a [(&'static str, &'a str)],
}

impl Libvirt {
    /// A host that is not asked yet, by any address that libvirt knows: `qemu:///system`,
    /// `qemu+ssh://host/system`.
    ///
    /// # Errors
    /// The address could be taken for an option, or holds control characters.
    pub fn at(uri: &str) -> Result<Self, LibvirtError> {
        check("the address", uri)?;
        Ok(Self { uri: uri.to_owned(), virsh: "virsh".to_owned() })
    }

    /// Sees whether the host answers, within two seconds.
    ///
    /// # Errors
    /// virsh is not installed, nobody answers, or the user is not let in.
    pub fn connect(uri: &str) -> Result<Self, LibvirtError> {
        let host = Self::at(uri)?;
        let order = Order { what: "connect", verb: &["uri"], values: &[] };
        host.call(&order, b"", CONNECT_LIMIT)?;
        Ok(host)
    }

    /// For tests: a host that a script plays.
    #[cfg(test)]
    pub(super) fn played_by(script: &str) -> Self {
        Self { uri: "test:///x".to_owned(), virsh: script.to_owned() }
    }

    /// The address.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Whether the host is this machine, so that its files are ours: the address names no other.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let Some((scheme, rest)) = self.uri.split_once("://") else { return false };
        let transport = scheme.split_once('+').map(|(_, transport)| transport);
        rest.starts_with('/') && matches!(transport, None | Some("unix"))
    }

    /// Asks for a document.
    pub(super) fn document(
        &self,
        order: &Order<'_>,
        root: &'static str,
    ) -> Result<Element, LibvirtError> {
        let said = self.call(order, b"", ANSWER_LIMIT)?;
        xml::parse(&said.out, root)
            .map_err(|error| LibvirtError::garbled(order.what, &self.uri, error))
    }

    /// Asks for a list of UUIDs, one a line.
    pub(super) fn uuids(&self, order: &Order<'_>) -> Result<Vec<Uuid>, LibvirtError> {
        let text = self.text(order)?;
        Ok(text.lines().filter_map(|line| line.trim().parse().ok()).take(MAX_LISTED).collect())
    }

    /// Asks for a text.
    pub(super) fn text(&self, order: &Order<'_>) -> Result<String, LibvirtError> {
        let said = self.call(order, b"", ANSWER_LIMIT)?;
        Ok(String::from_utf8_lossy(&said.out).into_owned())
    }

    /// Asks for a text that is read to the last byte.
    pub(super) fn exact_text(&self, order: &Order<'_>) -> Result<String, LibvirtError> {
        let said = self.call(order, b"", MACHINE_LIMIT)?;
        String::from_utf8(said.out)
            .map_err(|_| LibvirtError::garbled(order.what, &self.uri, XmlError::Encoding))
    }

    /// Asks what only a machine's QEMU knows, and waits until it has time for it.
    pub(super) fn patient_text(&self, order: &Order<'_>) -> Result<String, LibvirtError> {
        let said = self.call(order, b"", MACHINE_LIMIT)?;
        Ok(String::from_utf8_lossy(&said.out).into_owned())
    }

    /// Asks for a text that is there within this time, or not at all.
    pub(super) fn timely_text(
        &self,
        order: &Order<'_>,
        limit: Duration,
    ) -> Result<String, LibvirtError> {
        let said = self.call(order, b"", limit.saturating_add(GRACE))?;
        Ok(String::from_utf8_lossy(&said.out).into_owned())
    }

    /// Does something; `input` is what virsh reads as the file `/dev/stdin`.
    pub(super) fn act(&self, order: &Order<'_>, input: &[u8]) -> Result<(), LibvirtError> {
        self.act_within(order, input, ACT_LIMIT)
    }

    /// Does something that moves memory or data of a guest.
    pub(super) fn long_act(&self, order: &Order<'_>, input: &[u8]) -> Result<(), LibvirtError> {
        self.act_within(order, input, DATA_LIMIT)
    }

    /// Does something within this time.
    pub(super) fn act_within(
        &self,
        order: &Order<'_>,
        input: &[u8],
        limit: Duration,
    ) -> Result<(), LibvirtError> {
        self.call(order, input, limit).map(drop)
    }

    /// A document beside the one on standard input.
    pub(super) fn paper(&self, what: &str, text: &str) -> Result<Paper, LibvirtError> {
        Paper::new(text.as_bytes())
            .map_err(|error| LibvirtError::not_called(what, &self.uri, error))
    }

    /// Asks many questions in one call: a COMMAND_STRING (virsh(1), "DESCRIPTION"), whose words are the
    /// program's own. What one of them says is there though another fails.
    pub(super) fn commands(
        &self,
        what: &str,
        commands: &str,
        limit: Duration,
    ) -> Result<String, LibvirtError> {
        let said = self.run(what, &[OsStr::new(commands)], b"", limit)?;
        if !said.status.success() && said.out.is_empty() {
            return Err(LibvirtError::said(what, &self.uri, &said.err));
        }
        Ok(String::from_utf8_lossy(&said.out).into_owned())
    }

    fn call(&self, order: &Order<'_>, input: &[u8], limit: Duration) -> Result<Said, LibvirtError> {
        let mut words: Vec<_> = order.verb.iter().map(OsStr::new).collect();
        for (option, value) in order.values {
            check(option.trim_start_matches('-'), value)?;
            words.extend([OsStr::new(option), OsStr::new(value)]);
        }
        let said = self.run(order.what, &words, input, limit)?;
        if said.status.success() {
            return Ok(said);
        }
        Err(LibvirtError::said(order.what, &self.uri, &said.err))
    }

    fn run(
        &self,
        what: &str,
        words: &[&OsStr],
        input: &[u8],
        limit: Duration,
    ) -> Result<Said, LibvirtError> {
        let host = ["--connect", &self.uri, "--quiet"].map(OsStr::new);
        let words = [&host[..], words].concat();
        call(&Call { program: OsStr::new(&self.virsh), words: &words, input, limit })
            .map_err(|error| LibvirtError::not_called(what, &self.uri, error))
    }
}

/// Refuses what virsh could take for an option, or print as something else than it is.
fn check(what: &str, value: &str) -> Result<(), LibvirtError> {
    let is_sound = VALUE_BYTES.contains(&value.len())
        && !value.starts_with('-')
        && !value.chars().any(char::is_control);
    if is_sound { Ok(()) } else { Err(LibvirtError::unusable(what, value)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_hands_on_what_could_be_an_option() {
        for uri in ["", "-c", "qemu:///system\n", "a\u{7f}"] {
            let error = Libvirt::at(uri).unwrap_err();
            assert_eq!(error.to_string(), format!("the address {uri:?} cannot be given to virsh"));
        }
        let host = Libvirt { uri: "test:///default".into(), virsh: "/nonexistent/virsh".into() };
        let values = [("--pool", "--help")];
        let order = Order { what: "look", verb: &["pool-dumpxml"], values: &values };
        let error = host.text(&order).unwrap_err();
        assert_eq!(error.to_string(), "pool \"--help\" cannot be given to virsh");
    }

    #[test]
    fn knows_which_addresses_are_this_machine() {
        for (uri, want) in [
            ("qemu:///system", true),
            ("qemu+unix:///system?socket=/x", true),
            ("qemu+ssh://host/system", false),
            ("qemu+tcp:///system", false),
            ("qemu://host/system", false),
            ("nonsense", false),
        ] {
            assert_eq!(Libvirt::at(uri).unwrap().is_local(), want, "{uri}");
        }
    }

    #[test]
    fn a_missing_virsh_says_what_to_install() {
        let host = Libvirt { uri: "test:///default".into(), virsh: "/nonexistent/virsh".into() };
        let order = Order { what: "connect", verb: &["uri"], values: &[] };
        let error = host.text(&order).unwrap_err();
        assert_eq!(error.to_string(), "virsh is not installed (package libvirt-clients)");
    }
}
