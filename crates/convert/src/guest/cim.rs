//! CIM `OsType` numbers and the words of a description.

use super::{Bits, Kind, Known, Statement};

/// Looks a CIM number up; `ovf:version` and the description name the release.
pub(super) fn find(id: u16, said: Statement<'_>) -> Option<Known> {
    let version = said.version.unwrap_or_default().trim();
    let worded = || said.description.and_then(by_words);
    let known = |label, osinfo, kind| Some(Known { label, osinfo, kind });
    match id {
        95 | 96 if version == "1" => {
            known("Pardus", Some("http://libosinfo.org/linux/2020"), Kind::Linux)
        }
        95 | 96 => worded().or_else(|| by_words(&format!("Debian {version}"))),
        93 | 94 => worded()
            .or_else(|| known("Ubuntu", Some("http://libosinfo.org/linux/2022"), Kind::Linux)),
        79 | 80 => worded().or_else(|| by_words(&format!("Red Hat Enterprise Linux {version}"))),
        106 | 107 => worded().or_else(|| by_words(&format!("CentOS {version}"))),
        108 | 109 => worded().or_else(|| by_words(&format!("Oracle Linux {version}"))),
        42 | 78 => worded().or_else(|| by_words(&format!("FreeBSD {version}"))),
        21 => worded().or_else(|| by_words(&format!("NetWare {version}"))),
        29 | 81 => worded().or_else(|| by_words(&format!("Solaris {version}"))),
        84 | 85 => worded().or_else(|| by_words(&format!("SUSE Linux Enterprise {version}"))),
        74 | 77 | 100 | 101 | 36 | 1 => worded().or_else(|| fixed(id)),
        _ => fixed(id).or_else(worded),
    }
}

/// Numbers that mean one system.
fn fixed(id: u16) -> Option<Known> {
    let (label, osinfo, kind) = match id {
        2 => ("macOS", "", Kind::MacOs),
        14 => ("MS-DOS", "http://microsoft.com/msdos/6.22", Kind::Dos),
        15 => ("Windows 3.1", "http://microsoft.com/win/3.1", Kind::Dos),
        16 => ("Windows 95", "http://microsoft.com/win/95", Kind::Dos),
        17 => ("Windows 98", "http://microsoft.com/win/98", Kind::Dos),
        63 => ("Windows Me", "http://microsoft.com/win/me", Kind::Dos),
        18 => ("Windows NT 4.0", "http://microsoft.com/winnt/4.0", Kind::WindowsOld),
        58 => ("Windows 2000", "http://microsoft.com/win/2k", Kind::WindowsOld),
        75 => ("Windows Embedded POS", "http://microsoft.com/win/xp", Kind::WindowsOld),
        67 | 71 | 72 => ("Windows XP", "http://microsoft.com/win/xp", Kind::WindowsOld),
        69 | 70 => ("Windows Server 2003", "http://microsoft.com/win/2k3", Kind::WindowsOld),
        73 | 74 => ("Windows Vista", "http://microsoft.com/win/vista", Kind::WindowsVista7),
        76 | 77 => ("Windows Server 2008", "http://microsoft.com/win/2k8", Kind::WindowsVista7),
        103 => ("Windows Server 2008 R2", "http://microsoft.com/win/2k8r2", Kind::WindowsVista7),
        111 => ("Windows Server 2011", "http://microsoft.com/win/2k8r2", Kind::WindowsVista7),
        105 => ("Windows 7", "http://microsoft.com/win/7", Kind::WindowsVista7),
        112 => ("Windows Server 2012", "http://microsoft.com/win/2k12", Kind::Windows),
        113 | 114 => ("Windows 8", "http://microsoft.com/win/8", Kind::Windows),
        115 => ("Windows Server 2012 R2", "http://microsoft.com/win/2k12r2", Kind::Windows),
        116 => ("Windows Server 2016", "http://microsoft.com/win/2k16", Kind::Windows),
        117 | 118 => ("Windows 8.1", "http://microsoft.com/win/8.1", Kind::Windows),
        119 | 120 => ("Windows 10", "http://microsoft.com/win/10", Kind::Windows),
        121 => ("Windows Server 2019", "http://microsoft.com/win/2k19", Kind::Windows),
        122 => ("Windows 11", "http://microsoft.com/win/11", Kind::Windows),
        123 => ("Windows Server 2022", "http://microsoft.com/win/2k22", Kind::Windows),
        36 | 101 => ("Linux", "", Kind::Linux),
        97 | 98 => ("Linux 2.4", "", Kind::LinuxOld),
        99 | 100 => ("Linux 2.6", "", Kind::LinuxOld),
        82 | 83 => ("SUSE Linux", "http://opensuse.org/opensuse/unknown", Kind::Linux),
        86 => ("Novell OES", "", Kind::Linux),
        87 => ("Novell Linux Desktop", "http://suse.com/sled/9", Kind::LinuxOld),
        88 => ("Sun Java Desktop System", "", Kind::LinuxOld),
        89 | 90 => ("Mandriva Linux", "http://mandriva.com/mandriva/2011", Kind::Linux),
        91 | 92 => ("Turbolinux", "", Kind::LinuxOld),
        64 => ("Caldera Linux", "", Kind::LinuxOld),
        44 => ("GNU Hurd", "", Kind::Special),
        48 => ("QNX", "", Kind::Special),
        53 => ("BeOS", "", Kind::Dos),
        41 => ("BSD", "", Kind::Bsd),
        43 => ("NetBSD", "", Kind::Bsd),
        65 => ("OpenBSD", "", Kind::Bsd),
        30 => ("SunOS", "", Kind::Solaris),
        12 | 110 => ("OS/2", "", Kind::Dos),
        25 => ("UnixWare", "", Kind::Dos),
        26 => ("OpenServer", "", Kind::Dos),
        104 => ("ESXi", "", Kind::Esxi),
        _ => return None,
    };
    Some(Known { label, osinfo: Some(osinfo).filter(|url| !url.is_empty()), kind })
}

/// The width that a number states.
pub(super) fn bits(id: u16) -> Option<Bits> {
    match id {
        70
        | 71
        | 74
        | 77
        | 78
        | 80
        | 81
        | 83
        | 85
        | 90
        | 92
        | 94
        | 96
        | 98
        | 100..=103
        | 107
        | 109
        | 112
        | 114..=116
        | 118
        | 120..=123 => Some(Bits::B64),
        14..=18
        | 58
        | 63
        | 67
        | 69
        | 72
        | 73
        | 76
        | 79
        | 84
        | 93
        | 95
        | 97
        | 99
        | 105
        | 106
        | 108 => Some(Bits::B32),
        _ => None,
    }
}

/// Reads a distribution and its release out of free text.
pub(super) fn by_words(text: &str) -> Option<Known> {
    let text = text.to_ascii_lowercase();
    let rows = WORDS.iter().filter(|(needle, ..)| text.contains(needle));
    let (needle, releases) = rows.max_by_key(|(needle, ..)| needle.len())?;
    let tail = text.split_once(needle).map_or("", |(_, tail)| tail);
    let release = tail.split(|c: char| !c.is_ascii_digit() && c != '.').find(|word| {
        word.starts_with(|c: char| c.is_ascii_digit()) && !matches!(*word, "32" | "64" | "86")
    });
    let (_, label, osinfo, kind) = releases
        .iter()
        .find(|(wanted, ..)| release.is_some_and(|have| is_release(have, wanted)))
        .or_else(|| releases.iter().find(|(wanted, ..)| wanted.is_empty()))?;
    Some(Known { label, osinfo: Some(*osinfo).filter(|url| !url.is_empty()), kind: *kind })
}

/// Whether `have` (`7.9`) is of the release `wanted` (`7`).
fn is_release(have: &str, wanted: &str) -> bool {
    have.strip_prefix(wanted)
        .is_some_and(|rest| !wanted.is_empty() && (rest.is_empty() || rest.starts_with('.')))
}

/// A release's number (empty: any other), label, libosinfo id, kind.
type Release = (&'static str, &'static str, &'static str, Kind);

/// Words that name a system, and its releases.
#[rustfmt::skip]
const WORDS: &[(&str, &[Release])] = &[
    ("debian", &[
        ("4", "Debian 4", "http://debian.org/debian/4", Kind::LinuxOld),
        ("5", "Debian 5", "http://debian.org/debian/5", Kind::Linux),
        ("6", "Debian 6", "http://debian.org/debian/6", Kind::Linux),
        ("7", "Debian 7", "http://debian.org/debian/7", Kind::LinuxVirtio),
        ("8", "Debian 8", "http://debian.org/debian/8", Kind::LinuxVirtio),
        ("9", "Debian 9", "http://debian.org/debian/9", Kind::LinuxVirtio),
        ("10", "Debian 10", "http://debian.org/debian/10", Kind::LinuxVirtio),
        ("11", "Debian 11", "http://debian.org/debian/11", Kind::LinuxVirtio),
        ("12", "Debian 12", "http://debian.org/debian/testing", Kind::LinuxVirtio),
        ("13", "Debian 13", "http://debian.org/debian/testing", Kind::LinuxVirtio),
        ("", "Debian", "", Kind::Linux),
    ]),
    ("ubuntu", &[
        ("12.04", "Ubuntu 12.04", "http://ubuntu.com/ubuntu/12.04", Kind::LinuxVirtio),
        ("14.04", "Ubuntu 14.04", "http://ubuntu.com/ubuntu/14.04", Kind::LinuxVirtio),
        ("16.04", "Ubuntu 16.04", "http://ubuntu.com/ubuntu/16.04", Kind::LinuxVirtio),
        ("18.04", "Ubuntu 18.04", "http://ubuntu.com/ubuntu/18.04", Kind::LinuxVirtio),
        ("20.04", "Ubuntu 20.04", "http://ubuntu.com/ubuntu/20.04", Kind::LinuxVirtio),
        ("22.04", "Ubuntu 22.04", "http://ubuntu.com/ubuntu/22.04", Kind::LinuxVirtio),
        ("24.04", "Ubuntu 24.04", "http://ubuntu.com/ubuntu/22.04", Kind::LinuxVirtio),
        ("", "Ubuntu", "http://libosinfo.org/linux/2022", Kind::Linux),
    ]),
    ("red hat enterprise linux", RHEL),
    ("rhel", RHEL),
    ("centos", &[
        ("5", "CentOS 5", "http://centos.org/centos/5.11", Kind::Linux),
        ("6", "CentOS 6", "http://centos.org/centos/6.10", Kind::Linux),
        ("7", "CentOS 7", "http://centos.org/centos/7.0", Kind::Linux),
        ("8", "CentOS 8", "http://centos.org/centos/8", Kind::Linux),
        ("9", "CentOS Stream 9", "http://centos.org/centos-stream/9", Kind::Linux),
        ("", "CentOS", "", Kind::Linux),
    ]),
    ("rocky", &[("", "Rocky Linux", "http://rockylinux.org/rocky/unknown", Kind::Linux)]),
    ("almalinux", &[("", "AlmaLinux", "http://almalinux.org/almalinux/9", Kind::Linux)]),
    ("amazon linux 2", &[("", "Amazon Linux 2", "http://libosinfo.org/linux/2018", Kind::Linux)]),
    ("oracle linux", &[
        ("5", "Oracle Linux 5", "http://oracle.com/ol/5.11", Kind::Linux),
        ("6", "Oracle Linux 6", "http://oracle.com/ol/6.10", Kind::Linux),
        ("7", "Oracle Linux 7", "http://oracle.com/ol/7.9", Kind::Linux),
        ("8", "Oracle Linux 8", "http://oracle.com/ol/8.5", Kind::Linux),
        ("9", "Oracle Linux 9", "http://oracle.com/ol/8.5", Kind::Linux),
        ("10", "Oracle Linux 10", "http://oracle.com/ol/8.5", Kind::Linux),
        ("", "Oracle Linux", "http://oracle.com/ol/8.5", Kind::Linux),
    ]),
    ("suse linux enterprise", &[
        ("10", "SLES 10", "http://suse.com/sles/10.4", Kind::Linux),
        ("11", "SLES 11", "http://suse.com/sles/11.4", Kind::Linux),
        ("12", "SLES 12", "http://suse.com/sles/12.5", Kind::Linux),
        ("15", "SLES 15", "http://suse.com/sle/15-unknown", Kind::Linux),
        ("16", "SLES 16", "http://suse.com/sle/unknown", Kind::Linux),
        ("", "SLES", "http://suse.com/sle/unknown", Kind::Linux),
    ]),
    ("opensuse", &[("", "openSUSE", "http://opensuse.org/opensuse/unknown", Kind::Linux)]),
    ("fedora", &[("", "Fedora", "http://fedoraproject.org/fedora/unknown", Kind::Linux)]),
    ("photon", &[("", "Photon OS", "http://libosinfo.org/linux/2022", Kind::Linux)]),
    ("freebsd", &[
        ("10", "FreeBSD 10", "http://freebsd.org/freebsd/10.4", Kind::BsdVirtio),
        ("11", "FreeBSD 11", "http://freebsd.org/freebsd/11.4", Kind::BsdVirtio),
        ("12", "FreeBSD 12", "http://freebsd.org/freebsd/12.3", Kind::BsdVirtio),
        ("13", "FreeBSD 13", "http://freebsd.org/freebsd/13.1", Kind::BsdVirtio),
        ("14", "FreeBSD 14", "http://freebsd.org/freebsd/13.1", Kind::BsdVirtio),
        ("15", "FreeBSD 15", "http://freebsd.org/freebsd/13.1", Kind::BsdVirtio),
        ("", "FreeBSD", "", Kind::Bsd),
    ]),
    ("solaris", &[
        ("9", "Solaris 9", "http://sun.com/solaris/9", Kind::Solaris),
        ("10", "Solaris 10", "http://sun.com/solaris/10", Kind::Solaris),
        ("11", "Solaris 11", "http://oracle.com/solaris/11", Kind::Solaris),
        ("", "Solaris", "", Kind::Solaris),
    ]),
    ("netware", &[
        ("4", "NetWare 4", "http://novell.com/netware/4", Kind::Dos),
        ("5", "NetWare 5", "http://novell.com/netware/5", Kind::Dos),
        ("6", "NetWare 6", "http://novell.com/netware/6", Kind::Dos),
        ("", "NetWare", "", Kind::Dos),
    ]),
    ("netbsd", &[("", "NetBSD", "", Kind::Bsd)]),
    ("openbsd", &[("", "OpenBSD", "", Kind::Bsd)]),
    ("vmware esx", &[("", "ESXi", "", Kind::Esxi)]),
    ("windows server 2008 r2", &[
        ("", "Windows Server 2008 R2", "http://microsoft.com/win/2k8r2", Kind::WindowsVista7),
    ]),
    ("windows server 2012 r2", &[
        ("", "Windows Server 2012 R2", "http://microsoft.com/win/2k12r2", Kind::Windows),
    ]),
    ("windows nt", &[("", "Windows NT 4.0", "http://microsoft.com/winnt/4.0", Kind::WindowsOld)]),
    ("windows me", &[("", "Windows Me", "http://microsoft.com/win/me", Kind::Dos)]),
    ("windows server", &[
        ("2003", "Windows Server 2003", "http://microsoft.com/win/2k3", Kind::WindowsOld),
        ("2008", "Windows Server 2008", "http://microsoft.com/win/2k8", Kind::WindowsVista7),
        ("2012", "Windows Server 2012", "http://microsoft.com/win/2k12", Kind::Windows),
        ("2016", "Windows Server 2016", "http://microsoft.com/win/2k16", Kind::Windows),
        ("2019", "Windows Server 2019", "http://microsoft.com/win/2k19", Kind::Windows),
        ("2022", "Windows Server 2022", "http://microsoft.com/win/2k22", Kind::Windows),
        ("2025", "Windows Server 2025", "http://microsoft.com/win/2k22", Kind::Windows),
        ("", "Windows Server", "", Kind::WindowsVista7),
    ]),
    ("windows", &[
        ("3.1", "Windows 3.1", "http://microsoft.com/win/3.1", Kind::Dos),
        ("95", "Windows 95", "http://microsoft.com/win/95", Kind::Dos),
        ("98", "Windows 98", "http://microsoft.com/win/98", Kind::Dos),
        ("2000", "Windows 2000", "http://microsoft.com/win/2k", Kind::WindowsOld),
        ("7", "Windows 7", "http://microsoft.com/win/7", Kind::WindowsVista7),
        ("8.1", "Windows 8.1", "http://microsoft.com/win/8.1", Kind::Windows),
        ("8", "Windows 8", "http://microsoft.com/win/8", Kind::Windows),
        ("10", "Windows 10", "http://microsoft.com/win/10", Kind::Windows),
        ("11", "Windows 11", "http://microsoft.com/win/11", Kind::Windows),
    ]),
    ("windows xp", &[("", "Windows XP", "http://microsoft.com/win/xp", Kind::WindowsOld)]),
    ("windows vista", &[("", "Windows Vista", "http://microsoft.com/win/vista", Kind::WindowsVista7)]),
    ("other 2.4", &[("", "Linux 2.4", "", Kind::LinuxOld)]),
    ("other 2.6", &[("", "Linux 2.6", "", Kind::LinuxOld)]),
    ("3.x or later", &[("", "Linux 3.x", "http://libosinfo.org/linux/2016", Kind::Linux)]),
    ("4.x or later", &[("", "Linux 4.x", "http://libosinfo.org/linux/2018", Kind::Linux)]),
    ("5.x or later", &[("", "Linux 5.x", "http://libosinfo.org/linux/2020", Kind::Linux)]),
    ("6.x or later", &[("", "Linux 6.x", "http://libosinfo.org/linux/2022", Kind::Linux)]),
    ("linux", &[("", "Linux", "", Kind::Linux)]),
];

#[rustfmt::skip]
const RHEL: &[Release] = &[
    ("3", "RHEL 3", "http://redhat.com/rhel/3.9", Kind::LinuxOld),
    ("4", "RHEL 4", "http://redhat.com/rhel/4.9", Kind::LinuxOld),
    ("5", "RHEL 5", "http://redhat.com/rhel/5.11", Kind::Linux),
    ("6", "RHEL 6", "http://redhat.com/rhel/6-unknown", Kind::Linux),
    ("7", "RHEL 7", "http://redhat.com/rhel/7-unknown", Kind::Linux),
    ("8", "RHEL 8", "http://redhat.com/rhel/8-unknown", Kind::Linux),
    ("9", "RHEL 9", "http://redhat.com/rhel/9-unknown", Kind::Linux),
    ("10", "RHEL 10", "http://redhat.com/rhel/unknown", Kind::Linux),
    ("", "RHEL", "http://redhat.com/rhel/unknown", Kind::Linux),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_distributions_out_of_free_text() {
        for (text, want) in [
            ("Debian GNU/Linux 10 (64-bit)", "Debian 10"),
            ("Red Hat Enterprise Linux 7.9 (64-bit)", "RHEL 7"),
            ("Ubuntu Linux (64-bit)", "Ubuntu"),
            ("Other 3.x or later Linux (64-bit)", "Linux 3.x"),
            ("Microsoft Windows Server 2016 (64-bit)", "Windows Server 2016"),
            ("Microsoft Windows 10 (64-bit)", "Windows 10"),
            ("Microsoft Windows Server 2008 R2 (64-bit)", "Windows Server 2008 R2"),
            ("Microsoft Windows Server 2008 (64-bit)", "Windows Server 2008"),
            ("Microsoft Windows XP Professional (32-bit)", "Windows XP"),
            ("Oracle Solaris 11 (64-bit)", "Solaris 11"),
            ("Novell NetWare 5.1", "NetWare 5"),
            ("FreeBSD 14 or later versions (64-bit)", "FreeBSD 14"),
            ("VMware ESXi 7.0", "ESXi"),
        ] {
            assert_eq!(by_words(text).map(|known| known.label), Some(want), "{text}");
        }
        assert!(by_words("Plan 9").is_none());
    }

    #[test]
    fn a_version_beside_the_number_names_the_release() {
        for (id, version, want) in [
            (95, "4", "Debian 4"),
            (96, "13", "Debian 13"),
            (96, "1", "Pardus"),
            (80, "10", "RHEL 10"),
            (80, "8", "RHEL 8"),
            (107, "9", "CentOS Stream 9"),
            (109, "10", "Oracle Linux 10"),
            (85, "15", "SLES 15"),
            (78, "12", "FreeBSD 12"),
            (29, "9", "Solaris 9"),
            (81, "11", "Solaris 11"),
            (21, "6", "NetWare 6"),
            (42, "", "FreeBSD"),
        ] {
            let said = Statement { version: Some(version), ..Statement::default() };
            assert_eq!(find(id, said).map(|known| known.label), Some(want), "{id} {version}");
        }
    }

    #[test]
    fn numbers_of_systems_that_no_pc_runs_are_not_known() {
        for id in [0, 1, 3, 9, 10, 35, 60, 68, 102, 124] {
            assert!(find(id, Statement::default()).is_none(), "{id}");
        }
    }
}
