//! Names of files.

/// A file that a VMX names.
///
/// It names, and opens nothing: whoever looks for the file does so in the VMX's own folder, by
/// [`beside`](Self::beside), or by [`base`](Self::base) where the name is one of the old host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName {
    text: String,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Below the VMX's own folder; folders are set apart by `/`.
    Beside(String),
    /// Anywhere else on the old host, with the last part of the name.
    Elsewhere(Option<String>),
}

impl FileName {
    /// Reads a name: relative, absolute (`/vmfs/…`, `C:\…`), or of a datastore (`[ds] …`).
    #[must_use]
    pub fn new(text: &str) -> Self {
        let plain = text.replace('\\', "/");
        let plain = plain.strip_prefix("./").unwrap_or(&plain);
        let is_relative = !plain.starts_with(['/', '[']) && !plain.contains(':');
        let parts = || plain.split('/');
        let climbs = parts().any(|part| matches!(part, "" | "." | ".."));
        let place = if is_relative && !climbs {
            Place::Beside(plain.to_owned())
        } else {
            let base = plain.rsplit(['/', ']', ':']).next().map(str::trim);
            let is_name = |base: &&str| !matches!(*base, "" | "." | "..");
            Place::Elsewhere(base.filter(is_name).map(str::to_owned))
        };
        Self { text: text.to_owned(), place }
    }

    /// The name as written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name below the VMX's own folder, if it is one.
    #[must_use]
    pub fn beside(&self) -> Option<&str> {
        match &self.place {
            Place::Beside(name) => Some(name),
            Place::Elsewhere(_) => None,
        }
    }

    /// The last part of a name of the old host: what the file may be called beside the VMX now.
    #[must_use]
    pub fn base(&self) -> Option<&str> {
        match &self.place {
            Place::Beside(_) => None,
            Place::Elsewhere(base) => base.as_deref(),
        }
    }

    /// The same name of the old host, with nothing that says what it may be called now.
    #[must_use]
    pub fn without_base(self) -> Self {
        match self.place {
            Place::Beside(_) => self,
            Place::Elsewhere(_) => Self { place: Place::Elsewhere(None), ..self },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_names_beside_the_vmx_from_those_of_the_old_host() {
        for (text, beside, base) in [
            ("a.vmdk", Some("a.vmdk"), None),
            ("Windows 7 x64.vmdk", Some("Windows 7 x64.vmdk"), None),
            ("./a.vmdk", Some("a.vmdk"), None),
            ("disks/a.vmdk", Some("disks/a.vmdk"), None),
            (r"disks\a.vmdk", Some("disks/a.vmdk"), None),
            ("/vmfs/volumes/4f-0/vm/a.vmdk", None, Some("a.vmdk")),
            (r"D:\VMs\a b.vmdk", None, Some("a b.vmdk")),
            ("D:a.vmdk", None, Some("a.vmdk")),
            ("[datastore1] vm/a.vmdk", None, Some("a.vmdk")),
            ("[datastore1] a.vmdk", None, Some("a.vmdk")),
            ("../a.vmdk", None, Some("a.vmdk")),
            ("x/../a.vmdk", None, Some("a.vmdk")),
            ("x//a.vmdk", None, Some("a.vmdk")),
            ("json:{}", None, Some("{}")),
            ("http://h/a.vmdk", None, Some("a.vmdk")),
            ("/dev/..", None, None),
            ("/", None, None),
            ("", None, None),
        ] {
            let name = FileName::new(text);
            assert_eq!((name.text(), name.beside(), name.base()), (text, beside, base));
            let bare = name.without_base();
            assert_eq!((bare.beside(), bare.base()), (beside, None));
        }
    }
}
