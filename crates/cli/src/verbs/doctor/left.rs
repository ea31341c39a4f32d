//! What interrupted backups left: found by every `doctor`, put right by `doctor --repair`.

use std::path::Path;

use backup::{
    State,
    create::{Known, Leftover},
    repair::{Held, Reach, half_written, known_in, remove_half_written},
};
use code::Code;
use host::{
    dir::Dir,
    here,
    libvirt::{KnownMachine, Libvirt},
};
use serde::Serialize;

use super::{Check, warn};
use crate::{
    args::DoctorArgs,
    failure::{Failure, Result},
    show::{clean, table::Table},
    state,
    verbs::backup::find_machine,
};

/// Something that was left, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Left {
    /// The machine; `None` for a file that belongs to none.
    vm: Option<String>,
    state: Fate,
    /// What is there, what was done, or why nothing could be looked at.
    what: String,
    /// Why it is still there.
    code: Option<Named>,
    /// What to do, where the page of the code says less.
    #[serde(skip)]
    fix: Option<&'static str>,
}

/// What became of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Fate {
    /// It is there.
    Found,
    /// It was put right.
    Repaired,
    /// It is in use, or cannot be judged now.
    Skipped,
    /// It could not be put right.
    Failed,
}

impl Fate {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Repaired => "repaired",
            Self::Skipped => "skipped",
            Self::Failed => "FAILED",
        }
    }
}

/// A code that documents have by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Named(Code);

impl Serialize for Named {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

/// Looks at the machines that relift has backed up, or at all of them where that was asked for.
pub(super) fn of_machines(args: &DoctorArgs, host: &Libvirt) -> Result<Vec<Left>> {
    let state = state::of_environment();
    if !host.is_local() {
        return match args.repair {
            false => Ok(Vec::new()),
            true => Err(Failure::usage(format!("{} is another computer", host.uri()))
                .tip("run relift on that computer")),
        };
    }
    // A host that runs no backups is not asked for its machines.
    if !args.repair && !state.folder().is_dir() {
        return Ok(Vec::new());
    }
    let machines = match host.machines() {
        Ok(machines) => machines,
        Err(error) if args.repair => return Err(error.into()),
        // The line of libvirt tells how it is.
        Err(_) => return Ok(Vec::new()),
    };
    let chosen: Vec<&KnownMachine> = if args.vm.is_empty() {
        machines.iter().filter(|it| args.repair || state.backup_lock(it.uuid).exists()).collect()
    } else {
        let find = |name: &String| find_machine(&machines, name, host.uri());
        args.vm.iter().map(find).collect::<Result<_>>()?
    };
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let (known, unsure) = known_in(&state.places().unwrap_or_default());
    let mut left = Vec::new();
    if args.repair {
        left.extend(unsure.iter().map(|it| {
            let folder = it.folder.display();
            let what = format!("the checkpoints of backups in {folder}: {}", it.reason);
            Left { vm: None, state: Fate::Skipped, what, code: None, fix: None }
        }));
    }
    for machine in chosen {
        let others = machines.iter().filter(|one| one.uuid != machine.uuid);
        let foreign: Vec<_> = others.flat_map(|one| one.disks.iter().cloned()).collect();
        let files = Dir::new(here::name());
        let reach = Reach { host, files: &files, name: &machine.name, foreign: &foreign };
        left.extend(of_machine(args, &state, (machine, &known), reach));
    }
    Ok(left)
}

/// Looks at a machine; what goes wrong with it keeps no other from being looked at.
fn of_machine(
    args: &DoctorArgs,
    state: &State,
    (machine, known): (&KnownMachine, &Known),
    reach: Reach<'_>,
) -> Vec<Left> {
    let vm = || Some(machine.name.clone());
    let told = |state, what: String| Left { vm: vm(), state, what, code: None, fix: None };
    let failed = |what: String, error: &backup::Error| {
        let (code, fix) = (error.code().map(Named), error.fix());
        Left { code, fix, ..told(Fate::Failed, what) }
    };
    let looked = Held::take(state, machine.uuid)
        .and_then(|held| held.look(known, reach).map(|found| (held, found)));
    let (held, found) = match looked {
        Ok(looked) => looked,
        Err(error) if error.code() == Some(Code::E0602) => {
            // Whoever has it puts right what there is before anything else.
            let is_told = args.repair;
            let line = told(Fate::Skipped, error.to_string());
            return is_told.then_some(line).into_iter().collect();
        }
        Err(error) => return vec![failed(error.to_string(), &error)],
    };
    let one = |leftover: &Leftover| {
        if !args.repair || args.dry_run {
            return told(Fate::Found, leftover.found());
        }
        match held.put_right(leftover, reach) {
            Ok(Some(note)) => told(Fate::Repaired, note.0),
            Ok(None) => told(Fate::Skipped, format!("{}: it stays", leftover.found())),
            Err(error) => failed(format!("{}: {error}", leftover.found()), &error),
        }
    };
    found.iter().map(one).collect()
}

/// Looks for backups that were only begun, in the folders that backups were written to.
pub(super) fn of_folders(args: &DoctorArgs) -> Vec<Left> {
    // A file that was only begun does not tell its machine.
    if !args.vm.is_empty() {
        return Vec::new();
    }
    let places = state::of_environment().places().unwrap_or_default();
    // A folder that is not there now has nothing to be put right.
    let files = places.iter().flat_map(|folder| half_written(folder).unwrap_or_default());
    files.map(|path| of_file(args, &path)).collect()
}

fn of_file(args: &DoctorArgs, path: &Path) -> Left {
    let told = |state, what: String, code| Left { vm: None, state, what, code, fix: None };
    let shown = path.display();
    if !args.repair || args.dry_run {
        return told(Fate::Found, format!("{shown}, a backup that was only begun"), None);
    }
    match remove_half_written(path) {
        Ok(()) => {
            let what = format!("removed {shown}, a backup that was only begun");
            told(Fate::Repaired, what, None)
        }
        Err(error) => told(Fate::Failed, error.to_string(), error.code().map(Named)),
    }
}

/// The line among the checks: what there is, and how it is put right.
pub(super) fn check(args: &DoctorArgs, left: &[Left]) -> Option<Check> {
    let count = left.iter().filter(|it| it.state == Fate::Found).count();
    let things = if count == 1 { "1 thing".to_owned() } else { format!("{count} things") };
    let again = if args.dry_run { "the same without --dry-run" } else { "relift doctor --repair" };
    (count > 0).then(|| warn("left behind", format!("{things} of interrupted backups"), again))
}

/// A line a thing; nothing where there is none.
pub(super) fn text(left: &[Left]) -> String {
    if left.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[]);
    for one in left {
        table.row([
            one.state.as_str(),
            &clean(one.vm.as_deref().unwrap_or("-")),
            &clean(&one.what),
        ]);
    }
    format!("\n{}\n", table.lines(2, None).join("\n"))
}

/// The first thing that could not be put right.
pub(super) fn failure(left: &[Left]) -> Option<Box<Failure>> {
    let first = left.iter().find(|it| it.state == Fate::Failed)?;
    let code = first.code.map_or(Code::E0508, |Named(code)| code);
    let failure = Failure::new(code, "not everything could be put right").cause(first.what.clone());
    Some(failure.fix_if_known(first.fix))
}
