//! `backup create`: a point of a machine, in a new bundle or behind the points of one.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use backup::{
    create::{Bundled, Doors, Made, Request, Sink, Step, Watch, Wish, create, series_of},
    quiesce::Processes,
};
use bundle::{Bundle, DEFAULT_LEVEL, Form, Indication, Level, Manifest, Mode, Options, Point, Vm};
use code::Code;
use disk::{FileBytes, Progress};
use host::{
    Host as _,
    libvirt::{KnownMachine, Libvirt},
    lock,
};
use serde::Serialize;
use vm::ByteSize;

use crate::{
    args::{AfterwardsChoice, BackupCreateArgs, IsoChoice, ModeChoice},
    clock,
    events::Event,
    failure::{Failure, Result},
    json::Message,
    progress::Gauge,
    report::Report,
    session::Session,
    show::clean,
    state,
};

/// The program, as manifests name it.
const TOOL: &str = concat!("relift ", env!("CARGO_PKG_VERSION"));

#[derive(Debug, Serialize)]
struct Data {
    backups: Vec<BackupData>,
}

#[derive(Debug, Serialize)]
struct BackupData {
    vm: String,
    path: String,
    point: String,
    mode: &'static str,
    state: &'static str,
    indications: Vec<&'static str>,
    frozen_ms: Option<u64>,
    file_bytes: u64,
    added_bytes: u64,
    incrementable: bool,
    disks: Vec<DiskData>,
    left_out: Vec<LeftOutData>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct DiskData {
    target: String,
    mode: &'static str,
    reason: Option<String>,
    capacity_bytes: u64,
    read_bytes: u64,
    member: String,
}

#[derive(Debug, Serialize)]
struct LeftOutData {
    target: String,
    reason: String,
}

/// Backs up each machine, one after the other.
pub(in crate::verbs) fn run(
    args: &BackupCreateArgs,
    session: &Session,
    gauge: &Gauge<'_>,
) -> Result<Report> {
    check(args)?;
    let uri = &session.hypervisor.uri;
    let host = Libvirt::connect(uri)?;
    if !host.is_local() {
        let text = format!("{uri} is another computer: its disks are read there");
        return Err(Failure::usage(text).tip("run relift on that computer"));
    }
    let machines = host.machines()?;
    let chosen: Vec<_> =
        args.machines.iter().map(|name| find(&machines, name, uri)).collect::<Result<_>>()?;
    let folder = folder(args, &host)?;
    let mut backups = Vec::new();
    let mut warnings = Vec::new();
    for machine in chosen {
        let job = Job { args, session, gauge, host: &host, machine, folder: &folder };
        let (data, more) = job.run()?;
        warnings.extend(more);
        session.events.send(&Event::Item { path: &data.path, file_bytes: data.file_bytes });
        backups.push(data);
    }
    let data = Data { backups };
    Ok(Report::new(text(&data), &data).warnings(warnings))
}

fn check(args: &BackupCreateArgs) -> Result<()> {
    if args.where_to.output.is_some() && args.machines.len() > 1 {
        return Err(Failure::usage("-o names one file, and there are several machines")
            .tip("name a folder instead: --storage DIR"));
    }
    form(args)?;
    tags(args)?;
    Ok(())
}

/// The machine that somebody means.
fn find<'m>(machines: &'m [KnownMachine], name: &str, uri: &str) -> Result<&'m KnownMachine> {
    let is_it = |it: &&KnownMachine| it.name == name || it.uuid.to_string() == name;
    machines.iter().find(is_it).ok_or_else(|| {
        let names: Vec<_> = machines.iter().map(|it| clean(&it.name)).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Failure::new(Code::E0505, format!("{uri} has no machine '{}'", clean(name)))
            .cause(format!("its machines: {known}"))
    })
}

/// The folder that bundles go to.
fn folder(args: &BackupCreateArgs, host: &Libvirt) -> Result<PathBuf> {
    let place = &args.where_to;
    let folder = match (&place.output, &place.storage, &place.pool) {
        (Some(file), _, _) => file.parent().map(Path::to_owned),
        (_, Some(folder), _) => Some(folder.clone()),
        (_, _, Some(pool)) => Some(super::shelf::pool_folder(pool, host.uri())?),
        (None, None, None) => None,
    };
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| PathBuf::from("."));
    if !folder.is_dir() {
        let text = format!("{} is no folder", folder.display());
        return Err(Failure::new(Code::E0508, text).fix("make it first, or name another one"));
    }
    std::path::absolute(&folder)
        .map_err(|error| Failure::usage("--storage is no path").cause(error.to_string()))
}

/// The form of a new bundle, and how hard it is compressed.
fn form(args: &BackupCreateArgs) -> Result<(Form, i32)> {
    if let Some(file) = &args.where_to.output {
        let name = file.to_string_lossy();
        return match (name.ends_with(".tar"), name.ends_with(".tar.zst")) {
            (true, _) => Ok((Form::Tar, DEFAULT_LEVEL)),
            (_, true) => Ok((Form::TarZst, DEFAULT_LEVEL)),
            _ => Err(Failure::usage(format!("-o {name} ends neither in .tar nor in .tar.zst"))),
        };
    }
    let level = |text: &str| text.parse().ok().filter(|level| (1..=22).contains(level));
    let how = args.compress.as_str();
    match (how, how.strip_prefix("zstd:").and_then(level)) {
        ("none", _) => Ok((Form::Tar, DEFAULT_LEVEL)),
        ("zstd", _) => Ok((Form::TarZst, DEFAULT_LEVEL)),
        (_, Some(level)) => Ok((Form::TarZst, level)),
        _ => Err(Failure::usage(format!(
            "--compress {how} is none of none, zstd, zstd:1 to zstd:22"
        ))),
    }
}

fn tags(args: &BackupCreateArgs) -> Result<std::collections::BTreeMap<String, String>> {
    let tag = |text: &String| {
        let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty())?;
        Some((key.to_owned(), value.to_owned()))
    };
    let one = |text: &String| {
        tag(text).ok_or_else(|| Failure::usage(format!("--tag {text} is not KEY=VALUE")))
    };
    args.tag.iter().map(one).collect()
}

/// The backup of one machine.
struct Job<'a> {
    args: &'a BackupCreateArgs,
    session: &'a Session,
    gauge: &'a Gauge<'a>,
    host: &'a Libvirt,
    machine: &'a KnownMachine,
    folder: &'a Path,
}

impl Job<'_> {
    fn run(&self) -> Result<(BackupData, Vec<Message>)> {
        let state = state::of_environment();
        state.make()?;
        let _alone = self.alone(&state)?;
        let now = clock::stamp_seconds()?;
        let existing = self.existing()?;
        let (path, made, before_bytes) = match existing {
            Some(path) => self.extend(&path, now)?,
            None => self.begin(now)?,
        };
        state.note_place(self.folder)?;
        let warnings = restless(&made);
        Ok((data(self.machine, &path, &made, before_bytes), warnings))
    }

    /// Keeps other backups of the machine off.
    fn alone(&self, state: &backup::State) -> Result<lock::Lock> {
        let path = state.folder().join("locks").join(format!("backup-{}.lock", self.machine.uuid));
        let cannot = |error: std::io::Error| {
            Failure::new(Code::E0508, format!("cannot lock {}", path.display()))
                .cause(error.to_string())
        };
        let name = clean(&self.machine.name);
        lock::attempt(&path).map_err(cannot)?.ok_or_else(|| {
            Failure::new(Code::E0602, format!("{name} is being backed up by another process"))
        })
    }

    /// The bundle that gets the point; `None` where a new one begins.
    fn existing(&self) -> Result<Option<PathBuf>> {
        if self.args.mode == ModeChoice::Full {
            return Ok(None);
        }
        if let Some(file) = &self.args.where_to.output {
            return Ok(file.exists().then(|| file.clone()));
        }
        let uuid = self.machine.uuid.to_string();
        let entries = backup::list(self.folder, &[])?;
        let ours = entries.iter().filter(|entry| {
            entry
                .facts()
                .is_some_and(|facts| facts.uuid.as_deref() == Some(&uuid) && facts.is_incrementable)
        });
        let newest = ours.max_by_key(|entry| {
            entry.facts().and_then(|facts| Some(facts.points.last()?.created_unix_seconds))
        });
        let newest = newest.filter(|entry| !self.is_long_enough(entry));
        if newest.is_none() && self.args.mode == ModeChoice::Incremental {
            let folder = self.folder.display();
            let text = format!(
                "no increment is possible: {folder} has no incrementable backup of {}",
                clean(&self.machine.name)
            );
            return Err(Failure::new(Code::E0606, text)
                .fix("make a full one first: relift backup create VM --incrementable"));
        }
        Ok(newest.map(|entry| entry.path.clone()))
    }

    /// Whether a bundle has as many increments as it may have.
    fn is_long_enough(&self, entry: &backup::Entry) -> bool {
        let points = entry.facts().map(|facts| facts.points.as_slice()).unwrap_or_default();
        let since_full =
            points.iter().rev().take_while(|point| point.mode == Mode::Incremental).count();
        self.args.max_increments > 0 && since_full >= self.args.max_increments
    }

    fn request(&self, now: u64, keeps: bool) -> Request {
        let BackupCreateArgs { mode, exclude_disk, iso, quiet, scratch, jobs, .. } = self.args;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Request {
            machine: self.machine.uuid,
            name: self.machine.name.clone(),
            wish: match mode {
                ModeChoice::Auto => Wish::Auto,
                ModeChoice::Full => Wish::Full,
                ModeChoice::Incremental => Wish::Incremental,
            },
            is_incrementable: keeps,
            excluded: exclude_disk.clone(),
            with_media: *iso == IsoChoice::Include,
            quiesce: quiet.quiesce.into(),
            deadline: quiet.deadline.0,
            workers: jobs.unwrap_or(cores),
            unix_seconds: now,
            series: series_of(self.folder),
            known: self.known_checkpoints(),
            scratch: scratch.clone(),
        }
    }

    /// The checkpoints that bundles of the folder count from; what cannot be read has none.
    fn known_checkpoints(&self) -> Vec<String> {
        let uuid = self.machine.uuid.to_string();
        let points = |entry: &backup::Entry| {
            let bundle = super::open(&entry.path).ok()?;
            let manifest = bundle.manifest().ok().flatten()?;
            (manifest.vm.uuid.as_deref() == Some(&uuid)).then_some(manifest.points)
        };
        let entries = backup::list(self.folder, &[]).unwrap_or_default();
        let points = entries.iter().filter_map(points).flatten();
        points.filter_map(|point| Some(point.checkpoint?.name)).collect()
    }

    fn create(&self, request: &Request, sink: &mut dyn Sink) -> Result<Made> {
        let guards = Processes { uri: self.host.uri() };
        let hears = Hears(self.gauge);
        let doors = Doors { host: self.host, guards: &guards, watch: &hears };
        Ok(create(request, sink, &doors)?)
    }

    /// A point in a new bundle, which gets its name when it is whole.
    fn begin(&self, now: u64) -> Result<(PathBuf, Made, u64)> {
        let (form, level) = form(self.args)?;
        let path = match &self.args.where_to.output {
            Some(file) => std::path::absolute(file).unwrap_or_else(|_| file.clone()),
            None => self.folder.join(self.file_name(form, now)),
        };
        let host = self.session.host();
        let partial = host.create_partial(&path)?;
        let manifest = Manifest {
            tool: TOOL.to_owned(),
            vm: Vm { name: self.machine.name.clone(), uuid: Some(self.machine.uuid.to_string()) },
            incrementable: self.args.incrementable,
            protected: self.args.protect,
            note: self.args.note.clone(),
            tags: tags(self.args)?,
            ..Manifest::default()
        };
        let options = Options { form, level, unix_seconds: now };
        let request = self.request(now, self.args.incrementable);
        let made = Bundled::create(&partial.file, options, manifest)
            .map_err(Into::into)
            .and_then(|mut sink| self.create(&request, &mut sink))
            .and_then(|made| self.look_at(&partial.file).map(|()| made))
            .and_then(|made| Ok(host.publish(&partial).map(|()| made)?));
        match made {
            Ok(made) => Ok((path, made, 0)),
            Err(failure) => {
                drop(host.remove_file(&partial.path));
                Err(failure)
            }
        }
    }

    /// A point behind those of a bundle.
    fn extend(&self, path: &Path, now: u64) -> Result<(PathBuf, Made, u64)> {
        let cannot = |error: std::io::Error| super::unreadable(path, &error);
        let refused = |error| super::refused(error, path);
        let file = File::options().read(true).write(true).open(path).map_err(cannot)?;
        bundle::lock(&file).map_err(refused)?;
        let bundle = super::of_file(file.try_clone().map_err(cannot)?, path)?;
        let before_bytes = bundle.file_bytes();
        let options = Options { form: bundle.form(), level: DEFAULT_LEVEL, unix_seconds: now };
        let mut sink =
            Bundled::extend(&bundle, &file, options, true).map_err(Box::<Failure>::from)?;
        let made = self.create(&self.request(now, true), &mut sink)?;
        self.look_at(&file)?;
        Ok((path.to_owned(), made, before_bytes))
    }

    fn file_name(&self, form: Form, now: u64) -> String {
        let ending = match form {
            Form::Tar => "tar",
            Form::TarZst => "tar.zst",
        };
        let name = bundle::member_name(&self.machine.name);
        let name = name.map_or_else(|_| "machine".to_owned(), |name| name.to_string());
        format!("{name}-{}.{ending}", Point::id_at(now, &[]))
    }

    /// Looks at what was written, as far as it was asked for.
    fn look_at(&self, file: &File) -> Result<()> {
        let level = match self.args.verify {
            AfterwardsChoice::None => return Ok(()),
            AfterwardsChoice::Quick => Level::Quick,
            AfterwardsChoice::Deep => Level::Deep,
        };
        let cannot = |error: std::io::Error| super::unreadable(Path::new("the bundle"), &error);
        let bytes = FileBytes::new(file.try_clone().map_err(cannot)?).map_err(cannot)?;
        let bundle = Bundle::open(Arc::new(bytes))?;
        let report = bundle::verify(&bundle, level, self.gauge)?;
        match report.faults.first() {
            None => Ok(()),
            Some(fault) => {
                Err(Failure::new(Code::E0605, "the bundle was not written as it should be")
                    .cause(fault.message.clone()))
            }
        }
    }
}

/// Tells the steps of a backup.
struct Hears<'a>(&'a Gauge<'a>);

impl Progress for Hears<'_> {
    fn advance(&self, done_bytes: u64) {
        self.0.advance(done_bytes);
    }

    fn stopped(&self) -> bool {
        self.0.stopped()
    }
}

impl Watch for Hears<'_> {
    fn begin(&self, step: Step<'_>) {
        match step {
            Step::Look => self.0.phase("look", None, None),
            Step::Freeze => self.0.phase("freeze", None, None),
            Step::Copy { target, total_bytes } => {
                self.0.phase("copy", Some(&format!("disk={target}")), Some(total_bytes));
            }
            Step::Publish => self.0.phase("publish", None, None),
        }
    }
}

/// A guest that was not quiet is worth a warning.
fn restless(made: &Made) -> Vec<Message> {
    let is_restless =
        |it: &Indication| matches!(it, Indication::NoGuestAgent | Indication::QuiesceFailed);
    let found = made.point.indications.iter().find(|it| is_restless(it));
    let why = made.notes.first().cloned();
    let message = |it: &Indication| {
        let why = why.unwrap_or_else(|| it.as_str().to_owned());
        Message::new(Code::W0611, format!("the disks are as after a power cut: {why}"))
    };
    found.map(message).into_iter().collect()
}

fn data(machine: &KnownMachine, path: &Path, made: &Made, before_bytes: u64) -> BackupData {
    let point = &made.point;
    BackupData {
        vm: machine.name.clone(),
        path: path.display().to_string(),
        point: point.id.clone(),
        mode: point.mode.as_str(),
        state: point.state.as_str(),
        indications: point.indications.iter().map(|it| it.as_str()).collect(),
        frozen_ms: made.frozen.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        file_bytes: made.file_bytes,
        added_bytes: made.file_bytes.saturating_sub(before_bytes),
        incrementable: point.checkpoint.is_some(),
        disks: point.disks.iter().map(disk).collect(),
        left_out: point
            .left_out
            .iter()
            .map(|it| LeftOutData { target: it.target.clone(), reason: it.reason.clone() })
            .collect(),
        notes: made.notes.clone(),
    }
}

fn disk(disk: &bundle::PointDisk) -> DiskData {
    DiskData {
        target: disk.target.clone(),
        mode: disk.mode.as_str(),
        reason: disk.reason.clone(),
        capacity_bytes: disk.capacity_bytes,
        read_bytes: disk.read_bytes,
        member: disk.member.clone(),
    }
}

fn text(data: &Data) -> String {
    data.backups.iter().map(|backup| lines(backup).join("\n") + "\n").collect()
}

/// What people are told of one backup, line by line.
fn lines(backup: &BackupData) -> Vec<String> {
    let BackupData { point, mode, state, .. } = backup;
    let indications = backup.indications.join(", ");
    let quiet = match (backup.frozen_ms, indications.is_empty()) {
        (Some(ms), _) => format!(" ({indications}; frozen for {ms} ms)"),
        (None, false) => format!(" ({indications})"),
        (None, true) => String::new(),
    };
    let vm = clean(&backup.vm);
    let mut lines =
        vec![format!("Backed up {vm} at {point}, {mode} while {state}{quiet}"), String::new()];
    let row = |name: &str, text: String| format!("  {:<10}{text}", clean(name));
    for disk in &backup.disks {
        let why = disk.reason.as_deref().map(|why| format!(": {}", clean(why)));
        let (read, all) = (ByteSize(disk.read_bytes), ByteSize(disk.capacity_bytes));
        let why = why.unwrap_or_default();
        lines.push(row(&disk.target, format!("{read} of {all} read, {}{why}", disk.mode)));
    }
    for left in &backup.left_out {
        lines.push(row(&left.target, format!("left out: {}", clean(&left.reason))));
    }
    let again = if backup.incrementable { "incrementable" } else { "not incrementable" };
    let (added, all) = (ByteSize(backup.added_bytes), ByteSize(backup.file_bytes));
    let path = clean(&backup.path);
    lines.push(row("file", format!("{path} ({added} added, {all}, {again})")));
    lines.extend(backup.notes.iter().map(|note| row("note", clean(note))));
    lines.extend([String::new(), format!("Next:  relift backup verify {path}")]);
    lines
}
