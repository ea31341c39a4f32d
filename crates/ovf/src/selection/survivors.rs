//! Which items of a hardware section belong to the chosen configuration.

use std::collections::HashSet;

use code::Code;

use super::Selector;
use crate::{
    descriptor::{Bound, Item, VirtualSystem, resource},
    quote,
};

/// The items of one system that survive.
pub(super) struct Survivors<'a> {
    /// Those that are built, in document order.
    pub(super) items: Vec<&'a Item>,
    /// The ends of ranges.
    pub(super) bounds: Vec<&'a Item>,
}

impl<'a> Selector<'a> {
    /// Keeps the items of the chosen configuration (DSP0243 9.8 and 8.4).
    ///
    /// Of two with one instance id and one bound, the one made for the configuration hides the
    /// general one. Several processors or memories are one too many: specific beats general.
    pub(super) fn survivors(&mut self, system: &'a VirtualSystem) -> Survivors<'a> {
        let chosen: Vec<&Item> =
            system.hardware.items.iter().filter(|item| self.is_chosen(item)).collect();
        let specific: HashSet<_> = chosen
            .iter()
            .filter(|item| !item.configurations.is_empty() && item.instance_id.is_some())
            .map(|item| (&item.instance_id, item.bound))
            .collect();
        let is_hidden = |item: &Item| {
            item.configurations.is_empty() && specific.contains(&(&item.instance_id, item.bound))
        };
        let mut kept: Vec<&Item> = chosen.into_iter().filter(|item| !is_hidden(item)).collect();
        for resource_type in [resource::PROCESSOR, resource::MEMORY] {
            self.keep_one(&mut kept, resource_type);
        }
        let (items, bounds): (Vec<_>, Vec<_>) =
            kept.into_iter().partition(|item| item.bound == Bound::Normal);
        self.note_odd_bounds(&items, &bounds);
        Survivors { items, bounds }
    }

    fn is_chosen(&self, item: &Item) -> bool {
        item.configurations.is_empty()
            || self.configuration.is_some_and(|id| item.configurations.iter().any(|c| c == id))
    }

    fn keep_one(&mut self, kept: &mut Vec<&'a Item>, resource_type: u32) {
        let is_rival =
            |item: &Item| item.resource_type == Some(resource_type) && item.bound == Bound::Normal;
        let rivals: Vec<&Item> = kept.iter().copied().filter(|item| is_rival(item)).collect();
        let specific = rivals.iter().find(|item| !item.configurations.is_empty());
        let Some(winner) = specific.or(rivals.first()).copied() else { return };
        if rivals.len() > 1 {
            let what = if resource_type == resource::MEMORY { "memory" } else { "processor" };
            let message = format!("{} {what} items, this one is taken", rivals.len());
            self.note(Code::W0610, message, winner);
        }
        kept.retain(|item| !is_rival(item) || item.origin == winner.origin);
    }

    fn note_odd_bounds(&mut self, items: &[&Item], bounds: &[&'a Item]) {
        let values: HashSet<_> = items.iter().map(|item| &item.instance_id).collect();
        let mut seen = HashSet::new();
        for bound in bounds {
            if !seen.insert((&bound.instance_id, bound.bound)) {
                self.note(Code::W0610, "a second bound of one kind is ignored", bound);
            }
            if !values.contains(&bound.instance_id) {
                let id = bound.instance_id.clone().unwrap_or_default();
                let message = format!("a bound without a value for {}", quote::Quoted(&id));
                self.note(Code::W0610, message, bound);
            }
        }
    }
}
