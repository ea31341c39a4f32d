//! Which system runs inside, as far as it decides about the hardware.
//!
//! ```text
//! vbox:OSType > vmw:osType > CIM id up to 110 > words of the description > CIM id above 110 > unknown
//! ```
//!
//! CIM ids above 110 come late because the tools that write OVF disagree about them (measured: 113
//! is Windows 8 for one and Server 2012 for another).

mod cim;
mod virtualbox;
mod vmware;

use vm::{Guest, GuestFamily};

/// What is known of the guest, with the consequences for its hardware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestOs {
    /// The name for people, such as `Debian 10 64-bit`.
    pub label: String,
    /// The libosinfo id, a URL, where there is one.
    pub osinfo: Option<String>,
    /// What kind of system it is.
    pub kind: Kind,
    /// Width of its processor mode, where it is known.
    pub bits: Option<Bits>,
}

/// Kinds of guests, as far as they take different hardware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// DOS, Windows 3.x to Me, OS/2, NetWare: IDE, no PCI Express, no virtio.
    Dos,
    /// Windows NT 4 to Server 2003: IDE, no AHCI driver in the box.
    WindowsOld,
    /// Windows Vista, 7, Server 2008 and 2008 R2, and Windows of no known release: no xHCI driver
    /// in the box.
    WindowsVista7,
    /// Windows 8, Server 2012 and later.
    Windows,
    /// Linux 2.4 and early 2.6.
    LinuxOld,
    /// Linux whose boot image may hold drivers of the old host only.
    Linux,
    /// Linux whose generic boot image holds virtio: Debian from 7, Ubuntu from 12.04.
    LinuxVirtio,
    /// FreeBSD from 10, which has virtio in its kernel.
    BsdVirtio,
    /// Any other BSD.
    Bsd,
    /// Solaris and its descendants.
    Solaris,
    /// ESXi: runs machines of its own.
    Esxi,
    /// macOS, which needs hardware of Apple's.
    MacOs,
    /// Other systems that are known and special.
    Special,
    /// Nothing is known.
    Unknown,
}

/// Width of the processor mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bits {
    /// 32-bit.
    B32,
    /// 64-bit.
    B64,
}

impl Kind {
    /// The family that the machine carries.
    #[must_use]
    pub const fn family(self) -> GuestFamily {
        match self {
            Self::Dos | Self::Esxi | Self::MacOs | Self::Special => GuestFamily::Other,
            Self::WindowsOld | Self::WindowsVista7 | Self::Windows => GuestFamily::Windows,
            Self::LinuxOld | Self::Linux | Self::LinuxVirtio => GuestFamily::Linux,
            Self::BsdVirtio | Self::Bsd => GuestFamily::Bsd,
            Self::Solaris => GuestFamily::Solaris,
            Self::Unknown => GuestFamily::Unknown,
        }
    }

    /// Whether the guest is older than AHCI and PCI Express.
    #[must_use]
    pub const fn is_old(self) -> bool {
        matches!(self, Self::Dos | Self::WindowsOld | Self::LinuxOld)
    }

    /// Whether every boot image of this system holds the virtio drivers.
    #[must_use]
    pub const fn carries_virtio(self) -> bool {
        matches!(self, Self::LinuxVirtio | Self::BsdVirtio)
    }

    /// Whether it does anything with a balloon, a random number generator or an agent.
    #[must_use]
    pub const fn takes_paravirtual_extras(self) -> bool {
        !matches!(self, Self::Dos | Self::WindowsOld)
    }
}

impl GuestOs {
    /// Whether the descriptor said enough to know the system.
    #[must_use]
    pub fn is_recognised(&self) -> bool {
        self.kind != Kind::Unknown
    }

    /// Whether it is sold as a server, where nobody listens.
    #[must_use]
    pub fn is_server(&self) -> bool {
        self.kind == Kind::Esxi
            || ["Server", "SLES", "Hyper-V"].iter().any(|word| self.label.contains(word))
    }

    /// The part of it that the machine carries.
    #[must_use]
    pub fn guest(&self) -> Guest {
        Guest { family: self.kind.family(), osinfo: self.osinfo.clone() }
    }
}

/// What a descriptor says about the guest.
#[derive(Debug, Clone, Copy, Default)]
pub struct Statement<'a> {
    /// `vbox:OSType`.
    pub virtualbox: Option<&'a str>,
    /// `vmw:osType`.
    pub vmware: Option<&'a str>,
    /// `ovf:id` of the OperatingSystemSection, a CIM `OsType`.
    pub cim_id: Option<u16>,
    /// `ovf:version` beside it.
    pub version: Option<&'a str>,
    /// The Description, as people read it.
    pub description: Option<&'a str>,
}

/// Decides which system is meant.
#[must_use]
pub fn identify(said: Statement<'_>) -> GuestOs {
    let bits = bits(said);
    let found = said
        .virtualbox
        .and_then(virtualbox::find)
        .or_else(|| said.vmware.and_then(|text| vmware::find(text, said.description)))
        .or_else(|| said.cim_id.filter(|id| *id <= 110).and_then(|id| cim::find(id, said)))
        .or_else(|| said.description.and_then(cim::by_words))
        .or_else(|| said.cim_id.and_then(|id| cim::find(id, said)));
    match found {
        Some(known) => GuestOs {
            label: label(known.label, said, bits),
            osinfo: known.osinfo.map(str::to_owned),
            kind: known.kind,
            bits,
        },
        None => GuestOs {
            label: said.description.unwrap_or("unknown").to_owned(),
            osinfo: None,
            kind: Kind::Unknown,
            bits,
        },
    }
}

/// VMware's id that means a libosinfo id.
pub(crate) fn vmware_id(osinfo: &str) -> Option<String> {
    if osinfo.starts_with("http://ubuntu.com/ubuntu/") {
        return Some("ubuntu64Guest".to_owned());
    }
    vmware::id_of(osinfo)
}

/// A row of one of the tables.
#[derive(Debug, Clone, Copy)]
struct Known {
    label: &'static str,
    osinfo: Option<&'static str>,
    kind: Kind,
}

fn label(known: &str, said: Statement<'_>, bits: Option<Bits>) -> String {
    match (bits, said.description) {
        (_, Some(text)) if known.is_empty() => text.to_owned(),
        (Some(Bits::B64), _) => format!("{known} 64-bit"),
        (Some(Bits::B32), _) => format!("{known} 32-bit"),
        (None, _) => known.to_owned(),
    }
}

/// The width, from the id's own suffix, the CIM id or the description.
fn bits(said: Statement<'_>) -> Option<Bits> {
    if let Some(id) = said.virtualbox.or(said.vmware) {
        // ESXi from 5 on is 64-bit only, and its id does not say so.
        let is_64 = id.contains("64") || id.starts_with("vmkernel") || id.starts_with("crx");
        return Some(if is_64 { Bits::B64 } else { Bits::B32 });
    }
    let words = said.description.unwrap_or_default().to_ascii_lowercase();
    if words.contains("64-bit") || words.contains("x64") || words.contains("x86_64") {
        return Some(Bits::B64);
    }
    if words.contains("32-bit") {
        return Some(Bits::B32);
    }
    said.cim_id.and_then(cim::bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vmware(id: &str) -> GuestOs {
        identify(Statement { vmware: Some(id), ..Statement::default() })
    }

    #[test]
    fn knows_the_ids_that_vmware_writes() {
        for (id, label, osinfo, kind) in [
            (
                "debian10_64Guest",
                "Debian 10 64-bit",
                "http://debian.org/debian/10",
                Kind::LinuxVirtio,
            ),
            ("debian6Guest", "Debian 6 32-bit", "http://debian.org/debian/6", Kind::Linux),
            ("rhel8_64Guest", "RHEL 8 64-bit", "http://redhat.com/rhel/8-unknown", Kind::Linux),
            (
                "windows9Server64Guest",
                "Windows Server 2016 64-bit",
                "http://microsoft.com/win/2k16",
                Kind::Windows,
            ),
            (
                "winNetStandardGuest",
                "Windows Server 2003 32-bit",
                "http://microsoft.com/win/2k3",
                Kind::WindowsOld,
            ),
            (
                "freebsd13_64Guest",
                "FreeBSD 13 64-bit",
                "http://freebsd.org/freebsd/13.1",
                Kind::BsdVirtio,
            ),
            ("other26xLinuxGuest", "Linux 2.6 32-bit", "", Kind::LinuxOld),
            ("dosGuest", "MS-DOS 32-bit", "http://microsoft.com/msdos/6.22", Kind::Dos),
        ] {
            let os = vmware(id);
            assert_eq!(
                (os.label.as_str(), os.osinfo.as_deref().unwrap_or_default(), os.kind),
                (label, osinfo, kind),
                "{id}"
            );
        }
    }

    #[test]
    fn trusts_the_description_more_than_a_high_cim_id() {
        let said = Statement {
            cim_id: Some(113),
            description: Some("Microsoft Windows Server 2012 (64-bit)"),
            ..Statement::default()
        };
        assert_eq!(identify(said).osinfo.as_deref(), Some("http://microsoft.com/win/2k12"));
        let said = Statement { cim_id: Some(96), version: Some("12"), ..Statement::default() };
        assert_eq!(identify(said).kind, Kind::LinuxVirtio);
    }

    #[test]
    fn says_when_nothing_is_known() {
        let os = identify(Statement { description: Some("Haiku"), ..Statement::default() });
        assert!(!os.is_recognised());
        assert_eq!((os.label.as_str(), os.osinfo), ("Haiku", None));
    }
}
