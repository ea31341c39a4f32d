//! The plan is carried out: each disk byte read once, written once, named at the end.
//!
//! ```text
//! folders -> NAME.partial-… for each image, digests taken as the bytes pass
//!         -> manifest compared -> images looked at -> fsync, names -> domain.xml -> result, last
//! ```
//!
//! Nothing is decided here. Whatever fails, the undo list takes back what was done, newest first.

mod images;
mod in_place;
mod machines;
mod nodes;
mod store;

use std::path::{Path, PathBuf};

use code::Code;
use convert::copy;
use disk::Progress;
use host::{Existed, Host, Partial, libvirt::Protection};
use ovf::{EntryName, Finding, manifest::Digest};

use store::{Files, Packing, Store};

use crate::{
    Error, ManifestPolicy, Plan, Source, VerifyOutput,
    plan::{DOMAIN_XML, FilePlan, FileRole, MachinePlan},
    undo::Undo,
    verify,
};

/// Hears of the steps of a run.
pub trait Watch: Progress {
    /// A step begins.
    fn begin(&self, step: Step<'_>);
}

/// A step of a run.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// A disk or medium is converted.
    Convert {
        /// Its place among the files of the run, from 0.
        number: usize,
        /// How many there are.
        of: usize,
        /// Its later name.
        to: &'a Path,
        /// Guest bytes, where they are known.
        total_bytes: Option<u64>,
    },
    /// A file is only hashed.
    Digest {
        /// Its name in the package.
        name: &'a EntryName,
    },
    /// The outputs are looked at.
    Verify,
    /// The outputs are made durable and get their names.
    Publish,
}

/// How a plan is carried out.
#[derive(Clone, Copy)]
pub struct Execution<'a> {
    /// The door to the file system.
    pub host: &'a dyn Host,
    /// The door to the libvirt host, where a plan is for one.
    pub hypervisor: Option<&'a dyn Protection>,
    /// Who hears of it.
    pub watch: &'a dyn Watch,
    /// Worker threads.
    pub workers: usize,
    /// What to check of each written disk.
    pub verify: VerifyOutput,
    /// Leave unfinished files behind.
    pub keep_partial: bool,
    /// Writes the result file.
    pub render: &'a dyn Fn(&Outcome) -> Vec<u8>,
}

impl std::fmt::Debug for Execution<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Execution").field("workers", &self.workers).finish_non_exhaustive()
    }
}

/// What a run made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The images, in the order of the plan.
    pub outputs: Vec<Output>,
    /// The domain XMLs.
    pub domains: Vec<PathBuf>,
    /// What came to be known on the way.
    pub findings: Vec<Finding>,
    /// The manifest was there and every digest matched.
    pub manifest_matches: bool,
    /// What is known of the signature.
    pub signature: ovf::Signature,
    /// What pins the source: of a pipe it is known once it has passed.
    pub source_digest: Option<String>,
}

/// One written image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The machine's id.
    pub machine: String,
    /// Where it is.
    pub path: PathBuf,
    /// The member it came from.
    pub member: Option<EntryName>,
    /// Digest of the member's bytes, where a manifest asked for one.
    pub member_digest: Option<Digest>,
    /// Guest bytes of the disk.
    pub capacity_bytes: u64,
    /// Guest bytes that were written; the rest is zeros.
    pub data_bytes: u64,
    /// Length of the written file.
    pub file_bytes: u64,
}

/// Carries a plan out.
///
/// # Errors
/// The plan has blockers; the source is damaged or not what its manifest says; the target takes no
/// more; somebody said stop. Nothing is left behind then, unless it was asked for.
pub fn execute<'a>(
    plan: &'a Plan,
    source: &mut dyn Source,
    with: &'a Execution<'a>,
) -> Result<Outcome, Error> {
    if let Some(blocker) = plan.blockers().first() {
        let error = Error::new(blocker.code, &blocker.text);
        return Err(match &blocker.hint {
            Some(hint) => error.fix(hint),
            None => error,
        });
    }
    let mut undo = Undo::new(with.host, with.hypervisor, with.keep_partial);
    let outcome = run(plan, source, with, &mut undo)?;
    undo.forget();
    in_place::finish(plan, with);
    machines::start(plan, with.hypervisor)?;
    Ok(outcome)
}

fn run<'a>(
    plan: &'a Plan,
    source: &mut dyn Source,
    with: &'a Execution<'a>,
    undo: &mut Undo<'a>,
) -> Result<Outcome, Error> {
    if let Some(bundle) = &plan.bundle {
        let partial = with.host.create_partial(&plan.target)?;
        undo.partial(&partial.path);
        let mut packing = Packing::new(plan, bundle, &partial, with.watch)?;
        let outcome = fill(plan, source, with, (&mut packing, undo))?;
        drop(packing);
        publish(plan, &partial, with, undo)?;
        if let Some(folder) = plan.target.parent() {
            with.host.sync_folder(folder)?;
        }
        return Ok(outcome);
    }
    folders(plan, with, undo)?;
    let mut images = Files::new(with.host);
    let outcome = fill(plan, source, with, (&mut images, undo))?;
    // It says which of the files that get their names now are ours, should the run not live to its end.
    let result = match plan.result() {
        Some(path) => Some(write(&path, &(with.render)(&outcome), with, undo)?),
        None => None,
    };
    in_place::hold(plan, with, undo)?;
    for output in &outcome.outputs {
        publish(plan, images.partial(&output.path)?, with, undo)?;
        // A plan file may send a disk somewhere else than the machine's own folder.
        if let Some(folder) = output.path.parent().filter(|folder| !is_own(plan, folder)) {
            with.host.sync_folder(folder)?;
        }
    }
    match (&plan.host, with.hypervisor) {
        (None, _) => define_in_folder(plan, result.as_ref(), with, undo)?,
        (Some(host), Some(hypervisor)) => machines::define(plan, host, (with, hypervisor), undo)?,
        (Some(host), None) => {
            return Err(Error::new(Code::E0501, format!("nobody speaks with {}", host.uri)));
        }
    }
    Ok(outcome)
}

/// Converts the images into a store, checks what is known of their source, and looks at them again.
fn fill<'a>(
    plan: &'a Plan,
    source: &mut dyn Source,
    with: &'a Execution<'a>,
    (store, undo): (&mut dyn Store, &mut Undo<'a>),
) -> Result<Outcome, Error> {
    let known = source.facts().findings.len();
    let mut images = images::Images::new(plan, with, (&mut *store, undo));
    if let Err(error) = images.convert(source) {
        // What was read of a file that somebody writes to may be damage that was never there.
        source.check_unchanged()?;
        return Err(images.root_cause(source, error));
    }
    let images::Converted { written: mut outputs, digests, mut findings } = images.finish()?;
    findings.extend(source.facts().findings.iter().skip(known).cloned());
    let used: Vec<EntryName> = outputs.iter().filter_map(|one| one.member.clone()).collect();
    crate::check_signature(source.facts(), plan.signature)?;
    let manifest_matches = check_manifest(plan, source, &digests, &used, &mut findings)?;
    if plan.strict
        && let Some(finding) = findings.first()
    {
        let text = format!("{}, and --strict was given", finding.message);
        return Err(Error::new(Code::E0802, text).fix("leave --strict out, or mend the package"));
    }
    for output in &mut outputs {
        let digest = digests.iter().find(|(name, _)| Some(name) == output.member.as_ref());
        output.member_digest = digest.and_then(|(_, digests)| digests.first().cloned());
    }
    source.check_unchanged()?;
    store.seal(source.facts(), &outputs)?;
    with.watch.begin(Step::Verify);
    for output in &outputs {
        images::look_back(plan, source, (&*store, output), with)?;
    }
    stop_if_asked(with.watch)?;
    with.watch.begin(Step::Publish);
    Ok(Outcome {
        outputs,
        domains: plan.domains(),
        findings,
        manifest_matches,
        signature: source.facts().signature.clone(),
        source_digest: source.facts().digest(),
    })
}

/// Writes the definitions beside the images; the result gets its name last.
fn define_in_folder(
    plan: &Plan,
    result: Option<&Partial>,
    with: &Execution<'_>,
    undo: &mut Undo<'_>,
) -> Result<(), Error> {
    for machine in &plan.machines {
        let xml = machine.domain_xml.as_deref().unwrap_or_default();
        let partial = write(&machine.folder.join(DOMAIN_XML), xml.as_bytes(), with, undo)?;
        publish(plan, &partial, with, undo)?;
        with.host.sync_folder(&machine.folder)?;
    }
    if let Some(result) = result {
        publish(plan, result, with, undo)?;
    }
    with.host.sync_folder(&plan.target)?;
    Ok(())
}

/// Whether the folder is one of the plan's own.
fn is_own(plan: &Plan, folder: &Path) -> bool {
    plan.target == folder || plan.machines.iter().any(|machine| machine.folder == folder)
}

/// Makes the folders that are not there yet, outermost first.
fn folders(plan: &Plan, with: &Execution<'_>, undo: &mut Undo<'_>) -> Result<(), Error> {
    let own = plan.host.is_none().then_some(plan.target.as_path());
    let inner = plan.machines.iter().map(|machine| machine.folder.as_path());
    let inner = inner.filter(|_| plan.host.is_none());
    let of_files = files(plan).filter_map(|(_, file)| file.to.parent());
    for folder in own.into_iter().chain(inner).chain(of_files) {
        refuse_link(plan, folder)?;
        let missing: Vec<&Path> = folder.ancestors().take_while(|path| !path.is_dir()).collect();
        for path in missing.into_iter().rev() {
            if with.host.create_folder(path)? == Existed::No {
                undo.folder(path);
            }
        }
    }
    Ok(())
}

/// Refuses a folder inside the target's own that is a link: somebody else has made it, and what is
/// written there would lie elsewhere. The target itself is followed as it was typed.
fn refuse_link(plan: &Plan, folder: &Path) -> Result<(), Error> {
    let is_inside =
        plan.host.is_none() && folder != plan.target && folder.starts_with(&plan.target);
    if is_inside && folder.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
        let text =
            format!("{} is a link, where a folder of the machine's own is due", folder.display());
        return Err(Error::new(Code::E0509, text).fix("remove the link, or choose another folder"));
    }
    Ok(())
}

/// Compares every digest that was taken with the manifest; says whether there was one that matches.
///
/// `used` is what images were made of: each of them must have been compared.
fn check_manifest(
    plan: &Plan,
    source: &dyn Source,
    digests: &[(EntryName, Vec<Digest>)],
    used: &[EntryName],
    findings: &mut Vec<Finding>,
) -> Result<bool, Error> {
    let facts = source.facts();
    let Some((text, manifest)) = &facts.manifest else {
        return match plan.manifest {
            ManifestPolicy::Require => {
                Err(Error::new(Code::E0201, format!("{} has no manifest", facts.name)))
            }
            _ => Ok(false),
        };
    };
    let mut matches = true;
    let mut judge = |result: Result<(), Error>, name: &EntryName| match result {
        Err(error) if plan.manifest == ManifestPolicy::Warn => {
            matches = false;
            findings.push(verify::as_finding(&error, name));
            Ok(())
        }
        other => other,
    };
    for entry in &manifest.entries {
        let is_entry = |name: &EntryName| manifest.expected(name) == Some(entry);
        let algorithm = entry.digest.algorithm();
        let taken = digests.iter().find(|(name, _)| is_entry(name));
        let digest = taken
            .and_then(|(_, taken)| taken.iter().find(|digest| digest.algorithm() == algorithm));
        match (taken, digest) {
            (Some((name, _)), Some(actual)) => {
                judge(verify::compare(facts, text, entry, actual), name)?;
            }
            _ if used.iter().any(is_entry) => {
                let what = format!("the digest of {} was not taken", entry.name);
                judge(Err(Error::new(Code::E0203, what)), &text.name)?;
            }
            _ => {}
        }
    }
    // The planner has looked already, unless the members had not passed yet.
    if plan.digest.is_none() {
        let name = &facts.descriptor.name;
        if let Some(entry) = manifest.expected(name) {
            let actual = crate::digest_of(&facts.descriptor.bytes, entry.digest.algorithm());
            judge(verify::compare(facts, text, entry, &actual), name)?;
        }
        match verify::complete(facts, used) {
            Ok(found) => findings.extend(found),
            Err(error) => judge(Err(error), &text.name)?,
        }
    }
    Ok(matches)
}

/// Writes a small file, which has no name yet.
fn write(
    path: &Path,
    bytes: &[u8],
    with: &Execution<'_>,
    undo: &mut Undo<'_>,
) -> Result<Partial, Error> {
    let partial = with.host.create_partial(path)?;
    undo.partial(&partial.path);
    disk::WriteAt::write_all_at(&partial.file, bytes, 0)
        .map_err(|source| Error::writing(&path.display().to_string(), source))?;
    Ok(partial)
}

/// Makes a finished file durable and gives it its name; what may be replaced is set aside first.
fn publish(
    plan: &Plan,
    partial: &Partial,
    with: &Execution<'_>,
    undo: &mut Undo<'_>,
) -> Result<(), Error> {
    let path = &partial.published;
    if plan.replace.contains(path)
        && let Some(aside) = with.host.set_aside(path)?
    {
        undo.set_aside(&aside, path);
    }
    with.host.publish(partial)?;
    undo.published(&partial.path, path);
    Ok(())
}

fn stop_if_asked(watch: &dyn Watch) -> Result<(), Error> {
    if watch.stopped() { Err(Error::stopped()) } else { Ok(()) }
}

/// The files of a plan with their machines.
fn files(plan: &Plan) -> impl Iterator<Item = (&MachinePlan, &FilePlan)> {
    plan.machines.iter().flat_map(|machine| machine.files.iter().map(move |file| (machine, file)))
}

/// Workers and progress of a copy.
const fn copy_settings(with: &Execution<'_>) -> copy::Settings {
    copy::Settings { workers: with.workers }
}

/// Whether the file is a disk.
const fn is_disk(file: &FilePlan) -> bool {
    matches!(file.role, FileRole::Disk { .. } | FileRole::Node(_) | FileRole::Merged(_))
}
