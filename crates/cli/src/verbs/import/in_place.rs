//! `restore --in-place` and `--disk`: what of the host is looked at for them, and who has to agree.

use host::{
    dir,
    libvirt::{Checkpoints as _, Definition, Guest as _, KnownMachine, Libvirt, Snapshots as _},
};
use restore::{
    Choices, Plan, Source,
    plan::{HostFacts, Restored, Safety, Standing, TargetFacts, Where, drive_paths},
};

use super::super::target::Target;
use crate::{
    args::BackArgs,
    confirm,
    failure::{Failure, Result},
    request::Request,
    session::Session,
    show::clean,
};

/// What the flags choose.
///
/// # Errors
/// A plan file or a folder is no place for them.
pub(super) fn choose(back: Option<&BackArgs>, to: &Target, request: &mut Request) -> Result<()> {
    let Some(back) = back.filter(|back| back.in_place || !back.disk.is_empty()) else {
        return Ok(());
    };
    let flag = if back.in_place { "--in-place" } else { "--disk" };
    if request.plan_file.is_some() {
        let text = format!("{flag} is for a backup, and a plan file was given");
        let why = "what is replaced is looked at when it is done, not when a plan is written";
        let tip = format!("relift restore FILE {flag} … --dry-run shows it");
        return Err(Failure::usage(text).cause(why).tip(tip));
    }
    if let (Target::Folder(_), true) = (to, back.in_place) {
        let failure = Failure::usage("--in-place is for a host, and --to names a folder");
        return Err(failure.tip("--to libvirt, or leave --in-place out"));
    }
    request.choices.disks.clone_from(&back.disk);
    request.choices.restored = match (back.in_place, back.no_safety_snapshot) {
        (false, _) => Restored::AsNew,
        (true, false) => Restored::InPlace(Safety::Kept),
        (true, true) => Restored::InPlace(Safety::Removed),
    };
    Ok(())
}

/// Refuses a source that is no backup.
///
/// # Errors
/// See above.
pub(super) fn check_source(choices: &Choices, source: &dyn Source) -> Result<()> {
    let facts = source.facts();
    let is_backup = facts.description.native().is_some_and(|native| native.backup.is_some());
    if is_backup || (choices.restored == Restored::AsNew && choices.disks.is_empty()) {
        return Ok(());
    }
    let flag = if choices.restored == Restored::AsNew { "--disk" } else { "--in-place" };
    let text = format!("{flag} is for a backup, which {} is not", clean(&facts.name));
    Err(Failure::usage(text).tip("--ignore diskN leaves a disk of a package out"))
}

/// Looks at the machine whose place is to be taken: the one of the backup's identity, else of its name.
///
/// # Errors
/// The host does not say, or its definition cannot be read.
pub(super) fn look(
    to: &Target,
    source: &dyn Source,
    (choices, target): (&Choices, &mut TargetFacts),
) -> Result<()> {
    let Restored::InPlace(_) = choices.restored else { return Ok(()) };
    let (Some(libvirt), Where::Host(host)) = (to.connect()?, &mut target.place) else {
        return Ok(());
    };
    let Some(known) = find(host, source) else { return Ok(()) };
    let standing = standing(&libvirt, known)?;
    for path in drive_paths(&standing.definition) {
        if let Ok(facts) = dir::path_facts(&path) {
            if facts.folder.exists && host.is_local {
                target.taken.extend(dir::taken(&facts.folder.path).unwrap_or_default());
            }
            target.paths.insert(path, facts);
        }
    }
    host.standing = Some(standing);
    Ok(())
}

fn find<'a>(host: &'a HostFacts, source: &dyn Source) -> Option<&'a KnownMachine> {
    let machine = &source.facts().description.native()?.stated.machine;
    let mut machines = host.machines.iter();
    let by_uuid = machines.find(|known| Some(known.uuid) == machine.uuid);
    by_uuid.or_else(|| host.machines.iter().find(|known| known.name == machine.name))
}

fn standing(libvirt: &Libvirt, known: &KnownMachine) -> Result<Standing> {
    let snapshots = libvirt.snapshots(known.uuid)?;
    Ok(Standing {
        has_saved_memory: libvirt.has_saved_memory(known.uuid)?,
        checkpoints: libvirt.checkpoints(known.uuid)?,
        snapshots: snapshots.into_iter().map(|snapshot| snapshot.name).collect(),
        ..Standing::new(known, libvirt.definition(known.uuid, Definition::Whole)?)?
    })
}

/// Asks for the name of the machine that is replaced, unless the plan is not carried out anyway.
///
/// # Errors
/// It was not typed.
pub(super) fn confirm(back: Option<&BackArgs>, plan: &Plan, session: &Session) -> Result<()> {
    if back.is_none_or(|back| back.yes) || !plan.blockers().is_empty() {
        return Ok(());
    }
    for machine in &plan.machines {
        let Some(replacing) = &machine.replacing else { continue };
        let name = &machine.machine.name;
        for file in &replacing.files {
            let becomes = match replacing.safety {
                Safety::Kept => format!("is kept as {}", file.aside.display()),
                Safety::Removed => "is removed".to_owned(),
            };
            session.show.say(&clean(&format!("{} {becomes}", file.path.display())));
        }
        confirm::ask_for(name, &format!("The machine {name} is replaced."))?;
    }
    Ok(())
}
