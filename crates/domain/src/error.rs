//! Why a machine cannot be written, or a document not be read.

use std::{fmt, io, ops::RangeInclusive};

use code::Code;
use thiserror::Error as ThisError;

use crate::document::Fault;

/// A machine that no domain XML is written for, or a document that no machine is read from.
///
/// The text names the item of the machine, or the place in the document, and what is wrong there.
#[derive(Debug)]
pub struct Error(Reason);

/// What kind of refusal an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The XML could not be put together in memory.
    Io,
    /// The machine or the document contradicts itself or holds text that has no place there.
    Malformed,
    /// There is a device that the writer has no element for, or a machine that relift has not.
    Unsupported,
    /// The document holds what is refused whoever asks: a DOCTYPE or an entity.
    Denied,
    /// A number is out of its range.
    Limit,
}

impl Error {
    /// What kind of refusal it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match &self.0 {
            Reason::Machine(_, refusal) => refusal.kind(),
            Reason::Document(fault) => fault.kind,
        }
    }

    /// The published code of the refusal.
    #[must_use]
    pub const fn code(&self) -> Code {
        if let Reason::Document(fault) = &self.0 {
            return fault.code;
        }
        match self.kind() {
            Kind::Io => Code::E0508,
            Kind::Malformed | Kind::Denied => Code::E0303,
            Kind::Unsupported => Code::E0305,
            Kind::Limit => Code::E0304,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reason::Machine(item, refusal) => write!(f, "{item}: {refusal}"),
            Reason::Document(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Reason::Machine(_, refusal) => refusal.source(),
            Reason::Document(_) => None,
        }
    }
}

impl From<Reason> for Error {
    fn from(reason: Reason) -> Self {
        Self(reason)
    }
}

/// What an error is about.
#[derive(Debug)]
pub(crate) enum Reason {
    /// An item of a machine that was to be written.
    Machine(Item, Refusal),
    /// A place in a document that was to be read.
    Document(Box<Fault>),
}

/// The item of the machine that an error is about; lists are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item {
    Machine,
    Cpus,
    Controller(usize),
    Disk(usize),
    Removable(usize),
    Nic(usize),
    Video,
    Sound,
    Usb,
    Serials,
    FwCfg(usize),
}

impl Item {
    /// Says that this item is refused, and why.
    pub(crate) const fn refuse(self, refusal: Refusal) -> Error {
        Error(Reason::Machine(self, refusal))
    }

    /// Refuses a number that is not from `low` to `high`.
    pub(crate) fn require_range(
        self,
        what: &'static str,
        found: u64,
        allowed: RangeInclusive<u64>,
    ) -> Result<(), Error> {
        if allowed.contains(&found) {
            return Ok(());
        }
        let (low, high) = allowed.into_inner();
        Err(self.refuse(Refusal::Range { what, found, low, high }))
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine => f.write_str("machine"),
            Self::Cpus => f.write_str("cpus"),
            Self::Controller(at) => write!(f, "controller {at}"),
            Self::Disk(at) => write!(f, "disk {at}"),
            Self::Removable(at) => write!(f, "removable {at}"),
            Self::Nic(at) => write!(f, "nic {at}"),
            Self::Video => f.write_str("video"),
            Self::Sound => f.write_str("sound"),
            Self::Usb => f.write_str("usb"),
            Self::Serials => f.write_str("serials"),
            Self::FwCfg(at) => write!(f, "fw_cfg {at}"),
        }
    }
}

/// Why an item of a machine is refused.
#[derive(Debug, ThisError)]
pub(crate) enum Refusal {
    #[error("the XML could not be put together")]
    Xml(#[source] io::Error),
    #[error("{what} of {found} is not in {low}..={high}")]
    Range { what: &'static str, found: u64, low: u64, high: u64 },
    #[error("{part} {found} is not in 0..={high} on {on}")]
    Address { part: &'static str, found: u16, high: u16, on: &'static str },
    #[error("memory of {bytes} bytes is not {wanted}")]
    Memory { bytes: u64, wanted: &'static str },
    #[error("{sockets} sockets x {cores} cores x {threads} threads are not {count} processors")]
    Topology { sockets: u32, cores: u32, threads: u32, count: u32 },
    #[error("{what} holds the character U+{:04X} at byte {at}", u32::from(*found))]
    Character { what: &'static str, found: char, at: usize },
    #[error("{what} has {bytes} bytes, {most} are allowed")]
    Length { what: &'static str, bytes: u64, most: u64 },
    #[error("{what} {text:?} is not {wanted}")]
    Text { what: &'static str, text: String, wanted: &'static str },
    #[error("{what} needs {needs}")]
    Needs { what: &'static str, needs: &'static str },
    #[error("{what} {value} is taken by {by}")]
    Taken { what: &'static str, value: String, by: Item },
    #[error("{what} {value} {why}")]
    Unusable { what: &'static str, value: String, why: &'static str },
    #[error("there is no {bus} controller {index}")]
    NoController { bus: &'static str, index: u16 },
    #[error("an NVMe disk has no element in libvirt 9.0")]
    Nvme,
}

impl Refusal {
    const fn kind(&self) -> Kind {
        match self {
            Self::Xml(_) => Kind::Io,
            Self::Nvme => Kind::Unsupported,
            Self::Range { .. }
            | Self::Length { .. }
            | Self::Address { .. }
            | Self::Memory { .. } => Kind::Limit,
            Self::Topology { .. }
            | Self::Character { .. }
            | Self::Text { .. }
            | Self::Needs { .. }
            | Self::Taken { .. }
            | Self::Unusable { .. }
            | Self::NoController { .. } => Kind::Malformed,
        }
    }

    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Xml(cause) => Some(cause),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn gives_each_kind_its_code() {
        let xml = Refusal::Xml(io::Error::other("full"));
        let range = Refusal::Range { what: "count", found: 9, low: 0, high: 4 };
        let needs = Refusal::Needs { what: "sb16", needs: "the pc board" };
        for (refusal, kind, code) in [
            (xml, Kind::Io, Code::E0508),
            (range, Kind::Limit, Code::E0304),
            (needs, Kind::Malformed, Code::E0303),
            (Refusal::Nvme, Kind::Unsupported, Code::E0305),
        ] {
            let error = Item::Machine.refuse(refusal);
            assert_eq!((error.kind(), error.code()), (kind, code), "{error}");
        }
    }

    #[test]
    fn keeps_the_cause_out_of_the_message() {
        let error = Item::Machine.refuse(Refusal::Xml(io::Error::other("full")));
        assert_eq!(error.to_string(), "machine: the XML could not be put together");
        assert_eq!(error.source().unwrap().to_string(), "full");
    }
}
