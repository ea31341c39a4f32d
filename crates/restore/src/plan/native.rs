//! A machine that libvirt defined once is defined again: its document is edited, not made anew.
//!
//! ```text
//! document --removed--> what a host must not take from it goes, each part with a row
//!          --drives--> what becomes of each drive (restored, used as it is, attached, left out)
//!             \--place--> where each file goes     \--changes--> document of the new machine
//! ```
//!
//! The rules are those of the product's backups: everything goes back to where it was, as far as there
//! is room; what is on the host already is used or left alone; nothing is overwritten.

mod drives;
mod executed;
mod firmware_config;
mod identity;
mod images;
mod in_place;
mod place;
mod removed;
mod snapshots;
mod template;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use code::Code;
use convert::{Row, SourceCard};
use domain::Changes;
use host::{FolderFacts, PathFacts};
use vm::{ByteSize, Machine, NicTarget};

use super::{
    Choices, FilePlan, HostPlan, MachinePlan, Plan, Space, Standing, TargetFacts, conflicts,
    storage,
};
use crate::{Definition, Error, Facts, ManifestPolicy, Native};
pub(super) use drives::paths;
use place::Places;

/// What to do where a network is missing: the definition tells which it was, and is not changed.
const NO_NETWORK: &str = "virsh net-define FILE makes one of that name";

/// What a native machine is planned from.
struct Inputs<'a> {
    facts: &'a Facts,
    native: &'a Native,
    /// The definition that counts: without what goes, unless the user trusts it as it stands.
    definition: &'a Definition,
    target: &'a TargetFacts,
    choices: &'a Choices,
    /// The machine whose place is taken.
    standing: Option<&'a Standing>,
    /// The targets of the disks that come back; `None` for all.
    chosen: Option<BTreeSet<String>>,
}

/// What is collected while the parts of a machine are planned.
#[derive(Default)]
struct Draft {
    changes: Changes,
    rows: Vec<Row>,
    files: Vec<FilePlan>,
}

/// The paths of the host that the definition speaks of.
pub(super) fn asked_paths(native: &Native) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = native.stated.drives.iter().flat_map(paths).collect();
    paths.extend(native.stated.machine.fw_cfg.iter().map(|entry| entry.file.clone()));
    paths.extend(template::paths(native));
    let variables = native.stated.firmware.variables.iter();
    paths.extend(variables.filter(|path| place::may_be_image(path)).cloned());
    paths.retain(|path| path.is_absolute());
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// The paths of the disks of a template.
pub(super) fn template_paths(native: &Native) -> Vec<PathBuf> {
    template::paths(native).collect()
}

/// Plans the machine of a backup or of a definition.
///
/// # Errors
/// `E0201`, `E0204` where a manifest or a signature is required that is not there; the definition
/// cannot be edited as it has to be.
pub(super) fn plan(
    facts: &Facts,
    native: &Native,
    target: &TargetFacts,
    choices: &Choices,
) -> Result<Plan, Error> {
    crate::check_signature(facts, choices.signature)?;
    check_manifest(facts, native, choices.manifest)?;
    let inputs = inputs(facts, native, target, choices)?;
    let definition = inputs.definition;
    let storage = storage::choose(facts.folder.as_deref(), target, choices.pool.as_deref());
    let mut places = Places::new(&inputs, &storage);
    let mut draft = Draft { rows: machine_rows(&definition.machine), ..Draft::default() };
    identity::plan(&inputs, &mut draft);
    if !inputs.is_partial() {
        executed::plan(&inputs, &mut draft);
        removed::plan(&inputs, &mut draft);
        draft.rows.extend(template::row(&inputs));
    }
    let images = drives::plan(&inputs, &mut places, &mut draft);
    if !inputs.is_partial() {
        firmware_config::plan(&inputs, &mut places, &mut draft);
    }
    let snapshots = snapshots::plan(&inputs, &images, (&mut places, &mut draft))?;
    let (replacing, against) = in_place::plan(&inputs, &mut draft)?;
    draft.changes.as_definition = true;
    let document = domain::patch(definition.document.as_bytes(), &draft.changes)?;
    let mut machine = domain::read(document.as_bytes())?.machine;
    for disk in &mut machine.disks {
        disk.capacity_bytes = images::capacity(&draft.files, &disk.image).unwrap_or_default();
    }
    let (space, pools, mut blockers) = places.finish();
    let planned = MachinePlan {
        id: definition.machine.name.clone(),
        folder: storage.folder.path.clone(),
        guest: machine.guest.osinfo.clone().unwrap_or_default(),
        rows: draft.rows,
        licences: Vec::new(),
        files: draft.files,
        disk_ids: drives::kept_disks(definition, &draft.changes),
        cards: cards(&machine),
        domain_xml: Some(document),
        snapshots,
        replacing,
        machine,
    };
    blockers.extend(against);
    if let Some(host) = target.host() {
        blockers.extend(conflicts::of(&planned.machine, host, (choices, NO_NETWORK)));
    }
    let mut plan = empty(&inputs, storage.folder.path.clone(), space);
    plan.host = target.host().map(|host| HostPlan {
        uri: host.uri.clone(),
        pools,
        start: choices.start && !template::is_one(native),
    });
    plan.machines.push(planned);
    plan.blockers = blockers;
    plan.blockers.extend(super::target_blockers(&plan, target));
    plan.blockers.extend(super::strict_blocker(&plan));
    Ok(plan)
}

/// What a machine is planned from. Where only disks of the machine that is there are replaced, its own
/// definition counts.
fn inputs<'a>(
    facts: &'a Facts,
    native: &'a Native,
    target: &'a TargetFacts,
    choices: &'a Choices,
) -> Result<Inputs<'a>, Error> {
    let chosen = in_place::chosen(native, choices)?;
    let standing = in_place::standing(target, choices);
    let definition = match (standing, &chosen) {
        (Some(standing), Some(_)) => &standing.definition,
        _ => native.definition(choices.trust_xml),
    };
    Ok(Inputs { facts, native, definition, target, choices, standing, chosen })
}

/// Checks that a manifest is there where the user wants one; what it lists is compared in the run.
fn check_manifest(facts: &Facts, native: &Native, policy: ManifestPolicy) -> Result<(), Error> {
    let is_there = native.backup.as_ref().is_some_and(|backup| backup.listed.is_some());
    if policy != ManifestPolicy::Require || is_there {
        return Ok(());
    }
    Err(Error::new(Code::E0201, format!("{} has no manifest", facts.name))
        .fix("leave --manifest require out, if the backup may be without digests"))
}

fn empty(inputs: &Inputs<'_>, target: PathBuf, space: Space) -> Plan {
    let Inputs { facts, choices, .. } = inputs;
    Plan {
        source: facts.name.clone(),
        kind: facts.kind,
        digest: facts.digest(),
        target,
        host: None,
        bundle: None,
        configuration: None,
        configurations: Vec::new(),
        startup: Vec::new(),
        machines: Vec::new(),
        findings: facts.findings.clone(),
        space,
        manifest: choices.manifest,
        signature: choices.signature,
        signed: facts.signature.clone(),
        blockers: Vec::new(),
        replace: choices.replace.clone(),
        strict: choices.strict,
        edits: Vec::new(),
    }
}

/// What the machine is, for people: all of it stays as the document says.
fn machine_rows(machine: &Machine) -> Vec<Row> {
    let row = |item: &str, label: &str, text: String| Row::kept(item, label, text.clone(), text);
    vec![
        row("vcpu", "vCPU", machine.cpus.count.to_string()),
        row("memory", "memory", ByteSize(machine.memory_bytes).to_string()),
        row("firmware", "firmware", firmware(machine.firmware).to_owned()),
    ]
}

/// The cards by their rows, with the network that each is plugged into.
fn cards(machine: &Machine) -> Vec<SourceCard> {
    let network = |nic: &vm::Nic| match &nic.target {
        NicTarget::Network(name) | NicTarget::Bridge { name, .. } => Some(name.clone()),
        NicTarget::User | NicTarget::None => None,
    };
    let cards = machine.nics.iter().enumerate();
    cards.map(|(n, nic)| SourceCard { row: format!("nic{n}"), network: network(nic) }).collect()
}

const fn firmware(firmware: vm::Firmware) -> &'static str {
    match firmware {
        vm::Firmware::Bios => "BIOS",
        vm::Firmware::Uefi => "UEFI",
        vm::Firmware::UefiSecure => "UEFI with Secure Boot",
    }
}

impl Inputs<'_> {
    /// Whether everything goes where the user or the target says, and not where it once was.
    fn has_no_original_paths(&self) -> bool {
        let is_from_appliance =
            self.native.backup.as_ref().is_some_and(|backup| backup.is_from_appliance);
        let is_elsewhere = self.target.host().is_none_or(|host| !host.is_local);
        is_from_appliance || is_elsewhere || self.is_storage_named()
    }

    /// Whether the user named a pool or folder.
    fn is_storage_named(&self) -> bool {
        let host = self.target.host();
        self.choices.pool.is_some() || host.is_some_and(|host| host.storage.is_some())
    }

    /// What lies at a path, as far as it was asked; the paths of a remote host cannot be seen.
    fn at(&self, path: &Path) -> Option<&PathFacts> {
        let is_seen = self.target.host().is_none_or(|host| host.is_local);
        self.target.paths.get(path).filter(|_| is_seen)
    }

    /// The folder that a path is in, as far as anything in it was asked about or it is a pool's.
    fn folder_of(&self, path: &Path) -> Option<&FolderFacts> {
        let folder = path.parent()?;
        let asked = self.at(path).into_iter().chain(self.target.paths.values());
        let pools = self.target.host().map_or(&[][..], |host| &host.pools).iter();
        let mut known = asked.map(|at| &at.folder).chain(pools.filter_map(|it| it.folder.as_ref()));
        known.find(|known| known.path == folder)
    }
}
