//! What a system of an OVF is, in the words of the hardware map.

mod boot;
mod devices;
mod nvram;
mod settings;
mod storage;

use ovf::{
    Envelope,
    descriptor::{Item, VirtualSystem, resource},
    selection::{self, SelectedSystem},
};

use crate::source::{
    Bus, Compute, Controller, Drive, File, Format, Listed, Nic, Origin, Remarks, System,
};

pub(crate) use devices::pci_id;

/// Describes one system of an envelope.
#[must_use]
pub fn from_ovf(envelope: &Envelope, system: &SelectedSystem) -> System {
    let stated = &envelope.systems[system.index];
    let controllers: Vec<Controller> = system.items.iter().filter_map(controller_item).collect();
    let drives = |drives: &[selection::Drive]| {
        drives.iter().map(|drive| self::drive(stated, drive)).collect()
    };
    System {
        format: Format::Ovf,
        id: system.id.clone(),
        handle: system.handle.clone(),
        collections: stated.collections.clone(),
        name: system.name.clone(),
        annotation: stated.annotation.clone(),
        uuid: settings::uuid(&stated.hardware),
        os: system.os.clone().unwrap_or_default(),
        compute: compute(stated, system),
        firmware: system.firmware,
        secure_boot: system.secure_boot,
        asks_for_vbs: settings::says(&stated.hardware, "flags.vbsEnabled"),
        tpm: system.tpm,
        iommu: settings::says(&stated.hardware, "flags.vvtdEnabled"),
        controllers,
        disks: system.disks.iter().map(|disk| storage::disk(stated, disk)).collect(),
        cdroms: drives(&system.cdroms),
        floppies: drives(&system.floppies),
        nics: system.nics.iter().map(|nic| self::nic(stated, nic)).collect(),
        devices: others(system)
            .map(|item| devices::read(stated, system, item))
            .chain(devices::features(&stated.hardware))
            .collect(),
        remarks: remarks(envelope, stated, system),
        listing: system.items.iter().map(listed).collect(),
    }
}

fn compute(stated: &VirtualSystem, system: &SelectedSystem) -> Compute {
    let path = |kind| first(system, kind).map(|item| item.origin.path.clone());
    let says = |key| settings::says(&stated.hardware, key);
    Compute {
        vcpus_path: path(resource::PROCESSOR),
        memory_path: path(resource::MEMORY),
        vcpus: system.vcpus,
        vcpu_range: system.vcpu_range,
        cores_per_socket: system.cores_per_socket,
        threads_per_core: system.threads_per_core,
        nested: says("nestedHVEnabled"),
        pmu: says("vPMCEnabled"),
        cpu_hot_add: says("cpuHotAddEnabled"),
        memory_hot_add: says("memoryHotAddEnabled"),
        memory_bytes: system.memory_bytes,
        memory_range_bytes: system.memory_range_bytes,
    }
}

fn controller_item(item: &Item) -> Option<Controller> {
    let bus = Bus::of(item)?;
    let mut origin = origin(item);
    origin.row = format!("controller{}", origin.row.trim_start_matches("item"));
    Some(Controller { origin, bus, subtype: item.subtype.clone(), number: 0 })
}

/// The controller that a device hangs on, under the id that the device knows it by.
fn controller(found: &selection::Controller) -> Controller {
    Controller {
        origin: Origin { id: Some(found.instance_id.clone()), ..Origin::default() },
        bus: found.bus,
        subtype: found.subtype.clone(),
        number: found.number,
    }
}

fn drive(stated: &VirtualSystem, drive: &selection::Drive) -> Drive {
    Drive {
        origin: origin(&drive.item),
        subtype: drive.item.subtype.clone(),
        file: drive.file.clone().map(File::Packed),
        left_behind: None,
        controller: drive.controller.as_ref().map(controller),
        unit: drive.unit,
        boot_rank: boot::rank(stated, &drive.item),
    }
}

fn nic(stated: &VirtualSystem, nic: &selection::Nic) -> Nic {
    let mut words: Vec<String> = nic.adapter.iter().map(|word| word.to_lowercase()).collect();
    words.extend(nic.item.subtype_words());
    words.extend(nic.model.as_ref().map(|model| model.to_lowercase()));
    Nic {
        origin: origin(&nic.item),
        network: nic.network.clone(),
        model: nic.model.clone(),
        words,
        mac: nic.mac.clone(),
        pci_slot: nic.pci_slot,
        connected: nic.item.automatic_allocation,
        boot_rank: boot::rank(stated, &nic.item),
    }
}

/// The item that counts where a machine has one: the first.
fn first(system: &SelectedSystem, kind: u32) -> Option<&Item> {
    system.items.iter().find(|item| item.resource_type == Some(kind))
}

/// The items that nothing else here reads.
fn others(system: &SelectedSystem) -> impl Iterator<Item = &Item> {
    system.items.iter().filter(|item| {
        let path = &item.origin.path;
        let drives = system.cdroms.iter().chain(&system.floppies);
        let read = system.disks.iter().map(|disk| &disk.item.origin.path);
        let read = read.chain(drives.map(|drive| &drive.item.origin.path));
        let mut read = read.chain(system.nics.iter().map(|nic| &nic.item.origin.path));
        Bus::of(item).is_none()
            && !read.any(|other| other == path)
            && ![resource::PROCESSOR, resource::MEMORY]
                .iter()
                .any(|kind| first(system, *kind).is_some_and(|first| first.origin.path == *path))
    })
}

fn remarks(envelope: &Envelope, stated: &VirtualSystem, system: &SelectedSystem) -> Remarks {
    Remarks {
        nvram: nvram::read(envelope, &stated.hardware),
        vendor_keys: settings::vendor_keys(&stated.hardware, &system.items),
        properties: system.properties.clone(),
        transports: stated.hardware.transports.clone(),
        wants_environment: system.wants_environment,
        eulas: stated.eulas.clone(),
        has_saved_state: stated.vbox.as_ref().is_some_and(|machine| machine.has_saved_state),
        sections: stated.sections.clone(),
    }
}

fn listed(item: &Item) -> Listed {
    Listed {
        id: item.instance_id.clone(),
        kind: item.resource_type.map(|number| number.to_string()),
        subtype: item.subtype.clone(),
        name: item.display_name(),
    }
}

/// The id of an item that has no better one is its instance id, else its line.
fn origin(item: &Item) -> Origin {
    let row = item.instance_id.as_ref().map_or_else(
        || format!("line{}", item.origin.line),
        |id| format!("item{}", id.trim().replace(char::is_whitespace, "_")),
    );
    Origin {
        row,
        id: item.instance_id.clone(),
        path: item.origin.path.clone(),
        required: item.required,
    }
}
