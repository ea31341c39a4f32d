//! Product sections and their properties.

use code::Code;

use super::{Origin, reader::Reader};
use crate::{
    quote,
    xml::{self, Element, Space},
};

/// One `ProductSection`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Product {
    /// `ovf:class`.
    pub class: Option<String>,
    /// `ovf:instance`.
    pub instance: Option<String>,
    /// The id of the collection the section was inherited from; `None` if it is the system's own.
    pub inherited_from: Option<String>,
    /// `Product`: the name.
    pub product: Option<String>,
    /// `Vendor`.
    pub vendor: Option<String>,
    /// `Version`.
    pub version: Option<String>,
    /// `FullVersion`.
    pub full_version: Option<String>,
    /// `ProductUrl`: where the product is described.
    pub product_url: Option<String>,
    /// `VendorUrl`.
    pub vendor_url: Option<String>,
    /// `AppUrl`: where the running product is reached; may hold `${…}`.
    pub app_url: Option<String>,
    /// The properties, in document order.
    pub properties: Vec<Property>,
}

/// One `Property`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Property {
    /// `ovf:key` as written.
    pub key: String,
    /// `[class "."] key ["." instance]` (DSP0243 9.5.1).
    pub full_key: String,
    /// `ovf:type` as written; absent or unknown is a text, with a finding.
    pub kind: Option<String>,
    /// `ovf:value`.
    pub default: Option<String>,
    /// `Value` elements: the default of single configurations.
    pub values: Vec<PropertyValue>,
    /// The configurations that the property is for; empty is all of them.
    pub configurations: Vec<String>,
    /// `Label`.
    pub label: Option<String>,
    /// `Description`.
    pub description: Option<String>,
    /// The `Category` line above it.
    pub category: Option<String>,
    /// `ovf:userConfigurable`; false when absent.
    pub user_configurable: bool,
    /// `ovf:password`: the value must never be printed.
    pub password: bool,
    /// `ovf:qualifiers` and `vmw:qualifiers`, as written.
    pub qualifiers: Vec<String>,
    /// Where it stands.
    pub origin: Origin,
}

/// A value of a property for one configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertyValue {
    /// The ids of the configurations; empty is all of them.
    pub configurations: Vec<String>,
    /// The value.
    pub value: String,
}

/// The types of DSP0243 9.5.1 and those that VMware adds.
const KNOWN_TYPES: [&str; 17] = [
    "uint8",
    "sint8",
    "uint16",
    "sint16",
    "uint32",
    "sint32",
    "uint64",
    "sint64",
    "string",
    "boolean",
    "real32",
    "real64",
    "int",
    "real",
    "password",
    "ip",
    "expression",
];

impl Product {
    /// Reads one `ProductSection`.
    pub(super) fn read(section: &Element, parent: &str, reader: &mut Reader) -> Self {
        let mut product = Self {
            class: section.filled("class"),
            instance: section.filled("instance"),
            inherited_from: None,
            product: reader.text(section, "Product"),
            vendor: reader.text(section, "Vendor"),
            version: reader.text(section, "Version"),
            full_version: reader.text(section, "FullVersion"),
            product_url: reader.text(section, "ProductUrl"),
            vendor_url: reader.text(section, "VendorUrl"),
            app_url: reader.text(section, "AppUrl"),
            properties: Vec::new(),
        };
        let mut category = None;
        for child in &section.children {
            if child.is("Category") {
                category = reader.own_text(child);
            } else if child.is("Property") {
                let property = product.read_property(child, category.clone(), parent, reader);
                product.properties.push(property);
            }
        }
        product
    }

    fn read_property(
        &self,
        element: &Element,
        category: Option<String>,
        parent: &str,
        reader: &mut Reader,
    ) -> Property {
        let key = element.filled("key").unwrap_or_default();
        let path = format!("{parent}/ProductSection/Property[{}]", quote::Plain(&key));
        let origin = Origin { line: element.line, path };
        if key.is_empty() {
            reader.note(Code::W0610, "a property without a key", &origin);
        }
        let kind = element.filled("type");
        note_odd_type(kind.as_deref(), &origin, reader);
        let parts = [self.class.as_deref(), Some(key.as_str()), self.instance.as_deref()];
        let is_true = |name| element.attribute(name).and_then(xml::boolean) == Some(true);
        let standard = element.filled("qualifiers");
        let vmware = element.attribute_in(&Space::Vmware, "qualifiers").map(str::to_owned);
        Property {
            full_key: parts.into_iter().flatten().collect::<Vec<_>>().join("."),
            default: element.attribute("value").map(str::to_owned),
            values: element.all("Value").map(|value| PropertyValue::read(value, reader)).collect(),
            configurations: reader.words(element, "configuration"),
            label: reader.text(element, "Label"),
            description: reader.text(element, "Description"),
            category,
            user_configurable: is_true("userConfigurable"),
            password: is_true("password") || kind.as_deref().is_some_and(is_password),
            qualifiers: standard.into_iter().chain(vmware).collect(),
            key,
            kind,
            origin,
        }
    }
}

fn is_password(kind: &str) -> bool {
    kind.trim_start().to_ascii_lowercase().starts_with("password")
}

fn note_odd_type(kind: Option<&str>, origin: &Origin, reader: &mut Reader) {
    let message = match kind {
        None => "a property without a type is read as a string".to_owned(),
        // VMware writes `string(1..64)` and `ip:network` too.
        Some(kind) => {
            let word = kind.split(['(', '[', ':']).next().unwrap_or_default();
            if KNOWN_TYPES.contains(&word.trim().to_ascii_lowercase().as_str()) {
                return;
            }
            format!("the property type {} is read as a string", quote::Quoted(kind))
        }
    };
    reader.note(Code::W0610, message, origin);
}

impl PropertyValue {
    fn read(element: &Element, reader: &mut Reader) -> Self {
        Self {
            configurations: reader.words(element, "configuration"),
            value: element.attribute("value").unwrap_or_default().to_owned(),
        }
    }
}
