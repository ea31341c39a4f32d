//! By what the guest is executed: as its definition says, unless the user or the host wants otherwise.

use convert::Row;
use vm::Accelerator;

use super::{Draft, Inputs};

/// Adds the change, where there is one.
pub(super) fn plan(inputs: &Inputs<'_>, draft: &mut Draft) {
    let stated = inputs.definition.machine.accelerator;
    let Some(wanted) = inputs.choices.executed_by.filter(|wanted| *wanted != stated) else {
        return;
    };
    let row = Row::kept("virt_type", "executed by", named(stated), named(wanted)).changed();
    draft.rows.push(row.because(match wanted {
        Accelerator::Kvm => "--virt-type kvm",
        Accelerator::Qemu => "no KVM: a processor of the host becomes all that QEMU emulates",
    }));
    draft.changes.accelerator = Some(wanted);
}

const fn named(accelerator: Accelerator) -> &'static str {
    match accelerator {
        Accelerator::Kvm => "KVM",
        Accelerator::Qemu => "QEMU",
    }
}
