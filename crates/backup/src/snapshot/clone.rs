//! A new machine from the state of a snapshot.
//!
//! Each disk of the state is copied, chain and all, into one image of its own, by the loop that copies every
//! disk; the definition of that moment gets another name and identity. It does not go through the planner
//! of `restore`: that one plans packages, whose files have names of a package and no path.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use ::disk::{Compression, Progress};
use convert::{
    Identity,
    copy::{Settings, TargetOptions, copy_image},
};
use domain::{Changes, DriveDevice};
use host::{Host, libvirt::Hypervisor};
use vm::{DiskFormat, MacAddress, Uuid};

use super::{Subject, Tree, chain};
use crate::{Error, Kind, Result};

/// What is wanted of the new machine.
#[derive(Debug, Clone)]
pub struct CloneOptions {
    /// Its name.
    pub name: String,
    /// The folder of its disks; `None` for beside each image.
    pub storage: Option<PathBuf>,
    /// Worker threads.
    pub workers: usize,
}

/// What the new machine will be.
#[derive(Debug, Clone)]
pub struct ClonePlan {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uuid: Uuid,
    /// The addresses of its network cards.
    pub macs: Vec<MacAddress>,
    /// Its disks: the disk, the state that is copied, and the new image.
    pub disks: Vec<(String, PathBuf, PathBuf)>,
    /// The drives that it does not have, and why.
    pub dropped: Vec<(String, String)>,
    /// The file with its firmware's variables, and the one that they are copied from.
    pub variables: Option<(PathBuf, PathBuf)>,
    formats: BTreeMap<String, String>,
    definition: String,
    workers: usize,
}

/// A new machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cloned {
    /// Bytes of guests that were copied.
    pub data_bytes: u64,
    /// Length of the written files.
    pub file_bytes: u64,
}

/// Decides what the new machine is; nothing is changed.
///
/// # Errors
/// There is no such snapshot, it failed or is internal, a file of the new machine is there already, or its
/// definition cannot be changed.
pub fn plan_clone<H: ?Sized>(
    subject: &Subject<'_, H>,
    tree: &Tree,
    snapshot: &str,
    options: &CloneOptions,
) -> Result<ClonePlan> {
    let found = tree.find(snapshot)?;
    let then = found.definition()?;
    if found.is_internal {
        let text = format!("the snapshot {snapshot} is inside its images: only libvirt gets at it");
        return Err(Error::new(Kind::State, text));
    }
    let seed = format!("{}/{snapshot}", subject.machine);
    let identity = Identity::new(then.as_bytes(), &seed, &options.name);
    let cards = domain::read(then.as_bytes())?.machine.nics.len();
    let macs: Vec<MacAddress> = (0..cards).map(|card| identity.mac(card)).collect();
    let slug = convert::slug(&options.name);
    let mut disks = Vec::new();
    let mut changes = Changes {
        name: Some(options.name.clone()),
        uuid: Some(identity.uuid()),
        macs: macs.iter().copied().enumerate().collect(),
        as_definition: true,
        ..Changes::default()
    };
    let mut dropped = Vec::new();
    for drive in domain::drives(then.as_bytes())? {
        if let Some((state, _)) = found.images.get(&drive.target) {
            let folder = options.storage.as_deref().or_else(|| state.parent());
            let number = disks.len();
            let image = folder.unwrap_or(Path::new("/")).join(format!("{slug}-disk{number}.qcow2"));
            changes.images.insert(drive.target.clone(), image.clone());
            changes.formats.insert(drive.target.clone(), DiskFormat::Qcow2);
            disks.push((drive.target, state.clone(), image));
            continue;
        }
        match drive.device {
            // Nobody writes to a CD: two machines may have it.
            DriveDevice::Cdrom => {}
            DriveDevice::Floppy => {
                changes.eject.insert(drive.target);
            }
            DriveDevice::Disk | DriveDevice::Lun => {
                dropped.push((drive.target.clone(), "not in the snapshot".to_owned()));
                changes.detach.insert(drive.target);
            }
        }
    }
    let variables = domain::firmware_files(then.as_bytes())?.variables.map(|old| {
        let new = old.with_file_name(format!("{slug}_VARS.fd"));
        changes.nvram = Some(new.clone());
        (new, old)
    });
    let made = disks.iter().map(|(.., image)| image).chain(variables.iter().map(|(new, _)| new));
    let mut names = BTreeSet::new();
    for file in made {
        if file.symlink_metadata().is_ok() || !names.insert(file) {
            return Err(Error::new(Kind::Exists, format!("{} exists already", file.display())));
        }
    }
    let formats =
        found.images.iter().map(|(target, (_, format))| (target.clone(), format.clone())).collect();
    Ok(ClonePlan {
        name: options.name.clone(),
        uuid: identity.uuid(),
        macs,
        dropped,
        variables,
        formats,
        definition: domain::patch(then.as_bytes(), &changes)?,
        workers: options.workers,
        disks,
    })
}

/// Makes the new machine; it is off.
///
/// # Errors
/// An image cannot be read or written, `progress` said stop, or the host does not take the machine; nothing
/// of it is left then.
pub fn clone<H: Hypervisor + ?Sized>(
    subject: &Subject<'_, H>,
    plan: &ClonePlan,
    progress: &dyn Progress,
) -> Result<Cloned> {
    let mut made = Vec::new();
    let done = copy(subject.files, plan, progress, &mut made).and_then(|cloned| {
        Ok(subject.host.define(&plan.name, &plan.definition).map(|()| cloned)?)
    });
    if done.is_err() {
        for file in &made {
            // The failure itself is what is told.
            drop(subject.files.remove_file(file));
        }
    }
    done
}

fn copy(
    files: &dyn Host,
    plan: &ClonePlan,
    progress: &dyn Progress,
    made: &mut Vec<PathBuf>,
) -> Result<Cloned> {
    let mut cloned = Cloned::default();
    for (target, state, image) in &plan.disks {
        let format = plan.formats.get(target).map_or("qcow2", String::as_str);
        let chain = chain::open(state, format)?;
        let partial = files.create_partial(image)?;
        made.push(partial.path.clone());
        let file =
            partial.file.try_clone().map_err(|error| Error::io("cannot write", image, error))?;
        let options = TargetOptions::Qcow2(Compression::None);
        let mut new = options.create(Arc::new(file), chain.image.info().capacity_bytes)?;
        let settings = Settings { workers: plan.workers };
        let summary = copy_image(&*chain.image, &mut *new, settings, progress)?;
        cloned.data_bytes = cloned.data_bytes.saturating_add(summary.data_bytes);
        cloned.file_bytes = cloned.file_bytes.saturating_add(summary.file_bytes);
        files.publish(&partial)?;
        made.pop();
        made.push(image.clone());
    }
    if let Some((new, old)) = &plan.variables {
        let partial = files.create_partial(new)?;
        made.push(partial.path.clone());
        let mut file = &partial.file;
        let mut source =
            std::fs::File::open(old).map_err(|error| Error::io("cannot read", old, error))?;
        std::io::copy(&mut source, &mut file)
            .map_err(|error| Error::io("cannot write", new, error))?;
        files.publish(&partial)?;
        made.pop();
        made.push(new.clone());
    }
    let folders: BTreeSet<&Path> = made.iter().filter_map(|file| file.parent()).collect();
    folders.into_iter().try_for_each(|folder| files.sync_folder(folder))?;
    Ok(cloned)
}

#[cfg(test)]
mod tests {
    use ::disk::Unheard;
    use code::Code;
    use host::fake::Fake;

    use super::{
        super::{fixture::Lab, tree},
        *,
    };

    fn options() -> CloneOptions {
        CloneOptions { name: "Web Two".to_owned(), storage: None, workers: 1 }
    }

    #[test]
    fn the_new_machine_has_its_own_name_identity_and_flat_disks() {
        let lab = Lab::new();
        let fake = Fake::new(None).with_guest(lab.guest());
        let subject = lab.subject(&fake);
        let plan = plan_clone(&subject, &tree(&subject).unwrap(), "s2", &options()).unwrap();
        clone(&subject, &plan, &Unheard).unwrap();
        let image = lab.path("Web-Two-disk0.qcow2");
        assert_eq!(plan.disks, [("vda".to_owned(), lab.path("base.s1.qcow2"), image.clone())]);
        let chain = chain::open(&image, "qcow2").unwrap();
        assert!(chain.below.is_empty());
        assert_eq!(chain.image.info().capacity_bytes, 1 << 20);
        let made = domain::read(plan.definition.as_bytes()).unwrap().machine;
        assert_eq!((made.name.as_str(), made.uuid), ("Web Two", Some(plan.uuid)));
        assert_eq!(made.nics[0].mac, Some(plan.macs[0]));
        assert_ne!(plan.uuid, subject.machine);
        assert_eq!(fake.acts()[..2], ["create Web-Two-disk0.qcow2", "publish Web-Two-disk0.qcow2"]);
        assert_eq!(fake.acts()[3..], ["define Web Two"]);
    }

    #[test]
    fn nothing_is_left_of_a_machine_that_cannot_be_made() {
        for fail_at in 0..4 {
            let lab = Lab::new();
            let fake = Fake::new(Some(fail_at)).with_guest(lab.guest());
            let subject = lab.subject(&fake);
            let plan = plan_clone(&subject, &tree(&subject).unwrap(), "s1", &options()).unwrap();
            clone(&subject, &plan, &Unheard).unwrap_err();
            assert_eq!(lab.images().len(), 3, "{:?}", fake.acts());
        }
    }

    #[test]
    fn a_file_that_is_there_is_not_overwritten() {
        let lab = Lab::new();
        lab.overlay("base.qcow2", "Web-Two-disk0.qcow2");
        let fake = Fake::new(None).with_guest(lab.guest());
        let subject = lab.subject(&fake);
        let error = plan_clone(&subject, &tree(&subject).unwrap(), "s1", &options()).unwrap_err();
        assert_eq!(error.code(), Some(Code::E0509));
    }
}
