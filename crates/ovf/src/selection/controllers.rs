//! The storage controllers of a machine.

use std::collections::HashMap;

use super::{Bus, Controller};
use crate::descriptor::Item;

/// The controllers by instance id; the first of an id wins.
pub(super) struct Controllers {
    by_id: HashMap<String, Ranked>,
}

/// A controller with what its devices are sorted by.
pub(super) struct Ranked {
    pub(super) controller: Controller,
    /// The instance id as a number, then the position in the document.
    pub(super) rank: (u64, usize),
}

impl Controllers {
    pub(super) fn of(items: &[&Item]) -> Self {
        let mut by_id = HashMap::new();
        let mut counts: HashMap<Bus, u32> = HashMap::new();
        for (position, item) in items.iter().enumerate() {
            let (Some(bus), Some(id)) = (Bus::of(item), &item.instance_id) else { continue };
            let count = counts.entry(bus).or_insert(0);
            let controller = Controller {
                instance_id: id.clone(),
                bus,
                subtype: item.subtype.clone(),
                number: stated_number(item).unwrap_or(*count),
            };
            *count = count.saturating_add(1);
            let rank = (id.parse().unwrap_or(u64::MAX), position);
            by_id.entry(id.clone()).or_insert(Ranked { controller, rank });
        }
        Self { by_id }
    }

    /// The controller of this number on the bus.
    pub(super) fn numbered(&self, bus: Bus, number: u32) -> Option<&Ranked> {
        let is_meant = |one: &&Ranked| one.controller.bus == bus && one.controller.number == number;
        self.by_id.values().filter(is_meant).min_by_key(|one| one.rank)
    }

    /// The controller that an item names as its parent.
    pub(super) fn parent_of(&self, item: &Item) -> Option<&Ranked> {
        item.parent.as_ref().and_then(|parent| self.by_id.get(parent))
    }
}

fn stated_number(item: &Item) -> Option<u32> {
    [&item.address, &item.bus_number].into_iter().flatten().find_map(|text| text.parse().ok())
}
