//! Taking a machine back to a snapshot.
//!
//! ```text
//! state of the snapshot <- new overlay            made first
//! definition of that moment, upon the new overlays --> libvirt        then the machine
//! the snapshot is told of again, as the current one                   then the tree
//! memory, where it was kept: the machine goes on in it
//! old overlays that no snapshot keeps are removed                     last
//! ```
//!
//! Whatever fails before the last step is taken back. A run that is cut off leaves a machine that starts:
//! from the old overlays until the new definition is there, and from the new ones afterwards.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use domain::Changes;
use host::libvirt::{Definition, Guest, Power, Protection, Wake};
use vm::Uuid;

use super::{
    Found, Subject, chain, disks,
    overlay::{self, Below},
    tree::{self, Tree},
};
use crate::{Error, Kind, Result};

/// What going back will do.
#[derive(Debug, Clone)]
pub struct RevertPlan {
    /// The snapshot.
    pub snapshot: Found,
    /// The disks that go back, with the overlay that each goes on with.
    pub disks: Vec<(String, PathBuf)>,
    /// The images whose content is lost: no snapshot keeps it.
    pub lost: Vec<PathBuf>,
    /// Whether the machine runs afterwards, from the memory that was kept.
    pub wakes: bool,
    heads: Vec<Head>,
    definition: String,
}

#[derive(Debug, Clone)]
struct Head {
    target: String,
    state: PathBuf,
    format: ::disk::Format,
    capacity_bytes: u64,
    overlay: PathBuf,
}

/// Decides what going back does; nothing is changed.
///
/// # Errors
/// There is no such snapshot, it failed, or an image of it is not there or cannot be read.
pub fn plan_revert<H: Protection + ?Sized>(
    subject: &Subject<'_, H>,
    tree: &Tree,
    name: &str,
) -> Result<RevertPlan> {
    let found = tree.find(name)?;
    found.check_usable()?;
    if found.is_internal {
        let (disks, heads, definition) = (Vec::new(), Vec::new(), String::new());
        let wakes = found.content == Some(super::Content::Running);
        return Ok(RevertPlan {
            snapshot: found.clone(),
            disks,
            lost: Vec::new(),
            wakes,
            heads,
            definition,
        });
    }
    let names = tree.names();
    let mut heads = Vec::new();
    for (target, (state, format)) in &found.images {
        let chain = chain::open(state, format)?;
        let overlay = new_overlay(state, name, &names)?;
        heads.push(Head {
            target: target.clone(),
            state: state.clone(),
            format: chain.image.info().format,
            capacity_bytes: chain.image.info().capacity_bytes,
            overlay,
        });
    }
    let then = found.definition()?;
    let images = files(subject, &heads, then)?;
    let changes = Changes {
        name: Some(subject.name.to_owned()),
        formats: formats(&heads),
        images,
        as_definition: true,
        ..Changes::default()
    };
    let definition = domain::patch(then.as_bytes(), &changes)?;
    let back: BTreeSet<String> = heads.iter().map(|head| head.target.clone()).collect();
    let lost = tree::images(subject, tree)?.lost(&back);
    Ok(RevertPlan {
        snapshot: found.clone(),
        disks: heads.iter().map(|head| (head.target.clone(), head.overlay.clone())).collect(),
        lost,
        wakes: found.memory.is_some(),
        heads,
        definition,
    })
}

/// What becomes of images that no snapshot keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftover {
    /// They are removed.
    Removed,
    /// They stay as files that nothing refers to.
    Kept,
}

/// Goes back. Who calls it holds the lock of the machine's records.
///
/// # Errors
/// The machine is not off, a file cannot be made, or the host does not take the machine; all is as it was
/// then.
pub fn revert<H: Protection + ?Sized>(
    subject: &Subject<'_, H>,
    plan: &RevertPlan,
    leftover: Leftover,
) -> Result<()> {
    let (host, machine) = (subject.host, subject.machine);
    if host.power(machine)? != Power::Off {
        let text = format!("the machine {} is not off", subject.name);
        return Err(Error::new(Kind::State, text));
    }
    if plan.snapshot.is_internal {
        return Ok(host.revert(machine, &plan.snapshot.name)?);
    }
    let mut undo = Undo { made: Vec::new(), definition: None, current: None };
    if let Err(error) = go_back(subject, plan, &mut undo) {
        return Err(match undo.take_back(subject) {
            Ok(()) => error,
            Err(other) => error.beside(&other),
        });
    }
    if leftover == Leftover::Removed {
        plan.lost.iter().try_for_each(|image| subject.files.remove_file(image))?;
    }
    Ok(())
}

fn go_back<H: Protection + ?Sized>(
    subject: &Subject<'_, H>,
    plan: &RevertPlan,
    undo: &mut Undo,
) -> Result<()> {
    let (host, machine) = (subject.host, subject.machine);
    let old = host.definition(machine, Definition::Inactive)?;
    let known = host.snapshots(machine)?;
    let current = known.into_iter().find(|one| one.is_current).map(|one| one.xml);
    for head in &plan.heads {
        let Head { state, format, capacity_bytes, overlay, .. } = head;
        let below = Below { image: state, format: *format, capacity_bytes: *capacity_bytes };
        overlay::create(subject.files, overlay, below)?;
        undo.made.push(overlay.clone());
    }
    for folder in
        plan.heads.iter().filter_map(|head| head.overlay.parent()).collect::<BTreeSet<_>>()
    {
        subject.files.sync_folder(folder)?;
    }
    undo.definition = Some(old);
    host.define(subject.name, &plan.definition)?;
    let (_, xml) = plan.snapshot.check_usable()?;
    undo.current = current;
    host.define_current_snapshot(machine, xml)?;
    if let Some(memory) = &plan.snapshot.memory {
        let then = host.memory_definition(memory)?;
        let images = files(subject, &plan.heads, &then)?;
        let formats = formats(&plan.heads);
        let changes = Changes { images, formats, ..Changes::default() };
        let definition = domain::patch(then.as_bytes(), &changes)?;
        host.restore_memory(memory, &definition, Wake::Running)?;
    }
    Ok(())
}

/// What was done and can be taken back.
struct Undo {
    made: Vec<PathBuf>,
    /// The definition that was replaced.
    definition: Option<String>,
    /// The document of the snapshot that was the current one.
    current: Option<String>,
}

impl Undo {
    /// Newest first; a file goes only when nothing is defined upon it any more.
    fn take_back<H: Protection + ?Sized>(self, subject: &Subject<'_, H>) -> Result<()> {
        if let Some(xml) = &self.current {
            subject.host.define_current_snapshot(subject.machine, xml)?;
        }
        if let Some(xml) = &self.definition {
            subject.host.define(subject.name, xml)?;
        }
        Ok(self.made.iter().try_for_each(|file| subject.files.remove_file(file))?)
    }
}

/// Turns a machine off by asking its guest, and waits for it: `pause` waits a moment, and says whether
/// to go on waiting.
///
/// # Errors
/// The guest is not off when `pause` says that it is enough.
pub fn stop<H: Guest + ?Sized>(
    host: &H,
    machine: Uuid,
    mut pause: impl FnMut() -> bool,
) -> Result<()> {
    if host.power(machine)? == Power::Off {
        return Ok(());
    }
    host.shut_down(machine)?;
    while host.power(machine)? != Power::Off {
        if !pause() {
            let text = "the guest was asked to shut down, and is not off yet";
            return Err(Error::new(Kind::State, text));
        }
    }
    Ok(())
}

/// The file of each disk: the new overlays, and for disks that are not in the snapshot those that they have.
fn files<H: Guest + ?Sized>(
    subject: &Subject<'_, H>,
    heads: &[Head],
    then: &str,
) -> Result<BTreeMap<String, PathBuf>> {
    let drives = domain::drives(then.as_bytes())?;
    let is_then = |target: &str| {
        drives.iter().any(|drive| {
            drive.target == target && matches!(drive.source, domain::DriveSource::File(_))
        })
    };
    let now = tree::heads(subject)?.into_iter().filter(|(target, ..)| is_then(target));
    let mut files: BTreeMap<String, PathBuf> =
        now.map(|(target, image, _)| (target, image)).collect();
    files.extend(heads.iter().map(|head| (head.target.clone(), head.overlay.clone())));
    Ok(files)
}

fn formats(heads: &[Head]) -> BTreeMap<String, vm::DiskFormat> {
    heads.iter().map(|head| (head.target.clone(), vm::DiskFormat::Qcow2)).collect()
}

/// `<stem>.<snapshot>-N.qcow2` beside the state, the first that is free.
fn new_overlay(state: &Path, snapshot: &str, names: &[String]) -> Result<PathBuf> {
    let stem = disks::stem(state, names);
    let candidates =
        (2..1000).map(|number| state.with_file_name(format!("{stem}.{snapshot}-{number}.qcow2")));
    let mut free = candidates.filter(|path| path.symlink_metadata().is_err());
    free.next().ok_or_else(|| {
        let text = format!("no name is free for an overlay of {}", state.display());
        Error::new(Kind::Exists, text)
    })
}

#[cfg(test)]
mod tests {
    use code::Code;
    use host::fake::{Fake, FakeGuest};

    use super::{
        super::fixture::{Lab, MACHINE},
        *,
    };

    fn run(lab: &Lab, fake: &Fake, name: &str) -> Result<RevertPlan> {
        let subject = lab.subject(fake);
        let plan = plan_revert(&subject, &tree::tree(&subject)?, name)?;
        revert(&subject, &plan, Leftover::Removed).map(|()| plan)
    }

    const ALL: [&str; 3] = ["base.qcow2", "base.s1.qcow2", "base.s2.qcow2"];

    #[test]
    fn the_machine_goes_on_upon_the_state_and_what_nobody_keeps_goes() {
        let lab = Lab::new();
        let fake = Fake::new(None).with_guest(lab.guest());
        let plan = run(&lab, &fake, "s1").unwrap();
        let folder = lab.path("").file_name().map(|name| name.to_string_lossy().into_owned());
        assert_eq!(
            fake.acts(),
            [
                "create base.s1-2.qcow2".to_owned(),
                "publish base.s1-2.qcow2".to_owned(),
                format!("sync {}", folder.unwrap()),
                "define web".to_owned(),
                "current snapshot s1".to_owned(),
                "remove base.s2.qcow2".to_owned(),
            ]
        );
        // The first overlay is the state of s2.
        assert_eq!(lab.images(), ["base.qcow2", "base.s1-2.qcow2", "base.s1.qcow2"]);
        let chain = chain::open(&lab.path("base.s1-2.qcow2"), "qcow2").unwrap();
        assert_eq!(chain.below, [(lab.path("base.s1-2.qcow2"), lab.path("base.qcow2"))].into());
        let drives = domain::drives(plan.definition.as_bytes()).unwrap();
        assert_eq!(drives[0].source, domain::DriveSource::File(lab.path("base.s1-2.qcow2")));
        assert!(plan.definition.contains("<name>web</name>"), "{}", plan.definition);
    }

    #[test]
    fn whatever_fails_is_taken_back() {
        for fail_at in 0..5 {
            let lab = Lab::new();
            let fake = Fake::new(Some(fail_at)).with_guest(lab.guest());
            run(&lab, &fake, "s1").unwrap_err();
            assert_eq!(lab.images(), ALL, "{:?}", fake.acts());
            let acts = fake.acts();
            let back = &acts[fail_at + 1..];
            match fail_at {
                3 => assert_eq!(back, ["define web", "remove base.s1-2.qcow2"]),
                4 => assert_eq!(
                    back,
                    ["current snapshot s2", "define web", "remove base.s1-2.qcow2"]
                ),
                _ => {}
            }
        }
    }

    #[test]
    fn memory_is_read_back_and_the_machine_runs() {
        let lab = Lab::new();
        let mut guest = lab.guest();
        let memory = "<memory snapshot='external' file='/m/s1.memory'/>";
        guest.snapshots[0].xml = guest.snapshots[0].xml.replace("<memory snapshot='no'/>", memory);
        guest.memory_definition = lab.definition("base.qcow2");
        let fake = Fake::new(None).with_guest(guest);
        let plan = run(&lab, &fake, "s1").unwrap();
        assert!(plan.wakes);
        assert_eq!(fake.acts()[5..], ["restore memory s1.memory", "remove base.s2.qcow2"]);
        assert_eq!(fake.guest().power, Power::Running);
    }

    #[test]
    fn only_a_machine_that_is_off_goes_back_and_it_can_be_asked_to_stop() {
        let lab = Lab::new();
        let guest = FakeGuest { power: Power::Running, ..lab.guest() };
        let fake = Fake::new(None).with_guest(guest);
        let error = run(&lab, &fake, "s1").unwrap_err();
        assert_eq!(error.to_string(), "the machine web is not off");
        assert_eq!(error.code(), Some(Code::E0510));
        assert_eq!(fake.acts(), [""; 0]);
        stop(&fake, MACHINE, || false).unwrap();
        stop(&fake, MACHINE, || false).unwrap();
        assert_eq!(fake.acts(), [format!("shut down {MACHINE}")]);
    }

    #[test]
    fn internal_snapshots_are_left_to_libvirt() {
        let lab = Lab::new();
        let mut guest = lab.guest();
        guest.snapshots[0].xml = guest.snapshots[0].xml.replace("'external'", "'internal'");
        let fake = Fake::new(None).with_guest(guest);
        run(&lab, &fake, "s1").unwrap();
        assert_eq!(fake.acts(), ["revert to s1"]);
    }
}
