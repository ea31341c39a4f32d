//! From a plan to the text of a plan file.

use std::path::{Path, absolute};

use disk::WriteAt as _;
use host::{Host, Partial};
use restore::{
    Choices, Facts, Plan,
    plan::{DiskValues, MachineValues, NicValues, SourcePin, Word as _},
};
use toml::Value;

use super::{
    Recorded,
    document::{Disk, Document, Machine, Nic, Row, SCHEMA, Source, put},
    flags,
};
use crate::{
    failure::{Failure, Result},
    show::clean,
    verbs::{RowData, plan_rows},
};

/// What stands above every plan file.
const HEADER: &str = "\
# A plan of relift: what becomes of each machine of the source, to be reviewed, edited and replayed.
#
#   relift plan PLAN.toml              what comes of it now, with every edit
#   relift import PLAN.toml            carries it out for the target below
#   relift convert PLAN.toml -o OUT    the same for the folder OUT, whatever the target is
#
# The source must be the very one that [source] tells: nothing is done with another one (E0803).
#
# To be edited:
#   [[machine]]       name, uuid, vcpus, memory_bytes, firmware, machine (the board)
#   [[machine.disk]]  to (a name in the machine's folder, or an absolute path), format, bus
#   [[machine.nic]]   target, model, mac
#   [choices]         flags of `relift plan` by their names, with _ for -: profile = \"virtio\",
#                     ignore = [\"sound\"]; a line of a machine counts more than a flag
#   target            libvirt:URI or dir:PATH
# A line taken out leaves the value to the planner. A whole [[machine]] taken out is not converted.
# What cannot be as the file says is told with its line, and nothing is done (E0804).
#
#   firmware  bios, uefi, uefi-secure      machine  pc, q35      format  qcow2, raw
#   bus       virtio-blk, virtio-scsi, sata, ide; vmpvscsi, lsisas1068, lsilogic where the source has it
#   model     virtio, e1000, e1000e, vmxnet3, pcnet, rtl8139
#   target    of a card: network:NAME, bridge:NAME, bridge:NAME,vlan=30, user, none
#
# Not to be edited: schema, [source], and the keys id, file and source. [[machine.row]] says why each
# item is what it is; it is for readers only and is not read back.
# Secrets stay in their own files: prop = [\"KEY=@/path/of/the/file\"].

";

/// Words in the key of a property that make its value a secret, whatever its type is.
const SECRETIVE: [&str; 6] = ["passw", "passphrase", "pwd", "secret", "token", "private"];

/// What a plan was made from, beside the source itself.
#[derive(Debug)]
pub(crate) struct Origin<'a> {
    /// The source, as the user typed it.
    pub(crate) source: &'a Path,
    /// The target, as `--to` takes it.
    pub(crate) target: Option<&'a str>,
    /// The flags.
    pub(crate) recorded: &'a Recorded,
    /// What they meant.
    pub(crate) choices: &'a Choices,
}

/// Writes a plan file; one that is there is never replaced, since somebody may have edited it.
///
/// # Errors
/// A secret was typed; the source is a pipe; a name is no UTF-8; the file exists or cannot be written.
pub(crate) fn write(
    path: &Path,
    (plan, facts): (&Plan, &Facts),
    origin: &Origin<'_>,
    host: &dyn Host,
) -> Result<()> {
    let text = text(plan, facts, origin)?;
    let partial = host.create_partial(path)?;
    publish(&partial, &text, host).inspect_err(|_| drop(host.remove_file(&partial.path)))
}

fn publish(partial: &Partial, text: &str, host: &dyn Host) -> Result<()> {
    let shown = partial.published.display();
    partial.file.write_all_at(text.as_bytes(), 0).map_err(|error| {
        Failure::new(code::Code::E0508, format!("cannot write {shown}")).cause(error.to_string())
    })?;
    Ok(host.publish(partial)?)
}

fn text(plan: &Plan, facts: &Facts, origin: &Origin<'_>) -> Result<String> {
    let pin = SourcePin::of(facts).filter(|_| origin.source.as_os_str() != "-");
    let Some(pin) = pin else {
        let failure = Failure::usage("a plan file needs a source that can be read again");
        return Err(failure.tip("save the package to a file, and plan that"));
    };
    check_secrets(facts, origin)?;
    let target = origin.target.map(target).transpose()?;
    let keys = flags::keys();
    let choices = origin.recorded.iter().filter(|(key, _)| keys.contains(key));
    let document = Document {
        schema: SCHEMA,
        target: target.map(put),
        source: Source {
            path: source(origin.source)?,
            kind: pin.kind,
            digest: pin.digest,
            descriptor: pin.descriptor,
            manifest: pin.manifest,
        },
        choices: choices.map(|(key, value)| (put(key.clone()), put(value.clone()))).collect(),
        machine: plan
            .machines
            .iter()
            .map(|planned| machine(MachineValues::of(planned), &planned.rows))
            .collect(),
    };
    let body = toml::to_string(&document).map_err(|error| {
        Failure::usage("the plan has a value that no plan file can have").cause(error.to_string())
    })?;
    Ok(format!("{HEADER}{body}"))
}

/// Refuses a secret that was typed: it must not come to lie in a file that is passed around.
fn check_secrets(facts: &Facts, origin: &Origin<'_>) -> Result<()> {
    let Some(Value::Array(typed)) = origin.recorded.get("prop") else { return Ok(()) };
    let systems = restore::plan::select(facts, origin.choices)?.systems;
    let is_password = |key: &str, value: &str| {
        let mut properties = systems.iter().flat_map(|system| &system.remarks.properties);
        properties
            .any(|one| one.password && (one.key == key || one.value.as_deref() == Some(value)))
    };
    let typed = typed.iter().filter_map(Value::as_str).filter_map(|text| text.split_once('='));
    for (key, value) in typed.filter(|(_, value)| !value.starts_with('@')) {
        let lower = key.to_ascii_lowercase();
        if SECRETIVE.iter().any(|word| lower.contains(word)) || is_password(key, value) {
            let key = clean(key);
            let text = format!("the value of '{key}' is a secret, and no plan file may have it");
            let tip = format!("write it to a file of its own: --prop {key}=@FILE");
            return Err(Failure::usage(text).tip(tip));
        }
    }
    Ok(())
}

/// The source by a name that means the same in every folder.
fn source(path: &Path) -> Result<String> {
    let is_address = path.to_str().is_some_and(|text| host::http::Address::parse(text).is_some());
    if is_address { as_text(path) } else { everywhere(path) }
}

fn target(text: &str) -> Result<String> {
    match text.strip_prefix("dir:") {
        Some(folder) => Ok(format!("dir:{}", everywhere(Path::new(folder))?)),
        None => Ok(text.to_owned()),
    }
}

fn everywhere(path: &Path) -> Result<String> {
    let whole = absolute(path)
        .map_err(|error| Failure::usage(format!("'{}' is no path: {error}", path.display())))?;
    as_text(&whole)
}

fn as_text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        let text = format!("{} is no UTF-8 name, as a plan file needs it", path.display());
        Failure::usage(text).tip("rename it")
    })
}

fn machine(values: MachineValues, rows: &[convert::Row]) -> Machine {
    Machine {
        id: put(values.id),
        name: Some(put(values.name)),
        uuid: values.uuid.map(|uuid| put(uuid.to_string())),
        vcpus: Some(put(values.vcpus)),
        memory_bytes: Some(put(values.memory_bytes)),
        firmware: Some(put(values.firmware.word())),
        machine: Some(put(values.chipset.word())),
        disk: values.disks.into_iter().map(disk).collect(),
        nic: values.nics.into_iter().map(nic).collect(),
        row: plan_rows(rows).iter().map(row).collect(),
    }
}

fn disk(values: DiskValues) -> Disk {
    Disk {
        id: put(values.id),
        file: values.file.map(put),
        to: Some(put(values.to.word())),
        format: Some(put(values.format.word())),
        bus: values.bus.map(|bus| put(bus.word())),
    }
}

fn nic(values: NicValues) -> Nic {
    Nic {
        id: put(values.id),
        source: values.source.map(put),
        target: Some(put(values.target.word())),
        model: Some(put(values.model.word())),
        mac: values.mac.map(|mac| put(mac.to_string())),
    }
}

/// A row for readers: with nothing in it that could play tricks on an editor.
fn row(row: &RowData) -> Row {
    Row {
        item: clean(&row.item),
        action: row.action.to_owned(),
        code: row.code.map(str::to_owned),
        from: clean(&row.from),
        to: row.to.as_deref().map(clean),
        reason: row.reason.as_deref().map(clean),
    }
}
