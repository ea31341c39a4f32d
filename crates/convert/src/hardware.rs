//! The hardware map: for each item of the source, what KVM offers in its place.
//!
//! Each file holds the part of one kind of device. All of them work on the same [`Scene`], which is
//! what must be known of the whole machine before a part of it can be chosen.

pub(crate) mod boot;
pub(crate) mod devices;
pub(crate) mod network;
pub(crate) mod processor;
pub(crate) mod settings;
pub(crate) mod storage;

use ovf::{
    descriptor::{Item, VirtualSystem},
    selection::{Bus, SelectedSystem},
};
use vm::{Chipset, Firmware};

use crate::{Choices, guest::GuestOs};

/// What must be known of the whole machine before a part of it can be chosen.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) system: &'a SelectedSystem,
    pub(crate) stated: &'a VirtualSystem,
    pub(crate) choices: &'a Choices,
    pub(crate) guest: &'a GuestOs,
    pub(crate) firmware: Firmware,
    pub(crate) chipset: Chipset,
}

impl Scene<'_> {
    /// A setting of the whole machine, from `vmw:Config` or `vmw:ExtraConfig`.
    pub(crate) fn setting(&self, key: &str) -> Option<&str> {
        self.stated.hardware.setting(key)
    }

    /// Whether the item is left out on request.
    pub(crate) fn ignores(&self, id: &str, item: &Item) -> bool {
        self.choices.ignores(id, item.instance_id.as_deref())
    }
}

/// Whether the source has a controller of the bus, so that the guest drives it.
pub(crate) fn proves(system: &SelectedSystem, bus: Bus) -> bool {
    system.items.iter().any(|item| Bus::of(item) == Some(bus))
}

/// The id of an item that has no better one: its instance id, else its line.
pub(crate) fn item_id(item: &Item) -> String {
    item.instance_id.as_ref().map_or_else(
        || format!("line{}", item.origin.line),
        |id| format!("item{}", id.trim().replace(char::is_whitespace, "_")),
    )
}
