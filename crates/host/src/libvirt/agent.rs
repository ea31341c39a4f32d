//! What the guest agent is asked: whether it is there, to freeze the file systems and to thaw them.
//!
//! Each command has a time-out of its own, which libvirt keeps (`virDomainQemuAgentCommand`), and a later
//! one of ours: a hanging agent must not keep a later thaw out. `virsh domfsfreeze` cannot give one,
//! and waits for ever.

use std::time::Duration;

use vm::Uuid;

use super::LibvirtError;

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
