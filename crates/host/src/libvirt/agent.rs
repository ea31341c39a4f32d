//! What the guest agent is asked: whether it is there, to freeze the file systems and to thaw them.
//!
//! Each command has a time-out of its own, which libvirt keeps (`virDomainQemuAgentCommand`), and a later
//! one of ours: a hanging agent must not keep a later thaw out. `virsh domfsfreeze` cannot give one.
//! Measured with libvirt 9.0: one that was killed while the agent hung froze the guest when the agent
//! went on, long after, and nobody was there to thaw it.

use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};
use vm::Uuid;

use super::{Libvirt, LibvirtError, LibvirtKind, virsh::Order};

/// The agent inside a guest.
pub trait Agent {
    /// Whether the agent answers within this time.
    ///
    /// That of a guest that stands still cannot.
    ///
    /// # Errors
    /// There is no such machine, or the host does not let this user ask.
    fn agent_answers(&self, machine: Uuid, limit: Duration) -> Result<bool, LibvirtError>;

    /// Freezes the guest's file systems, and says how many.
    ///
    /// Whoever calls it has a [`Guard`](crate::guard::Guard) armed before, and thaws also when this
    /// fails: some may be frozen.
    ///
    /// # Errors
    /// There is no agent ([`NoAgent`](super::LibvirtKind::NoAgent)), it says nothing in time
    /// ([`AgentSilent`](super::LibvirtKind::AgentSilent)), or a file system does not freeze.
    fn freeze(&self, machine: Uuid, limit: Duration) -> Result<u64, LibvirtError>;

    /// Thaws the guest's file systems, and says how many; none are frozen is no error.
    ///
    /// # Errors
    /// There is no agent, or it says nothing in time.
    fn thaw(&self, machine: Uuid, limit: Duration) -> Result<u64, LibvirtError>;

    /// Whether file systems are frozen; `None` where no agent says.
    ///
    /// # Errors
    /// There is no such machine, or the host does not let this user ask.
    fn frozen(&self, machine: Uuid, limit: Duration) -> Result<Option<bool>, LibvirtError>;
}

/// The least time that libvirt takes for a limit, in seconds.
const MIN_SECONDS: u64 = 1;

impl Agent for Libvirt {
    fn agent_answers(&self, machine: Uuid, limit: Duration) -> Result<bool, LibvirtError> {
        let what = "ask the agent whether it is there";
        Ok(answered(self.ask_agent::<Nothing>(machine, "guest-ping", what, limit))?.is_some())
    }

    fn freeze(&self, machine: Uuid, limit: Duration) -> Result<u64, LibvirtError> {
        self.ask_agent(machine, "guest-fsfreeze-freeze", "freeze the file systems", limit)
    }

    fn thaw(&self, machine: Uuid, limit: Duration) -> Result<u64, LibvirtError> {
        self.ask_agent(machine, "guest-fsfreeze-thaw", "thaw the file systems", limit)
    }

    fn frozen(&self, machine: Uuid, limit: Duration) -> Result<Option<bool>, LibvirtError> {
        let what = "ask the agent whether file systems are frozen";
        let status = self.ask_agent::<String>(machine, "guest-fsfreeze-status", what, limit);
        Ok(answered(status)?.map(|status| status == "frozen"))
    }
}

/// What an agent returns that has nothing to say.
#[derive(Debug, Deserialize)]
struct Nothing {}

/// An answer of the agent.
#[derive(Debug, Deserialize)]
struct Answer<T> {
    /// What the command returns.
    #[serde(rename = "return")]
    value: T,
}

impl Libvirt {
    fn ask_agent<T: DeserializeOwned>(
        &self,
        machine: Uuid,
        command: &str,
        what: &str,
        limit: Duration,
    ) -> Result<T, LibvirtError> {
        let (machine, seconds) = (machine.to_string(), limit.as_secs().max(MIN_SECONDS));
        let (seconds, command) = (seconds.to_string(), format!(r#"{{"execute":"{command}"}}"#));
        let values =
            [("--domain", &*machine), ("--timeout", &*seconds), ("--cmd", command.as_str())];
        let order = Order { what, verb: &["qemu-agent-command"], values: &values };
        let said = self.timely_text(&order, limit).map_err(LibvirtError::of_agent)?;
        let answer: Result<Answer<T>, _> = serde_json::from_str(&said);
        answer.map(|it| it.value).map_err(|_| LibvirtError::unread(what, self.uri(), &said))
    }
}

/// Takes an agent that does not answer for none, and so that of a machine that stands still or is off.
fn answered<T>(said: Result<T, LibvirtError>) -> Result<Option<T>, LibvirtError> {
    use LibvirtKind::{AgentSilent, NoAgent, WrongState};
    match said {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), AgentSilent | NoAgent | WrongState) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_agents_return() {
        let count: Answer<u64> = serde_json::from_str("{\"return\":2}\n\n").unwrap();
        assert_eq!(count.value, 2);
        let status: Answer<String> = serde_json::from_str(r#"{"return":"thawed"}"#).unwrap();
        assert_eq!(status.value, "thawed");
        serde_json::from_str::<Answer<Nothing>>(r#"{"return":{}}"#).unwrap();
        serde_json::from_str::<Answer<u64>>(r#"{"return":-1}"#).unwrap_err();
        serde_json::from_str::<Answer<u64>>(r#"{"error":{}}"#).unwrap_err();
    }

    #[test]
    fn an_agent_that_is_not_there_is_an_answer_and_a_host_that_refuses_is_none() {
        let said = |words| Err::<u64, _>(LibvirtError::said("thaw", "qemu:///system", words));
        for words in [
            "error: Guest agent is not responding: QEMU guest agent is not connected",
            "error: Guest agent is not responding: Guest agent not available for now",
            "error: Requested operation is not valid: domain is not running",
        ] {
            assert_eq!(answered(said(words)).unwrap(), None, "{words}");
        }
        assert_eq!(answered(Ok(3)).unwrap(), Some(3));
        let refused = answered(said("error: authentication unavailable")).unwrap_err();
        assert_eq!(refused.kind(), LibvirtKind::Denied);
    }
}
