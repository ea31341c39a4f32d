//! The hardware map: for each item of the source, what KVM offers in its place.
//!
//! Each file holds the part of one kind of device. All of them work on the same [`Scene`], which is
//! what must be known of the whole machine before a part of it can be chosen.

pub(crate) mod board;
pub(crate) mod boot;
pub(crate) mod devices;
mod left_behind;
pub(crate) mod memory;
pub(crate) mod names;
pub(crate) mod network;
pub(crate) mod nvram;
pub(crate) mod offer;
pub(crate) mod overrides;
pub(crate) mod processor;
pub(crate) mod remarks;
pub(crate) mod storage;

use vm::{Chipset, Firmware};

use crate::{
    Choices,
    guest::GuestOs,
    source::{Origin, System},
};

/// What must be known of the whole machine before a part of it can be chosen.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) system: &'a System,
    pub(crate) choices: &'a Choices,
    pub(crate) guest: &'a GuestOs,
    pub(crate) firmware: Firmware,
    pub(crate) chipset: Chipset,
}

impl Scene<'_> {
    /// Whether the item is left out on request.
    pub(crate) fn ignores(&self, id: &str, origin: &Origin) -> bool {
        self.choices.ignores(id, origin.id.as_deref())
    }
}
