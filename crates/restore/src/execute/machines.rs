//! What is done on a libvirt host once the images have their names.

use code::Code;
use host::libvirt::Protection;

use super::{Execution, in_place};
use crate::{
    Error, Plan,
    plan::{HostPlan, MachinePlan},
    undo::Undo,
};

/// Makes the names durable, lets the pool see the files, and defines the machines.
pub(super) fn define<'a>(
    plan: &'a Plan,
    host: &HostPlan,
    (with, hypervisor): (&Execution<'a>, &'a dyn Protection),
    undo: &mut Undo<'a>,
) -> Result<(), Error> {
    let mut folders: Vec<_> = super::files(plan).filter_map(|(_, file)| file.to.parent()).collect();
    folders.sort_unstable();
    folders.dedup();
    for folder in &folders {
        with.host.sync_folder(folder)?;
    }
    for pool in host.pools.iter().filter(|_| !folders.is_empty()) {
        undo.refreshes(pool);
        hypervisor.refresh_pool(pool)?;
    }
    for machine in &plan.machines {
        super::stop_if_asked(with.watch)?;
        if let Some(replacing) = &machine.replacing {
            in_place::define(machine, replacing, hypervisor, undo)?;
            continue;
        }
        let xml = machine.domain_xml.as_deref().unwrap_or_default();
        require_new(machine, hypervisor)?;
        hypervisor.define(&machine.machine.name, xml)?;
        if let Some(uuid) = machine.machine.uuid {
            undo.defined(uuid);
            for snapshot in &machine.snapshots {
                super::stop_if_asked(with.watch)?;
                hypervisor.define_snapshot(uuid, &snapshot.document)?;
            }
        }
    }
    Ok(())
}

/// Refuses a machine that somebody else has defined since the plan was made: libvirt would replace it,
/// and a run that fails later would take it away.
fn require_new(machine: &MachinePlan, hypervisor: &dyn Protection) -> Result<(), Error> {
    let Some(uuid) = machine.machine.uuid else { return Ok(()) };
    if !hypervisor.is_defined(uuid)? {
        return Ok(());
    }
    let text = format!("a machine with the UUID {uuid} has come to the host in the meantime");
    Err(Error::new(Code::E0503, text).fix("plan again: relift plan shows what is in the way"))
}

/// Starts the machines that are to run, in the order of the plan.
///
/// What was brought here stays whatever happens: it is whole, and took its time.
///
/// # Errors
/// A machine does not start; those behind it are not tried.
pub(super) fn start(plan: &Plan, hypervisor: Option<&dyn Protection>) -> Result<(), Error> {
    let (Some(host), Some(hypervisor)) = (&plan.host, hypervisor) else { return Ok(()) };
    for machine in plan.machines.iter().filter(|_| host.start) {
        let Some(uuid) = machine.machine.uuid else { continue };
        hypervisor.start(uuid).map_err(|error| not_started(machine, error))?;
    }
    Ok(())
}

fn not_started(machine: &MachinePlan, error: host::libvirt::LibvirtError) -> Error {
    let name = &machine.machine.name;
    let text = format!("the machine {name} is there, and does not start");
    Error::new(error.code(), text)
        .fix(format!("see why, then: virsh start {name}"))
        .caused_by(error)
}
