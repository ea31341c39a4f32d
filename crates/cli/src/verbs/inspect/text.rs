//! What `inspect` prints for people.

use convert::{
    Action, Converted,
    source::{Disk, File, Firmware, Product, System},
};
use ovf::{
    Signature,
    descriptor::{Configuration, UnknownSection, VirtualSystem},
    selection::SelectedProperty,
};
use restore::{Checked, Description};
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
    if view.full {
        lines.extend(package(&view.look.facts.description));
    }
    lines.extend(end(view));
    lines.join("\n") + "\n"
}

fn head(view: &View<'_>) -> String {
    let facts = view.look.facts;
    let file = view.source.rsplit('/').next().filter(|name| !name.is_empty());
    let name = file.unwrap_or(view.source);
    let stated = facts.description.envelope().and_then(|ovf| ovf.systems.first());
    let product = view.look.selection.systems.first();
    let product = product.and_then(|system| system.remarks.product.as_ref());
    let product = product.map(Product::line).unwrap_or_default();
    let left = if product.is_empty() {
        clean(name)
    } else {
        format!("{} — {}", clean(name), clean(&product))
    };
    let mut right = identity(&facts.description, stated);
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

/// The format, and what wrote it: `OVF 1.x`, `VMware (vmx-14)`.
fn identity(description: &Description, stated: Option<&VirtualSystem>) -> Vec<String> {
    let envelope = match description {
        Description::Native(_) => return vec!["libvirt domain XML".to_owned()],
        Description::Ovf(envelope) => envelope,
        Description::Vmx(vmx) => {
            let version = vmx.text("virtualHW.version").map(clean);
            let version = version.map(|version| format!("VMware (vmx-{version})"));
            return std::iter::once("VMX".to_owned()).chain(version).collect();
        }
    };
    let types = stated.iter().flat_map(|system| &system.hardware.system_types);
    let types = types.map(|text| clean(text)).collect::<Vec<_>>().join(", ");
    let producer = envelope.producer.as_deref().map(clean);
    let writer = match (producer, types.is_empty()) {
        _ if types.starts_with("vmx-") => Some(format!("VMware ({types})")),
        (Some(producer), false) => Some(format!("{producer} ({types})")),
        (producer, true) => producer,
        (None, false) => Some(types),
    };
    let version = format!("OVF {}", envelope.version.as_str());
    std::iter::once(version).chain(writer).collect()
}

/// `Demo appliance 1.2.3 (Example)`.
fn machine(view: &View<'_>, system: &System, converted: &Converted) -> Vec<String> {
    let mut lines = traits(view, system, converted);
    lines.push(String::new());
    lines.extend(devices(view, system));
    if view.full {
        lines.extend(everything(system));
    }
    lines
}

fn traits(view: &View<'_>, system: &System, converted: &Converted) -> Vec<String> {
    let compute = &system.compute;
    let number = |value: Option<u32>| value.map_or_else(|| NONE.to_owned(), |n| n.to_string());
    let memory = compute.memory_bytes.map_or_else(|| NONE.to_owned(), |n| ByteSize(n).to_string());
    let firmware = match system.firmware {
        Some(Firmware::Bios) => "BIOS",
        Some(Firmware::Efi) if system.secure_boot == Some(true) => "UEFI, Secure Boot",
        Some(Firmware::Efi) => "UEFI",
        None => "not stated",
    };
    let default = view.look.selection.configuration.as_ref();
    let envelope = view.look.facts.description.envelope();
    let configurations: &[Configuration] = envelope.map_or(&[], |ovf| &ovf.configurations);
    let configurations = configurations.iter().map(|one| {
        let mark = if default == Some(&one.id) { " (default)" } else { "" };
        format!("{}{mark}", one.id)
    });
    let configurations = configurations.collect::<Vec<_>>().join(", ");
    let has_eula = !system.remarks.eulas.is_empty();
    let mut table = Table::new(&[]);
    table.row(["Guest", &converted.guest.label, "Firmware", firmware]);
    table.row(["vCPU", &number(compute.vcpus), "Memory", &memory]);
    let shown = if configurations.is_empty() { NONE } else { &configurations };
    table.row(["Configurations", shown, "EULA", if has_eula { "yes" } else { "no" }]);
    table.lines(2, view.show.width())
}

fn devices(view: &View<'_>, system: &System) -> Vec<String> {
    let mut disks = Table::new(&[4, 5]);
    disks.row(["Disks   ", "NAME", "FILE", "FORMAT", "PACKED", "CAPACITY", ""]);
    for (number, one) in system.disks.iter().enumerate() {
        let file = one.file.as_ref().map_or("(empty disk)", File::text);
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
    let hidden = system.remarks.properties.iter().filter(|property| !is_shown(property)).count();
    for property in system.remarks.properties.iter().filter(|property| is_shown(property)) {
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
        (&settings, hidden == system.remarks.properties.len()),
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
fn place(disk: &Disk) -> String {
    let Some(controller) = &disk.controller else { return String::new() };
    let unit = disk.unit.map(|unit| format!(":{unit}")).unwrap_or_default();
    let subtype = controller.subtype.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    format!("on {}{}{unit}{subtype}", controller.bus.as_str(), controller.number)
}

/// Every item, vendor key and licence, for `--full`.
fn everything(system: &System) -> Vec<String> {
    let mut items = Table::new(&[]);
    items.row(["Items   ", "ID", "TYPE", "SUBTYPE", "NAME"]);
    for item in &system.listing {
        let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| NONE.to_owned());
        items.row(["", &shown(&item.id), &shown(&item.kind), &shown(&item.subtype), &item.name]);
    }
    let mut lines = items.lines(2, None);
    if !system.remarks.vendor_keys.is_empty() {
        lines.push("  Vendor settings without effect on KVM".to_owned());
        lines.extend(system.remarks.vendor_keys.iter().flat_map(|key| indented(key)));
    }
    lines.extend(system.remarks.product.iter().flat_map(product));
    if let Some(annotation) = &system.annotation {
        lines.push("  Notes".to_owned());
        lines.extend(indented(annotation));
    }
    let sections = &system.remarks.sections;
    if !sections.is_empty() {
        lines.push("  Sections that are not acted upon".to_owned());
        lines.extend(sections.iter().flat_map(section));
    }
    for eula in &system.remarks.eulas {
        lines.push("  EULA".to_owned());
        lines.extend(indented(eula));
    }
    lines
}

/// What the machine is as a product.
fn product(product: &Product) -> Vec<String> {
    let said = [
        ("name", &product.name),
        ("vendor", &product.vendor),
        ("version", &product.version),
        ("full version", &product.full_version),
        ("about", &product.product_url),
        ("vendor's site", &product.vendor_url),
        ("reached at", &product.app_url),
    ];
    let mut lines = vec!["  Product".to_owned()];
    for (what, text) in said {
        lines.extend(text.iter().flat_map(|text| indented(&format!("{what}: {text}"))));
    }
    lines
}

/// What stands around the machines, for `--full`: configurations, order of starting, sections.
fn package(description: &Description) -> Vec<String> {
    let Some(envelope) = description.envelope() else { return Vec::new() };
    let mut lines = Vec::new();
    if !envelope.configurations.is_empty() {
        let mut table = Table::new(&[]);
        table.row(["Configurations", "ID", "LABEL", "DESCRIPTION"]);
        for one in &envelope.configurations {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            table.row(["", &one.id, &text(&one.label), &text(&one.description)]);
        }
        lines.extend(table.lines(2, None));
        lines.push(String::new());
    }
    for collection in &envelope.collections {
        let mut table = Table::new(&[1]);
        table.row(["Start order of", "ORDER", "ID", "DELAY", "ACTION"]);
        let path = collection.path.join("/");
        for item in &collection.startup {
            let (order, delay) =
                (item.order.to_string(), format!("{} s", item.start_delay_seconds));
            table.row([&path, &order, &item.id, &delay, &item.start_action]);
        }
        if !collection.startup.is_empty() {
            lines.extend(table.lines(2, None));
            lines.push(String::new());
        }
    }
    let of_collections = envelope.collections.iter().flat_map(|one| &one.sections);
    let sections: Vec<String> =
        envelope.sections.iter().chain(of_collections).flat_map(section).collect();
    if !sections.is_empty() {
        lines.push("  Sections of the package that are not acted upon".to_owned());
        lines.extend(sections);
        lines.push(String::new());
    }
    lines
}

/// A section by name, with what it says of itself.
fn section(section: &UnknownSection) -> Vec<String> {
    let info = section.info.as_ref().map(|info| format!(": {info}")).unwrap_or_default();
    indented(&format!("{}{info}", section.name))
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
