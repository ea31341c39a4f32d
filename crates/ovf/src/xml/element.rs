//! An element of a document, and how it is asked.

use super::Space;

/// An attribute; namespace declarations are none.
#[derive(Debug)]
pub(crate) struct Attribute {
    /// The local name.
    pub(crate) name: String,
    /// Its namespace; [`Space::None`] when it has no prefix.
    pub(crate) space: Space,
    /// The value, normalised as XML asks.
    pub(crate) value: String,
}

/// An element with everything below it.
#[derive(Debug, Default)]
pub(crate) struct Element {
    /// The local name.
    pub(crate) name: String,
    /// Its namespace.
    pub(crate) space: Space,
    /// Its attributes.
    pub(crate) attributes: Vec<Attribute>,
    /// Its own text, without that of its children.
    pub(crate) text: String,
    /// Its children, in document order.
    pub(crate) children: Vec<Self>,
    /// The line of its start tag, counted from 1.
    pub(crate) line: u64,
}

impl Element {
    /// Whether it is an element of the standard with this local name.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name == name && self.space.is_standard()
    }

    /// The children that are elements of the standard with this local name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.is(name))
    }

    /// The first child of the standard with this local name.
    pub(crate) fn first(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.is(name))
    }

    /// The first child with this local name, in whatever namespace.
    pub(crate) fn any(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The children in this namespace with this local name.
    pub(crate) fn all_in<'a>(
        &'a self,
        space: &'a Space,
        name: &'a str,
    ) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name && child.space == *space)
    }

    /// An attribute of the standard: in the envelope's namespace, or in none.
    ///
    /// vCenter's own appliances write `configuration="tiny"` without a prefix.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        let with = |wanted: fn(&Space) -> bool| {
            self.attributes.iter().find(|a| a.name == name && wanted(&a.space))
        };
        with(|space| matches!(space, Space::Envelope(_)))
            .or_else(|| with(|space| *space == Space::None))
            .map(|attribute| attribute.value.as_str())
    }

    /// An attribute of the standard, trimmed; an empty one is absent.
    pub(crate) fn filled(&self, name: &str) -> Option<String> {
        self.attribute(name).and_then(filled)
    }

    /// An attribute in this namespace.
    pub(crate) fn attribute_in(&self, space: &Space, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|attribute| attribute.name == name && attribute.space == *space)
            .map(|attribute| attribute.value.as_str())
    }

    /// An attribute of a vendor's element: in its namespace, or in none.
    pub(crate) fn own_attribute(&self, name: &str) -> Option<&str> {
        self.attribute_in(&self.space, name).or_else(|| self.attribute_in(&Space::None, name))
    }

    /// `ovf:required`, if it is stated.
    pub(crate) fn required(&self) -> Option<bool> {
        self.attribute("required").and_then(boolean)
    }

    /// The type in `xsi:type`, without its prefix and without `_Type`; `type` without a prefix counts
    /// where it is the only one.
    pub(crate) fn xsi_type(&self) -> Option<&str> {
        let stated = self.attribute_in(&Space::Xsi, "type");
        let value = stated.or_else(|| self.attribute_in(&Space::None, "type"))?.trim();
        let local = value.rsplit_once(':').map_or(value, |(_, local)| local);
        Some(local.strip_suffix("_Type").unwrap_or(local))
    }

    /// How much text there is in the element and below it, attributes included, in bytes.
    pub(crate) fn text_bytes(&self) -> usize {
        let own = self.attributes.iter().map(|attribute| attribute.value.len());
        let below = self.children.iter().map(Self::text_bytes);
        own.chain(below).fold(self.text.len(), usize::saturating_add)
    }

    /// The own text, trimmed; an empty or nil element has none.
    pub(crate) fn filled_text(&self) -> Option<String> {
        let nil = self.attribute_in(&Space::Xsi, "nil").and_then(boolean);
        if nil == Some(true) { None } else { filled(&self.text) }
    }
}

fn filled(text: &str) -> Option<String> {
    let trimmed = text.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

/// Reads a boolean: `true`, `1` and `yes`, `false`, `0` and `no`, in any case.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Some(true),
        "false" | "0" | "no" => Some(false),
        _ => None,
    }
}
