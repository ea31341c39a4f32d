//! An element of a document, and how it is asked.

use std::ops::Range;

/// The namespaces that mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    /// None: libvirt's own elements.
    None,
    /// libosinfo's, which say what the guest is.
    Libosinfo,
    /// Any other, known by its prefix alone.
    Other,
}

impl Space {
    pub(super) fn of_uri(uri: &str) -> Self {
        match uri {
            "" => Self::None,
            crate::LIBOSINFO => Self::Libosinfo,
            _ => Self::Other,
        }
    }
}

/// An attribute; namespace declarations are none.
#[derive(Debug)]
pub(crate) struct Attribute<'t> {
    /// The name as it is written, with its prefix.
    pub(crate) name: &'t str,
    /// The value, normalised as XML asks.
    pub(crate) value: String,
    /// Where it stands in the text, from its name to the quote behind its value.
    pub(crate) span: Range<usize>,
}

/// An element with everything below it.
#[derive(Debug)]
pub(crate) struct Element<'t> {
    /// The name as it is written, with its prefix.
    pub(crate) name: &'t str,
    /// Its namespace.
    pub(crate) space: Space,
    /// Its attributes.
    pub(crate) attributes: Vec<Attribute<'t>>,
    /// Its own text, without that of its children.
    pub(crate) text: String,
    /// Its children, in document order.
    pub(crate) children: Vec<Self>,
    /// Where it stands in the text, both tags included.
    pub(crate) span: Range<usize>,
    /// Where its content stands; empty behind the tag of an element without an end tag.
    pub(crate) content: Range<usize>,
}

impl<'t> Element<'t> {
    /// Whether it is libvirt's element of this name.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.space == Space::None && self.name == name
    }

    /// libvirt's children of this name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.is(name))
    }

    /// libvirt's first child of this name.
    pub(crate) fn first(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.is(name))
    }

    /// The first element at the end of this path of libvirt's names.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |element, name| element.first(name))
    }

    /// The attribute of this name.
    pub(crate) fn attribute(&self, name: &str) -> Option<&Attribute<'t>> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// The value of the attribute of this name.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.attribute(name).map(|attribute| attribute.value.as_str())
    }

    /// The value of an attribute of a child.
    pub(crate) fn child_value(&self, child: &str, name: &str) -> Option<&str> {
        self.first(child)?.value(name)
    }

    /// The own text, trimmed; `None` where there is nothing but blanks.
    pub(crate) fn word(&self) -> Option<&str> {
        Some(self.text.trim()).filter(|text| !text.is_empty())
    }

    /// Whether an attribute says `yes` or `on`.
    pub(crate) fn says_yes(&self, name: &str) -> bool {
        matches!(self.value(name), Some("yes" | "on"))
    }
}
