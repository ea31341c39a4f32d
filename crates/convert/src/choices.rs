//! What the user chose about the machine.

use vm::{Accelerator, Chipset, Firmware, MacAddress, NicModel, NicTarget, Offer, Uuid};

/// Choices about the hardware, each absent where the source or the profile decides.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// How far the hardware may differ from the source's.
    pub profile: Profile,
    /// Bus of all disks.
    pub disk_bus: Option<DiskBus>,
    /// Bus of single disks by their ids (`disk1`), each before [`Choices::disk_bus`].
    pub disk_buses: Vec<(String, DiskBus)>,
    /// Model of all network cards.
    pub nic_model: Option<NicChoice>,
    /// Model of single cards by their ids (`nic0`), each before [`Choices::nic_model`].
    pub nic_models: Vec<(String, NicChoice)>,
    /// Lay the machine out so that Linux names its cards as before.
    pub keep_nic_names: bool,
    /// Firmware.
    pub firmware: Option<Firmware>,
    /// Board.
    pub chipset: Option<Chipset>,
    /// Model of the processor.
    pub cpu_model: Option<String>,
    /// Number of processors, 1..=4096.
    pub vcpus: Option<u32>,
    /// How many processors there may be while the guest runs.
    pub max_vcpus: Option<u32>,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// What memory may grow to while the guest runs, in bytes.
    pub max_memory_bytes: Option<u64>,
    /// Whether the source's watchdog timer is built.
    pub watchdog: Watchdog,
    /// Ethernet addresses.
    pub mac: Origin,
    /// Ethernet addresses of single cards by their ids, each before [`Choices::mac`].
    pub nic_macs: Vec<(String, MacAddress)>,
    /// The machine's identity.
    pub uuid: Origin,
    /// The machine's identity itself, before [`Choices::uuid`].
    pub given_uuid: Option<Uuid>,
    /// libosinfo id of the guest.
    pub osinfo: Option<String>,
    /// How instructions are executed.
    pub accelerator: Accelerator,
    /// What the host can give the machine; without a host, everything.
    pub offer: Offer,
    /// Where networks go.
    pub networks: NetworkMap,
    /// Where single cards go by their ids, each before [`Choices::networks`].
    pub nic_targets: Vec<(String, NicTarget)>,
    /// Items to leave out: `sound`, `item:7`, `nic1`, `section:NAME`, `element:NAME`.
    pub ignore: Vec<String>,
    /// What the user said to the licences.
    pub licences: Licences,
}

/// What the user said to the licences of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Licences {
    /// Nothing.
    #[default]
    Unanswered,
    /// That they are accepted, all of them.
    Accepted,
}

/// How far the hardware may differ from the source's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// As little as the guest can notice.
    #[default]
    Compat,
    /// virtio for disks, cards and video.
    Virtio,
}

/// A bus for all disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskBus {
    /// virtio-blk.
    VirtioBlk,
    /// virtio-scsi.
    VirtioScsi,
    /// AHCI.
    Sata,
    /// IDE, which needs the `pc` board.
    Ide,
    /// The source's own controller, where QEMU has one of that name.
    Keep,
}

/// A model for all network cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NicChoice {
    /// This one.
    Model(NicModel),
    /// The source's own, where QEMU has it.
    Keep,
}

/// What becomes of a watchdog timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Watchdog {
    /// It is left out: one that nobody feeds helps nobody.
    #[default]
    Drop,
    /// The guest gets one in any case.
    Add,
}

/// Where an identity comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// Made anew from the source, the same each time.
    #[default]
    New,
    /// The source's own.
    Keep,
}

/// Where the source's networks go.
#[derive(Debug, Clone, Default)]
pub struct NetworkMap {
    /// Source name and target, in the order given; the last one of a name counts.
    pub named: Vec<(String, NicTarget)>,
    /// Where every other network goes.
    pub others: Option<NicTarget>,
}

impl NetworkMap {
    /// The target of a source network, if one was chosen.
    #[must_use]
    pub fn target(&self, source: &str) -> Option<&NicTarget> {
        self.named
            .iter()
            .rev()
            .find(|(name, _)| name == source)
            .map(|(_, target)| target)
            .or(self.others.as_ref())
    }
}

impl Choices {
    /// Whether an item is to be left out, by its id (`nic1`, `section.NAME`), its kind (`sound`), by
    /// kind and name (`section:NAME`) or by the source's own id (`item:7`).
    #[must_use]
    pub fn ignores(&self, item: &str, instance_id: Option<&str>) -> bool {
        let kind = item.trim_end_matches(|c: char| c.is_ascii_digit());
        self.ignore.iter().any(|wanted| {
            wanted == item
                || wanted == kind
                || wanted.split_once(':').is_some_and(|(kind, name)| {
                    item.strip_prefix(kind).and_then(|rest| rest.strip_prefix('.')) == Some(name)
                })
                || wanted.strip_prefix("item:").is_some_and(|id| Some(id) == instance_id)
        })
    }

    /// The bus that was chosen for a disk; the last choice of one disk counts.
    #[must_use]
    pub fn bus_of(&self, disk: &str) -> Option<DiskBus> {
        named(&self.disk_buses, disk).copied().or(self.disk_bus)
    }

    /// The model that was chosen for a card; the last choice of one card counts.
    #[must_use]
    pub fn model_of(&self, nic: &str) -> Option<NicChoice> {
        named(&self.nic_models, nic).copied().or(self.nic_model)
    }

    /// The target that was chosen for a card of this source network; the last choice of one card
    /// counts.
    #[must_use]
    pub fn target_of(&self, nic: &str, network: &str) -> Option<&NicTarget> {
        // A card without a network goes nowhere unless it was named itself.
        let by_network = || (!network.is_empty()).then(|| self.networks.target(network)).flatten();
        named(&self.nic_targets, nic).or_else(by_network)
    }

    /// The address that was chosen for a card; the last choice of one card counts.
    #[must_use]
    pub fn mac_of(&self, nic: &str) -> Option<MacAddress> {
        named(&self.nic_macs, nic).copied()
    }

    /// The identity that was chosen: the one that was given, else the source's, if it has one and it
    /// is to be kept.
    #[must_use]
    pub fn uuid_of(&self, made: Uuid, source: Option<Uuid>) -> Uuid {
        match (self.given_uuid, self.uuid, source) {
            (Some(uuid), ..) | (None, Origin::Keep, Some(uuid)) => uuid,
            _ => made,
        }
    }
}

fn named<'a, T>(choices: &'a [(String, T)], item: &str) -> Option<&'a T> {
    choices.iter().rev().find(|(name, _)| name == item).map(|(_, choice)| choice)
}
