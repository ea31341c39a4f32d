//! Network cards.

use code::Code;

use super::{Nic, Selector, at_most};
use crate::{
    Error,
    descriptor::{Item, ItemKind, VirtualSystem, resource},
    quote,
};

/// The most network cards of one machine (ours).
const MAX_NICS: usize = 64;

impl Selector<'_> {
    /// The network cards, in document order.
    pub(super) fn nics(
        &mut self,
        system: &VirtualSystem,
        items: &[&Item],
    ) -> Result<Vec<Nic>, Error> {
        let cards: Vec<&Item> = items.iter().copied().filter(|item| is_card(item)).collect();
        at_most(MAX_NICS, "network cards", &cards)?;
        let mut nics: Vec<Nic> = cards.into_iter().map(|item| self.nic(item)).collect();
        if let Some(machine) = &system.vbox {
            self.complete_cards(&mut nics, machine);
        }
        Ok(nics)
    }

    fn nic(&mut self, item: &Item) -> Nic {
        let network = item.connections.first().cloned();
        if item.connections.len() > 1 {
            let message = format!("{} connections, the first is taken", item.connections.len());
            self.note(Code::W0301, message, item);
        }
        if let Some(name) = &network
            && !self.envelope.networks.iter().any(|known| known.name == *name)
        {
            let message = format!("the network {} is not declared", quote::Quoted(name));
            self.note(Code::W0610, message, item);
        }
        Nic {
            network,
            model: item.subtype.clone(),
            adapter: None,
            mac: item.mac.clone(),
            pci_slot: item
                .setting("slotInfo.pciSlotNumber")
                .and_then(|slot| slot.trim().parse().ok()),
            item: item.clone(),
        }
    }
}

fn is_card(item: &Item) -> bool {
    match item.resource_type {
        Some(resource::ETHERNET) => true,
        Some(resource::ETHERNET_CONNECTION) => item.kind == ItemKind::EthernetPort,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Sample, item};

    #[test]
    fn refuses_more_cards_than_the_limit() {
        let cards = |count: usize| (0..count).map(|n| item(10, &n.to_string(), "")).collect();
        let sample = |count| Sample { items: cards(count), ..Sample::new() };
        assert!(sample(64).select().is_ok());
        let want = "65 network cards, at most 64 are allowed".to_owned();
        assert_eq!(sample(65).refusal(), (Code::E0106, want));
    }
}
