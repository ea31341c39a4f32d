//! `relift.plan/1`: a plan as JSON.

use convert::Row;
use restore::{MachinePlan, Plan, plan::Word as _};
use serde::{Deserialize, Serialize};
use vm::{Bus, Chipset, Firmware, NicTarget};

use super::package::{self, ConfigurationData, StartupData};
use crate::json::SignerData;

#[derive(Debug, Serialize)]
pub(crate) struct Data {
    source: SourceData,
    target: String,
    signature: &'static str,
    signer: Option<SignerData>,
    configuration: Option<String>,
    configurations: Vec<ConfigurationData>,
    startup: Vec<StartupData>,
    machines: Vec<MachineData>,
    space: SpaceData,
}

/// Where machines come from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SourceData {
    path: String,
    kind: String,
    digest: Option<String>,
}

#[derive(Debug, Serialize)]
struct MachineData {
    id: String,
    name: String,
    uuid: Option<String>,
    guest: String,
    vcpus: u32,
    memory_bytes: u64,
    firmware: &'static str,
    machine: &'static str,
    disks: Vec<DiskData>,
    nics: Vec<NicData>,
    rows: Vec<RowData>,
    domain_xml: Option<String>,
}

#[derive(Debug, Serialize)]
struct DiskData {
    id: String,
    file: Option<String>,
    to: String,
    format: &'static str,
    bus: &'static str,
    capacity_bytes: u64,
}

#[derive(Debug, Serialize)]
struct NicData {
    id: String,
    model: &'static str,
    target: String,
    mac: Option<String>,
}

/// What becomes of one item.
#[derive(Debug, Serialize)]
pub(crate) struct RowData {
    pub(crate) item: String,
    label: String,
    pub(crate) action: &'static str,
    pub(crate) code: Option<&'static str>,
    pub(crate) from: String,
    pub(crate) to: Option<String>,
    pub(crate) reason: Option<String>,
    path: Option<String>,
}

#[derive(Debug, Serialize)]
struct SpaceData {
    needed_bytes: u64,
    full_bytes: u64,
    free_bytes: u64,
}

/// The document of a plan.
pub(crate) fn of(plan: &Plan) -> Data {
    Data {
        source: source(plan, plan.digest.as_deref()),
        target: match &plan.host {
            None => format!("dir:{}", plan.target.display()),
            Some(host) => format!("libvirt:{}", host.uri),
        },
        signature: plan.signed.as_str(),
        signer: SignerData::of(&plan.signed),
        configuration: plan.configuration.clone(),
        configurations: package::configurations(plan),
        startup: package::startup(plan),
        machines: plan.machines.iter().map(machine).collect(),
        space: SpaceData {
            needed_bytes: plan.space.needed_bytes,
            full_bytes: plan.space.full_bytes,
            free_bytes: plan.space.free_bytes,
        },
    }
}

/// Where the plan's machines come from, and what pins that source.
pub(crate) fn source(plan: &Plan, digest: Option<&str>) -> SourceData {
    SourceData {
        path: plan.source.clone(),
        kind: plan.kind.as_str().to_owned(),
        digest: digest.map(str::to_owned),
    }
}

/// What becomes of each item.
pub(crate) fn rows(rows: &[Row]) -> Vec<RowData> {
    rows.iter().map(row).collect()
}

fn machine(planned: &MachinePlan) -> MachineData {
    let machine = &planned.machine;
    let disks = machine.disks.iter().zip(&planned.disk_ids).map(|(disk, id)| DiskData {
        id: id.clone(),
        file: planned.member_of(disk).map(ToString::to_string),
        to: disk.image.display().to_string(),
        format: disk.format.as_str(),
        bus: bus(disk.bus),
        capacity_bytes: disk.capacity_bytes,
    });
    let nics = machine.nics.iter().zip(&planned.cards).map(|(nic, card)| NicData {
        id: card.row.clone(),
        model: nic.model.as_str(),
        target: target(&nic.target),
        mac: nic.mac.map(|mac| mac.to_string()),
    });
    MachineData {
        id: planned.id.clone(),
        name: machine.name.clone(),
        uuid: machine.uuid.map(|uuid| uuid.to_string()),
        guest: planned.guest.clone(),
        vcpus: machine.cpus.count,
        memory_bytes: machine.memory_bytes,
        firmware: match machine.firmware {
            Firmware::Bios => "bios",
            Firmware::Uefi => "uefi",
            Firmware::UefiSecure => "uefi_secure",
        },
        machine: match machine.chipset {
            Chipset::Pc => "pc",
            Chipset::Q35 => "q35",
        },
        disks: disks.collect(),
        nics: nics.collect(),
        rows: rows(&planned.rows),
        domain_xml: planned.domain_xml.clone(),
    }
}

fn row(row: &Row) -> RowData {
    let note = row.notes.first();
    let reason = note.map_or(row.reason.as_str(), |note| note.text.as_str());
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    RowData {
        item: row.item.clone(),
        label: row.label.clone(),
        action: row.action.as_str(),
        code: note.map(|note| note.code.as_str()),
        from: row.from.clone(),
        to: some(&row.to),
        reason: some(reason),
        path: row.path.clone(),
    }
}

const fn bus(bus: Bus) -> &'static str {
    match bus {
        Bus::Ide => "ide",
        Bus::Sata => "sata",
        Bus::Scsi => "scsi",
        Bus::VirtioBlk => "virtio",
        Bus::Nvme => "nvme",
        Bus::Fdc => "fdc",
    }
}

/// A network's target as `--net` reads it.
pub(crate) fn target(target: &NicTarget) -> String {
    target.word()
}

#[cfg(test)]
mod tests {
    use code::Code;
    use convert::Note;

    use super::*;

    #[test]
    fn a_row_tells_its_first_note_else_its_reason() {
        let plain = row(&Row::kept("vcpu", "vCPU", "1", "1").because("set by you"));
        assert_eq!((plain.code, plain.reason.as_deref()), (None, Some("set by you")));
        let noted = row(&Row::dropped("sound", "sound", "x", Note::new(Code::W0201, "why")));
        assert_eq!((noted.code, noted.reason.as_deref()), (Some("W0201"), Some("why")));
        assert_eq!((noted.action, noted.to), ("dropped", None));
    }
}
