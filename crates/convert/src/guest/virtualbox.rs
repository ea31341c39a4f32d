//! VirtualBox's `vbox:OSType` ids.

use super::{Kind, Known};

/// Looks an id up, such as `Debian11_64`; the longest matching beginning wins.
pub(super) fn find(id: &str) -> Option<Known> {
    let stem = id.trim().strip_suffix("_64").unwrap_or(id.trim());
    TABLE
        .iter()
        .filter(|(name, ..)| {
            stem.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name))
        })
        .max_by_key(|(name, ..)| name.len())
        .map(|&(_, label, osinfo, kind)| Known {
            label,
            osinfo: Some(osinfo).filter(|url| !url.is_empty()),
            kind,
        })
}

/// Beginning of the id, label, libosinfo id (empty: none fits), kind.
#[rustfmt::skip]
const TABLE: &[(&str, &str, &str, Kind)] = &[
    ("DOS", "MS-DOS", "http://microsoft.com/msdos/6.22", Kind::Dos),
    ("Windows31", "Windows 3.1", "http://microsoft.com/win/3.1", Kind::Dos),
    ("Windows95", "Windows 95", "http://microsoft.com/win/95", Kind::Dos),
    ("Windows98", "Windows 98", "http://microsoft.com/win/98", Kind::Dos),
    ("WindowsMe", "Windows Me", "http://microsoft.com/win/me", Kind::Dos),
    ("WindowsNT4", "Windows NT 4.0", "http://microsoft.com/winnt/4.0", Kind::WindowsOld),
    ("Windows2000", "Windows 2000", "http://microsoft.com/win/2k", Kind::WindowsOld),
    ("WindowsXP", "Windows XP", "http://microsoft.com/win/xp", Kind::WindowsOld),
    ("Windows2003", "Windows Server 2003", "http://microsoft.com/win/2k3", Kind::WindowsOld),
    ("WindowsVista", "Windows Vista", "http://microsoft.com/win/vista", Kind::WindowsVista7),
    ("Windows2008", "Windows Server 2008", "http://microsoft.com/win/2k8", Kind::WindowsVista7),
    ("Windows7", "Windows 7", "http://microsoft.com/win/7", Kind::WindowsVista7),
    ("Windows8", "Windows 8", "http://microsoft.com/win/8", Kind::Windows),
    ("Windows81", "Windows 8.1", "http://microsoft.com/win/8.1", Kind::Windows),
    ("Windows2012", "Windows Server 2012", "http://microsoft.com/win/2k12", Kind::Windows),
    ("Windows10", "Windows 10", "http://microsoft.com/win/10", Kind::Windows),
    ("Windows2016", "Windows Server 2016", "http://microsoft.com/win/2k16", Kind::Windows),
    ("Windows2019", "Windows Server 2019", "http://microsoft.com/win/2k19", Kind::Windows),
    ("Windows2022", "Windows Server 2022", "http://microsoft.com/win/2k22", Kind::Windows),
    ("Windows11", "Windows 11", "http://microsoft.com/win/11", Kind::Windows),
    ("Windows", "Windows", "", Kind::WindowsVista7),
    ("Debian", "Debian", "", Kind::Linux),
    ("Debian4", "Debian 4", "http://debian.org/debian/4", Kind::LinuxOld),
    ("Debian5", "Debian 5", "http://debian.org/debian/5", Kind::Linux),
    ("Debian6", "Debian 6", "http://debian.org/debian/6", Kind::Linux),
    ("Debian7", "Debian 7", "http://debian.org/debian/7", Kind::LinuxVirtio),
    ("Debian8", "Debian 8", "http://debian.org/debian/8", Kind::LinuxVirtio),
    ("Debian9", "Debian 9", "http://debian.org/debian/9", Kind::LinuxVirtio),
    ("Debian10", "Debian 10", "http://debian.org/debian/10", Kind::LinuxVirtio),
    ("Debian11", "Debian 11", "http://debian.org/debian/11", Kind::LinuxVirtio),
    ("Debian12", "Debian 12", "http://debian.org/debian/testing", Kind::LinuxVirtio),
    ("Debian13", "Debian 13", "http://debian.org/debian/testing", Kind::LinuxVirtio),
    ("Ubuntu", "Ubuntu", "http://libosinfo.org/linux/2022", Kind::Linux),
    ("Ubuntu10", "Ubuntu 10.04", "http://ubuntu.com/ubuntu/10.04", Kind::Linux),
    ("Ubuntu12", "Ubuntu 12.04", "http://ubuntu.com/ubuntu/12.04", Kind::LinuxVirtio),
    ("Ubuntu14", "Ubuntu 14.04", "http://ubuntu.com/ubuntu/14.04", Kind::LinuxVirtio),
    ("Ubuntu16", "Ubuntu 16.04", "http://ubuntu.com/ubuntu/16.04", Kind::LinuxVirtio),
    ("Ubuntu18", "Ubuntu 18.04", "http://ubuntu.com/ubuntu/18.04", Kind::LinuxVirtio),
    ("Ubuntu20", "Ubuntu 20.04", "http://ubuntu.com/ubuntu/20.04", Kind::LinuxVirtio),
    ("Ubuntu22", "Ubuntu 22.04", "http://ubuntu.com/ubuntu/22.04", Kind::LinuxVirtio),
    ("Ubuntu23", "Ubuntu", "http://ubuntu.com/ubuntu/22.04", Kind::LinuxVirtio),
    ("Ubuntu24", "Ubuntu", "http://ubuntu.com/ubuntu/22.04", Kind::LinuxVirtio),
    ("Fedora", "Fedora", "http://fedoraproject.org/fedora/unknown", Kind::Linux),
    ("RedHat", "Red Hat Linux", "http://redhat.com/rhel/unknown", Kind::Linux),
    ("RedHat3", "RHEL 3", "http://redhat.com/rhel/3.9", Kind::LinuxOld),
    ("RedHat4", "RHEL 4", "http://redhat.com/rhel/4.9", Kind::LinuxOld),
    ("RedHat5", "RHEL 5", "http://redhat.com/rhel/5.11", Kind::Linux),
    ("RedHat6", "RHEL 6", "http://redhat.com/rhel/6-unknown", Kind::Linux),
    ("RedHat7", "RHEL 7", "http://redhat.com/rhel/7-unknown", Kind::Linux),
    ("RedHat8", "RHEL 8", "http://redhat.com/rhel/8-unknown", Kind::Linux),
    ("RedHat9", "RHEL 9", "http://redhat.com/rhel/9-unknown", Kind::Linux),
    ("Oracle", "Oracle Linux", "http://oracle.com/ol/8.5", Kind::Linux),
    ("Oracle5", "Oracle Linux 5", "http://oracle.com/ol/5.11", Kind::Linux),
    ("Oracle6", "Oracle Linux 6", "http://oracle.com/ol/6.10", Kind::Linux),
    ("Oracle7", "Oracle Linux 7", "http://oracle.com/ol/7.9", Kind::Linux),
    ("Oracle8", "Oracle Linux 8", "http://oracle.com/ol/8.5", Kind::Linux),
    ("Oracle9", "Oracle Linux 9", "http://oracle.com/ol/8.5", Kind::Linux),
    ("OpenSUSE", "openSUSE", "http://opensuse.org/opensuse/unknown", Kind::Linux),
    ("SUSE_LE", "SLES", "http://suse.com/sle/unknown", Kind::Linux),
    ("ArchLinux", "Arch Linux", "http://archlinux.org/archlinux/rolling", Kind::Linux),
    ("Gentoo", "Gentoo", "http://gentoo.org/gentoo/rolling", Kind::Linux),
    ("Linux22", "Linux 2.2", "", Kind::LinuxOld),
    ("Linux24", "Linux 2.4", "", Kind::LinuxOld),
    ("Linux26", "Linux", "", Kind::Linux),
    ("Linux", "Linux", "", Kind::Linux),
    ("FreeBSD", "FreeBSD", "http://freebsd.org/freebsd/13.1", Kind::Bsd),
    ("OpenBSD", "OpenBSD", "", Kind::Bsd),
    ("NetBSD", "NetBSD", "", Kind::Bsd),
    ("Solaris", "Solaris", "http://oracle.com/solaris/11", Kind::Solaris),
    ("OpenSolaris", "OpenSolaris", "http://oracle.com/solaris/11", Kind::Solaris),
    ("MacOS", "macOS", "", Kind::MacOs),
    ("Netware", "NetWare", "http://novell.com/netware/6", Kind::Dos),
    ("OS2", "OS/2", "", Kind::Dos),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_longest_beginning() {
        for (id, want) in [
            ("Debian11_64", "Debian 11"),
            ("Debian_64", "Debian"),
            ("Windows81_64", "Windows 8.1"),
            ("Ubuntu22_LTS_64", "Ubuntu 22.04"),
            ("Ubuntu10_LTS", "Ubuntu 10.04"),
            ("RedHat5", "RHEL 5"),
            ("Oracle9_64", "Oracle Linux 9"),
            ("Windows2012_64", "Windows Server 2012"),
            ("OS2Warp45", "OS/2"),
            ("MacOS1013_64", "macOS"),
        ] {
            assert_eq!(find(id).unwrap().label, want, "{id}");
        }
        assert!(find("Other_64").is_none());
    }
}
