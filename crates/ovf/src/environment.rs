//! The environment document: how a guest learns the values of its properties (DSP0243 1.1.1, 11).

use ::xml::Element;

use crate::Error;

/// The namespace of the document.
const OE: &str = "http://schemas.dmtf.org/ovf/environment/1";

/// The namespace of VMware's section about network cards.
const VE: &str = "http://www.vmware.com/schema/ovfenv";

/// What one machine is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment {
    /// The version of the program that writes it.
    pub version: String,
    /// The machine itself.
    pub own: Entity,
    /// Its network cards.
    pub cards: Vec<Card>,
    /// The other machines of its collection.
    pub siblings: Vec<Entity>,
}

/// A machine and the values of its properties.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Entity {
    /// Its id.
    pub id: String,
    /// Keys and values, in the order of the descriptor.
    pub properties: Vec<(String, String)>,
}

/// A network card, by which some guests know which address is theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Its Ethernet address.
    pub mac: String,
    /// The network of the descriptor.
    pub network: String,
    /// Its number as VMware counts cards, from 7.
    pub unit: u32,
}

impl std::fmt::Debug for Entity {
    /// Values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys: Vec<&str> = self.properties.iter().map(|(key, _)| key.as_str()).collect();
        f.debug_struct("Entity").field("id", &self.id).field("keys", &keys).finish()
    }
}

impl Environment {
    /// Writes the document, with an XML declaration and a final newline.
    ///
    /// # Errors
    /// The XML library failed: memory is the only thing written to.
    pub fn write(&self) -> Result<String, Error> {
        let siblings = self.siblings.iter().map(|sibling| {
            Element::new("Entity")
                .with("oe:id", sibling.id.as_str())
                .holding([sibling.property_section()])
        });
        let root = Element::new("Environment")
            .with("xmlns", OE)
            .with("xmlns:oe", OE)
            .with("xmlns:ve", VE)
            .with("oe:id", self.own.id.as_str())
            .holding([self.platform(), self.own.property_section()])
            .holding((!self.cards.is_empty()).then(|| self.card_section()))
            .holding(siblings);
        Ok(format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}", root.print()?))
    }

    fn platform(&self) -> Element<'_> {
        Element::new("PlatformSection").holding([
            Element::text("Kind", "relift"),
            Element::text("Version", self.version.as_str()),
            Element::text("Vendor", "relift"),
            Element::text("Locale", "en"),
        ])
    }

    fn card_section(&self) -> Element<'_> {
        Element::new("ve:EthernetAdapterSection").holding(self.cards.iter().map(|card| {
            Element::new("ve:Adapter")
                .with("ve:mac", card.mac.as_str())
                .with("ve:network", card.network.as_str())
                .with_number("ve:unitNumber", card.unit)
        }))
    }
}

impl Entity {
    fn property_section(&self) -> Element<'_> {
        Element::new("PropertySection").holding(self.properties.iter().map(|(key, value)| {
            Element::new("Property").with("oe:key", key.as_str()).with("oe:value", value.as_str())
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_the_standard_shows() {
        let entity = |id: &str, value: &str| Entity {
            id: id.to_owned(),
            properties: vec![("net.host\"name".to_owned(), value.to_owned())],
        };
        let environment = Environment {
            version: "1".to_owned(),
            own: entity("vm", "<a & \"b\">\n"),
            cards: vec![Card {
                mac: "52:54:00:00:00:01".to_owned(),
                network: "VM Network".to_owned(),
                unit: 7,
            }],
            siblings: vec![entity("db", "x")],
        };
        let want = r#"<?xml version="1.0" encoding="UTF-8"?>
<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1" xmlns:oe="http://schemas.dmtf.org/ovf/environment/1" xmlns:ve="http://www.vmware.com/schema/ovfenv" oe:id="vm">
  <PlatformSection>
    <Kind>relift</Kind>
    <Version>1</Version>
    <Vendor>relift</Vendor>
    <Locale>en</Locale>
  </PlatformSection>
  <PropertySection>
    <Property oe:key="net.host&quot;name" oe:value="&lt;a &amp; &quot;b&quot;&gt;&#10;"/>
  </PropertySection>
  <ve:EthernetAdapterSection>
    <ve:Adapter ve:mac="52:54:00:00:00:01" ve:network="VM Network" ve:unitNumber="7"/>
  </ve:EthernetAdapterSection>
  <Entity oe:id="db">
    <PropertySection>
      <Property oe:key="net.host&quot;name" oe:value="x"/>
    </PropertySection>
  </Entity>
</Environment>
"#;
        assert_eq!(environment.write().unwrap(), want);
        assert!(!format!("{environment:?}").contains("<a"), "a value is printed");
    }
}
