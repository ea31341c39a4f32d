//! The plan: what would happen, decided before anything does.
//!
//! Planning is pure. It takes facts (what is in the source, what its images say, what the target's
//! folder is like) and choices, and gives a [`Plan`]. What keeps a plan from being executed is a
//! blocker in it; an error is only what leaves no plan to show.

mod choices;
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
mod replacing;
mod scripts;
mod space;
mod startup;
mod storage;
mod target;
mod value;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use code::Code;
use convert::{Note, source::System};
use ovf::{EntryName, Finding};

use crate::{Error, Facts, ImageFacts, ManifestPolicy, PackedImage, Selection};

pub use choices::{Choices, Images, OnConflict};
pub use environment::Made;
pub(crate) use machines::capacity;
pub use pinned::{
    DiskValues, Edit, Hang, MachineValues, NicValues, Pinned, PinnedDisk, PinnedMachine, PinnedNic,
    Said, SourcePin, Word,
};
pub use replacing::{Aside, Replacing, Restored, Safety, Standing};
pub use space::Space;
pub use startup::Startup;
pub use target::{BundleFacts, HostFacts, PoolFacts, TargetFacts, Where};
pub use value::{
    BundlePlan, FilePlan, FileRole, HostPlan, Href, Licence, MachinePlan, NodeFile, Plan,
    SnapshotPlan,
};

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
        let decide = |choices: &Choices| native::plan(facts, native, target, choices);
        let Some(pinned) = &choices.pinned else { return decide(choices) };
        select(facts, choices)?;
        return pinned::settle(pinned, &|taken| {
            decide(&taken.first().map_or_else(|| choices.clone(), |it| it.of_definition(choices)))
        });
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
        let defined = facts.description.native().map(|it| it.definition(choices.trust_xml));
        let defined = defined.map(|definition| definition.machine.name.as_str());
        let systems = selection.systems.iter().map(|one| one.handle.as_str());
        pinned.check_machines(&defined.into_iter().chain(systems).collect::<Vec<_>>())?;
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
    if facts.description.native().is_some() {
        return Ok(wanted);
    }
    for system in machines::choose(&selection, &choices.systems)? {
        for disk in &system.disks {
            let Some(file) = &disk.file else { continue };
            let Ok(Ok(found)) = files::resolve(facts, file, &disk.parents, disk.format) else {
                continue;
            };
            if wanted.iter().all(|image| image.name != found.image.name) {
                wanted.push(PackedImage { stated_bytes: disk.capacity_bytes, ..found.image });
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

/// The paths that the drives of a definition speak of.
#[must_use]
pub fn drive_paths(definition: &crate::Definition) -> Vec<PathBuf> {
    definition.drives.iter().flat_map(native::paths).collect()
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
        if target.taken.contains(&path) && !is_replaced(plan, &path) {
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

/// Whether a file may be replaced, or is one of a machine that is.
fn is_replaced(plan: &Plan, path: &Path) -> bool {
    let machines = plan.machines.iter().filter_map(|machine| machine.replacing.as_ref());
    let mut files = machines.flat_map(|replacing| &replacing.files);
    plan.replace.contains(path) || files.any(|file| file.path == path)
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
