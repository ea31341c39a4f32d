//! `backup create`: a point of a machine, in a new bundle or behind the points of one.

mod hears;
mod names;
mod told;
mod words;

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use backup::{
    Facts,
    create::{
        Before, Bundled, CloneCopy, Doors, Keeps, Looks, Marking, Named, Outcome, Request, Sink,
        Wish, create, plan, series_of,
    },
    quiesce::Processes,
    repair::{half_written, known_by, remove_half_written},
    snapshot::{MemoryFile, Records},
};
use bundle::{Bundle, DEFAULT_LEVEL, Level, Manifest, Options, Vm};
use code::Code;
use host::{
    Host as _,
    dir::{self, Dir},
    here,
    libvirt::{KnownMachine, Libvirt},
    lock,
};

use crate::{
    args::{
        AfterwardsChoice, BackupAppendArgs, BackupCreateArgs, BackupPlaceArgs, IsoChoice,
        ModeChoice, TemplateChoice,
    },
    clock,
    events::Event,
    failure::{Failure, Result},
    json::Message,
    progress::Gauge,
    rate::PacedSink,
    report::Report,
    session::Session,
    show::clean,
    state,
};
use hears::Hears;
pub(super) use told::BackupData;
use told::{Data, PlanData, UnchangedData};
use words::{check, form, tags};

/// The program, as manifests name it.
const TOOL: &str = concat!("relift ", env!("CARGO_PKG_VERSION"));

/// What of the definition in a point is compared with the present one: a longer one is another one.
const MAX_DEFINITION_BYTES: u64 = 16 << 20;

/// Backs up each machine, one after the other.
pub(in crate::verbs) fn run(
    args: &BackupCreateArgs,
    session: &Session,
    gauge: &Gauge<'_>,
) -> Result<Report> {
    check(args)?;
    let (data, warnings) = back_up(args, session, gauge)?;
    Ok(Report::new(told::text(&data), &data).warnings(warnings))
}

/// What changed on a machine since the last point of a bundle goes into the bundle; with the length that it
/// has then.
pub(super) fn append(
    (machine, path): (String, &Path),
    args: &BackupAppendArgs,
    session: &Session,
    gauge: &Gauge<'_>,
) -> Result<(Option<BackupData>, String, Vec<Message>)> {
    let (output, compress) = (Some(path.to_owned()), "none".to_owned());
    let args = BackupCreateArgs {
        machines: vec![machine],
        where_to: BackupPlaceArgs { output, storage: None, pool: None },
        incrementable: true,
        mode: ModeChoice::Incremental,
        skip_unchanged: false,
        max_increments: 0,
        iso: IsoChoice::Exclude,
        compress,
        memory: false,
        quiet: args.quiet,
        exclude_disk: Vec::new(),
        with_template: false,
        template: TemplateChoice::Auto,
        tag: Vec::new(),
        note: None,
        protect: false,
        scratch: args.scratch.clone(),
        limit_rate: args.limit_rate,
        jobs: None,
        dry_run: false,
        verify: AfterwardsChoice::Quick,
    };
    let (mut data, warnings) = back_up(&args, session, gauge)?;
    let text = told::text(&data);
    Ok((data.backups.pop(), text, warnings))
}

fn back_up(
    args: &BackupCreateArgs,
    session: &Session,
    gauge: &Gauge<'_>,
) -> Result<(Data, Vec<Message>)> {
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
    let mut data = Data { dry_run: args.dry_run, ..Data::default() };
    let mut warnings = Vec::new();
    for machine in chosen {
        let others = machines.iter().filter(|one| one.uuid != machine.uuid);
        let foreign: Vec<_> = others.flat_map(|one| one.disks.iter().cloned()).collect();
        let (machines, folder) = (machines.as_slice(), folder.as_path());
        let job = Job { args, session, gauge, host: &host, machine, machines, foreign, folder };
        if args.dry_run {
            data.plans.push(job.plan()?);
            continue;
        }
        match job.run()? {
            Told::Made(made, more) => {
                warnings.extend(more);
                let BackupData { path, file_bytes, .. } = &*made;
                session.events.send(&Event::Item { path, file_bytes: *file_bytes });
                data.backups.push(*made);
            }
            Told::Unchanged(unchanged) => data.unchanged.push(unchanged),
        }
    }
    Ok((data, warnings))
}

/// The machine that somebody means.
pub(in crate::verbs) fn find<'m>(
    machines: &'m [KnownMachine],
    name: &str,
    uri: &str,
) -> Result<&'m KnownMachine> {
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

/// What came of one machine.
enum Told {
    Made(Box<BackupData>, Vec<Message>),
    Unchanged(UnchangedData),
}

/// The backup of one machine.
struct Job<'a> {
    args: &'a BackupCreateArgs,
    session: &'a Session,
    gauge: &'a Gauge<'a>,
    host: &'a Libvirt,
    machine: &'a KnownMachine,
    /// All of the host.
    machines: &'a [KnownMachine],
    /// The images of the other machines.
    foreign: Vec<PathBuf>,
    folder: &'a Path,
}

impl Job<'_> {
    fn run(&self) -> Result<Told> {
        let state = state::of_environment();
        state.make()?;
        let _alone = self.alone(&state)?;
        let removed = self.remove_half_written();
        let now = clock::stamp_seconds()?;
        let entries = backup::list(self.folder, &[])?;
        let existing = self.existing(&entries)?;
        let request = self.request(now, self.keeps(existing.as_deref())?, &entries);
        let extends = existing.is_some();
        let path = existing.map_or_else(|| self.new_path(now), Ok)?;
        let (outcome, before_bytes) = match extends {
            true => self.extend(&path, &request),
            false => self.begin(&path, &request),
        }
        .map_err(|failure| self.located(failure, &path))?;
        state.note_place(self.folder)?;
        Ok(match outcome {
            Outcome::Made(made) => {
                let mut data = told::data(self.machine, &path, &made, before_bytes);
                data.notes.extend(removed);
                Told::Made(Box::new(data), told::warnings(&made))
            }
            Outcome::Unchanged { mut notes } => {
                notes.extend(removed);
                let (vm, path) = (self.machine.name.clone(), path.display().to_string());
                Told::Unchanged(UnchangedData { vm, path, notes })
            }
        })
    }

    /// What would be done now.
    fn plan(&self) -> Result<PlanData> {
        let now = clock::stamp_seconds()?;
        let entries = backup::list(self.folder, &[])?;
        let existing = self.existing(&entries)?;
        let keeps = self.keeps(existing.as_deref())?;
        let manifest = match &existing {
            Some(path) => super::open(path)?.manifest()?.unwrap_or_default(),
            None => Manifest::default(),
        };
        let before = Before {
            points: &manifest.points,
            snapshots: &manifest.snapshots,
            template: manifest.template.as_ref(),
        };
        let extends = existing.is_some();
        let path = existing.map_or_else(|| self.new_path(now), Ok)?;
        let request = self.request(now, keeps, &entries);
        let plan = self.with_doors(|doors| plan(&request, before, doors))?;
        let free_bytes = dir::facts(self.folder)?.free_bytes;
        Ok(told::planned(self.machine, (&path, extends), plan, free_bytes))
    }

    /// Keeps other backups of the machine off.
    fn alone(&self, state: &backup::State) -> Result<lock::Lock> {
        let path = state.backup_lock(self.machine.uuid);
        let cannot = |error: std::io::Error| {
            Failure::new(Code::E0508, format!("cannot lock {}", path.display()))
                .cause(error.to_string())
        };
        let name = clean(&self.machine.name);
        lock::attempt(&path).map_err(cannot)?.ok_or_else(|| {
            Failure::new(Code::E0602, format!("{name} is being backed up by another process"))
        })
    }

    /// Removes the backups of the machine that killed runs only began, which take the room of this one. What
    /// cannot be removed stays for `doctor`: it is in nobody's way.
    fn remove_half_written(&self) -> Vec<String> {
        let found = half_written(self.folder).unwrap_or_default().into_iter();
        let ours = found.filter(|path| names::is_of(&self.machine.name, path));
        let removed = ours.filter(|path| remove_half_written(path).is_ok());
        let note = |path: PathBuf| {
            format!("removed {}, a backup that an interrupted run had only begun", path.display())
        };
        removed.map(note).collect()
    }

    /// The bundle that gets the point; `None` where a new one begins.
    fn existing(&self, entries: &[backup::Entry]) -> Result<Option<PathBuf>> {
        if let Some(file) = &self.args.where_to.output {
            return self.named(file);
        }
        if self.args.mode == ModeChoice::Full || self.args.memory {
            return Ok(None);
        }
        let uuid = self.machine.uuid.to_string();
        let ours = entries.iter().filter(|entry| {
            entry
                .facts()
                .is_some_and(|facts| facts.uuid.as_deref() == Some(&uuid) && facts.is_incrementable)
        });
        let newest = ours.max_by_key(|entry| {
            entry.facts().and_then(|facts| Some(facts.points.last()?.created_unix_seconds))
        });
        let is_full_due = |facts: &Facts| backup::is_full_due(facts.increments(), self.limit());
        let newest = newest.filter(|entry| !entry.facts().is_some_and(is_full_due));
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

    /// The bundle that `-o` names, if it is there; only an increment goes into one. Asked before anything is
    /// read, since a file that is there is never replaced.
    fn named(&self, file: &Path) -> Result<Option<PathBuf>> {
        let shown = clean(&file.display().to_string());
        match (file.exists(), self.args.mode) {
            (true, ModeChoice::Incremental) => Ok(Some(file.to_owned())),
            (true, _) => Err(Failure::new(Code::E0509, format!("{shown} is there already"))
                .fix("name another file, or add what changed to it: --mode incremental")),
            (false, ModeChoice::Incremental) => {
                let text = format!("no increment is possible: {shown} is not there");
                Err(Failure::new(Code::E0606, text)
                    .fix("make a full one first: relift backup create VM --incrementable -o FILE"))
            }
            (false, _) => Ok(None),
        }
    }

    /// Refuses the bundle of another machine.
    fn check_owner(&self, bundle: &Bundle, path: &Path) -> Result<()> {
        let owner = bundle.manifest()?.map(|manifest| manifest.vm).unwrap_or_default();
        let uuid = self.machine.uuid.to_string();
        if owner.uuid.as_deref() == Some(&uuid) {
            return Ok(());
        }
        let (path, ours) = (clean(&path.display().to_string()), clean(&self.machine.name));
        let theirs = clean(owner.uuid.as_deref().unwrap_or("none"));
        Err(Failure::new(Code::E0606, format!("{path} is no backup of {ours}"))
            .cause(format!("the UUID of its machine is {theirs}, that of {ours} is {uuid}"))
            .fix("find one: relift backup list --vm VM"))
    }

    /// How many increments a bundle may have, if that is limited.
    fn limit(&self) -> Option<u32> {
        Some(self.args.max_increments).filter(|max| *max > 0)
    }

    /// What stays on the machine behind the point that goes into an existing bundle, or a new one.
    fn keeps(&self, existing: Option<&Path>) -> Result<Keeps> {
        Ok(match existing {
            Some(path) if self.is_last_increment(path)? => Keeps::Last,
            Some(_) => Keeps::Checkpoint,
            None if self.args.incrementable => Keeps::Checkpoint,
            None => Keeps::Nothing,
        })
    }

    /// Whether a bundle may get only one more increment.
    fn is_last_increment(&self, path: &Path) -> Result<bool> {
        let Some(limit) = self.limit() else { return Ok(false) };
        let increments = backup::one(path, &[])?.facts().map_or(0, Facts::increments);
        Ok(backup::is_full_due(increments + 1, Some(limit)))
    }

    fn request(&self, now: u64, keeps: Keeps, entries: &[backup::Entry]) -> Request {
        let (known, doubt) = known_by(self.folder, entries);
        let BackupCreateArgs { mode, exclude_disk, iso, memory, quiet, scratch, jobs, .. } =
            self.args;
        let BackupCreateArgs { template, with_template, .. } = self.args;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Request {
            machine: self.machine.uuid,
            name: self.machine.name.clone(),
            wish: match mode {
                ModeChoice::Auto => Wish::Auto,
                ModeChoice::Full => Wish::Full,
                ModeChoice::Incremental => Wish::Incremental,
            },
            keeps,
            excluded: exclude_disk.clone(),
            with_media: *iso == IsoChoice::Include,
            memory: if *memory { MemoryFile::Kept } else { MemoryFile::None },
            quiesce: quiet.quiesce.into(),
            deadline: quiet.deadline.0,
            workers: jobs.unwrap_or(cores),
            unix_seconds: now,
            series: series_of(self.folder),
            known,
            doubt,
            unchanged_from: None,
            // The host is told of files in it, and runs in another folder.
            scratch: scratch
                .as_ref()
                .map(|folder| std::path::absolute(folder).unwrap_or_else(|_| folder.clone())),
            machines: self.machines.to_vec(),
            marking: match template {
                TemplateChoice::Auto => Marking::ByClones,
                TemplateChoice::Yes => Marking::Template,
                TemplateChoice::No => Marking::Ordinary,
            },
            clone_copy: match with_template {
                true => CloneCopy::Whole,
                false => CloneCopy::AboveTemplate,
            },
        }
    }

    fn with_doors<T>(&self, act: impl FnOnce(&Doors<'_>) -> backup::Result<T>) -> Result<T> {
        let guards = Processes { uri: self.host.uri() };
        let hears = Hears(self.gauge);
        let files = Dir::new(here::name());
        let records = Records::of(state::of_environment().folder(), self.machine.uuid);
        Ok(act(&Doors {
            host: self.host,
            guards: &guards,
            watch: &hears,
            files: &files,
            records: &records,
            foreign: &self.foreign,
        })?)
    }

    fn create(&self, request: &Request, sink: &mut dyn Sink) -> Result<Outcome> {
        let Some(limit) = self.args.limit_rate else {
            return self.with_doors(|doors| create(request, sink, doors));
        };
        let mut sink = PacedSink::over(sink, limit, &self.session.stop);
        self.with_doors(|doors| create(request, &mut sink, doors))
    }

    /// Where a new bundle goes.
    fn new_path(&self, now: u64) -> Result<PathBuf> {
        let (form, _) = form(self.args)?;
        Ok(match &self.args.where_to.output {
            Some(file) => std::path::absolute(file).unwrap_or_else(|_| file.clone()),
            None => self.folder.join(names::file_name(&self.machine.name, form, now)),
        })
    }

    /// A point in a new bundle, which gets its name when it is whole.
    fn begin(&self, path: &Path, request: &Request) -> Result<(Outcome, u64)> {
        let (form, level) = form(self.args)?;
        let manifest = Manifest {
            tool: TOOL.to_owned(),
            vm: Vm { name: self.machine.name.clone(), uuid: Some(self.machine.uuid.to_string()) },
            incrementable: self.args.incrementable,
            protected: self.args.protect,
            note: self.args.note.clone(),
            tags: tags(self.args)?,
            ..Manifest::default()
        };
        let options = Options { form, level, unix_seconds: request.unix_seconds };
        let host = self.session.host();
        let partial = host.create_partial(path)?;
        let made = Bundled::create(&partial.file, options, manifest)
            .map_err(Into::into)
            .map(|inner| Named::new(inner, (&host, &partial), self.looks()))
            .and_then(|mut sink| self.create(request, &mut sink));
        if !matches!(made, Ok(Outcome::Made(_))) {
            drop(host.remove_file(&partial.path));
        }
        Ok((made?, 0))
    }

    /// A point behind those of a bundle.
    fn extend(&self, path: &Path, request: &Request) -> Result<(Outcome, u64)> {
        let cannot = |error: std::io::Error| super::unreadable(path, &error);
        let refused = |error| super::refused(error, path);
        let file = File::options().read(true).write(true).open(path).map_err(cannot)?;
        bundle::lock(&file).map_err(refused)?;
        let bundle = super::of_file(file.try_clone().map_err(cannot)?, path)?;
        self.check_owner(&bundle, path)?;
        let before_bytes = bundle.file_bytes();
        let unix_seconds = request.unix_seconds;
        let options = Options { form: bundle.form(), level: DEFAULT_LEVEL, unix_seconds };
        let mut sink =
            Bundled::extend(&bundle, &file, options, true).map_err(Box::<Failure>::from)?;
        let unchanged_from = match self.args.skip_unchanged {
            true => last_definition(&bundle).map_err(refused)?,
            false => None,
        };
        let outcome = self.create(&Request { unchanged_from, ..request.clone() }, &mut sink)?;
        if let Outcome::Made(_) = &outcome {
            self.looks().at(&file)?;
        }
        Ok((outcome, before_bytes))
    }

    /// Which of the machines it was, and where its backup was to go.
    fn located(&self, failure: Box<Failure>, bundle: &Path) -> Box<Failure> {
        if failure.code.is_none() {
            return failure;
        }
        let failure = failure.detail("machine", clean(&self.machine.name));
        if failure.details.iter().any(|(name, _)| name == "bundle") {
            return failure;
        }
        failure.detail("bundle", clean(&bundle.display().to_string()))
    }

    /// How what was written is looked at.
    fn looks(&self) -> Looks<'_> {
        let level = match self.args.verify {
            AfterwardsChoice::None => None,
            AfterwardsChoice::Quick => Some(Level::Quick),
            AfterwardsChoice::Deep => Some(Level::Deep),
        };
        Looks { level, progress: self.gauge }
    }
}

/// The definition in the last point of a bundle, as it stands there.
fn last_definition(bundle: &Bundle) -> bundle::Result<Option<String>> {
    let last = bundle.points()?.pop();
    let Some(member) = last.and_then(|point| bundle.member(&point.config)) else { return Ok(None) };
    let mut bytes =
        vec![0; usize::try_from(member.length_bytes.min(MAX_DEFINITION_BYTES)).unwrap_or(0)];
    bundle.bytes(member)?.read_exact_at(&mut bytes, 0)?;
    Ok(String::from_utf8(bytes).ok())
}
