//! VMware's ids of guests: `vmw:osType` of an OVF, `guestOS` of a VMX.

use super::{Kind, Known};

/// Stems that a VMX spells in another way than an OVF.
const SPELLINGS: [(&str, &str); 9] = [
    ("longhorn", "winLonghorn"),
    ("windows7srv", "windows7Server"),
    ("windows8srv", "windows8Server"),
    ("windows9srv", "windows9Server"),
    ("winHyperV", "windowsHyperV"),
    ("win2000", "win2000Pro"),
    ("whistler", "winXPPro"),
    ("linux", "otherLinux"),
    ("vmware-photon", "vmwarePhoton"),
];

/// Looks an id up, such as `debian10_64Guest` or `debian10-64`; the description decides between the
/// releases of Ubuntu, which share one id.
pub(super) fn find(id: &str, description: Option<&str>) -> Option<Known> {
    let id = id.trim();
    let stem = id.strip_suffix("Guest").unwrap_or(id);
    let widths = ["_64", "-64", "64"];
    let stem = widths.iter().find_map(|width| stem.strip_suffix(width)).unwrap_or(stem);
    let spelling = SPELLINGS.iter().find(|(vmx, _)| vmx.eq_ignore_ascii_case(stem));
    let stem = spelling.map_or(stem, |(_, ovf)| ovf);
    if stem.eq_ignore_ascii_case("ubuntu") {
        return description.and_then(super::cim::by_words).or_else(|| row("ubuntu"));
    }
    row(stem)
}

/// The 64-bit id that means a libosinfo id; the first one where several do.
pub(crate) fn id_of(osinfo: &str) -> Option<String> {
    let (stem, _, _, kind) = TABLE.iter().find(|(_, _, url, _)| *url == osinfo)?;
    let has_no_width = *kind == Kind::Dos
        || ["winNT", "win2000", "vmkernel"].iter().any(|start| stem.starts_with(start));
    let joined = stem.ends_with(|end: char| end.is_ascii_digit())
        || ["srv", "srvNext", "linux", "Photon"].iter().any(|end| stem.ends_with(end));
    let width = match (has_no_width, joined) {
        (true, _) => "",
        (false, true) => "_64",
        (false, false) => "64",
    };
    Some(format!("{stem}{width}Guest"))
}

fn row(stem: &str) -> Option<Known> {
    TABLE.iter().find(|(name, ..)| name.eq_ignore_ascii_case(stem)).map(
        |&(_, label, osinfo, kind)| Known {
            label,
            osinfo: Some(osinfo).filter(|url| !url.is_empty()),
            kind,
        },
    )
}

/// Stem of the id, label, libosinfo id (empty: none fits), kind.
#[rustfmt::skip]
const TABLE: &[(&str, &str, &str, Kind)] = &[
    ("dos", "MS-DOS", "http://microsoft.com/msdos/6.22", Kind::Dos),
    ("win31", "Windows 3.1", "http://microsoft.com/win/3.1", Kind::Dos),
    ("win95", "Windows 95", "http://microsoft.com/win/95", Kind::Dos),
    ("win98", "Windows 98", "http://microsoft.com/win/98", Kind::Dos),
    ("winMe", "Windows Me", "http://microsoft.com/win/me", Kind::Dos),
    ("winNT", "Windows NT 4.0", "http://microsoft.com/winnt/4.0", Kind::WindowsOld),
    ("win2000Pro", "Windows 2000", "http://microsoft.com/win/2k", Kind::WindowsOld),
    ("win2000Serv", "Windows 2000 Server", "http://microsoft.com/win/2k", Kind::WindowsOld),
    ("win2000AdvServ", "Windows 2000 Server", "http://microsoft.com/win/2k", Kind::WindowsOld),
    ("winXPHome", "Windows XP", "http://microsoft.com/win/xp", Kind::WindowsOld),
    ("winXPPro", "Windows XP", "http://microsoft.com/win/xp", Kind::WindowsOld),
    ("winNetWeb", "Windows Server 2003", "http://microsoft.com/win/2k3", Kind::WindowsOld),
    ("winNetStandard", "Windows Server 2003", "http://microsoft.com/win/2k3", Kind::WindowsOld),
    ("winNetEnterprise", "Windows Server 2003", "http://microsoft.com/win/2k3", Kind::WindowsOld),
    ("winNetDatacenter", "Windows Server 2003", "http://microsoft.com/win/2k3", Kind::WindowsOld),
    ("winNetBusiness", "Windows Server 2003", "http://microsoft.com/win/2k3", Kind::WindowsOld),
    ("winVista", "Windows Vista", "http://microsoft.com/win/vista", Kind::WindowsVista7),
    ("winLonghorn", "Windows Server 2008", "http://microsoft.com/win/2k8", Kind::WindowsVista7),
    ("windows7", "Windows 7", "http://microsoft.com/win/7", Kind::WindowsVista7),
    ("windows7Server", "Windows Server 2008 R2", "http://microsoft.com/win/2k8r2", Kind::WindowsVista7),
    ("windows8", "Windows 8", "http://microsoft.com/win/8", Kind::Windows),
    ("windows8Server", "Windows Server 2012", "http://microsoft.com/win/2k12", Kind::Windows),
    ("windows9", "Windows 10", "http://microsoft.com/win/10", Kind::Windows),
    ("windows9Server", "Windows Server 2016", "http://microsoft.com/win/2k16", Kind::Windows),
    ("windows2019srv", "Windows Server 2019", "http://microsoft.com/win/2k19", Kind::Windows),
    ("windows2019srvNext", "Windows Server 2022", "http://microsoft.com/win/2k22", Kind::Windows),
    ("windows2022srvNext", "Windows Server 2025", "http://microsoft.com/win/2k22", Kind::Windows),
    ("windows11", "Windows 11", "http://microsoft.com/win/11", Kind::Windows),
    ("windows12", "Windows 12", "http://microsoft.com/win/11", Kind::Windows),
    ("windowsHyperV", "Windows Hyper-V", "http://microsoft.com/win/2k16", Kind::Windows),
    ("redhat", "Red Hat Linux", "http://redhat.com/rhel/2.1.7", Kind::LinuxOld),
    ("rhel2", "RHEL 2.1", "http://redhat.com/rhel/2.1.7", Kind::LinuxOld),
    ("rhel3", "RHEL 3", "http://redhat.com/rhel/3.9", Kind::LinuxOld),
    ("rhel4", "RHEL 4", "http://redhat.com/rhel/4.9", Kind::LinuxOld),
    ("rhel5", "RHEL 5", "http://redhat.com/rhel/5.11", Kind::Linux),
    ("rhel6", "RHEL 6", "http://redhat.com/rhel/6-unknown", Kind::Linux),
    ("rhel7", "RHEL 7", "http://redhat.com/rhel/7-unknown", Kind::Linux),
    ("rhel8", "RHEL 8", "http://redhat.com/rhel/8-unknown", Kind::Linux),
    ("rhel9", "RHEL 9", "http://redhat.com/rhel/9-unknown", Kind::Linux),
    ("rhel10", "RHEL 10", "http://redhat.com/rhel/unknown", Kind::Linux),
    ("centos", "CentOS", "http://centos.org/centos/5.11", Kind::Linux),
    ("centos6", "CentOS 6", "http://centos.org/centos/6.10", Kind::Linux),
    ("centos7", "CentOS 7", "http://centos.org/centos/7.0", Kind::Linux),
    ("centos8", "CentOS 8", "http://centos.org/centos/8", Kind::Linux),
    ("centos9", "CentOS Stream 9", "http://centos.org/centos-stream/9", Kind::Linux),
    ("rockylinux", "Rocky Linux", "http://rockylinux.org/rocky/unknown", Kind::Linux),
    ("almalinux", "AlmaLinux", "http://almalinux.org/almalinux/9", Kind::Linux),
    ("oracleLinux", "Oracle Linux", "http://oracle.com/ol/5.11", Kind::Linux),
    ("oracleLinux6", "Oracle Linux 6", "http://oracle.com/ol/6.10", Kind::Linux),
    ("oracleLinux7", "Oracle Linux 7", "http://oracle.com/ol/7.9", Kind::Linux),
    ("oracleLinux8", "Oracle Linux 8", "http://oracle.com/ol/8.5", Kind::Linux),
    ("oracleLinux9", "Oracle Linux 9", "http://oracle.com/ol/8.5", Kind::Linux),
    ("oracleLinux10", "Oracle Linux 10", "http://oracle.com/ol/8.5", Kind::Linux),
    ("suse", "SUSE Linux", "http://opensuse.org/opensuse/unknown", Kind::Linux),
    ("opensuse", "openSUSE", "http://opensuse.org/opensuse/unknown", Kind::Linux),
    ("sles", "SLES 9", "http://suse.com/sles/9", Kind::LinuxOld),
    ("sles10", "SLES 10", "http://suse.com/sles/10.4", Kind::Linux),
    ("sles11", "SLES 11", "http://suse.com/sles/11.4", Kind::Linux),
    ("sles12", "SLES 12", "http://suse.com/sles/12.5", Kind::Linux),
    ("sles15", "SLES 15", "http://suse.com/sle/15-unknown", Kind::Linux),
    ("sles16", "SLES 16", "http://suse.com/sle/unknown", Kind::Linux),
    ("nld9", "Novell Linux Desktop 9", "http://suse.com/sled/9", Kind::LinuxOld),
    ("oes", "Novell OES", "", Kind::Linux),
    ("sjds", "Sun Java Desktop System", "", Kind::LinuxOld),
    ("debian4", "Debian 4", "http://debian.org/debian/4", Kind::LinuxOld),
    ("debian5", "Debian 5", "http://debian.org/debian/5", Kind::Linux),
    ("debian6", "Debian 6", "http://debian.org/debian/6", Kind::Linux),
    ("debian7", "Debian 7", "http://debian.org/debian/7", Kind::LinuxVirtio),
    ("debian8", "Debian 8", "http://debian.org/debian/8", Kind::LinuxVirtio),
    ("debian9", "Debian 9", "http://debian.org/debian/9", Kind::LinuxVirtio),
    ("debian10", "Debian 10", "http://debian.org/debian/10", Kind::LinuxVirtio),
    ("debian11", "Debian 11", "http://debian.org/debian/11", Kind::LinuxVirtio),
    ("debian12", "Debian 12", "http://debian.org/debian/testing", Kind::LinuxVirtio),
    ("debian13", "Debian 13", "http://debian.org/debian/testing", Kind::LinuxVirtio),
    ("ubuntu", "Ubuntu", "http://libosinfo.org/linux/2022", Kind::Linux),
    ("fedora", "Fedora", "http://fedoraproject.org/fedora/unknown", Kind::Linux),
    ("coreos", "CoreOS", "http://fedoraproject.org/coreos/stable", Kind::Linux),
    ("vmwarePhoton", "Photon OS", "http://libosinfo.org/linux/2022", Kind::Linux),
    ("amazonlinux2", "Amazon Linux 2", "http://libosinfo.org/linux/2018", Kind::Linux),
    ("amazonlinux3", "Amazon Linux 3", "http://libosinfo.org/linux/2022", Kind::Linux),
    ("asianux3", "Asianux 3", "http://asianux.com/asianux/unknown", Kind::Linux),
    ("asianux4", "Asianux 4", "http://asianux.com/asianux/4.7", Kind::Linux),
    ("asianux5", "Asianux 5", "http://asianux.com/asianux/unknown", Kind::Linux),
    ("asianux7", "Asianux 7", "http://asianux.com/asianux/7.3", Kind::Linux),
    ("asianux8", "Asianux 8", "http://asianux.com/asianux/8.0", Kind::Linux),
    ("asianux9", "Asianux 9", "http://asianux.com/asianux/unknown", Kind::Linux),
    ("miraclelinux", "Miracle Linux", "http://miraclelinux.com/miraclelinux/9-unknown", Kind::Linux),
    ("mandrake", "Mandrake Linux", "http://mandriva.com/mandrake/10.2", Kind::LinuxOld),
    ("mandriva", "Mandriva Linux", "http://mandriva.com/mandriva/2011", Kind::Linux),
    ("turboLinux", "Turbolinux", "", Kind::LinuxOld),
    ("pardus", "Pardus", "http://libosinfo.org/linux/2020", Kind::Linux),
    ("fusionos", "FusionOS", "http://libosinfo.org/linux/2020", Kind::Linux),
    ("prolinux", "ProLinux", "http://libosinfo.org/linux/2020", Kind::Linux),
    ("kylinlinux", "Kylin Linux", "http://libosinfo.org/linux/2020", Kind::Linux),
    ("crxPod1", "ESXi system machine", "", Kind::Special),
    ("crxSys1", "ESXi system machine", "", Kind::Special),
    ("other24xLinux", "Linux 2.4", "", Kind::LinuxOld),
    ("other26xLinux", "Linux 2.6", "", Kind::LinuxOld),
    ("other3xLinux", "Linux 3.x", "http://libosinfo.org/linux/2016", Kind::Linux),
    ("other4xLinux", "Linux 4.x", "http://libosinfo.org/linux/2018", Kind::Linux),
    ("other5xLinux", "Linux 5.x", "http://libosinfo.org/linux/2020", Kind::Linux),
    ("other6xLinux", "Linux 6.x", "http://libosinfo.org/linux/2022", Kind::Linux),
    ("other7xLinux", "Linux 7.x", "http://libosinfo.org/linux/2022", Kind::Linux),
    ("otherLinux", "Linux", "", Kind::Linux),
    ("genericLinux", "Linux", "", Kind::Linux),
    ("freebsd", "FreeBSD", "http://freebsd.org/freebsd/10.4", Kind::Bsd),
    ("freebsd11", "FreeBSD 11", "http://freebsd.org/freebsd/11.4", Kind::BsdVirtio),
    ("freebsd12", "FreeBSD 12", "http://freebsd.org/freebsd/12.3", Kind::BsdVirtio),
    ("freebsd13", "FreeBSD 13", "http://freebsd.org/freebsd/13.1", Kind::BsdVirtio),
    ("freebsd14", "FreeBSD 14", "http://freebsd.org/freebsd/13.1", Kind::BsdVirtio),
    ("freebsd15", "FreeBSD 15", "http://freebsd.org/freebsd/13.1", Kind::BsdVirtio),
    ("solaris6", "Solaris 6", "", Kind::Solaris),
    ("solaris7", "Solaris 7", "", Kind::Solaris),
    ("solaris8", "Solaris 8", "", Kind::Solaris),
    ("solaris9", "Solaris 9", "http://sun.com/solaris/9", Kind::Solaris),
    ("solaris10", "Solaris 10", "http://sun.com/solaris/10", Kind::Solaris),
    ("solaris11", "Solaris 11", "http://oracle.com/solaris/11", Kind::Solaris),
    ("netware4", "NetWare 4", "http://novell.com/netware/4", Kind::Dos),
    ("netware5", "NetWare 5", "http://novell.com/netware/5", Kind::Dos),
    ("netware6", "NetWare 6", "http://novell.com/netware/6", Kind::Dos),
    ("os2", "OS/2", "", Kind::Dos),
    ("eComStation", "eComStation", "", Kind::Dos),
    ("eComStation2", "eComStation 2", "", Kind::Dos),
    ("openServer5", "OpenServer 5", "", Kind::Dos),
    ("openServer6", "OpenServer 6", "", Kind::Dos),
    ("unixWare7", "UnixWare 7", "", Kind::Dos),
    ("darwin", "macOS", "http://apple.com/macosx/10.5", Kind::MacOs),
    ("darwin10", "macOS 10.6", "http://apple.com/macosx/10.6", Kind::MacOs),
    ("darwin11", "macOS 10.7", "http://apple.com/macosx/10.7", Kind::MacOs),
    ("darwin12", "macOS 10.8", "", Kind::MacOs),
    ("darwin13", "macOS 10.9", "", Kind::MacOs),
    ("darwin14", "macOS 10.10", "", Kind::MacOs),
    ("darwin15", "macOS 10.11", "", Kind::MacOs),
    ("darwin16", "macOS 10.12", "", Kind::MacOs),
    ("darwin17", "macOS 10.13", "", Kind::MacOs),
    ("darwin18", "macOS 10.14", "", Kind::MacOs),
    ("darwin19", "macOS 10.15", "", Kind::MacOs),
    ("darwin20", "macOS 11", "", Kind::MacOs),
    ("darwin21", "macOS 12", "", Kind::MacOs),
    ("darwin22", "macOS 13", "", Kind::MacOs),
    ("darwin23", "macOS 14", "", Kind::MacOs),
    ("vmkernel", "ESX 4", "", Kind::Esxi),
    ("vmkernel5", "ESXi 5", "", Kind::Esxi),
    ("vmkernel6", "ESXi 6", "", Kind::Esxi),
    ("vmkernel65", "ESXi 6.5", "", Kind::Esxi),
    ("vmkernel7", "ESXi 7", "", Kind::Esxi),
    ("vmkernel8", "ESXi 8", "", Kind::Esxi),
    ("vmkernel9", "ESXi 9", "", Kind::Esxi),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_each_stem_once() {
        for (at, (stem, ..)) in TABLE.iter().enumerate() {
            assert!(TABLE[at + 1..].iter().all(|(other, ..)| other != stem), "{stem} twice");
        }
    }

    #[test]
    fn knows_the_ids_of_a_vmx() {
        for (id, want) in [
            ("debian10-64", "Debian 10"),
            ("RHEL7-64", "RHEL 7"),
            ("rhel5", "RHEL 5"),
            ("winnetenterprise", "Windows Server 2003"),
            ("longhorn-64", "Windows Server 2008"),
            ("windows9srv-64", "Windows Server 2016"),
            ("windows2019srv-64", "Windows Server 2019"),
            ("other26xlinux-64", "Linux 2.6"),
            ("linux", "Linux"),
            ("vmware-photon-64", "Photon OS"),
            ("freebsd12-64", "FreeBSD 12"),
            ("solaris10-64", "Solaris 10"),
        ] {
            assert_eq!(find(id, None).map(|known| known.label), Some(want), "{id}");
        }
        assert!(find("other-64", None).is_none());
    }

    #[test]
    fn every_spelling_of_a_vmx_means_a_stem_of_the_table() {
        for (vmx, stem) in SPELLINGS {
            assert!(row(stem).is_some() && row(vmx).is_none(), "{vmx}");
        }
    }

    #[test]
    fn reads_the_release_of_ubuntu_from_the_description() {
        let found = find("ubuntu64Guest", Some("Ubuntu Linux 22.04 (64-bit)")).unwrap();
        assert_eq!(found.osinfo, Some("http://ubuntu.com/ubuntu/22.04"));
        assert_eq!(found.kind, Kind::LinuxVirtio);
        assert_eq!(find("ubuntu64Guest", None).unwrap().kind, Kind::Linux);
        assert!(find("otherGuest64", None).is_none());
    }
}
