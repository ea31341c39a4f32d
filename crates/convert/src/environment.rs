//! What a guest is told in its OVF environment.

use ovf::{
    environment::{Card, Entity, Environment},
    selection::SelectedProperty,
};
use vm::Machine;

use crate::{Choices, source::System};

/// VMware counts the cards of a machine from 7.
const FIRST_CARD_UNIT: u32 = 7;

/// The transport of VMware's own back door.
const GUEST_INFO: &str = "com.vmware.guestInfo";

/// How the name of the CD image with the document ends.
pub const ENVIRONMENT_SUFFIX: &str = "-ovf-env.iso";

/// The name under which the guest finds the document in QEMU's firmware configuration.
pub const FW_CFG_NAME: &str = "opt/com.vmware/guestinfo.ovfEnv";

/// Whether the package wants the guest to read the document through VMware's back door.
#[must_use]
pub fn wants_guest_info(system: &System) -> bool {
    system.remarks.transports.iter().any(|word| word.eq_ignore_ascii_case(GUEST_INFO))
}

/// The environment of a machine that was mapped with these choices, beside the others of its
/// package.
///
/// A card keeps the number that it has in the source, whichever others were left out.
#[must_use]
pub fn environment(
    system: &System,
    choices: &Choices,
    machine: &Machine,
    others: &[System],
) -> Environment {
    let numbered = system.nics.iter().enumerate().zip(FIRST_CARD_UNIT..);
    let kept = numbered.filter(|((at, source), _)| {
        !choices.ignores(&format!("nic{at}"), source.origin.id.as_deref())
    });
    let cards = kept.zip(&machine.nics).filter_map(|(((_, source), unit), nic)| {
        let mac = nic.mac?.to_string();
        Some(Card { mac, network: source.network.clone().unwrap_or_default(), unit })
    });
    let is_sibling = |other: &&System| {
        other.handle != system.handle
            && !system.collections.is_empty()
            && other.collections == system.collections
    };
    Environment {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        own: entity(system),
        cards: cards.collect(),
        siblings: others.iter().filter(is_sibling).map(entity).collect(),
    }
}

fn entity(system: &System) -> Entity {
    let properties = system.remarks.properties.iter();
    Entity {
        id: system.id.clone().unwrap_or_else(|| system.handle.clone()),
        properties: properties.map(|one| (one.key.clone(), value(one))).collect(),
    }
}

/// The value as guests expect it: truth values begin with a capital.
fn value(property: &SelectedProperty) -> String {
    let value = property.value.clone().unwrap_or_default();
    if !property.is_boolean() {
        return value;
    }
    match value.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => "True".to_owned(),
        "false" | "0" | "no" => "False".to_owned(),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use ovf::Envelope;
    use testkit::Descriptor;

    use super::*;
    use crate::{Identity, Origin, from_ovf, map_hardware};

    /// The systems of a descriptor.
    fn systems(xml: &str) -> Vec<System> {
        let envelope = Envelope::parse(xml.as_bytes()).unwrap();
        let selected = envelope.select(&ovf::Choices::default()).unwrap();
        selected.systems.iter().map(|one| from_ovf(&envelope, one)).collect()
    }

    fn told(systems: &[System], at: usize, choices: &Choices) -> Environment {
        let identity = Identity::new(b"", "vm", "vm");
        let machine = map_hardware(&systems[at], choices, "vm", &identity).machine;
        environment(&systems[at], choices, &machine, systems)
    }

    fn properties(class: &str, more: &str) -> String {
        format!(r#"<ProductSection ovf:class="{class}"><Info>x</Info>{more}</ProductSection>"#)
    }

    #[test]
    fn a_card_keeps_its_network_and_number_when_another_is_left_out() {
        let card =
            |network, mac| [("Address", mac), ("Connection", network), ("ResourceType", "10")];
        let one = systems(
            &Descriptor::new("vm", "debian10_64Guest")
                .item(&[&card("A", "00:50:56:00:00:01")[..], &[("InstanceID", "8")]].concat())
                .item(&[&card("B", "00:50:56:00:00:02")[..], &[("InstanceID", "9")]].concat())
                .xml(),
        );
        let keep = Choices { mac: Origin::Keep, ..Choices::default() };
        let cards = |ignore: &[&str]| {
            let ignore = ignore.iter().map(|item| (*item).to_owned()).collect();
            told(&one, 0, &Choices { ignore, ..keep.clone() }).cards
        };
        let card = |mac: &str, network: &str, unit| Card {
            mac: mac.to_owned(),
            network: network.to_owned(),
            unit,
        };
        let (a, b) = (card("00:50:56:00:00:01", "A", 7), card("00:50:56:00:00:02", "B", 8));
        assert_eq!(cards(&[]), [a.clone(), b.clone()]);
        assert_eq!(cards(&["nic0"]), [b]);
        assert_eq!(cards(&["item:9"]), [a]);
    }

    #[test]
    fn the_other_machines_of_the_collection_are_told_and_no_others() {
        let system = |id: &str| {
            let property = format!(r#"<Property ovf:key="k" ovf:type="string" ovf:value="{id}"/>"#);
            let xml = Descriptor::new(id, "debian10_64Guest").section(&properties("c", &property));
            let xml = xml.xml();
            let (_, rest) = xml.split_once("<VirtualSystem ").unwrap();
            let (body, _) = rest.split_once("</VirtualSystem>").unwrap();
            format!("<VirtualSystem {body}</VirtualSystem>")
        };
        let head = Descriptor::new("x", "debian10_64Guest").xml();
        let (head, _) = head.split_once("<VirtualSystem ").unwrap();
        let collection = |id: &str, inside: &str| {
            format!(
                r#"<VirtualSystemCollection ovf:id="{id}"><Info>x</Info>{inside}</VirtualSystemCollection>"#
            )
        };
        let inner = collection("inner", &system("deep"));
        let outer = collection("outer", &(system("web") + &system("db") + &inner));
        let all = systems(&format!("{head}{outer}</Envelope>"));
        let web = told(&all, 0, &Choices::default());
        assert_eq!((web.own.id.as_str(), web.siblings.len()), ("web", 1));
        assert_eq!(web.siblings[0].id, "db");
        assert_eq!(web.siblings[0].properties, [("c.k".to_owned(), "db".to_owned())]);
        assert!(told(&all, 2, &Choices::default()).siblings.is_empty());
    }

    #[test]
    fn truth_is_written_as_guests_expect_it() {
        for (kind, stated, want) in [
            ("boolean", "true", "True"),
            ("Boolean", "0", "False"),
            ("boolean", "maybe", "maybe"),
            ("string", "true", "true"),
        ] {
            let (kind, stated) = (kind.to_owned(), Some(stated.to_owned()));
            let property = SelectedProperty { kind, value: stated, ..Default::default() };
            assert_eq!(value(&property), want);
        }
    }
}
