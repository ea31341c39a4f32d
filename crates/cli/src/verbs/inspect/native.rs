//! A backup or a domain XML, described as a package of one machine.
//!
//! It is shown as the source has it; what a host would not take of it is said beside it.

use domain::{Drive, DriveDevice, DriveSource};
use restore::{Definition, Facts, Native};
use vm::{ByteSize, Firmware, NicTarget};

use super::document::{Data, DiskData, ManifestData, NicData, OsData, SystemData};
use crate::{
    failure::Failure,
    json::Message,
    report::Report,
    session::Session,
    show::{clean, quoted, table::Table},
    verbs::backup::points::{self, PointData},
};

/// Nothing, in a cell.
const NONE: &str = "—";

/// Describes the machine; `failure` is what a closer look at the digests found.
pub(super) fn report(
    facts: &Facts,
    native: &Native,
    session: &Session,
    failure: Option<Box<Failure>>,
) -> Report {
    let system = system(facts, native);
    let known = native.backup.as_ref().map_or(&[][..], |backup| &backup.points);
    let points = points::of(known);
    let text = text(facts, native, (&system, &points), session);
    let networks = networks(&native.stated);
    let listed = native.backup.as_ref().and_then(|backup| backup.listed);
    let data = Data {
        points,
        kind: facts.kind.as_str(),
        ovf_version: None,
        producer: None,
        configurations: Vec::new(),
        systems: vec![system],
        networks,
        manifest: listed.map(|files| ManifestData { digest: Some("blake3"), files }),
        signature: facts.signature.as_str(),
    };
    let removed = native.removed.iter().map(|finding| {
        let message = format!("{} (taken with --trust-xml only)", finding.message);
        Message::new(finding.code, message).about(&finding.path)
    });
    let missing = missing(native).map(|drive| {
        let text = format!("the image of {} is not in the backup", drive.target);
        let mut message = Message::new(code::Code::E0104, text);
        message.severity = code::Severity::Blocker.as_str();
        message.about(&drive.target)
    });
    Report::new(text, &data)
        .warnings(facts.findings.iter().map(Message::from))
        .warnings(removed)
        .warnings(missing)
        .failed(failure)
}

fn system(facts: &Facts, native: &Native) -> SystemData {
    let definition = &native.stated;
    let machine = &definition.machine;
    let count = |device| definition.drives.iter().filter(|one| one.device == device).count();
    let nics = machine.nics.iter().map(|nic| NicData {
        network: network(&nic.target),
        model: Some(nic.model.as_str().to_owned()),
        mac: nic.mac.map(|mac| mac.to_string()),
    });
    SystemData {
        id: machine.uuid.map(|uuid| uuid.to_string()),
        name: Some(machine.name.clone()),
        os: OsData { osinfo: machine.guest.osinfo.clone(), ..OsData::default() },
        vcpus: Some(machine.cpus.count),
        memory_bytes: Some(machine.memory_bytes),
        cores_per_socket: machine.cpus.topology.map(|group| group.cores),
        firmware: Some(match machine.firmware {
            Firmware::Bios => "bios",
            Firmware::Uefi | Firmware::UefiSecure => "efi",
        }),
        secure_boot: machine.firmware == Firmware::UefiSecure,
        tpm: machine.tpm,
        disks: disks(definition).map(|drive| disk(facts, native, drive)).collect(),
        nics: nics.collect(),
        cdroms: count(DriveDevice::Cdrom),
        floppies: count(DriveDevice::Floppy),
        ..SystemData::default()
    }
}

fn disks(definition: &Definition) -> impl Iterator<Item = &Drive> {
    let is_disk = |drive: &&Drive| matches!(drive.device, DriveDevice::Disk | DriveDevice::Lun);
    definition.drives.iter().filter(is_disk)
}

/// Disks on files, volumes or servers whose images a backup lacks; a device of the host is in none.
fn missing(native: &Native) -> impl Iterator<Item = &Drive> {
    let backup = native.backup.as_ref();
    let on_something = move |drive: &&Drive| {
        !matches!(drive.source, DriveSource::Block(_) | DriveSource::None)
            && backup.is_some_and(|backup| backup.image_of(drive).is_none())
    };
    disks(&native.stated).filter(on_something)
}

fn disk(facts: &Facts, native: &Native, drive: &Drive) -> DiskData {
    let node = native.backup.as_ref().and_then(|backup| backup.image_of(drive));
    let member = node
        .and_then(|node| facts.members.iter().find(|member| member.name.as_str() == node.member));
    DiskData {
        id: Some(drive.target.clone()),
        file: node.map(|node| node.member.clone()).or_else(|| source(&drive.source)),
        format: match node {
            Some(_) => Some("qcow2"),
            None => ["qcow2", "raw", "vmdk", "vhdx", "vdi"]
                .into_iter()
                .find(|format| *format == drive.format)
                .or_else(|| (drive.format == "vpc").then_some("vhd")),
        },
        capacity_bytes: node.map(|node| node.capacity_bytes),
        packed_bytes: member.map(|member| member.length_bytes),
        bus: drive.bus.as_deref().and_then(|bus| {
            ["ide", "scsi", "sata", "nvme", "virtio"].into_iter().find(|known| *known == bus)
        }),
        controller: None,
        unit: drive.unit,
    }
}

fn source(source: &DriveSource) -> Option<String> {
    match source {
        DriveSource::File(path) | DriveSource::Block(path) => Some(path.display().to_string()),
        DriveSource::Network { protocol, name } => Some(format!("{protocol}:{name}")),
        DriveSource::Volume { pool, volume } => Some(format!("{pool}/{volume}")),
        DriveSource::None | DriveSource::Other(_) => None,
    }
}

fn network(target: &NicTarget) -> Option<String> {
    match target {
        NicTarget::Network(name) | NicTarget::Bridge { name, .. } => Some(name.clone()),
        NicTarget::User | NicTarget::None => None,
    }
}

/// The networks of the cards, each once.
fn networks(definition: &Definition) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in definition.machine.nics.iter().filter_map(|nic| network(&nic.target)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Identity, hardware, disks, cards and the next step.
fn text(
    facts: &Facts,
    native: &Native,
    (system, points): (&SystemData, &[PointData]),
    session: &Session,
) -> String {
    let width = session.show.width();
    let machine = &native.stated.machine;
    let manifest = match native.backup.as_ref().map(|backup| backup.listed) {
        None => "libvirt domain XML",
        Some(None) => "backup · no manifest",
        Some(Some(_)) => "backup · manifest BLAKE3",
    };
    let file = facts.name.rsplit('/').next().unwrap_or(&facts.name);
    let head = format!("{} — {}", clean(file), clean(&machine.name));
    let mut lines = vec![format!("{}   {manifest}", session.show.heading(&head)), String::new()];
    let firmware = match machine.firmware {
        Firmware::Bios => "BIOS",
        Firmware::Uefi => "UEFI",
        Firmware::UefiSecure => "UEFI, Secure Boot",
    };
    let mut traits = Table::new(&[]);
    let guest = machine.guest.osinfo.as_deref().unwrap_or(NONE);
    traits.row(["Guest", guest, "Firmware", firmware]);
    let memory = ByteSize(machine.memory_bytes).to_string();
    traits.row(["vCPU", &machine.cpus.count.to_string(), "Memory", &memory]);
    lines.extend(traits.lines(2, width));
    lines.push(String::new());
    lines.extend(devices(native, system, width));
    lines.extend(points::lines(points, width));
    let shown = clean(&quoted(&facts.name));
    let lost = match native.removed.len() {
        0 => String::new(),
        1 => ", 1 part of the definition is taken with --trust-xml only".to_owned(),
        parts => format!(", {parts} parts of the definition are taken with --trust-xml only"),
    };
    lines.push(String::new());
    lines.push(format!("  Findings   see: relift plan {shown}{lost}"));
    lines.push(format!("Next:  relift restore {shown} --to TARGET"));
    lines.join("\n") + "\n"
}

fn devices(native: &Native, system: &SystemData, width: Option<usize>) -> Vec<String> {
    let size =
        |bytes: Option<u64>| bytes.map_or_else(|| NONE.to_owned(), |n| ByteSize(n).to_string());
    let mut disks = Table::new(&[4, 5]);
    disks.row(["Disks   ", "NAME", "FILE", "FORMAT", "PACKED", "CAPACITY", ""]);
    for disk in &system.disks {
        let name = disk.id.as_deref().unwrap_or(NONE);
        let (packed, capacity) = (size(disk.packed_bytes), size(disk.capacity_bytes));
        let bus = disk.bus.map(|bus| format!("on {bus}")).unwrap_or_default();
        let (file, format) = (disk.file.as_deref().unwrap_or(NONE), disk.format.unwrap_or(NONE));
        disks.row(["", name, file, format, &packed, &capacity, &bus]);
    }
    let mut nics = Table::new(&[]);
    nics.row(["Networks", "NIC", "MODEL", "NETWORK", "ADDRESS"]);
    for (number, nic) in native.stated.machine.nics.iter().enumerate() {
        let network = network(&nic.target);
        let mac = nic.mac.map_or_else(|| NONE.to_owned(), |mac| mac.to_string());
        let (name, network) = (format!("nic {number}"), network.as_deref().unwrap_or(NONE));
        nics.row(["", &name, nic.model.as_str(), network, &mac]);
    }
    let snapshots = native.backup.iter().flat_map(|backup| &backup.snapshots);
    let names: Vec<String> = snapshots.map(|(snapshot, _)| clean(&snapshot.name)).collect();
    let mut lines = Vec::new();
    if !system.disks.is_empty() {
        lines.extend(disks.lines(2, width));
    }
    if !system.nics.is_empty() {
        lines.extend(nics.lines(2, width));
    }
    if !names.is_empty() {
        lines.push(format!("  Snapshots  {}", names.join(", ")));
    }
    lines
}
