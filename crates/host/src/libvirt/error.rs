//! Why a libvirt host did not do what it was asked.

use std::fmt;

use code::Code;

use super::xml::XmlError;
use crate::program::CallError;

/// A libvirt host gave no answer, or refused.
#[derive(Debug)]
pub struct LibvirtError {
    kind: LibvirtKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Classes of refusals that a caller can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LibvirtKind {
    /// A program is not installed: virsh here, or one that the host needs.
    Missing,
    /// Nobody answers at the address.
    Unreachable,
    /// The host does not let this user do it.
    Denied,
    /// The host does not do it, for a reason of its own.
    Refused,
    /// A machine of that name or UUID is there.
    MachineExists,
    /// A volume of that name is there.
    VolumeExists,
    /// There is no such pool or network, or it is not active.
    UnknownPlace,
    /// There is no such machine or volume.
    UnknownId,
    /// The storage is full.
    NoSpace,
    /// The storage takes no writes.
    ReadOnly,
    /// The firmware that the machine needs is not installed.
    Firmware,
    /// Another job of the machine holds what this one needs.
    Busy,
    /// A backup job of the machine is held, and nothing is known of it: it does not end by itself.
    JobLost,
    /// The guest has no agent, or it is not connected.
    NoAgent,
    /// The agent said nothing in time.
    AgentSilent,
    /// A checkpoint has no bitmap any more, or a broken one: the next backup is a full one.
    BadCheckpoint,
    /// This libvirt cannot do it, or not in this state of the machine.
    Unsupported,
    /// There is no such checkpoint, snapshot, job, disk or image.
    NotFound,
    /// A checkpoint or snapshot of that name is there.
    MomentExists,
    /// The caller wanted it to end.
    Stopped,
    /// The time that the caller gave was over.
    Late,
    /// The machine is not in the state for it: it is off where it has to run, or on.
    WrongState,
}

/// What libvirt says, in lower case, and what it means; the first that is in the text counts.
const SAYINGS: &[(&str, LibvirtKind)] = {
    use LibvirtKind::{
        AgentSilent, BadCheckpoint, Busy, Denied, Firmware, JobLost, MachineExists, Missing,
        MomentExists, NoAgent, NoSpace, NotFound, ReadOnly, Refused, UnknownId, UnknownPlace,
        Unreachable, Unsupported, VolumeExists, WrongState,
    };
    &[
        ("no space left", NoSpace),
        ("disk quota exceeded", NoSpace),
        ("read-only file system", ReadOnly),
        // It is QEMU that has no way to the file, not the user.
        ("could not open '", Refused),
        ("permission denied", Denied),
        ("authentication", Denied),
        ("access denied", Denied),
        ("read only access", Denied),
        ("unable to find any firmware", Firmware),
        ("unable to find 'efi' firmware", Firmware),
        ("tpm version", Missing),
        ("swtpm", Missing),
        ("cannot find suitable emulator", Missing),
        ("could not find kvm executable", Missing),
        // Machines at work: what a caller waits for, does without, or does in another way.
        ("cannot acquire state change lock", Busy),
        ("backup job data missing", JobLost),
        ("block copy still active", Busy),
        ("has a blockjob assigned", Busy),
        ("agent is not connected", NoAgent),
        ("agent is not configured", NoAgent),
        ("agent is not responding", AgentSilent),
        ("agent command timed out", AgentSilent),
        ("checkpoint inconsistent", BadCheckpoint),
        ("for incremental backup of disk", BadCheckpoint),
        ("domain moment", MomentExists),
        ("checkpoint not found", NotFound),
        ("snapshot not found", NotFound),
        ("domain backup job id not found", NotFound),
        ("no job is active", NotFound),
        ("does not have an active block job", NotFound),
        ("has no current snapshot", NotFound),
        ("not assigned to domain", NotFound),
        ("could not find image", NotFound),
        ("domain is not running", WrongState),
        ("missing monitor reply", WrongState),
        ("read from monitor", WrongState),
        ("domain is already", WrongState),
        ("for inactive domain", WrongState),
        ("operation not supported", Unsupported),
        ("not supported yet", Unsupported),
        // Hosts and what they store.
        ("external snapshot file", VolumeExists),
        ("storage volume name", VolumeExists),
        ("storage vol already exists", VolumeExists),
        ("already exists", MachineExists),
        ("already defined", MachineExists),
        ("pool not found", UnknownPlace),
        ("network not found", UnknownPlace),
        ("is not active", UnknownPlace),
        ("cannot get interface mtu", UnknownPlace),
        ("failed to get pool", UnknownPlace),
        ("failed to get network", UnknownPlace),
        ("domain not found", UnknownId),
        ("failed to get domain", UnknownId),
        ("failed to get vol", UnknownId),
        ("volume not found", UnknownId),
        ("failed to connect", Unreachable),
        ("unable to connect", Unreachable),
        ("connection refused", Unreachable),
        ("end of file while reading", Unreachable),
        ("no connection driver", Unreachable),
        ("could not resolve", Unreachable),
    ]
};

impl LibvirtKind {
    /// What the words on virsh's standard error mean, which are in the C locale.
    fn of_words(words: &str) -> Self {
        let words = words.to_lowercase();
        let found = SAYINGS.iter().find(|(saying, _)| words.contains(saying));
        found.map_or(Self::Refused, |(_, kind)| *kind)
    }
}

/// The most characters of virsh's words that are told (ours): a cause is read by a person.
const MAX_TOLD_CHARS: usize = 2000;

/// What virsh wrote on standard error, as a cause.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Words(String);

impl LibvirtError {
    /// A word that virsh must not get.
    pub(super) fn unusable(what: &str, value: &str) -> Self {
        let message = format!("{what} {value:?} cannot be given to virsh");
        Self { kind: LibvirtKind::Refused, message, source: None }
    }

    /// virsh was not there, or did not come to an end; `what` was tried at `uri`.
    pub(super) fn not_called(what: &str, uri: &str, error: CallError) -> Self {
        let (kind, message) = match &error {
            CallError::Missing => {
                (LibvirtKind::Missing, "virsh is not installed (package libvirt-clients)".into())
            }
            _ => (LibvirtKind::Unreachable, format!("virsh cannot {what} at {uri}")),
        };
        let source = (kind != LibvirtKind::Missing).then(|| error.into());
        Self { kind, message, source }
    }

    /// virsh said no.
    pub(super) fn said(what: &str, uri: &str, words: &str) -> Self {
        let kind = LibvirtKind::of_words(words);
        let lines = words.lines().map(|line| line.trim_start_matches("error: ").trim());
        let words = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(": ");
        let words: String = words.chars().take(MAX_TOLD_CHARS).collect();
        let message = match kind {
            LibvirtKind::Unreachable => format!("no libvirt answers at {uri}"),
            _ => format!("{uri} cannot {what}"),
        };
        Self { kind, message, source: (!words.is_empty()).then(|| Words(words).into()) }
    }

    /// The answer is not what libvirt writes.
    pub(super) fn garbled(what: &str, uri: &str, error: XmlError) -> Self {
        let message = format!("{uri} cannot {what}: its answer is not what libvirt writes");
        Self { kind: LibvirtKind::Unreachable, message, source: Some(error.into()) }
    }

    /// The answer is not what this command of virsh prints.
    pub(super) fn unread(what: &str, uri: &str, answer: &str) -> Self {
        let shown: String = answer.chars().take(MAX_TOLD_CHARS).collect();
        let message = format!("{uri} cannot {what}: its answer is {shown:?}");
        Self { kind: LibvirtKind::Unreachable, message, source: None }
    }

    /// The caller's time is over, or the caller said stop.
    pub(super) fn ended(what: &str, uri: &str, kind: LibvirtKind) -> Self {
        let why = if kind == LibvirtKind::Late { "in the time given" } else { "and was stopped" };
        Self { kind, message: format!("{uri} did not {what} {why}"), source: None }
    }

    /// Of a question to an agent: who says nothing in time is the agent, also where libvirt says
    /// nothing in its place.
    pub(super) fn of_agent(self) -> Self {
        let call = self.source.as_ref().and_then(|source| source.downcast_ref::<CallError>());
        match call {
            Some(CallError::TooSlow(_)) => Self { kind: LibvirtKind::AgentSilent, ..self },
            _ => self,
        }
    }

    /// For tests: an act that the fake refuses.
    pub(crate) fn refused_by_test(what: &str, kind: LibvirtKind) -> Self {
        Self { kind, message: format!("the test does not {what}"), source: None }
    }

    /// The class of the refusal.
    #[must_use]
    pub const fn kind(&self) -> LibvirtKind {
        self.kind
    }

    /// What is behind it, for one who tells the rest himself.
    #[must_use]
    pub fn into_cause(self) -> Option<Box<dyn std::error::Error + Send + Sync>> {
        self.source
    }

    /// What to do, where the page of the code says less.
    #[must_use]
    pub const fn fix(&self) -> Option<&'static str> {
        Some(match self.kind {
            LibvirtKind::Refused => {
                "Put right what the cause names, in libvirt's own words; a file has to be in reach of the \
                 user of QEMU, too. /var/log/libvirt/qemu and the log of the libvirt daemon tell more."
            }
            LibvirtKind::Busy => {
                "Wait until the other job of the machine has ended (virsh domjobinfo), then repeat the \
                 command."
            }
            LibvirtKind::NoAgent | LibvirtKind::AgentSilent => {
                "Have qemu-guest-agent run in the guest, and give the machine a channel for it."
            }
            LibvirtKind::WrongState => {
                "Look at the state of the machine (virsh domstate), then repeat the command."
            }
            LibvirtKind::Late => "See how busy the host is, then repeat the command.",
            LibvirtKind::Unsupported => {
                "Update libvirt and QEMU, or change the state of the machine that the cause names."
            }
            _ => return None,
        })
    }

    /// The published code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self.kind {
            LibvirtKind::Missing | LibvirtKind::Unsupported => Code::E0701,
            LibvirtKind::Unreachable => Code::E0501,
            LibvirtKind::Denied
            | LibvirtKind::Refused
            | LibvirtKind::Busy
            | LibvirtKind::JobLost
            | LibvirtKind::NoAgent
            | LibvirtKind::AgentSilent
            | LibvirtKind::WrongState
            | LibvirtKind::Stopped
            | LibvirtKind::Late => Code::E0502,
            LibvirtKind::BadCheckpoint => Code::E0606,
            LibvirtKind::MachineExists => Code::E0503,
            LibvirtKind::VolumeExists | LibvirtKind::MomentExists => Code::E0509,
            LibvirtKind::UnknownPlace => Code::E0504,
            LibvirtKind::UnknownId | LibvirtKind::NotFound => Code::E0505,
            LibvirtKind::NoSpace => Code::E0506,
            LibvirtKind::ReadOnly => Code::E0507,
            LibvirtKind::Firmware => Code::E0702,
        }
    }
}

/// An answer that there is nothing, which is no error for who asks whether there is.
pub(super) trait There<T> {
    /// `None` for [`LibvirtKind::NotFound`].
    fn there(self) -> Result<Option<T>, LibvirtError>;
}

impl<T> There<T> for Result<T, LibvirtError> {
    fn there(self) -> Result<Option<T>, LibvirtError> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == LibvirtKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Display for LibvirtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for LibvirtError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn reads_what_virsh_says() {
        for (words, code) in [
            (
                "error: failed to connect to the hypervisor\n\
                 error: unable to connect to server at '127.0.0.1:1': Connection refused",
                Code::E0501,
            ),
            (
                "error: failed to connect to the hypervisor\n\
                 error: authentication unavailable: no polkit agent available",
                Code::E0502,
            ),
            (
                "error: Failed to connect socket to '/run/libvirt/libvirt-sock': Permission denied",
                Code::E0502,
            ),
            ("error: operation failed: domain 'a' already exists with uuid 1", Code::E0503),
            ("error: failed to get pool 'x'\nerror: Storage pool not found: no", Code::E0504),
            ("error: Requested operation is not valid: network 'n' is not active", Code::E0504),
            ("error: failed to get domain 'x'", Code::E0505),
            ("error: cannot fill file '/a': No space left on device", Code::E0506),
            ("error: cannot create path '/a': Read-only file system", Code::E0507),
            ("error: storage volume name 'a.qcow2' already in use.", Code::E0509),
            ("error: unsupported configuration: TPM version '2.0' is not supported", Code::E0701),
            ("error: operation failed: Unable to find any firmware to satisfy 'efi'", Code::E0702),
            ("error: XML error: something new", Code::E0502),
        ] {
            let error = LibvirtError::said("define vm", "qemu:///system", words);
            assert_eq!(error.code(), code, "{words}");
        }
    }

    #[test]
    fn who_is_denied_is_told_of_groups_and_who_is_refused_of_the_cause() {
        let fix = |words| LibvirtError::said("begin", "qemu:///system", words).fix();
        assert_eq!(fix("error: Failed to connect socket to '/run/x': Permission denied"), None);
        for words in [
            "error: internal error: unable to execute QEMU command 'blockdev-add': Could not open \
             '/s/vda.scratch': Permission denied",
            "error: XML error: something new",
        ] {
            assert!(fix(words).is_some_and(|fix| fix.contains("the user of QEMU")), "{words}");
        }
    }

    #[test]
    fn knows_what_machines_at_work_answer() {
        use LibvirtKind::{
            AgentSilent, BadCheckpoint, Busy, JobLost, MomentExists, NoAgent, NotFound, Refused,
            UnknownId, Unsupported, VolumeExists, WrongState,
        };
        // Words of virsh 9.0, each as it was said.
        for (words, kind) in [
            (
                "Timed out during operation: cannot acquire state change lock (held by \
                 monitor=remoteDispatchDomainBackupBegin)",
                Busy,
            ),
            ("block copy still active: disk 'vdb' already in active block job", Busy),
            ("internal error: disk 'vdb' has a blockjob assigned", Busy),
            ("Guest agent is not responding: QEMU guest agent is not connected", NoAgent),
            ("argument unsupported: QEMU guest agent is not configured", NoAgent),
            ("Guest agent is not responding: Guest agent not available for now", AgentSilent),
            (
                "internal error: unable to execute QEMU agent command 'guest-fsfreeze-freeze': \
                 Command guest-fsfreeze-freeze has been disabled: the agent is in frozen state",
                Refused,
            ),
            (
                "checkpoint inconsistent: missing or broken bitmap 'relift-1' for disk 'vdb'",
                BadCheckpoint,
            ),
            (
                "Domain checkpoint not found: Checkpoint 'relift-9' for incremental backup of disk \
                 'vdb' not found",
                BadCheckpoint,
            ),
            (
                "Domain checkpoint not found: no domain checkpoint with matching name 'nope'",
                NotFound,
            ),
            ("Domain snapshot not found: no domain snapshot with matching name 'nope'", NotFound),
            ("Requested operation is not valid: no job is active on the domain", NotFound),
            ("invalid argument: disk vdb does not have an active block job", NotFound),
            ("Domain backup job id not found: no domain backup job present", NotFound),
            ("domain '1ffea851-834c-46b7-a3b5-ca8720f1fc75' has no current snapshot", NotFound),
            ("invalid argument: invalid path vdz not assigned to domain", NotFound),
            ("invalid argument: could not find image '/nope' in chain for 'vdb'", NotFound),
            ("failed to get domain '1ffea851-834c-46b7-a3b5-ca8720f1fc70'", UnknownId),
            ("operation failed: domain moment relift-2 already exists", MomentExists),
            (
                "invalid argument: external snapshot file for disk vdb already exists and is not \
                 a block device: /x",
                VolumeExists,
            ),
            ("Requested operation is not valid: domain is not running", WrongState),
            ("Domain is already active", WrongState),
            ("internal error: Missing monitor reply object", WrongState),
            ("Unable to read from monitor: Connection reset by peer", WrongState),
            ("internal error: backup job data missing", JobLost),
            ("Operation not supported: cannot perform disk backup for inactive domain", WrongState),
            (
                "Operation not supported: cannot perform block operations while checkpoint exists",
                Unsupported,
            ),
            (
                "Failed to revert snapshot s1\nerror: unsupported configuration: revert to \
                 external snapshot not supported yet",
                Unsupported,
            ),
        ] {
            let error = LibvirtError::said("go on", "qemu:///system", &format!("error: {words}"));
            assert_eq!(error.kind(), kind, "{words}");
        }
    }

    #[test]
    fn of_a_flood_of_words_only_the_first_are_told() {
        let words = format!("error: {}", "ä".repeat(1 << 20));
        let error = LibvirtError::said("connect", "qemu:///system", &words);
        assert_eq!(error.source().unwrap().to_string(), "ä".repeat(MAX_TOLD_CHARS));
    }

    #[test]
    fn a_refusal_says_what_was_tried_and_why_it_failed() {
        let words = "error: Failed to define domain from /dev/stdin\n\nerror: XML error: no\n";
        let error = LibvirtError::said("define the machine a", "qemu:///system", words);
        assert_eq!(error.to_string(), "qemu:///system cannot define the machine a");
        assert_eq!(
            error.source().unwrap().to_string(),
            "Failed to define domain from /dev/stdin: XML error: no"
        );
        let error = LibvirtError::not_called("connect", "qemu:///system", CallError::Missing);
        assert_eq!(error.to_string(), "virsh is not installed (package libvirt-clients)");
        assert_eq!(error.code(), Code::E0701);
    }
}
