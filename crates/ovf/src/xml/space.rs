//! The namespaces that mean something.

use crate::descriptor::Version;

/// What a namespace means, whatever its prefix.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Space {
    /// No namespace.
    #[default]
    None,
    /// An OVF envelope (DSP0243 section 6), or the message bundles beside it.
    Envelope(Version),
    /// Any CIM setting data class.
    Cim,
    /// VMware's extensions.
    Vmware,
    /// VirtualBox's extensions.
    Vbox,
    /// XML Schema instance.
    Xsi,
    /// The reserved prefix `xml`.
    Xml,
    /// Anything else, by its URI, or by its prefix where that is not declared.
    Other(String),
}

impl Space {
    /// Reads a namespace URI; one trailing `/` does not count (oVirt writes it).
    pub(crate) fn of_uri(uri: &str) -> Self {
        match uri.strip_suffix('/').unwrap_or(uri) {
            "" => Self::None,
            "http://www.vmware.com/schema/ovf/1/envelope" => Self::Envelope(Version::V09),
            "http://schemas.dmtf.org/ovf/envelope/1" | "http://schemas.dmtf.org/ovf/strings/1" => {
                Self::Envelope(Version::V1)
            }
            "http://schemas.dmtf.org/ovf/envelope/2" => Self::Envelope(Version::V2),
            "http://www.vmware.com/schema/ovf" => Self::Vmware,
            "http://www.virtualbox.org/ovf/machine" => Self::Vbox,
            "http://www.w3.org/2001/XMLSchema-instance" => Self::Xsi,
            "http://www.w3.org/XML/1998/namespace" => Self::Xml,
            // Misspelt ones occur, so the class decides: `…/cim2608 schema/2/CIM_…SettingData`.
            cim if cim.contains("CIM_") && cim.contains("SettingData") => Self::Cim,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The namespace that a prefix usually stands for, where it is used without being declared.
    pub(crate) fn of_usual_prefix(prefix: &str) -> Option<Self> {
        match prefix {
            "ovf" => Some(Self::Envelope(Version::V1)),
            "rasd" | "vssd" | "sasd" | "epasd" | "cim" => Some(Self::Cim),
            "vmw" => Some(Self::Vmware),
            "vbox" => Some(Self::Vbox),
            "xsi" => Some(Self::Xsi),
            _ => None,
        }
    }

    /// Whether elements of the namespace are those of the standard.
    pub(crate) const fn is_standard(&self) -> bool {
        matches!(self, Self::None | Self::Envelope(_) | Self::Cim)
    }

    /// The namespace as a text to show; `None` for the standard ones.
    pub(crate) fn foreign_name(&self) -> Option<String> {
        match self {
            Self::None | Self::Envelope(_) | Self::Cim => None,
            Self::Vmware => Some("http://www.vmware.com/schema/ovf".to_owned()),
            Self::Vbox => Some("http://www.virtualbox.org/ovf/machine".to_owned()),
            Self::Xsi => Some("http://www.w3.org/2001/XMLSchema-instance".to_owned()),
            Self::Xml => Some("http://www.w3.org/XML/1998/namespace".to_owned()),
            Self::Other(uri) => Some(uri.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_dialects_by_their_namespace() {
        let version = |uri| match Space::of_uri(uri) {
            Space::Envelope(version) => Some(version),
            _ => None,
        };
        assert_eq!(version("http://schemas.dmtf.org/ovf/envelope/1/"), Some(Version::V1));
        assert_eq!(version("http://schemas.dmtf.org/ovf/envelope/2"), Some(Version::V2));
        assert_eq!(version("http://www.vmware.com/schema/ovf/1/envelope"), Some(Version::V09));
        assert_eq!(version("http://schemas.dmtf.org/ovf/envelope/3"), None);
    }

    #[test]
    fn takes_a_misspelt_cim_namespace_for_cim() {
        let uri =
            "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/ CIM_ResourceAllocationSettingData";
        assert_eq!(Space::of_uri(uri), Space::Cim);
    }
}
