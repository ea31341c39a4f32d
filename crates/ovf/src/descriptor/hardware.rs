//! The hardware section of one system.

use code::Code;

use super::{Item, ItemKind, Origin, reader::Reader};
use crate::xml::{Element, Space};

/// How many words of a system type count (ours; real lists have two).
const MAX_SYSTEM_TYPES: usize = 16;

/// A key and its value from `vmw:Config` or `vmw:ExtraConfig`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key as written.
    pub key: String,
    /// The value as written; empty when the attribute is absent.
    pub value: String,
    /// `ovf:required`; `None` when the attribute is absent.
    pub required: Option<bool>,
}

/// The hardware section that was chosen for a system.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hardware {
    /// The first 16 words of `VirtualSystemType`, split at blanks and commas, such as `vmx-14`.
    pub system_types: Vec<String>,
    /// `VirtualSystemIdentifier`.
    pub identifier: Option<String>,
    /// The words of `ovf:transport`, such as `iso` or `com.vmware.guestInfo`.
    pub transports: Vec<String>,
    /// Every item, of every configuration and bound, in document order.
    pub items: Vec<Item>,
    /// `vmw:Config` settings of the section.
    pub config: Vec<Setting>,
    /// `vmw:ExtraConfig` settings of the section.
    pub extra_config: Vec<Setting>,
    /// oVirt's `BiosType`: 1 i440fx BIOS, 2 q35 BIOS, 3 q35 UEFI, 4 q35 Secure Boot.
    pub ovirt_bios_type: Option<u32>,
}

impl Hardware {
    /// The hardware version `n` of the first `vmx-n` in the system types.
    #[must_use]
    pub fn vmx_version(&self) -> Option<u32> {
        self.system_types.iter().find_map(|word| {
            word.to_lowercase().strip_prefix("vmx-").and_then(|number| number.parse().ok())
        })
    }

    /// The value of a key: `vmw:Config` beats `vmw:ExtraConfig`; the case of the key is ignored.
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<&str> {
        find(&self.config, key).or_else(|| find(&self.extra_config, key))
    }
}

/// Finds the value of a key without regard to case; the first one wins.
pub(super) fn find<'a>(settings: &'a [Setting], key: &str) -> Option<&'a str> {
    settings
        .iter()
        .find(|setting| setting.key.eq_ignore_ascii_case(key))
        .map(|setting| setting.value.as_str())
}

/// Reads the `vmw:Config` or `vmw:ExtraConfig` children of an element.
pub(super) fn settings(element: &Element, name: &str) -> Vec<Setting> {
    element
        .all_in(&Space::Vmware, name)
        .filter_map(|child| {
            Some(Setting {
                key: child.own_attribute("key")?.trim().to_owned(),
                value: child.own_attribute("value").unwrap_or_default().to_owned(),
                required: child.required(),
            })
        })
        .collect()
}

impl Hardware {
    /// Chooses among the hardware sections of a system and reads the one chosen.
    ///
    /// Several are alternatives (DSP0243 8.1): the first for a platform that is known, else the
    /// first.
    pub(super) fn read(sections: &[&Element], parent: &str, reader: &mut Reader) -> Self {
        let known = sections.iter().find(|section| is_known_platform(&system_types(section)));
        let Some(section) = known.or(sections.first()) else { return Self::default() };
        let path = format!("{parent}/VirtualHardwareSection");
        if sections.len() > 1 {
            let message = format!(
                "{} hardware sections, the one of line {} is taken",
                sections.len(),
                section.line
            );
            reader.note(Code::W0610, message, &Origin { line: section.line, path: path.clone() });
        }
        let system = section.first("System");
        Self {
            system_types: system_types(section),
            identifier: system
                .and_then(|s| s.first("VirtualSystemIdentifier"))
                .and_then(Element::filled_text),
            transports: reader.words(section, "transport"),
            items: read_items(section, &path, reader),
            config: settings(section, "Config"),
            extra_config: settings(section, "ExtraConfig"),
            ovirt_bios_type: None,
        }
    }
}

fn read_items(section: &Element, path: &str, reader: &mut Reader) -> Vec<Item> {
    let mut items = Vec::new();
    for element in &section.children {
        let kind = match element.name.as_str() {
            _ if !element.space.is_standard() => continue,
            "Item" => ItemKind::Item,
            "StorageItem" => ItemKind::Storage,
            "EthernetPortItem" => ItemKind::EthernetPort,
            _ => continue,
        };
        let number = items.len().saturating_add(1);
        let origin =
            Origin { line: element.line, path: format!("{path}/{}[{number}]", element.name) };
        items.push(Item::read(element, kind, origin, reader));
    }
    items
}

fn system_types(section: &Element) -> Vec<String> {
    let text = section
        .first("System")
        .and_then(|system| system.first("VirtualSystemType"))
        .and_then(Element::filled_text)
        .unwrap_or_default();
    text.split([' ', ',', '\t', '\n'])
        .filter(|word| !word.is_empty())
        .take(MAX_SYSTEM_TYPES)
        .map(str::to_owned)
        .collect()
}

fn is_known_platform(system_types: &[String]) -> bool {
    system_types.iter().map(|word| word.to_lowercase()).any(|word| {
        ["vmx-", "virtualbox-", "kvm", "qemu"].iter().any(|known| word.starts_with(known))
    })
}
