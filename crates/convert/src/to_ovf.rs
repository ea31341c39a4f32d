//! The way back: what a machine is in an OVF, with a reason where it is not the same.
//!
//! The map of the way in, read backwards: each device gets the name under which the way in finds it
//! again. What KVM has and the reader of the OVF has not becomes the nearest model, and its row says so.

mod devices;
mod guest;
mod network;
#[cfg(test)]
mod round_trip;
mod storage;

use code::Code;
use ovf::writer::{Item, Setting, System};
use vm::{CpuFeature, DiskId, Firmware, Machine, Topology};

use crate::{Note, Row};

/// Who shall read the OVF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reader {
    /// VMware's products.
    #[default]
    Vmware,
    /// VirtualBox.
    VirtualBox,
    /// relift, or another tool for KVM: every device keeps KVM's own name.
    Generic,
}

/// A machine in the words of OVF.
#[derive(Debug)]
pub struct Exported {
    /// The machine.
    pub system: System,
    /// The names of its networks.
    pub networks: Vec<String>,
    /// Which image is behind which id, in the order in which they shall stand in the package.
    pub images: Vec<Image>,
    /// One row for each item of the machine.
    pub rows: Vec<Row>,
}

/// An image of the machine, by the id that an item of the OVF has for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// A disk: `ovf:/disk/ID`.
    Disk {
        /// The disk of the machine.
        disk: DiskId,
        /// The id.
        id: String,
    },
    /// A CD or floppy image: `ovf:/file/ID`.
    Medium {
        /// The drive's place in the machine's list.
        removable: usize,
        /// The id.
        id: String,
    },
}

/// Items as they are written, and what became of what.
#[derive(Debug)]
struct Draft<'a> {
    machine: &'a Machine,
    reader: Reader,
    items: Vec<Item>,
    images: Vec<Image>,
    rows: Vec<Row>,
    /// The boot rank and the id of each item that has a rank.
    ranked: Vec<(u16, u32)>,
}

impl Draft<'_> {
    /// The id of the next item; 1 is the processors', 2 the memory's.
    fn next_id(&self) -> u32 {
        u32::try_from(self.items.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Adds an item under the next id, and says which.
    fn add(&mut self, item: Item, boot_order: Option<u16>) -> u32 {
        let id = self.next_id();
        self.ranked.extend(boot_order.map(|rank| (rank, id)));
        self.items.push(Item { id, ..item });
        id
    }

    fn say(&mut self, row: Row) {
        self.rows.push(row);
    }
}

/// Describes a machine as an OVF.
#[must_use]
pub fn to_ovf(machine: &Machine, reader: Reader) -> Exported {
    let mut draft = Draft {
        machine,
        reader,
        items: Vec::new(),
        images: Vec::new(),
        rows: Vec::new(),
        ranked: Vec::new(),
    };
    let os = guest::os(&mut draft);
    compute(&mut draft);
    let settings = firmware(&mut draft);
    storage::drives(&mut draft);
    let networks = network::cards(&mut draft);
    devices::devices(&mut draft);
    let boot_order = boot_order(&draft);
    let Draft { items, images, rows, .. } = draft;
    let system = System {
        id: crate::slug(&machine.name),
        name: machine.title.clone().unwrap_or_else(|| machine.name.clone()),
        annotation: machine.description.clone(),
        os,
        hardware: hardware(reader).to_owned(),
        items,
        settings,
        boot_order,
    };
    Exported { system, networks, images, rows }
}

/// The family of virtual hardware: VMware's of ESXi 6.7, the oldest that has all that is written.
const fn hardware(reader: Reader) -> &'static str {
    match reader {
        Reader::Vmware => "vmx-14",
        Reader::VirtualBox => "virtualbox-2.2",
        Reader::Generic => "kvm",
    }
}

fn compute(draft: &mut Draft<'_>) {
    let cpus = &draft.machine.cpus;
    let per_socket =
        cpus.topology.map(|Topology { cores, threads, .. }| cores.saturating_mul(threads));
    let mut row = Row::kept("vcpu", "vCPU", cpus.count.to_string(), cpus.count.to_string());
    if cpus.topology.is_some_and(|topology| topology.threads > 1) {
        row = row.changed().note(Note::new(Code::W0107, "OVF has no threads; they count as cores"));
    }
    if let Some(model) = &cpus.model {
        let text = format!("OVF has no processor models; {model} is lost");
        row = row.changed().note(Note::new(Code::W0205, text));
    }
    let processors = Item::processors(cpus.count, per_socket);
    draft.say(row);
    draft.add(processors, None);
    let mib = draft.machine.memory_bytes.div_ceil(1 << 20);
    let size = vm::ByteSize(draft.machine.memory_bytes).to_string();
    let row = Row::kept("memory", "memory", size, format!("{mib} MiB"));
    let exact = draft.machine.memory_bytes.is_multiple_of(1 << 20);
    let note = Note::new(Code::W0112, "rounded up to whole MiB");
    draft.say(if exact { row } else { row.changed().note(note) });
    draft.add(Item::memory(mib), None);
}

fn firmware(draft: &mut Draft<'_>) -> Vec<Setting> {
    let machine = draft.machine;
    let (word, shown) = match machine.firmware {
        Firmware::Bios => ("bios", "BIOS"),
        Firmware::Uefi => ("efi", "UEFI"),
        Firmware::UefiSecure => ("efi", "UEFI, Secure Boot"),
    };
    let row = Row::kept("firmware", "firmware", shown, shown);
    draft.say(if machine.firmware.is_uefi() {
        let text = "the boot entries of the firmware are not carried over";
        let hint = "if it does not boot: choose the loader in the firmware's menu";
        row.note(Note::new(Code::W0104, text).hint(hint))
    } else {
        row
    });
    let mut settings = vec![Setting::new("firmware", word)];
    if machine.firmware == Firmware::UefiSecure {
        settings.push(Setting::new("bootOptions.efiSecureBootEnabled", "true"));
    }
    if machine.cpus.features.contains(&CpuFeature::Nested) {
        settings.push(Setting::new("nestedHVEnabled", "true"));
    }
    if machine.iommu {
        settings.push(Setting::new("flags.vvtdEnabled", "true"));
    }
    if machine.pmu {
        settings.push(Setting::new("vPMCEnabled", "true"));
    }
    if machine.cpus.max_count.is_some() {
        settings.push(Setting::new("cpuHotAddEnabled", "true"));
    }
    if machine.max_memory_bytes.is_some() {
        settings.push(Setting::new("memoryHotAddEnabled", "true"));
    }
    if let Some(uuid) = machine.uuid {
        settings.push(Setting::new("uuid", uuid.to_string()));
    }
    settings
}

/// The order of the items that the firmware tries; none where it is the one that every reader takes.
fn boot_order(draft: &Draft<'_>) -> Vec<u32> {
    let mut ranked = draft.ranked.clone();
    ranked.sort_unstable();
    let order: Vec<u32> = ranked.into_iter().map(|(_, id)| id).collect();
    // Items are written disks first, then drives, then cards.
    if order.is_sorted() { Vec::new() } else { order }
}
