//! Processors.

use code::Code;
use vm::{Accelerator, CpuFeature, Cpus, Topology};

use super::notes::Notes;
use crate::{Error, document::Element};

/// As many processors as a [`vm::Machine`] has.
const MAX_CPUS: u64 = 4096;
/// What QEMU takes for x86 where a document asks for no model.
const QEMU_DEFAULT: &str = "qemu64";
/// The names of virtualization inside the guest, at Intel and at AMD.
const NESTED: [&str; 2] = ["vmx", "svm"];
/// The feature that is left out of the emulator's default model, see `write::cpu`.
const FIVE_LEVEL_PAGING: &str = "la57";

pub(super) fn cpus(
    root: &Element<'_>,
    accelerator: Accelerator,
    notes: &mut Notes<'_>,
) -> Result<Cpus, Error> {
    let count = count(root, notes)?;
    let Some(cpu) = root.first("cpu") else {
        let model = Some(QEMU_DEFAULT.to_owned());
        return Ok(Cpus { count, topology: None, model, features: Vec::new() });
    };
    let model = model(cpu, accelerator);
    let topology = cpu.first("topology").map(|group| topology(group, count, notes));
    let features = features(cpu, accelerator, model.is_none(), notes);
    Ok(Cpus { count, topology: topology.transpose()?.flatten(), model, features })
}

fn count(root: &Element<'_>, notes: &Notes<'_>) -> Result<u32, Error> {
    let Some(vcpu) = root.first("vcpu") else { return Ok(1) };
    let Some(text) = vcpu.word() else { return Ok(1) };
    let count = notes.decimal(vcpu, "vcpu", text, 1..=MAX_CPUS)?;
    Ok(u32::try_from(count).unwrap_or(1))
}

/// The model; `None` where it is what the writer chooses for the accelerator by itself.
fn model(cpu: &Element<'_>, accelerator: Accelerator) -> Option<String> {
    let named = || cpu.first("model").and_then(Element::word).unwrap_or(QEMU_DEFAULT).to_owned();
    match (cpu.value("mode"), accelerator) {
        (Some("host-model"), Accelerator::Kvm) => None,
        (Some("maximum"), Accelerator::Qemu) if disables(cpu, FIVE_LEVEL_PAGING) => None,
        (Some(mode @ ("host-model" | "host-passthrough" | "maximum")), _) => Some(mode.to_owned()),
        _ => Some(named()),
    }
}

fn disables(cpu: &Element<'_>, name: &str) -> bool {
    let is = |feature: &Element<'_>| {
        feature.value("name") == Some(name) && feature.value("policy") == Some("disable")
    };
    cpu.all("feature").any(is)
}

/// Dies and clusters, which a machine does not count, become cores.
fn topology(
    group: &Element<'_>,
    count: u32,
    notes: &mut Notes<'_>,
) -> Result<Option<Topology>, Error> {
    let part = |name| -> Result<u32, Error> {
        let number = notes.number(group, name, 1..=MAX_CPUS)?.unwrap_or(1);
        Ok(u32::try_from(number).unwrap_or(1))
    };
    let (sockets, threads, cores) = (part("sockets")?, part("threads")?, part("cores")?);
    let (dies, clusters) = (part("dies")?, part("clusters")?);
    let product = |parts: &[u32]| parts.iter().try_fold(1_u32, |all, part| all.checked_mul(*part));
    let cores_a_socket = product(&[dies, clusters, cores]);
    let Some(cores) =
        cores_a_socket.filter(|cores| product(&[sockets, *cores, threads]) == Some(count))
    else {
        let message = format!("the groups are not {count} processors and are left out");
        notes.note(group, Code::W0107, message);
        return Ok(None);
    };
    if dies > 1 || clusters > 1 {
        let message = format!("{dies} dies x {clusters} clusters are read as {cores} cores");
        notes.note(group, Code::W0107, message);
    }
    Ok(Some(Topology { sockets, cores, threads }))
}

/// A dump of a running machine lists every feature of the host's model: one finding for all.
fn features(
    cpu: &Element<'_>,
    accelerator: Accelerator,
    is_default: bool,
    notes: &mut Notes<'_>,
) -> Vec<CpuFeature> {
    let (mut nested, mut others) = (false, 0_usize);
    for feature in cpu.all("feature") {
        let name = feature.value("name").unwrap_or_default();
        let is_asked =
            matches!(feature.value("policy"), None | Some("require" | "optional" | "force"));
        let is_own = is_default && accelerator == Accelerator::Qemu && name == FIVE_LEVEL_PAGING;
        if is_asked && NESTED.contains(&name) {
            nested = true;
        } else if !is_own {
            others = others.saturating_add(1);
        }
    }
    if others > 0 {
        let message = format!("{others} features beside the model are not carried over");
        notes.note(cpu, Code::W0204, message);
    }
    if nested { vec![CpuFeature::Nested] } else { Vec::new() }
}
