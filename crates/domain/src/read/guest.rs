//! What a document tells of the system inside.

use vm::{Guest, GuestFamily};

use crate::document::{Element, Space};

/// Who makes which family, by a part of the libosinfo id; ids are URLs at the maker's own domain.
const MAKERS: &[(&str, GuestFamily)] = &[
    ("microsoft.com/msdos", GuestFamily::Other),
    // Windows above DOS knows nothing of hypervisors.
    ("microsoft.com/win/1.", GuestFamily::Other),
    ("microsoft.com/win/2.", GuestFamily::Other),
    ("microsoft.com/win/3.1", GuestFamily::Other),
    ("microsoft.com/win/95", GuestFamily::Other),
    ("microsoft.com/win/98", GuestFamily::Other),
    ("microsoft.com/win/me", GuestFamily::Other),
    ("microsoft.com/", GuestFamily::Windows),
    ("freebsd.org/", GuestFamily::Bsd),
    ("netbsd.org/", GuestFamily::Bsd),
    ("openbsd.org/", GuestFamily::Bsd),
    ("dragonflybsd.org/", GuestFamily::Bsd),
    ("ghostbsd.org/", GuestFamily::Bsd),
    ("oracle.com/solaris", GuestFamily::Solaris),
    ("sun.com/", GuestFamily::Solaris),
    ("openindiana.org/", GuestFamily::Solaris),
    ("omnios.org/", GuestFamily::Solaris),
    ("smartos.org/", GuestFamily::Solaris),
    ("apple.com/", GuestFamily::Other),
    ("novell.com/netware", GuestFamily::Other),
    ("haiku-os.org/", GuestFamily::Other),
    ("freedos.org/", GuestFamily::Other),
];

/// Reads the libosinfo id; without one, what libvirt tells only a Windows guest shows the family.
pub(super) fn guest(root: &Element<'_>) -> Guest {
    let osinfo = osinfo(root).map(str::to_owned);
    let family = match &osinfo {
        Some(id) => family(id),
        None if root.at(&["features", "hyperv"]).is_some() => GuestFamily::Windows,
        None => GuestFamily::Unknown,
    };
    Guest { family, osinfo }
}

fn osinfo<'a>(root: &'a Element<'_>) -> Option<&'a str> {
    let named = |element: &'a Element<'_>, name: &str| {
        let is = |child: &&Element<'_>| {
            child.space == Space::Libosinfo && child.name.rsplit(':').next() == Some(name)
        };
        element.children.iter().find(is)
    };
    named(named(root.first("metadata")?, "libosinfo")?, "os")?.value("id")
}

/// Nearly every system that libosinfo knows and that is none of the above is a Linux.
fn family(id: &str) -> GuestFamily {
    let after_scheme = id.split_once("://").map_or(id, |(_, rest)| rest);
    let maker = after_scheme.strip_prefix("www.").unwrap_or(after_scheme);
    if maker.starts_with("libosinfo.org/unknown") {
        return GuestFamily::Unknown;
    }
    let known = MAKERS.iter().find(|(prefix, _)| maker.starts_with(prefix));
    known.map_or(GuestFamily::Linux, |(_, family)| *family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_family_by_the_maker_of_the_system() {
        for (id, want) in [
            ("http://debian.org/debian/12", GuestFamily::Linux),
            ("http://libosinfo.org/linux/2022", GuestFamily::Linux),
            ("http://microsoft.com/win/2k22", GuestFamily::Windows),
            ("http://microsoft.com/msdos/6.22", GuestFamily::Other),
            ("http://microsoft.com/win/95", GuestFamily::Other),
            ("http://microsoft.com/winnt/4.0", GuestFamily::Windows),
            ("http://microsoft.com/win/2k", GuestFamily::Windows),
            ("http://freebsd.org/freebsd/14.0", GuestFamily::Bsd),
            ("http://oracle.com/solaris/11", GuestFamily::Solaris),
            ("http://oracle.com/ol/9", GuestFamily::Linux),
            ("http://libosinfo.org/unknown", GuestFamily::Unknown),
        ] {
            assert_eq!(family(id), want, "{id}");
        }
    }
}
