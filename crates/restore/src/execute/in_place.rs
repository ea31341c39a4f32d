//! A machine of the host is replaced: the order of `plan::replacing`, each act with its way back.

use std::path::Path;

use code::Code;
use domain::DriveSource;
use host::libvirt::{Definition, Detail, Extent, Power, Protection, Scope};

use super::Execution;
use crate::{
    Error, Plan,
    plan::{MachinePlan, Replacing, Safety},
    undo::Undo,
};

/// Holds the machines that are replaced: from here on they are defined with the second names of their
/// files, whose first ones are free.
///
/// # Errors
/// A machine is not as it was planned from; a file takes no second name; the host does not take the
/// definition.
pub(super) fn hold<'a>(
    plan: &'a Plan,
    with: &Execution<'a>,
    undo: &mut Undo<'a>,
) -> Result<(), Error> {
    let Some(hypervisor) = with.hypervisor else { return Ok(()) };
    for machine in &plan.machines {
        let Some(replacing) = &machine.replacing else { continue };
        let name = &machine.machine.name;
        require_unchanged(name, replacing, hypervisor)?;
        for file in &replacing.files {
            with.host.second_name(&file.path, &file.aside)?;
            undo.second_name(&file.aside);
        }
        if let Some(path) = &replacing.xml {
            let partial = super::write(path, replacing.held.as_bytes(), with, undo)?;
            super::publish(plan, &partial, with, undo)?;
        }
        sync(replacing, with)?;
        // It is taken back even where nobody knows whether it was done: the way back is the same.
        undo.redefines(name, &replacing.document);
        hypervisor.define(name, &replacing.held)?;
        for file in &replacing.files {
            with.host.remove_file(&file.path)?;
            undo.lost_name(&file.aside, &file.path);
        }
    }
    Ok(())
}

/// Puts the new definition in the place of the one that is held, without what libvirt knows of disks that
/// the machine has no more.
///
/// # Errors
/// The machine was started meanwhile; the host does not take the definition, or shows another one.
pub(super) fn define<'a>(
    machine: &'a MachinePlan,
    replacing: &'a Replacing,
    hypervisor: &dyn Protection,
    undo: &mut Undo<'a>,
) -> Result<(), Error> {
    let name = &machine.machine.name;
    require_off(name, replacing, hypervisor)?;
    forget(replacing, hypervisor, undo)?;
    undo.redefines(name, &replacing.held);
    hypervisor.define(name, machine.domain_xml.as_deref().unwrap_or_default())?;
    for snapshot in &machine.snapshots {
        undo.told_snapshot(replacing.uuid, &snapshot.name);
        hypervisor.define_snapshot(replacing.uuid, &snapshot.document)?;
    }
    look(machine, &hypervisor.definition(replacing.uuid, Definition::Inactive)?)
}

/// Removes the second names that nobody wants; the new machine is there, whatever becomes of them.
pub(super) fn finish(plan: &Plan, with: &Execution<'_>) {
    let machines = plan.machines.iter().filter_map(|machine| machine.replacing.as_ref());
    let removed = machines.filter(|replacing| replacing.safety == Safety::Removed);
    let files: Vec<_> = removed.flat_map(|replacing| &replacing.files).collect();
    for file in &files {
        drop(with.host.remove_file(&file.aside));
    }
    if let (Some(host), Some(hypervisor), false) = (&plan.host, with.hypervisor, files.is_empty()) {
        for pool in &host.pools {
            drop(hypervisor.refresh_pool(pool));
        }
    }
}

/// Forgets the checkpoints of ours and all snapshots, children before their parents.
fn forget<'a>(
    replacing: &'a Replacing,
    hypervisor: &dyn Protection,
    undo: &mut Undo<'a>,
) -> Result<(), Error> {
    let uuid = replacing.uuid;
    for name in replacing.checkpoints.iter().rev() {
        let xml = hypervisor.checkpoint_xml(uuid, name, Detail::Definition)?;
        hypervisor.delete_checkpoint(uuid, name, Scope::One, Extent::Metadata)?;
        undo.forgot_checkpoint(uuid, xml);
    }
    for snapshot in hypervisor.snapshots(uuid)?.into_iter().rev() {
        hypervisor.delete_snapshot(uuid, &snapshot.name, Scope::One, Extent::Metadata)?;
        undo.forgot_snapshot(uuid, snapshot);
    }
    Ok(())
}

/// Refuses a machine that is not the one that was planned from.
fn require_unchanged(
    name: &str,
    replacing: &Replacing,
    hypervisor: &dyn Protection,
) -> Result<(), Error> {
    require_off(name, replacing, hypervisor)?;
    let snapshots = hypervisor.snapshots(replacing.uuid)?;
    let is_same = snapshots.iter().map(|snapshot| &snapshot.name).eq(&replacing.snapshots);
    if is_same && hypervisor.definition(replacing.uuid, Definition::Whole)? == replacing.document {
        return Ok(());
    }
    let text = format!("the machine {name} has been changed in the meantime");
    Err(Error::new(Code::E0503, text).fix("plan again: --dry-run shows what becomes of it"))
}

fn require_off(
    name: &str,
    replacing: &Replacing,
    hypervisor: &dyn Protection,
) -> Result<(), Error> {
    let is_off = hypervisor.power(replacing.uuid)? == Power::Off;
    if is_off && !hypervisor.has_saved_memory(replacing.uuid)? {
        return Ok(());
    }
    let text = format!("the machine {name} is not off any more");
    Err(Error::new(Code::E0510, text)
        .fix(format!("virsh shutdown {name}, and again when it is off")))
}

/// Looks whether the host shows the machine with the files of the plan.
fn look(machine: &MachinePlan, shown: &str) -> Result<(), Error> {
    let drives = domain::drives(shown.as_bytes())?;
    let is_written = |disk: &&vm::Disk| machine.files.iter().any(|file| file.to == disk.image);
    for disk in machine.machine.disks.iter().filter(is_written) {
        let is_there = |path: &Path| {
            drives.iter().any(|drive| {
                matches!(&drive.source,
                    DriveSource::File(file) | DriveSource::Block(file) if file == path)
            })
        };
        if !is_there(&disk.image) {
            let name = &machine.machine.name;
            let text = format!("the host shows {name} without {}", disk.image.display());
            return Err(Error::new(Code::E0502, text));
        }
    }
    Ok(())
}

/// Makes the names of the old files durable.
fn sync(replacing: &Replacing, with: &Execution<'_>) -> Result<(), Error> {
    let mut folders: Vec<&Path> =
        replacing.files.iter().filter_map(|file| file.path.parent()).collect();
    folders.sort_unstable();
    folders.dedup();
    for folder in folders {
        with.host.sync_folder(folder)?;
    }
    Ok(())
}
