//! From a package to a folder: planned, carried out, taken back.

mod changing;
mod damage;
mod folder;
mod in_place;
mod on_host;
mod pipe;
mod plans;
mod rules;
mod undo;
mod written;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use disk::Progress;
use host::Host;
use restore::{
    Choices, Error, Execution, Outcome, Plan, Policy, Source, Step, VerifyOutput, Watch,
    plan::TargetFacts, source::look_at_images,
};

/// Counts, and says stop when it is told to.
#[derive(Debug, Default)]
struct Quiet {
    done_bytes: AtomicU64,
    stop_at_bytes: Option<u64>,
}

impl Progress for Quiet {
    fn advance(&self, done_bytes: u64) {
        self.done_bytes.fetch_add(done_bytes, Ordering::Relaxed);
    }

    fn stopped(&self) -> bool {
        self.stop_at_bytes.is_some_and(|limit| self.done_bytes.load(Ordering::Relaxed) >= limit)
    }
}

impl Watch for Quiet {
    fn begin(&self, _step: Step<'_>) {}
}

/// Plans for a folder.
fn plan(source: &dyn Source, folder: &Path, choices: &Choices) -> Result<Plan, Error> {
    let images = look_at_images(source, &restore::plan::images(source.facts(), choices)?)?;
    let facts = host::dir::facts(folder).expect("the test's own folder can be looked at");
    let taken = host::dir::taken(folder).expect("the test's own folder can be listed");
    let target = TargetFacts { taken, ..TargetFacts::folder(facts) };
    restore::plan(source.facts(), &images, &target, choices)
}

/// Plans and carries out.
fn convert(
    source: &mut dyn Source,
    folder: &Path,
    choices: &Choices,
    host: &dyn Host,
    watch: &Quiet,
) -> Result<Outcome, Error> {
    carry_out(&plan(source, folder, choices)?, source, host, watch)
}

/// Carries a plan out.
fn carry_out(
    plan: &Plan,
    source: &mut dyn Source,
    host: &dyn Host,
    watch: &Quiet,
) -> Result<Outcome, Error> {
    let with = Execution {
        host,
        hypervisor: None,
        watch,
        workers: 2,
        verify: VerifyOutput::Full,
        keep_partial: false,
        render: &|_| b"{}".to_vec(),
    };
    restore::execute(plan, source, &with)
}

/// Writes an OVA into a folder and opens it.
fn ova(folder: &Path, bytes: &[u8]) -> Result<Box<dyn Source>, Error> {
    let path = folder.join("package.ova");
    fs::write(&path, bytes).expect("the test's own folder takes writes");
    restore::open(&path, &Policy::default())
}

/// Every file below a folder, with its bytes.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(here) = folders.pop() {
        for entry in fs::read_dir(here).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap_or(&path).to_owned();
                found.push((name, fs::read(&path).unwrap_or_default()));
            }
        }
    }
    found.sort();
    found
}

/// The names of the files below a folder.
fn names(folder: &Path) -> Vec<String> {
    files(folder).into_iter().map(|(name, _)| name.display().to_string()).collect()
}
