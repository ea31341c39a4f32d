//! Giving up what a command does not need, before it reads what somebody else wrote.
//!
//! ```text
//! Command --reach::of--> Bounds --ask the host, then enter--> files, TCP, address space are bounded
//!                  \---> None    it runs virsh, which needs what it needs: nothing is given up
//! ```

use std::{fmt, os::unix::fs::DirBuilderExt as _};

use host::{limits, sandbox::Unkept};

use crate::{
    args::Command,
    choices,
    failure::{Failure, Result},
    hypervisor::{Answer, Hypervisor},
    reach,
};

/// The variable that lifts the sandbox.
const VARIABLE: &str = "RELIFT_SANDBOX";

/// Whether the user wants to be kept from harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// As far as the kernel can.
    On,
    /// A host on which the sandbox is in the way.
    Off,
}

/// Why a run that should be confined is not.
#[derive(Debug)]
pub(crate) enum Missing {
    /// The user does not want it.
    Unwanted,
    /// The kernel does not do it.
    Unkept(Unkept),
}

/// A run behind the step that takes away what it does not need.
#[derive(Debug)]
pub(crate) struct Confined {
    /// Why it is not confined, though it should be.
    pub(crate) missing: Option<Missing>,
    /// What the host said that was asked before.
    pub(crate) answer: Option<(Hypervisor, Answer)>,
}

impl Wish {
    /// Reads the environment.
    ///
    /// # Errors
    /// The variable says neither on nor off.
    pub(crate) fn of_environment() -> Result<Self> {
        match std::env::var_os(VARIABLE) {
            None => Ok(Self::On),
            Some(value) => Self::of(&value.to_string_lossy()),
        }
    }

    fn of(value: &str) -> Result<Self> {
        match value {
            "" | "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            other => Err(Failure::usage(format!("{VARIABLE} is '{other}'")).tip("it is on or off")),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unwanted => write!(f, "turned off by {VARIABLE}"),
            Self::Unkept(why) => why.fmt(f),
        }
    }
}

/// Confines this thread and all that come after it, as far as the kernel can; `usual` is the host that
/// is asked where no other is named.
///
/// Must be called while there is one thread. A host that has to say what it offers is asked first,
/// since nobody is started any more afterwards.
///
/// # Errors
/// [`VARIABLE`] says neither on nor off.
pub(crate) fn enter(command: &Command, usual: &Hypervisor) -> Result<Confined> {
    let wish = Wish::of_environment()?;
    if wish == Wish::Off {
        return Ok(Confined { missing: Some(Missing::Unwanted), answer: None });
    }
    let Some(bounds) = reach::of(command, usual) else {
        return Ok(Confined { missing: None, answer: None });
    };
    let answer = bounds.asks.map(|host| {
        let answer = host.ask();
        (host, answer)
    });
    if let Some(folder) = &bounds.makes {
        // Where that fails, the command is told when it wants to write there.
        drop(std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder));
    }
    // Some threads are as many as there are processors, whatever is typed.
    limits::bound_address_space(choices::workers(bounds.jobs).max(choices::workers(None)));
    let missing = bounds.reach.enter().err().map(Missing::Unkept);
    Ok(Confined { missing, answer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_says_on_or_off() {
        assert_eq!(Wish::of("").unwrap(), Wish::On);
        assert_eq!(Wish::of("on").unwrap(), Wish::On);
        assert_eq!(Wish::of("off").unwrap(), Wish::Off);
        assert_eq!(Wish::of("0").unwrap_err().message, "RELIFT_SANDBOX is '0'");
    }
}
