//! What `inspect` prints for people.

use convert::{Action, Converted};
use ovf::{
    Signature,
    descriptor::VirtualSystem,
    selection::{SelectedDisk, SelectedProperty, SelectedSystem},
};
use restore::Checked;
use vm::ByteSize;

use super::look::Look;
use crate::{
    show::{Show, clean, clean_lines, quoted, table::Table},
    verbs::disk::format_name,
};

/// What is shown, and how.
pub(super) struct View<'a> {
    pub(super) look: &'a Look<'a>,
    /// The source as the user typed it.
    pub(super) source: &'a str,
    pub(super) full: bool,
    /// What reading everything found, where it was asked for.
    pub(super) checked: Option<&'a [Checked]>,
    pub(super) show: Show,
}

/// Where what is behind the first heading of a line begins.
const HEADING: usize = 55;

/// Nothing, in a cell.
const NONE: &str = "—";

/// The sections: identity, then for each machine disks, networks and settings, then findings.
pub(super) fn of(view: &View<'_>) -> String {
    let systems = &view.look.selection.systems;
    let mut lines = vec![head(view), String::new()];
    for (number, (system, converted)) in systems.iter().zip(&view.look.converted).enumerate() {
        if systems.len() > 1 {
            let name = clean(system.name.as_deref().unwrap_or(&system.handle));
            let of = systems.len();
            let text = format!("Machine {} of {of}: {name}", number + 1);
            lines.push(view.show.heading(&text));
            lines.push(String::new());
        }
        lines.extend(machine(view, system, converted));
        lines.push(String::new());
    }
    lines.extend(end(view));
    lines.join("\n") + "\n"
}

fn head(view: &View<'_>) -> String {
    let facts = view.look.facts;
    let file = view.source.rsplit('/').next().filter(|name| !name.is_empty());
    let name = file.unwrap_or(view.source);
    let product = product(facts.envelope.systems.first());
    let left = if product.is_empty() {
        clean(name)
    } else {
        format!("{} — {}", clean(name), clean(&product))
    };
    let mut right = vec![format!("OVF {}", facts.envelope.version.as_str())];
    let types = facts.envelope.systems.first().map(|system| &system.hardware.system_types);
    let types = types.into_iter().flatten().map(|text| clean(text)).collect::<Vec<_>>().join(", ");
    let vmware = types.starts_with("vmx-");
    match (&facts.envelope.producer, types.is_empty()) {
        _ if vmware => right.push(format!("VMware ({types})")),
        (Some(producer), true) => right.push(clean(producer)),
        (Some(producer), false) => right.push(format!("{} ({types})", clean(producer))),
        (None, false) => right.push(types),
        (None, true) => {}
    }
    let strongest = facts.manifest.as_ref().and_then(|(_, manifest)| manifest.strongest());
    right.push(strongest.map_or_else(
        || "no manifest".to_owned(),
        |algorithm| format!("manifest {}", super::algorithm_name(algorithm.as_str())),
    ));
    match &facts.signature {
        Signature::Unsigned => {}
        Signature::Trusted(signer) => right.push(format!("signed by {}", clean(&signer.subject))),
        other => right.push(format!("signature {}", other.as_str())),
    }
    let padding = " ".repeat(HEADING.saturating_sub(left.chars().count()));
    format!("{}{padding}   {}", view.show.heading(&left), right.join(" · "))
}

/// `Demo appliance 1.2.3 (Example)`.
fn product(system: Option<&VirtualSystem>) -> String {
    let Some(product) = system.and_then(|system| system.products.first()) else {
        return String::new();
    };
    let vendor = product.vendor.as_ref().map(|vendor| format!("({vendor})"));
    let parts = [product.product.clone(), product.version.clone(), vendor];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn machine(view: &View<'_>, system: &SelectedSystem, converted: &Converted) -> Vec<String> {
    let stated = view.look.facts.envelope.systems.get(system.index);
    let mut lines = traits(view, system, converted, stated);
    lines.push(String::new());
    lines.extend(devices(view, system));
    if view.full {
        lines.extend(everything(system, stated));
    }
    lines
}

fn traits(
    view: &View<'_>,
    system: &SelectedSystem,
    converted: &Converted,
    stated: Option<&VirtualSystem>,
) -> Vec<String> {
    let number = |value: Option<u32>| value.map_or_else(|| NONE.to_owned(), |n| n.to_string());
    let memory = system.memory_bytes.map_or_else(|| NONE.to_owned(), |n| ByteSize(n).to_string());
    let firmware = match system.firmware {
        Some(ovf::selection::Firmware::Bios) => "BIOS",
        Some(ovf::selection::Firmware::Efi) if system.secure_boot == Some(true) => {
            "UEFI, Secure Boot"
        }
        Some(ovf::selection::Firmware::Efi) => "UEFI",
        None => "not stated",
    };
    let default = view.look.selection.configuration.as_ref();
    let configurations = view.look.facts.envelope.configurations.iter().map(|one| {
        let mark = if default == Some(&one.id) { " (default)" } else { "" };
        format!("{}{mark}", one.id)
    });
    let configurations = configurations.collect::<Vec<_>>().join(", ");
    let has_eula = stated.is_some_and(|stated| !stated.eulas.is_empty());
    let mut table = Table::new(&[]);
    table.row(["Guest", &converted.guest.label, "Firmware", firmware]);
    table.row(["vCPU", &number(system.vcpus), "Memory", &memory]);
    let shown = if configurations.is_empty() { NONE } else { &configurations };
    table.row(["Configurations", shown, "EULA", if has_eula { "yes" } else { "no" }]);
    table.lines(2, view.show.width())
}

fn devices(view: &View<'_>, system: &SelectedSystem) -> Vec<String> {
    let mut disks = Table::new(&[4, 5]);
    disks.row(["Disks   ", "NAME", "FILE", "FORMAT", "PACKED", "CAPACITY", ""]);
    for (number, one) in system.disks.iter().enumerate() {
        let file = one.file.as_ref().map_or("(empty disk)", |file| &file.href);
        let found = one.file.as_ref().map(|file| view.look.file(file)).unwrap_or_default();
        let format = match (found.image, one.format) {
            (Some(image), _) => format_name(image.format.as_str(), Some(&image.variant)),
            (None, Some(stated)) => format_name(stated.as_str(), None),
            (None, None) => NONE.to_owned(),
        };
        let size =
            |bytes: Option<u64>| bytes.map_or_else(|| NONE.to_owned(), |n| ByteSize(n).to_string());
        let (packed, capacity) = (size(found.packed_bytes), size(one.capacity_bytes));
        let name = format!("disk {number}");
        disks.row(["", &name, file, &format, &packed, &capacity, &place(one)]);
    }
    let mut nics = Table::new(&[]);
    nics.row(["Networks", "NIC", "MODEL", "SOURCE NETWORK"]);
    for (number, nic) in system.nics.iter().enumerate() {
        let (model, network) = (nic.model.as_deref(), nic.network.as_deref());
        let name = format!("nic {number}");
        nics.row(["", &name, model.unwrap_or(NONE), network.unwrap_or(NONE)]);
    }
    let mut settings = Table::new(&[]);
    settings.row(["Settings", "KEY", "TYPE", "DEFAULT", "LABEL", ""]);
    let is_shown = |property: &SelectedProperty| view.full || property.user_configurable;
    let hidden = system.properties.iter().filter(|property| !is_shown(property)).count();
    for property in system.properties.iter().filter(|property| is_shown(property)) {
        let (default, note) = match (&property.default, property.password) {
            (Some(value), false) if !value.is_empty() => (value.as_str(), ""),
            (Some(value), true) if !value.is_empty() => ("***", ""),
            _ if property.user_configurable => (NONE, "(needs a value)"),
            _ => (NONE, ""),
        };
        let label = property.label.as_deref().unwrap_or("");
        settings.row(["", &property.key, &property.kind, default, label, note]);
    }
    let mut lines = Vec::new();
    for (table, is_empty) in [
        (&disks, system.disks.is_empty()),
        (&nics, system.nics.is_empty()),
        (&settings, hidden == system.properties.len()),
    ] {
        if !is_empty {
            lines.extend(table.lines(2, view.show.width()));
        }
    }
    if hidden > 0 {
        lines.push(format!("  {hidden} more settings, not meant to be changed — see: --full"));
    }
    lines
}

/// `on scsi0:0 (lsilogic)`.
fn place(disk: &SelectedDisk) -> String {
    let Some(controller) = &disk.controller else { return String::new() };
    let unit = disk.unit.map(|unit| format!(":{unit}")).unwrap_or_default();
    let subtype = controller.subtype.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    format!("on {}{}{unit}{subtype}", controller.bus.as_str(), controller.number)
}

/// Every item and the licences, for `--full`.
fn everything(system: &SelectedSystem, stated: Option<&VirtualSystem>) -> Vec<String> {
    let mut items = Table::new(&[]);
    items.row(["Items   ", "ID", "TYPE", "SUBTYPE", "NAME"]);
    for item in &system.items {
        let id = item.instance_id.as_deref().unwrap_or(NONE);
        let kind = item.resource_type.map_or_else(|| NONE.to_owned(), |kind| kind.to_string());
        let subtype = item.subtype.as_deref().unwrap_or(NONE);
        items.row(["", id, &kind, subtype, &item.display_name()]);
    }
    let mut lines = items.lines(2, None);
    if let Some(annotation) = stated.and_then(|stated| stated.annotation.as_deref()) {
        lines.push("  Notes".to_owned());
        lines.extend(indented(annotation));
    }
    for eula in stated.into_iter().flat_map(|stated| &stated.eulas) {
        lines.push("  EULA".to_owned());
        lines.extend(indented(eula));
    }
    lines
}

fn indented(text: &str) -> Vec<String> {
    clean_lines(text).lines().map(|line| format!("    {}", line.trim())).collect()
}

/// Sizes, findings and the next step.
fn end(view: &View<'_>) -> Vec<String> {
    let look = view.look;
    let disks = look.selection.systems.iter().flat_map(|system| &system.disks);
    let full: u64 = disks.filter_map(|disk| disk.capacity_bytes).sum();
    let package: u64 = look.facts.members.iter().map(|member| member.length_bytes).sum();
    let package = look.facts.package_bytes.unwrap_or(package);
    let sizes = format!("package {} · disks when full {}", ByteSize(package), ByteSize(full));
    let counts = [
        (look.count(Action::Changed), "change"),
        (look.count(Action::Dropped), "drop"),
        (look.count(Action::Blocked), "question"),
    ];
    let counted: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}{}", if *count == 1 { "" } else { "s" }))
        .collect();
    let counted = if counted.is_empty() { "no changes".to_owned() } else { counted.join(", ") };
    let source = clean(&quoted(view.source));
    let digests = match (view.checked, look.facts.manifest.is_some()) {
        (Some(rows), true) if rows.iter().any(|row| row.verdict.is_fault()) => {
            "digests do not match".to_owned()
        }
        (Some(_), true) => "digests match the manifest".to_owned(),
        (None, true) => format!("digests not read yet — see: relift verify {source}"),
        (_, false) => "no manifest, so nothing to compare digests with".to_owned(),
    };
    let mut table = Table::new(&[]);
    table.row(["Size    ", &sizes]);
    table.row(["Findings", &format!("{counted} expected on KVM — see: relift plan {source}")]);
    table.row(["", &digests]);
    table.lines(2, view.show.width())
}
