//! Processors.

use code::Code;
use vm::{Accelerator, CpuFeature, Cpus, Topology};

use crate::{Error, document::Element, notes::Notes};

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
    let (count, max_count) = count(root, notes)?;
    let most = max_count.unwrap_or(count);
    let Some(cpu) = root.first("cpu") else {
        let model = Some(QEMU_DEFAULT.to_owned());
        return Ok(Cpus { count, max_count, topology: None, model, features: Vec::new() });
    };
    let model = model(cpu, accelerator);
    let topology = cpu.first("topology").map(|group| topology(group, most, notes));
    let features = features(cpu, accelerator, model.is_none(), notes);
    Ok(Cpus { count, max_count, topology: topology.transpose()?.flatten(), model, features })
}

/// How many there are at start, and the most where that is more.
fn count(root: &Element<'_>, notes: &Notes<'_>) -> Result<(u32, Option<u32>), Error> {
    let Some(vcpu) = root.first("vcpu") else { return Ok((1, None)) };
    let Some(text) = vcpu.word() else { return Ok((1, None)) };
    let most = notes.decimal(vcpu, "vcpu", text, 1..=MAX_CPUS)?;
    let count = notes.number(vcpu, "current", 1..=most)?.unwrap_or(most);
    let number = |number| u32::try_from(number).unwrap_or(1);
    Ok((number(count), (most > count).then(|| number(most))))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::{document, read_text, refusal};

    fn read_cpu(cpu: &str) -> (Cpus, Vec<String>) {
        let (machine, findings) = read_text(&document(&format!("<vcpu>8</vcpu>{cpu}"), ""));
        (machine.cpus, findings)
    }

    #[test]
    fn folds_dies_and_clusters_into_cores() {
        let (cpus, findings) = read_cpu(
            "<cpu><topology sockets='1' dies='2' clusters='2' cores='1' threads='2'/></cpu>",
        );
        assert_eq!(cpus.topology, Some(Topology { sockets: 1, cores: 4, threads: 2 }));
        assert_eq!(
            findings,
            ["W0107 /domain/cpu/topology: 2 dies x 2 clusters are read as 4 cores"]
        );
    }

    #[test]
    fn leaves_out_groups_that_are_not_the_processors() {
        for groups in ["sockets='3' cores='2'", "sockets='4096' cores='4096' threads='4096'"] {
            let (cpus, findings) = read_cpu(&format!("<cpu><topology {groups}/></cpu>"));
            assert_eq!(cpus.topology, None);
            assert_eq!(
                findings,
                ["W0107 /domain/cpu/topology: the groups are not 8 processors and are left out"]
            );
        }
    }

    #[test]
    fn counts_the_features_of_a_running_machine_and_keeps_nesting() {
        let (cpus, findings) = read_cpu(
            "<cpu mode='custom' match='exact' check='full'>\
             <model fallback='forbid'>Skylake-Client-IBRS</model><vendor>Intel</vendor>\
             <feature policy='require' name='vmx'/><feature policy='require' name='pdcm'/>\
             <feature policy='disable' name='svm'/></cpu>",
        );
        assert_eq!(cpus.model.as_deref(), Some("Skylake-Client-IBRS"));
        assert_eq!(cpus.features, [CpuFeature::Nested]);
        assert_eq!(
            findings,
            ["W0204 /domain/cpu: 2 features beside the model are not carried over"]
        );
    }

    #[test]
    fn knows_the_accelerators_own_model() {
        assert_eq!(read_cpu("<cpu mode='host-model'/>").0.model, None);
        let passed = read_cpu("<cpu mode='host-passthrough' migratable='on'/>").0.model;
        assert_eq!(passed.as_deref(), Some("host-passthrough"));
        assert_eq!(read_cpu("<cpu/>").0.model.as_deref(), Some("qemu64"));
    }

    #[test]
    fn refuses_a_group_of_no_processors() {
        assert_eq!(
            refusal(&document("<cpu><topology sockets='0'/></cpu>", "")),
            r#"sockets of "0" is not in 1..=4096 (/domain/cpu/topology, line 1)"#
        );
    }
}
