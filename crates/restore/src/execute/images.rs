//! Converting the images of a plan as the source hands them over.

use std::{collections::BTreeSet, io::Read, sync::Arc, thread};

use code::Code;
use convert::{
    copy::{self, TargetOptions},
    digest,
};
use disk::{Declared, Progress, ReadAt, Sequential, Target, WriteAt};
use ovf::{
    EntryName, Finding, Manifest,
    manifest::{Algorithm, Digest},
};
use vm::DiskFormat;

use super::{Execution, Output, Step, copy_settings, files, is_disk, nodes, store::Store};
use crate::{
    Delivery, Error, Facts, ManifestPolicy, PackedImage, Plan, Reading, Source, VerifyOutput,
    Watch,
    plan::{FilePlan, FileRole, MachinePlan, NodeFile, capacity},
    source::Check,
    undo::Undo,
    verify,
};

/// Disks are counted in sectors.
const SECTOR_BYTES: u64 = 512;

/// The images of a run, while they are written.
pub(super) struct Images<'a, 'u> {
    plan: &'a Plan,
    with: &'a Execution<'a>,
    store: &'u mut dyn Store,
    undo: &'u mut Undo<'a>,
    written: Vec<(usize, Output)>,
    digests: Vec<(EntryName, Vec<Digest>)>,
    findings: Vec<Finding>,
}

/// What a run wrote and learned.
pub(super) struct Converted {
    pub(super) written: Vec<Output>,
    pub(super) digests: Vec<(EntryName, Vec<Digest>)>,
    pub(super) findings: Vec<Finding>,
}

/// Stops with the run, and tells no bytes: they are told by the copy beside it.
pub(super) struct Unsaid<'a>(pub(super) &'a dyn Watch);

impl Progress for Unsaid<'_> {
    fn advance(&self, _done_bytes: u64) {}

    fn stopped(&self) -> bool {
        self.0.stopped()
    }
}

/// One image of the plan.
#[derive(Clone, Copy)]
struct Job<'a> {
    number: usize,
    machine: &'a MachinePlan,
    file: &'a FilePlan,
    /// The length of the member, of a file that is no disk and is to have the same.
    length_bytes: Option<u64>,
}

impl<'a, 'u> Images<'a, 'u> {
    pub(super) const fn new(
        plan: &'a Plan,
        with: &'a Execution<'a>,
        (store, undo): (&'u mut dyn Store, &'u mut Undo<'a>),
    ) -> Self {
        Self {
            plan,
            with,
            store,
            undo,
            written: Vec::new(),
            digests: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Takes every member that is used or listed, and converts what is an image.
    pub(super) fn convert(&mut self, source: &mut dyn Source) -> Result<(), Error> {
        let known = Known::of(source.facts(), self.plan.manifest);
        let plan = self.plan;
        let wanted = |name: &EntryName| {
            files(plan).any(|(_, file)| file.is_made_of(name)) || known.listed(name).is_some()
        };
        source.deliver(&wanted, &mut |name, delivery| {
            let algorithms = known.algorithms(name);
            self.member(name, &algorithms, delivery)
        })?;
        self.missing(source.facts())
    }

    /// Tells a wrong digest instead of the damage that it explains.
    ///
    /// On a pipe the manifest may still be to come, so the rest is passed for it.
    pub(super) fn root_cause(&mut self, source: &mut dyn Source, error: Error) -> Error {
        let binding = matches!(self.plan.manifest, ManifestPolicy::Check | ManifestPolicy::Require);
        let explained =
            matches!(error.code(), Code::E0401 | Code::E0403 | Code::E0404 | Code::E0405);
        if binding && explained && !source.facts().is_complete {
            drop(source.deliver(&|_| false, &mut |_, _| Ok(())));
        }
        if binding && explained {
            self.hash_the_others(source);
        }
        let facts = source.facts();
        let manifest = facts.manifest.as_ref().filter(|_| binding && explained);
        let Some((text, manifest)) = manifest else { return error };
        for (name, taken) in &self.digests {
            let Some(entry) = manifest.expected(name) else { continue };
            let algorithm = entry.digest.algorithm();
            let actual = taken.iter().find(|digest| digest.algorithm() == algorithm);
            if let Some(Err(wrong)) =
                actual.map(|actual| verify::compare(facts, text, entry, actual))
            {
                return wrong.caused_by(error);
            }
        }
        error
    }

    /// Takes the digests of the members that the failed image is made of beside the first: its other
    /// chunks, and what it stands on. What cannot be read keeps its error for itself.
    fn hash_the_others(&mut self, source: &dyn Source) {
        let known = Known::of(source.facts(), self.plan.manifest);
        let failed = self.digests.last().map(|(name, _)| name.clone());
        let images = files(self.plan).filter_map(|(_, file)| file.image.as_ref());
        let failed = images.filter(|image| Some(&image.name) == failed.as_ref());
        for name in failed.flat_map(|image| image.used().skip(1)) {
            let Some(algorithm) = known.listed(name) else { continue };
            let Ok(Some(bytes)) = source.bytes(name) else { continue };
            if let Ok(digests) = digest::digest(&*bytes, &[algorithm], self.with.watch) {
                self.digests.push((name.clone(), digests));
            }
        }
    }

    /// Writes the empty disks, and puts everything into the order of the plan.
    pub(super) fn finish(mut self) -> Result<Converted, Error> {
        let jobs: Vec<Job<'_>> = self.jobs(|file| file.image.is_none());
        for job in jobs {
            if let FileRole::Made(made) = &job.file.role {
                self.made(job, made.bytes())?;
            }
            let FileRole::Disk { stated_bytes, .. } = job.file.role else { continue };
            let capacity_bytes = stated_bytes.unwrap_or_default();
            let mut target = self.target(job, capacity_bytes)?;
            let file_bytes = target.finish().map_err(convert::Error::target_image)?;
            let done = copy::Summary { data_bytes: 0, file_bytes };
            self.keep(job, capacity_bytes, done)?;
        }
        self.written.sort_by_key(|(number, _)| *number);
        let written = self.written.into_iter().map(|(_, written)| written).collect();
        Ok(Converted { written, digests: self.digests, findings: self.findings })
    }

    /// Writes a file that the planner made.
    fn made(&mut self, job: Job<'_>, bytes: &[u8]) -> Result<(), Error> {
        let file = self.place(job)?;
        file.write_all_at(bytes, 0)
            .map_err(|source| Error::writing(&job.file.to.display().to_string(), source))?;
        let length = bytes.len() as u64;
        self.keep(job, length, copy::Summary { data_bytes: length, file_bytes: length })
    }

    /// One member: every image that is made of it, and its digests, in one pass.
    fn member(
        &mut self,
        name: &EntryName,
        algorithms: &[Algorithm],
        delivery: Delivery<'_>,
    ) -> Result<(), Error> {
        let mut jobs = self.jobs(|file| file.is_made_of(name));
        if jobs.is_empty() {
            self.with.watch.begin(Step::Digest { name });
        }
        let length_bytes = match &delivery {
            Delivery::Whole(bytes, _) => bytes.len_bytes(),
            Delivery::Stream { length_bytes, .. } => *length_bytes,
        };
        for job in jobs.iter_mut().filter(|job| matches!(job.file.role, FileRole::Kept)) {
            job.length_bytes = Some(length_bytes);
        }
        let digests = match delivery {
            Delivery::Whole(bytes, package) => {
                self.whole(name, (&bytes, package), algorithms, &jobs)?
            }
            Delivery::Stream { reader, length_bytes } => {
                let ([] | [_]) = jobs.as_slice() else {
                    let text =
                        format!("{name} is used {} times, and a pipe passes once", jobs.len());
                    return Err(
                        Error::new(Code::E0405, text).fix("save the package to a file first")
                    );
                };
                self.stream(name, (reader, length_bytes), algorithms, jobs.first().copied())?
            }
        };
        if !digests.is_empty() {
            self.digests.push((name.clone(), digests));
        }
        Ok(())
    }

    /// A member that can be read at any place: hashed in order on one thread, converted on others.
    fn whole(
        &mut self,
        name: &EntryName,
        (bytes, package): (&Arc<dyn ReadAt>, &dyn Source),
        algorithms: &[Algorithm],
        jobs: &[Job<'_>],
    ) -> Result<Vec<Digest>, Error> {
        let watch = self.with.watch;
        let (converted, digests) = thread::scope(|scope| {
            let hashing = (!algorithms.is_empty())
                .then(|| scope.spawn(|| digest::digest(&**bytes, algorithms, watch)));
            let checks = checks(package, name, jobs);
            let check_all = || checks.into_iter().try_for_each(|check| check(&Unsaid(watch)));
            let checking = scope.spawn(check_all);
            let converted = jobs.iter().try_for_each(|job| self.image(*job, package));
            let checked = checking.join().unwrap_or_else(|_| {
                Err(Error::new(Code::E0605, format!("{name} could not be checked")))
            });
            // What the source says of its bytes explains what else is wrong with them.
            let converted = checked.and(converted);
            let digests = hashing.map_or(Ok(Vec::new()), |thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(std::io::Error::other("the hashing thread failed")))
            });
            (converted, digests)
        });
        let digests = digests.map_err(convert::Error::reading);
        match converted {
            Ok(()) => Ok(digests?),
            // A wrong digest is the root of damage, so it is told first.
            Err(error) => {
                if let (Ok(digests), false) = (digests, error.is_stop()) {
                    self.digests.push((name.clone(), digests));
                }
                Err(error)
            }
        }
    }

    fn image(&mut self, job: Job<'_>, package: &dyn Source) -> Result<(), Error> {
        let Some(packed) = &job.file.image else { return Ok(()) };
        if let FileRole::Node(node) = &job.file.role {
            return self.node(job, node, package);
        }
        let image = match packed.open(package)? {
            None => return Ok(()),
            Some(Reading::Passing(image)) => {
                return self.streamed_image(&packed.name, job, image.open()?);
            }
            Some(Reading::AnyPlace(image)) => image,
        };
        let capacity_bytes = self.capacity(job, image.format(), image.capacity_bytes())?;
        self.begin(job, Some(capacity_bytes));
        self.warn(job, image.warnings());
        let file = self.place(job)?;
        let (settings, watch) = (copy_settings(self.with), self.with.watch);
        let done = match &job.file.role {
            FileRole::Merged(node) => nodes::merge(&*image, (node, file), settings, watch),
            _ => {
                let output = copy::Output { file, capacity_bytes, options: options(job.file) };
                copy::write_image(&*image, output, settings, watch)
            }
        };
        let done = done.map_err(|error| about(error, job.file))?;
        self.keep(job, capacity_bytes, done)
    }

    /// An image of a backup, copied as it is but for the name of what it stands on.
    fn node(&mut self, job: Job<'_>, node: &NodeFile, package: &dyn Source) -> Result<(), Error> {
        let bytes = job.file.image.as_ref().map(|packed| packed.bytes(package)).transpose()?;
        let Some(bytes) = bytes.flatten() else { return Ok(()) };
        self.begin(job, Some(bytes.len_bytes()));
        let file = self.place(job)?;
        let done = nodes::copy(&*bytes, node, &*file, self.with.watch)
            .map_err(|error| error.detail("file", file_name(job.file)))?;
        self.keep(job, node.capacity_bytes, done)
    }

    /// A member that passes once: hashed and converted from the same blocks.
    fn stream(
        &mut self,
        name: &EntryName,
        (reader, length_bytes): (&mut (dyn Read + Send), u64),
        algorithms: &[Algorithm],
        job: Option<Job<'_>>,
    ) -> Result<Vec<Digest>, Error> {
        thread::scope(|scope| {
            let mut tee = digest::Tee::new(reader, algorithms, scope);
            let converted = job.map_or(Ok(()), |job| {
                let Some(packed) = &job.file.image else { return Ok(()) };
                let image = packed.stream(Box::new(&mut tee), length_bytes)?;
                self.streamed_image(name, job, image)
            });
            match converted {
                Ok(()) => Ok(tee.finish().map_err(convert::Error::reading)?),
                // A wrong digest is the root of damage, so the rest is hashed as well.
                Err(error) if error.code() == Code::E0404 => {
                    if let Ok(digests) = tee.finish() {
                        self.digests.push((name.clone(), digests));
                    }
                    Err(error)
                }
                Err(error) => Err(error),
            }
        })
    }

    fn streamed_image(
        &mut self,
        name: &EntryName,
        job: Job<'_>,
        (mut image, warning): (Box<dyn Sequential + '_>, Option<disk::Warning>),
    ) -> Result<(), Error> {
        let capacity_bytes = self.capacity(job, image.format(), image.capacity_bytes())?;
        self.begin(job, Some(capacity_bytes));
        let mut target = self.target(job, capacity_bytes)?;
        let done =
            copy::copy_stream(&mut *image, &mut *target, copy_settings(self.with), self.with.watch)
                .map_err(|error| about(error, job.file))?;
        self.warn(job, image.warnings());
        self.warn(job, warning.as_slice());
        self.keep(job, capacity_bytes, done)?;
        if let Some((_, output)) = self.written.last_mut() {
            output.member = Some(name.clone());
        }
        Ok(())
    }

    /// The capacity to build, decided as the planner does where it could not see the header.
    fn capacity(
        &mut self,
        job: Job<'_>,
        format: disk::Format,
        image_bytes: u64,
    ) -> Result<u64, Error> {
        let FileRole::Disk { stated_bytes, .. } = job.file.role else { return Ok(image_bytes) };
        match capacity(format, image_bytes, stated_bytes) {
            Ok((bytes, note)) => {
                // What the planner saw is in its row already.
                let unseen = self.plan.digest.is_none();
                self.findings.extend(note.filter(|_| unseen).map(|note| Finding {
                    code: note.code,
                    message: note.text,
                    item: Some(file_name(job.file)),
                    path: None,
                    line: None,
                }));
                Ok(bytes)
            }
            Err(note) => Err(Error::new(note.code, note.text).detail("file", file_name(job.file))),
        }
    }

    /// Starts an image that is not copied from one that can be read at any place.
    fn target(&mut self, job: Job<'_>, capacity_bytes: u64) -> Result<Box<dyn Target>, Error> {
        let file = self.place(job)?;
        let options = match options(job.file) {
            // There is nothing to share with an empty disk.
            options if job.file.image.is_none() => options.packed(),
            options => options,
        };
        Ok(options.create(file, capacity_bytes)?)
    }

    /// Begins the image in the store.
    fn place(&mut self, job: Job<'_>) -> Result<Arc<dyn WriteAt>, Error> {
        self.store.begin(&job.file.to, self.undo)
    }

    /// Ends the image that was placed last. A file that is no disk gets its own length, since disks are
    /// counted in sectors; one that was unpacked or joined stays as long as its sectors are.
    fn keep(
        &mut self,
        job: Job<'_>,
        capacity_bytes: u64,
        done: copy::Summary,
    ) -> Result<(), Error> {
        let is_own = |length: &u64| length.next_multiple_of(SECTOR_BYTES) == done.file_bytes;
        let file_bytes = job.length_bytes.filter(is_own).unwrap_or(done.file_bytes);
        self.store.end(file_bytes)?;
        let output = Output {
            machine: job.machine.id.clone(),
            path: job.file.to.clone(),
            member: job.file.member().cloned(),
            member_digest: None,
            capacity_bytes,
            data_bytes: done.data_bytes,
            file_bytes,
        };
        self.written.push((job.number, output));
        Ok(())
    }

    fn begin(&self, job: Job<'_>, total_bytes: Option<u64>) {
        let of = files(self.plan).count();
        let step = Step::Convert { number: job.number, of, to: &job.file.to, total_bytes };
        self.with.watch.begin(step);
    }

    /// What was tolerated about an image, where the planner could not see it.
    fn warn(&mut self, job: Job<'_>, warnings: &[disk::Warning]) {
        if self.plan.digest.is_some() {
            return;
        }
        self.findings.extend(warnings.iter().map(|warning| Finding {
            code: warning.code,
            message: warning.to_string(),
            item: Some(file_name(job.file)),
            path: None,
            line: None,
        }));
    }

    fn jobs(&self, wanted: impl Fn(&FilePlan) -> bool) -> Vec<Job<'a>> {
        let plan = self.plan;
        files(plan)
            .enumerate()
            .filter(|(_, (_, file))| wanted(file))
            .map(|(number, (machine, file))| Job { number, machine, file, length_bytes: None })
            .collect()
    }

    /// A member that the plan wants and that never came.
    fn missing(&self, facts: &Facts) -> Result<(), Error> {
        let written = |number: usize| self.written.iter().any(|(there, _)| *there == number);
        let is_needed = |file: &FilePlan| !matches!(file.role, FileRole::Kept);
        let missing = self.jobs(|file| file.image.is_some() && is_needed(file));
        match missing.into_iter().find(|job| !written(job.number)) {
            None => Ok(()),
            Some(job) => {
                let name = file_name(job.file);
                let first_chunk = format!("{name}.000000000");
                if facts.members.iter().any(|member| member.name.as_str() == first_chunk) {
                    let text = format!("{name} is cut into chunks, which are not joined on a pipe");
                    return Err(Error::new(Code::E0405, text)
                        .detail("package", &facts.name)
                        .fix("save the package to a file first"));
                }
                let text = format!("{name} is not in the package");
                Err(Error::new(Code::E0104, text)
                    .detail("package", &facts.name)
                    .fix("the download is incomplete, or the vendor's package is: get it again"))
            }
        }
    }
}

fn file_name(file: &FilePlan) -> String {
    file.member().map_or_else(|| file.to.display().to_string(), ToString::to_string)
}

/// What compares a member, and all that the images made of it stand on as far as it becomes a part of them,
/// with what the source knows.
fn checks(package: &dyn Source, name: &EntryName, jobs: &[Job<'_>]) -> Vec<Check> {
    let images = jobs.iter().filter_map(|job| job.file.image.as_ref());
    let below: BTreeSet<&EntryName> = images.flat_map(|image| &image.parents).collect();
    std::iter::once(name).chain(below).filter_map(|name| package.check(name)).collect()
}

/// What a file is written as; a medium is copied as it is.
const fn options(file: &FilePlan) -> TargetOptions {
    match file.role {
        FileRole::Disk { output, .. } => output,
        FileRole::Node(_)
        | FileRole::Merged(_)
        | FileRole::Made(_)
        | FileRole::Medium
        | FileRole::Kept => TargetOptions::Raw,
    }
}

/// An error of a copy, with the file that is at fault.
fn about(error: convert::Error, file: &FilePlan) -> Error {
    let name = match error.kind() {
        convert::Kind::Target => file.to.display().to_string(),
        _ => file_name(file),
    };
    let error = Error::from(error);
    if error.is_stop() { error } else { error.detail("file", name) }
}

/// What the manifest says before the members pass.
struct Known {
    manifest: Option<Manifest>,
    descriptor: EntryName,
    /// The manifest may come behind the disks.
    may_come: bool,
}

impl Known {
    fn of(facts: &Facts, policy: ManifestPolicy) -> Self {
        let manifest = facts.manifest.as_ref().map(|(_, manifest)| manifest.clone());
        let may_come = manifest.is_none() && !facts.is_complete && policy != ManifestPolicy::Skip;
        Self { manifest, descriptor: facts.descriptor.name.clone(), may_come }
    }

    /// The algorithm of the member's line; the descriptor is in memory and judged by itself.
    fn listed(&self, name: &EntryName) -> Option<Algorithm> {
        let manifest = self.manifest.as_ref().filter(|_| *name != self.descriptor)?;
        Some(manifest.expected(name)?.digest.algorithm())
    }

    fn algorithms(&self, name: &EntryName) -> Vec<Algorithm> {
        match self.listed(name) {
            Some(algorithm) => vec![algorithm],
            None if self.may_come => verify::ANY.to_vec(),
            None => Vec::new(),
        }
    }
}

/// Looks at a written disk: its header and tables, or all of it against the source.
pub(super) fn look_back(
    plan: &Plan,
    source: &dyn Source,
    (store, written): (&dyn Store, &Output),
    with: &Execution<'_>,
) -> Result<(), Error> {
    let Some((_, file)) = files(plan).find(|(_, file)| file.to == written.path) else {
        return Ok(());
    };
    if with.verify == VerifyOutput::None || !is_disk(file) {
        return Ok(());
    }
    let format = match file.role {
        FileRole::Disk { output, .. } if output.format() == DiskFormat::Qcow2 => {
            disk::Format::Qcow2
        }
        FileRole::Node(_) | FileRole::Merged(_) => disk::Format::Qcow2,
        _ => disk::Format::Raw,
    };
    // What it stands on may have no name yet: it is looked at by itself.
    let image =
        disk::open_behind(&disk::Alone, store.read(&written.path)?, Declared::Stated(format))?;
    let wrong = |text: String| {
        Error::new(Code::E0508, text).detail("file", written.path.display().to_string())
    };
    if image.capacity_bytes() != written.capacity_bytes {
        let text = format!(
            "the written disk has {} bytes, {} were to be written",
            image.capacity_bytes(),
            written.capacity_bytes
        );
        return Err(wrong(text));
    }
    for extent in image.extents() {
        extent?;
    }
    let packed = file.image.as_ref().filter(|_| with.verify == VerifyOutput::Full);
    let Some(packed) = packed else { return Ok(()) };
    let difference = match &file.role {
        FileRole::Node(_) => match packed.bytes(source)? {
            Some(whole) => {
                let copy = store.read(&written.path)?;
                nodes::first_difference(&*whole, &*copy, with.watch)?
            }
            None => None,
        },
        _ => first_difference(packed, source, &*image, with)?,
    };
    match difference {
        None => Ok(()),
        Some(at) => Err(wrong(format!("the written disk differs from the source at byte {at}"))),
    }
}

/// The first guest byte in which a written disk is not what its source is.
fn first_difference(
    packed: &PackedImage,
    source: &dyn Source,
    written: &dyn disk::Image,
    with: &Execution<'_>,
) -> Result<Option<u64>, Error> {
    match packed.open(source)? {
        None => Ok(None),
        Some(Reading::AnyPlace(original)) => {
            Ok(disk::compare(&*original, written, with.watch)?.first_difference_bytes)
        }
        Some(Reading::Passing(passing)) => {
            let (mut original, _) = passing.open()?;
            Ok(disk::compare_stream(&mut *original, written, with.watch)?)
        }
    }
}
