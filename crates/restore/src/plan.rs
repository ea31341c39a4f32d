//! The plan: what would happen, decided before anything does.
//!
//! Planning is pure. It takes facts (what is in the source, what its images say, what the target's
//! folder is like) and choices, and gives a [`Plan`]. What keeps a plan from being executed is a
//! blocker in it; an error is only what leaves no plan to show.

mod conflicts;
mod environment;
mod files;
mod findings;
#[cfg(test)]
mod fixture;
mod machines;
mod names;
mod native;
mod pinned;
mod scripts;
mod space;
mod startup;
mod storage;
mod target;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use code::{Code, Severity};
use convert::{Licences, Note, Row, SourceCard, copy::TargetOptions, source::System};
use ovf::{EntryName, Finding, descriptor::Configuration};
use vm::{Accelerator, DiskId, Machine};

use crate::{
    Error, Facts, ImageFacts, ManifestPolicy, PackedImage, Selection, SignaturePolicy, XmlTrust,
};

pub use environment::Made;
pub(crate) use machines::capacity;
pub use pinned::{
    DiskValues, Edit, Hang, MachineValues, NicValues, Pinned, PinnedDisk, PinnedMachine, PinnedNic,
    Said, SourcePin, Word,
};
pub use space::Space;
pub use startup::Startup;
pub use target::{BundleFacts, HostFacts, PoolFacts, TargetFacts, Where};

/// What the user chose.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// Ids or names of the systems; empty is all of them.
    pub systems: Vec<String>,
    /// Deployment option.
    pub configuration: Option<String>,
    /// Values of properties.
    pub properties: Vec<(String, String)>,
    /// Name of the machine; for one machine only.
    pub name: Option<String>,
    /// Hardware.
    pub hardware: convert::Choices,
    /// Format and layout of the written disks.
    pub output: TargetOptions,
    /// What to do with the manifest.
    pub manifest: ManifestPolicy,
    /// What to do with the signature.
    pub signature: SignaturePolicy,
    /// How far the definition of a backup or a domain XML is believed.
    pub trust_xml: XmlTrust,
    /// By what the guest of a native source is executed, where not as its definition says.
    pub executed_by: Option<Accelerator>,
    /// Warnings block.
    pub strict: bool,
    /// Files that relift wrote before and that may be replaced.
    pub replace: BTreeSet<PathBuf>,
    /// The pool of the host that takes the files.
    pub pool: Option<String>,
    /// Whether disks and CD images come along.
    pub images: Images,
    /// What to do when the host has a machine of that name.
    pub on_conflict: OnConflict,
    /// The machines are started when they are defined.
    pub start: bool,
    /// A licence that nobody accepted keeps the plan from being carried out.
    pub licences_bind: bool,
    /// What a reviewed plan pins; its machines are the ones that are planned.
    pub pinned: Option<Pinned>,
}

/// Whether disks and CD images come along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Images {
    /// All of them.
    #[default]
    Restored,
    /// None: the machine gets its hardware only.
    LeftOut,
}

/// What to do when the host has a machine of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnConflict {
    /// The plan is blocked.
    #[default]
    Fail,
    /// The new machine gets a number behind its name.
    Rename,
}

/// What is done on a libvirt host once the files are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPlan {
    /// Its address.
    pub uri: String,
    /// The pools that shall see the files.
    pub pools: Vec<String>,
    /// Whether the machines are started.
    pub start: bool,
}

/// The backup file that is written, and what its members are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundlePlan {
    /// How it is stored.
    pub form: bundle::Form,
    /// The time that its members have, in seconds since 1970.
    pub unix_seconds: u64,
    /// The program that writes it, with its version.
    pub tool: String,
    /// The member with the domain XML.
    pub config: String,
}

/// What would happen.
#[derive(Debug)]
pub struct Plan {
    /// The source's name as the user typed it.
    pub source: String,
    /// What the source is.
    pub kind: crate::SourceKind,
    /// What pins the source; a pipe has none.
    pub digest: Option<String>,
    /// The folder that the machines' files go to, or the backup file that they are members of.
    pub target: PathBuf,
    /// The libvirt host that gets the machines; without one the folder gets their definitions.
    pub host: Option<HostPlan>,
    /// The backup file, where one is written.
    pub bundle: Option<BundlePlan>,
    /// The configuration that was taken.
    pub configuration: Option<String>,
    /// The configurations that there are.
    pub configurations: Vec<Configuration>,
    /// The order in which the machines are meant to start; nothing is started because of it.
    pub startup: Vec<Startup>,
    /// The machines, in the order of the descriptor.
    pub machines: Vec<MachinePlan>,
    /// What is to be said about the package as a whole.
    pub findings: Vec<Finding>,
    /// Room on the target.
    pub space: Space,
    /// What to do with the manifest.
    pub manifest: ManifestPolicy,
    /// What to do with the signature.
    pub signature: SignaturePolicy,
    /// What is known of the signature; on a pipe it may be still to come.
    pub signed: ovf::Signature,
    /// What keeps the plan from being executed and belongs to no row.
    pub blockers: Vec<Note>,
    /// Files that may be replaced.
    pub replace: BTreeSet<PathBuf>,
    /// Warnings that come to be known in the run end it.
    pub strict: bool,
    /// What a plan file decided, in the order in which it came to count.
    pub edits: Vec<Edit>,
}

/// One machine of a plan.
#[derive(Debug)]
pub struct MachinePlan {
    /// What the system is chosen by.
    pub id: String,
    /// The folder of its files.
    pub folder: PathBuf,
    /// The machine, with the paths of its images.
    pub machine: Machine,
    /// What runs inside, for people.
    pub guest: String,
    /// What becomes of each item.
    pub rows: Vec<Row>,
    /// The licences that bind it.
    pub licences: Vec<Licence>,
    /// The files that are written.
    pub files: Vec<FilePlan>,
    /// The id of each disk, which has the source's number, in the machine's order.
    pub disk_ids: Vec<String>,
    /// What each network card is of the source, in the machine's order.
    pub cards: Vec<SourceCard>,
    /// The domain XML; absent where a blocker forbids it.
    pub domain_xml: Option<String>,
    /// The snapshots that come along, each before its children.
    pub snapshots: Vec<SnapshotPlan>,
}

/// A snapshot that is told to the host again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPlan {
    /// Its name.
    pub name: String,
    /// libvirt's document of it.
    pub document: String,
}

/// An image of a backup that stays as it is, but for the name of the one it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFile {
    /// The size of the guest's disk.
    pub capacity_bytes: u64,
    /// What it stands on, as its header will say it.
    pub backing: Option<String>,
}

/// A licence, as a result records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Licence {
    /// SHA-256 of its text in UTF-8, as `inspect --full` prints it but for indentation.
    pub sha256: String,
    /// What the user said to it.
    pub answer: Licences,
}

/// One image that is written.
#[derive(Debug, Clone)]
pub struct FilePlan {
    /// What it is made of; an empty disk is made of nothing.
    pub image: Option<PackedImage>,
    /// What the descriptor calls it, where the members have not passed yet.
    pub href: Option<Href>,
    /// Where it will be.
    pub to: PathBuf,
    /// What it is.
    pub role: FileRole,
}

/// A name of the descriptor that is looked for among members as they pass.
#[derive(Debug, Clone)]
pub struct Href {
    /// The text of the descriptor.
    pub text: String,
    /// The descriptor's own name: the href is relative to its folder.
    pub descriptor: EntryName,
}

impl MachinePlan {
    /// The member that a disk of the machine is made of; an empty disk has none.
    #[must_use]
    pub fn member_of(&self, disk: &vm::Disk) -> Option<&EntryName> {
        self.files.iter().find(|file| file.to == disk.image).and_then(FilePlan::member)
    }
}

impl FilePlan {
    /// The member that the image begins in; an empty disk has none.
    #[must_use]
    pub fn member(&self) -> Option<&EntryName> {
        self.image.as_ref().map(|image| &image.name)
    }

    /// Whether this member is what the image is made of, or the first of its chunks.
    #[must_use]
    pub fn is_made_of(&self, name: &EntryName) -> bool {
        match &self.href {
            None => self.member() == Some(name),
            // Only what the text itself means: guesses need the names of all members.
            Some(Href { text, descriptor }) => {
                ovf::resolve_href(text, descriptor, std::slice::from_ref(name))
                    .is_ok_and(|resolved| resolved.finding.is_none())
            }
        }
    }
}

/// What a written image is.
#[derive(Debug, Clone)]
pub enum FileRole {
    /// A disk of the machine.
    Disk {
        /// Its number.
        disk: DiskId,
        /// The capacity that the descriptor states.
        stated_bytes: Option<u64>,
        /// The format and layout that are written.
        output: TargetOptions,
    },
    /// An image of a backup, kept with its clusters where they are.
    Node(NodeFile),
    /// A file that the planner made itself.
    Made(Made),
    /// A CD or floppy image, copied as it is.
    Medium,
    /// A file for people that no device uses, copied as it is where it comes with the package.
    Kept,
}

impl Plan {
    /// Every row with what it is said about: the machine's id, the row.
    pub fn rows(&self) -> impl Iterator<Item = (&MachinePlan, &Row)> {
        self.machines.iter().flat_map(|machine| machine.rows.iter().map(move |row| (machine, row)))
    }

    /// The notes of the rows, and those that belong to none.
    pub fn notes(&self) -> impl Iterator<Item = &Note> {
        let rows = self.machines.iter().flat_map(|machine| &machine.rows);
        rows.flat_map(|row| &row.notes).chain(&self.blockers)
    }

    /// The files of the package that images are made of.
    #[must_use]
    pub fn members(&self) -> Vec<EntryName> {
        members(&self.machines)
    }

    /// What keeps the plan from being executed, in order.
    #[must_use]
    pub fn blockers(&self) -> Vec<&Note> {
        self.notes().filter(|note| note.severity == Severity::Blocker).collect()
    }

    /// Where the result is written: a folder gets one, a host has its definitions, a backup file its
    /// manifest.
    #[must_use]
    pub fn result(&self) -> Option<PathBuf> {
        self.has_folders().then(|| result_path(&self.target))
    }

    /// Where the domain XMLs are written: a host keeps its definitions itself.
    #[must_use]
    pub fn domains(&self) -> Vec<PathBuf> {
        let name = self.bundle.as_ref().map_or(DOMAIN_XML, |bundle| &bundle.config);
        let machines = self.machines.iter().filter(|_| self.host.is_none());
        machines.map(|machine| machine.folder.join(name)).collect()
    }

    /// Whether the machines get folders, with their definitions in them.
    const fn has_folders(&self) -> bool {
        self.host.is_none() && self.bundle.is_none()
    }

    /// How many warnings there are.
    #[must_use]
    pub fn warnings(&self) -> usize {
        let noted = self.notes().filter(|note| note.severity == Severity::Warning).count();
        noted + self.findings.len()
    }
}

/// Decides.
///
/// `images` says what the headers of the images say, as far as they can be read before the run.
///
/// # Errors
/// `E0302`, `E0303`, `E0304`, `E0306` when no machine, configuration or property of that name is
/// there, or a used disk contradicts itself; `E0105` for a file name that is unsafe; `E0201`,
/// `E0203`, `E0205` for a manifest that does not fit, `E0204` for a signature that does not; `E0803`,
/// `E0804` for a source that is not the one of a reviewed plan.
pub fn plan(
    facts: &Facts,
    images: &[ImageFacts],
    target: &TargetFacts,
    choices: &Choices,
) -> Result<Plan, Error> {
    if let Some(native) = facts.description.native() {
        return native::plan(facts, native, target, choices);
    }
    let known = Known { facts, images, target };
    match &choices.pinned {
        None => decide(&known, choices, &[]),
        Some(pinned) => pinned::settle(pinned, &|taken| decide(&known, choices, taken)),
    }
}

/// Everything that a plan is made from but for choices.
struct Known<'a> {
    facts: &'a Facts,
    images: &'a [ImageFacts],
    target: &'a TargetFacts,
}

/// What to do where the host lacks a network that a foreign machine is plugged into.
const NO_NETWORK: &str = "--net user, --net NAME or --net bridge:NAME";

/// Decides; `taken` is what is chosen for single machines.
fn decide(known: &Known<'_>, choices: &Choices, taken: &[PinnedMachine]) -> Result<Plan, Error> {
    let Known { facts, images, target } = *known;
    crate::check_signature(facts, choices.signature)?;
    let selection = select(facts, choices)?;
    let chosen = machines::choose(&selection, &choices.systems)?;
    one_machine(target, &chosen)?;
    let mut findings = selection.text_findings.clone();
    findings.extend(facts.findings.iter().cloned());
    findings.extend(scripts::of(facts));
    findings.extend(selection.findings.iter().cloned());
    let mut machines = Vec::new();
    let storage = storage::choose(facts.folder.as_deref(), target, choices.pool.as_deref());
    let systems = &selection.systems;
    let inputs = machines::Inputs { facts, images, choices, taken, systems, target };
    findings.extend(chosen.iter().filter_map(|system| names::odd_name(system)));
    let names = names::names(&chosen, &inputs, &storage.folder.path)?;
    for (system, name) in chosen.iter().zip(&names) {
        let folder = if chosen.len() == 1 || target.host().is_some() {
            storage.folder.path.clone()
        } else {
            storage.folder.path.join(&name.slug)
        };
        let place = machines::Place { folder, name };
        machines.push(machines::plan(&inputs, system, &place, &mut findings)?);
    }
    let space = space::of(facts, images, &machines, &storage.folder);
    let (mut findings, grave) = findings::sort(findings, &machines, &choices.hardware);
    match check_manifest(facts, &members(&machines), choices.manifest) {
        // What is not there has been said already, in the row of the item that needs it.
        Err(error) if error.code() == Code::E0205 && has_missing(&machines) => {
            findings.push(crate::verify::as_finding(&error, &facts.descriptor.name));
        }
        checked => findings.extend(checked?),
    }
    let mut plan = Plan {
        source: facts.name.clone(),
        kind: facts.kind,
        digest: facts.digest(),
        target: storage.folder.path.clone(),
        host: target.host().map(|host| HostPlan {
            uri: host.uri.clone(),
            pools: storage.pool.clone().into_iter().collect(),
            start: choices.start,
        }),
        bundle: target.bundle().zip(names.first()).map(|(bundle, name)| BundlePlan {
            form: bundle.form,
            unix_seconds: bundle.unix_seconds,
            tool: bundle.tool.clone(),
            config: format!("{}-{}.xml", bundle.unix_seconds, name.slug),
        }),
        configurations: facts.description.configurations().to_vec(),
        startup: startup::of(&selection, &chosen),
        configuration: selection.configuration.clone(),
        machines,
        findings,
        space,
        manifest: choices.manifest,
        signature: choices.signature,
        signed: facts.signature.clone(),
        blockers: Vec::new(),
        replace: choices.replace.clone(),
        strict: choices.strict,
        edits: Vec::new(),
    };
    plan.blockers = grave;
    if needs_storage(&plan, target, choices) {
        plan.blockers.extend(storage.blockers);
    }
    let host = target.host().into_iter();
    let conflicts = host.flat_map(|host| {
        plan.machines
            .iter()
            .flat_map(|planned| conflicts::of(&planned.machine, host, (choices, NO_NETWORK)))
    });
    let conflicts: Vec<Note> = conflicts.collect();
    plan.blockers.extend(conflicts);
    plan.blockers.extend(target_blockers(&plan, target));
    plan.blockers.extend(strict_blocker(&plan));
    Ok(plan)
}

/// Refuses several machines for a backup file, which holds one.
fn one_machine(target: &TargetFacts, chosen: &[&System]) -> Result<(), Error> {
    if target.bundle().is_none() || chosen.len() < 2 {
        return Ok(());
    }
    let handles: Vec<&str> = chosen.iter().map(|system| system.handle.as_str()).collect();
    let text = format!("a backup file holds one machine, {} are chosen", chosen.len());
    Err(Error::new(Code::E0302, text)
        .detail("machines", handles.join(", "))
        .fix("choose one of them with --vm, or name a folder"))
}

/// Whether it matters where files go: some do, or the user said where.
fn needs_storage(plan: &Plan, target: &TargetFacts, choices: &Choices) -> bool {
    let is_named = target.host().is_none_or(|host| host.storage.is_some());
    let has_files = plan.machines.iter().any(|machine| !machine.files.is_empty());
    is_named || has_files || choices.pool.is_some()
}

/// What keeps a plan with warnings from being carried out, where the user wants none.
fn strict_blocker(plan: &Plan) -> Option<Note> {
    (plan.strict && plan.warnings() > 0).then(|| {
        let text = format!("{} warnings, and --strict was given", plan.warnings());
        Note::blocker(Code::E0802, text).hint("leave --strict out, or mend the warnings")
    })
}

/// Selects the configuration, of the source that a reviewed plan was made from.
///
/// # Errors
/// As [`plan`].
pub fn select(facts: &Facts, choices: &Choices) -> Result<Selection, Error> {
    let pinned = choices.pinned.as_ref();
    if let Some(pinned) = pinned {
        pinned.source.check(facts)?;
    }
    let first = pinned.and_then(|pinned| pinned.machines.first());
    let hardware =
        first.map_or_else(|| choices.hardware.clone(), |machine| machine.over(choices).hardware);
    let selection = facts.description.select(&ovf::Choices {
        configuration: choices.configuration.as_deref(),
        properties: &choices.properties,
        given: ovf::Given { vcpus: hardware.vcpus, memory_bytes: hardware.memory_bytes },
    })?;
    if let Some(pinned) = pinned {
        pinned.check_machines(&selection)?;
    }
    Ok(selection)
}

/// The images whose headers are worth a look, with what is known of their formats.
///
/// # Errors
/// As [`plan`].
pub fn images(facts: &Facts, choices: &Choices) -> Result<Vec<PackedImage>, Error> {
    let selection = select(facts, choices)?;
    let mut wanted: Vec<PackedImage> = Vec::new();
    for system in machines::choose(&selection, &choices.systems)? {
        for disk in &system.disks {
            let Some(file) = &disk.file else { continue };
            let Ok(Ok(found)) = files::resolve(facts, file, &disk.parents, disk.format) else {
                continue;
            };
            if wanted.iter().all(|image| image.name != found.image.name) {
                wanted.push(found.image);
            }
        }
    }
    Ok(wanted)
}

/// The paths of the host that a source speaks of, and that the planner wants to know about.
#[must_use]
pub fn asked_paths(facts: &Facts) -> Vec<PathBuf> {
    facts.description.native().map(native::asked_paths).unwrap_or_default()
}

/// Those of them that are disks of a template: a thin clone stands on a certain state of each.
#[must_use]
pub fn template_paths(facts: &Facts) -> Vec<PathBuf> {
    facts.description.native().map(native::template_paths).unwrap_or_default()
}

/// Checks what can be checked before a disk is read: that the manifest is there, that it lists what
/// it must, and the digests of the descriptor and its message bundles. Under the policy `warn` what is wrong becomes a finding.
///
/// `used` is what is made of the package; a pipe's files are checked when they have passed.
///
/// # Errors
/// `E0201`, `E0203`, `E0205`.
pub fn check_manifest(
    facts: &Facts,
    used: &[EntryName],
    policy: ManifestPolicy,
) -> Result<Vec<Finding>, Error> {
    let Some((text, manifest)) = &facts.manifest else {
        if policy == ManifestPolicy::Require && facts.is_complete {
            return Err(Error::new(Code::E0201, format!("{} has no manifest", facts.name))
                .fix("ask the vendor for one, or leave --manifest require out"));
        }
        return Ok(Vec::new());
    };
    let name = &facts.descriptor.name;
    let mut findings = Vec::new();
    let mut judge = |result: Result<Vec<Finding>, Error>| match result {
        Err(error) if policy == ManifestPolicy::Warn => {
            findings.push(crate::verify::as_finding(&error, name));
            Ok(())
        }
        Err(error) => Err(error),
        Ok(found) => {
            findings.extend(found);
            Ok(())
        }
    };
    for held in std::iter::once(&facts.descriptor).chain(&facts.bundles) {
        if let Some(entry) = manifest.expected(&held.name) {
            let actual = crate::digest_of(&held.bytes, entry.digest.algorithm());
            judge(crate::verify::compare(facts, text, entry, &actual).map(|()| Vec::new()))?;
        }
    }
    if facts.is_complete {
        let bundles = facts.bundles.iter().map(|bundle| &bundle.name);
        let used: Vec<EntryName> = used.iter().chain(bundles).cloned().collect();
        judge(crate::verify::complete(facts, &used))?;
    }
    Ok(findings)
}

/// Whether a file that a machine needs is not there.
fn has_missing(machines: &[MachinePlan]) -> bool {
    let mut notes = machines.iter().flat_map(|machine| &machine.rows).flat_map(|row| &row.notes);
    notes.any(|note| note.code == Code::E0104)
}

/// What keeps the target from taking the files.
fn target_blockers(plan: &Plan, target: &TargetFacts) -> Vec<Note> {
    let mut blockers = Vec::new();
    let mut given = BTreeSet::new();
    for path in outputs(plan) {
        if !given.insert(path.clone()) {
            let text = format!("two files of the plan would be {}", path.display());
            blockers.push(Note::blocker(Code::E0509, text).hint("give one of them another name"));
        }
        if target.taken.contains(&path) && !plan.replace.contains(&path) {
            let text = format!("{} exists already", path.display());
            let hint = "choose another folder, or --force if relift wrote it before";
            blockers.push(Note::blocker(Code::E0509, text).hint(hint));
        }
    }
    if let Some(text) = plan.space.shortage() {
        blockers.push(Note::blocker(Code::E0506, text).hint("make room, or choose another folder"));
    }
    blockers
}

fn members(machines: &[MachinePlan]) -> Vec<EntryName> {
    let files = machines.iter().flat_map(|machine| &machine.files);
    files.filter_map(|file| file.image.as_ref()).flat_map(PackedImage::used).cloned().collect()
}

/// Every path that the plan gives.
#[must_use]
pub fn outputs(plan: &Plan) -> Vec<PathBuf> {
    if plan.bundle.is_some() {
        return vec![plan.target.clone()];
    }
    let of_machine = |machine: &MachinePlan| {
        let images = machine.files.iter().map(|file| file.to.clone());
        let xml = plan.host.is_none().then(|| machine.folder.join(DOMAIN_XML));
        images.chain(xml).collect::<Vec<_>>()
    };
    let mut paths: Vec<PathBuf> = plan.machines.iter().flat_map(of_machine).collect();
    paths.extend(plan.result());
    paths
}

/// The name of the domain XML in a folder.
pub const DOMAIN_XML: &str = "domain.xml";

/// Where the result is written: the last file of a run, which says that it is complete.
#[must_use]
pub fn result_path(folder: &Path) -> PathBuf {
    folder.join(RESULT_NAME)
}

/// The name of the result file in a folder.
const RESULT_NAME: &str = "relift.result.json";
