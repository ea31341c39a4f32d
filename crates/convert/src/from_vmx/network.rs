//! Network cards of a VMX.

use vmx::{Device, Vmx};

use super::boot::{Boots, Order};
use crate::source::Nic;

/// More cards than VMware gives a machine; keys of more are none of a device.
const CARDS: u16 = 16;

/// Reads every card that is there, in the order of their numbers.
pub(super) fn read(vmx: &Vmx) -> Vec<Nic> {
    let order = Order::of(vmx);
    let all = vmx.devices();
    let is_card = |one: &&Device<'_>| is_card(one) && one.is_present();
    let mut cards: Vec<&Device<'_>> = all.iter().filter(is_card).collect();
    cards.sort_by_key(|card| card.number);
    cards.into_iter().map(|card| nic(card, &order)).collect()
}

/// Whether the keys are those of a network card.
pub(super) fn is_card(device: &Device<'_>) -> bool {
    let number = device.number.is_some_and(|number| number < CARDS);
    device.class == "ethernet" && number && device.unit.is_none()
}

fn nic(card: &Device<'_>, order: &Order) -> Nic {
    // A card without a model is what VMware calls flexible.
    let model = card.text("virtualDev").unwrap_or("flexible");
    Nic {
        origin: super::devices::origin(card),
        network: Some(network(card)),
        model: Some(model.to_owned()),
        words: vec![model.to_lowercase()],
        mac: mac(card).map(str::to_owned),
        pci_slot: card.text("pciSlotNumber").and_then(|text| text.parse().ok()),
        connected: card.boolean("startConnected"),
        boot_rank: order.rank(Boots::Network, card.head),
    }
}

/// The name of the network: of vSphere's own or of a distributed switch, else what a desktop product
/// connects the card to.
fn network(card: &Device<'_>) -> String {
    let named = card.text("networkName").or(card.text("dvs.portgroupId"));
    let kind = card.text("connectionType").unwrap_or("bridged");
    let virtual_net = card.text("vnet").filter(|_| kind.eq_ignore_ascii_case("custom"));
    named.or(virtual_net).unwrap_or(kind).to_owned()
}

/// The address: a static one, else the one that was generated.
fn mac<'a>(card: &Device<'a>) -> Option<&'a str> {
    let is_static =
        card.text("addressType").is_some_and(|kind| kind.eq_ignore_ascii_case("static"));
    let (first, second) =
        if is_static { ("address", "generatedAddress") } else { ("generatedAddress", "address") };
    card.text(first).or(card.text(second))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cards(text: &str) -> Vec<Nic> {
        let text = text.replace("0.", "ethernet0.").replace("1.", "ethernet1.");
        read(&Vmx::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn reads_cards_in_the_order_of_their_numbers() {
        let all = cards(
            "1.present = \"TRUE\"\n1.networkName = \"DMZ\"\n1.virtualDev = \"vmxnet3\"\n\
             1.pciSlotNumber = \"192\"\n1.startConnected = \"FALSE\"\n\
             0.present = \"TRUE\"\n0.networkName = \"VM Network\"\n",
        );
        let said: Vec<_> = all.iter().map(|nic| (nic.network.as_deref(), &*nic.words)).collect();
        assert_eq!(
            said,
            [
                (Some("VM Network"), &["flexible".to_owned()][..]),
                (Some("DMZ"), &["vmxnet3".to_owned()][..])
            ]
        );
        assert_eq!((all[1].pci_slot, all[1].connected), (Some(192), Some(false)));
        assert!(cards("0.present = \"FALSE\"\n0.networkName = \"a\"").is_empty());
    }

    #[test]
    fn names_networks_as_each_product_does() {
        for (keys, want) in [
            ("0.networkName = \"A\"\n0.connectionType = \"nat\"", "A"),
            ("0.dvs.portgroupId = \"dvportgroup-7\"", "dvportgroup-7"),
            ("0.connectionType = \"nat\"", "nat"),
            ("0.connectionType = \"custom\"\n0.vnet = \"VMnet3\"", "VMnet3"),
            ("0.vnet = \"VMnet3\"", "bridged"),
            ("", "bridged"),
        ] {
            let all = cards(&format!("0.present = \"TRUE\"\n{keys}\n"));
            assert_eq!(all[0].network.as_deref(), Some(want), "{keys}");
        }
    }

    #[test]
    fn takes_the_address_that_counts() {
        let both = "0.present = \"TRUE\"\n0.address = \"00:50:56:00:00:0a\"\n\
                    0.generatedAddress = \"00:0c:29:00:00:0b\"\n";
        for (kind, want) in [
            ("static", "00:50:56:00:00:0a"),
            ("generated", "00:0c:29:00:00:0b"),
            ("vpx", "00:0c:29:00:00:0b"),
        ] {
            let all = cards(&format!("{both}0.addressType = \"{kind}\"\n"));
            assert_eq!(all[0].mac.as_deref(), Some(want), "{kind}");
        }
        let only = "0.present = \"TRUE\"\n0.addressType = \"generated\"\n0.address = \"00:50:56:00:00:0a\"\n";
        assert_eq!(cards(only)[0].mac.as_deref(), Some("00:50:56:00:00:0a"));
    }
}
