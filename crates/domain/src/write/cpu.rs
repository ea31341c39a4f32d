//! Processors.

use vm::{Accelerator, CpuFeature, Cpus, Machine, Topology};

use xml::Element;

pub(super) fn vcpu(cpus: &Cpus) -> Element<'static> {
    let vcpu = Element::text("vcpu", cpus.most().to_string()).with("placement", "static");
    if cpus.most() > cpus.count { vcpu.with_number("current", cpus.count) } else { vcpu }
}

/// The processor's model, grouping and features.
///
/// Under emulation the default is everything that QEMU can emulate: its plain `qemu64` is older
/// than what current distributions are compiled for, and `host-model` asks for the host's features,
/// which the emulator may lack.
pub(super) fn cpu(machine: &Machine) -> Element<'_> {
    let cpus = &machine.cpus;
    let model = match cpus.model.as_deref() {
        Some(mode @ ("host-model" | "host-passthrough" | "maximum")) => {
            Element::new("cpu").with("mode", mode)
        }
        Some(name) => Element::new("cpu")
            .with("mode", "custom")
            .with("match", "exact")
            .with("check", "partial")
            .holding([Element::text("model", name).with("fallback", "forbid")]),
        None => match machine.accelerator {
            Accelerator::Kvm => Element::new("cpu").with("mode", "host-model"),
            Accelerator::Qemu => Element::new("cpu").with("mode", "maximum"),
        },
    };
    model.holding(cpus.topology.map(topology)).holding(
        emulation_feature(machine)
            .into_iter()
            .chain(cpus.features.iter().flat_map(|asked| feature(*asked)))
            .chain(machine.max_memory_bytes.map(|_| numa(machine))),
    )
}

/// One node with everything: libvirt adds memory to a running guest only where there are nodes.
fn numa(machine: &Machine) -> Element<'static> {
    let last = machine.cpus.most().saturating_sub(1);
    let cell = Element::new("cell")
        .with("id", "0")
        .with("cpus", format!("0-{last}"))
        .with_number("memory", machine.memory_bytes / 1024)
        .with("unit", "KiB");
    Element::new("numa").holding([cell])
}

fn topology(topology: Topology) -> Element<'static> {
    Element::new("topology")
        .with_number("sockets", topology.sockets)
        .with_number("dies", 1_u32)
        .with_number("cores", topology.cores)
        .with_number("threads", topology.threads)
}

/// Emulated 5-level paging stops boot loaders and kernels that do not expect it.
fn emulation_feature(machine: &Machine) -> Option<Element<'static>> {
    let is_chosen_here = machine.accelerator == Accelerator::Qemu && machine.cpus.model.is_none();
    is_chosen_here.then(|| Element::new("feature").with("policy", "disable").with("name", "la57"))
}

/// The machine does not know the host's vendor: of the two names the host's processor has one, and
/// `optional` leaves the other out.
fn feature(asked: CpuFeature) -> [Element<'static>; 2] {
    match asked {
        CpuFeature::Nested => ["vmx", "svm"]
            .map(|name| Element::new("feature").with("policy", "optional").with("name", name)),
    }
}
