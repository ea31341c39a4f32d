//! What the new machine is called and known by: name, UUID and Ethernet addresses are new unless the
//! old ones are asked for.

use std::path::PathBuf;

use code::Code;
use convert::{Identity, Note, Origin, Row};

use super::{Draft, Inputs};
use crate::plan::OnConflict;

/// Where libvirt keeps firmware variables.
const VARIABLES: &str = "/var/lib/libvirt/qemu/nvram";

/// How often another identity is tried (ours).
const MAX_SALTS: u32 = 16;

/// Plans the identity.
pub(super) fn plan(inputs: &Inputs<'_>, draft: &mut Draft) {
    let Inputs { definition, choices, .. } = inputs;
    let old = &definition.machine;
    let name = name(inputs);
    let row = Row::kept("name", "name", &old.name, &name);
    draft.rows.push(if name == old.name { row } else { row.changed() });
    draft.changes.name = Some(name.clone());
    let identity = identity(inputs, &name);
    let from = old.uuid.map(|uuid| uuid.to_string()).unwrap_or_default();
    let hardware = &choices.hardware;
    draft.rows.push(match (hardware.given_uuid, hardware.uuid, old.uuid, inputs.standing) {
        (_, _, _, Some(standing)) => {
            draft.changes.uuid = Some(standing.uuid);
            let to = standing.uuid.to_string();
            let row = Row::kept("uuid", "UUID", &from, &to);
            let row = if from == to { row } else { row.changed() };
            row.because("that of the machine whose place is taken")
        }
        (Some(uuid), _, _, None) => {
            draft.changes.uuid = Some(uuid);
            Row::kept("uuid", "UUID", &from, uuid.to_string()).changed().because("set by you")
        }
        (None, Origin::Keep, Some(_), None) => {
            Row::kept("uuid", "UUID", &from, &from).because("asked for")
        }
        _ => {
            let uuid = identity.uuid();
            draft.changes.uuid = Some(uuid);
            let row = Row::kept("uuid", "UUID", &from, uuid.to_string()).changed();
            row.because("a new machine: --uuid keep keeps it")
        }
    });
    for (card, nic) in old.nics.iter().enumerate() {
        let (item, label) = (format!("nic{card}"), format!("nic {card}"));
        let from = format!("{} {}", nic.model.as_str(), shown(nic.mac));
        let row = match (hardware.mac_of(&item), hardware.mac, nic.mac) {
            (_, _, Some(_)) if inputs.standing.is_some() => Row::kept(&item, &label, &from, &from),
            (Some(mac), ..) => {
                draft.changes.macs.insert(card, mac);
                let to = format!("{} {mac}", nic.model.as_str());
                Row::kept(&item, &label, from, to).changed().because("set by you")
            }
            (None, Origin::Keep, Some(_)) => {
                Row::kept(&item, &label, &from, &from).because("asked for")
            }
            _ => {
                let mac = identity.mac(card);
                draft.changes.macs.insert(card, mac);
                let to = format!("{} {mac}", nic.model.as_str());
                Row::kept(&item, &label, from, to)
                    .changed()
                    .note(Note::new(Code::W0303, "a new address: --mac keep keeps it"))
            }
        };
        draft.rows.push(row);
    }
    variables(inputs, &name, draft);
}

fn shown(mac: Option<vm::MacAddress>) -> String {
    mac.map(|mac| mac.to_string()).unwrap_or_default()
}

/// The user's name, else the old one; with a number where the host has one of that name and the user
/// wants it so.
fn name(inputs: &Inputs<'_>) -> String {
    let Inputs { definition, target, choices, .. } = inputs;
    if let Some(standing) = inputs.standing {
        return standing.name.clone();
    }
    let wanted = choices.name.as_deref().unwrap_or(&definition.machine.name).to_owned();
    let is_taken = |name: &str| target.host().is_some_and(|host| host.machine(name).is_some());
    if choices.on_conflict == OnConflict::Fail || !is_taken(&wanted) {
        return wanted;
    }
    let mut numbered = (2_u32..).map(|number| format!("{wanted}-{number}"));
    numbered.find(|name| !is_taken(name)).unwrap_or(wanted)
}

/// What identities are made from: the definition and the new name, and a number where the host has a
/// machine that was made from the same.
fn identity(inputs: &Inputs<'_>, name: &str) -> Identity {
    let document = inputs.native.stated.document.as_bytes();
    let old = inputs.definition.machine.uuid.map(|uuid| uuid.to_string()).unwrap_or_default();
    let plain = Identity::new(document, &old, name);
    let Some(host) = inputs.target.host() else { return plain };
    let cards = inputs.definition.machine.nics.len();
    let is_free = |identity: &Identity| {
        let macs: Vec<_> = (0..cards).map(|card| identity.mac(card)).collect();
        host.machines.iter().all(|other| {
            other.uuid != identity.uuid() && other.macs.iter().all(|mac| !macs.contains(mac))
        })
    };
    let salted = |salt: u32| Identity::new(document, &old, &format!("{name}#{salt}"));
    let mut all = std::iter::once(plain.clone()).chain((2..=MAX_SALTS).map(salted));
    all.find(is_free).unwrap_or(plain)
}

/// Gives the machine firmware variables of its own: the file of the old one is not in a backup, and two
/// machines must not share one. libvirt makes it from the firmware's template at the first start.
fn variables(inputs: &Inputs<'_>, name: &str, draft: &mut Draft) {
    let Some(old) = &inputs.definition.firmware.variables else { return };
    let standing = inputs.standing.and_then(|it| it.definition.firmware.variables.clone());
    if let Some(file) = standing {
        let (from, to) = (old.display().to_string(), file.display().to_string());
        let row = Row::kept("nvram", "firmware variables", from, to);
        draft.rows.push(row.because("a backup has none: those of the machine that is there stay"));
        draft.changes.nvram = Some(file);
        return;
    }
    let folder = old.parent().filter(|folder| folder.is_absolute());
    let folder = folder.map_or_else(|| PathBuf::from(VARIABLES), PathBuf::from);
    let slug = convert::slug(name);
    let plain = folder.join(format!("{slug}_VARS.fd"));
    let numbered = (2_u32..).map(|number| folder.join(format!("{slug}-{number}_VARS.fd")));
    // What is there belongs to another machine, or is what is left of one.
    let mut all = std::iter::once(plain.clone()).chain(numbered);
    let file = all.find(|file| !inputs.target.taken.contains(file)).unwrap_or(plain);
    let text = "made anew from the firmware's template: the boot order may need repair";
    let (from, to) = (old.display().to_string(), file.display().to_string());
    draft.rows.push(
        Row::kept("nvram", "firmware variables", from, to)
            .changed()
            .note(Note::new(Code::W0104, text)),
    );
    draft.changes.nvram = Some(file);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixture::{Case, MAC, UUID, machine, network, notes, row, told, uuid, xml};

    fn case() -> Case {
        Case::backup("")
    }

    #[test]
    fn a_name_that_the_host_has_blocks() {
        let mut case = case();
        case.host().machines = vec![machine("web", &[])];
        let want = "test:///default has a machine called web already";
        let hint = "--name NAME, or --on-conflict rename";
        assert_eq!(case.blockers(), [(Code::E0503, want.to_owned(), hint.to_owned())]);
        case.choices.name = Some("other".to_owned());
        assert_eq!(case.blockers(), []);
    }

    #[test]
    fn a_name_that_the_host_has_gets_a_number_on_request() {
        let mut case = case();
        case.choices.on_conflict = OnConflict::Rename;
        case.host().machines = vec![machine("web", &[]), machine("web-2", &[])];
        let plan = case.plan();
        assert_eq!((plan.machines[0].machine.name.as_str(), told(&plan)), ("web-3", vec![]));
    }

    /// SPACEVM-29: identities may differ from those of the backup.
    #[test]
    fn uuid_and_addresses_are_new_unless_the_old_ones_are_asked_for() {
        let mut case = case();
        let plan = case.plan();
        assert_ne!(plan.machines[0].machine.uuid, Some(uuid(UUID)));
        assert!(!xml(&plan).contains(UUID) && !xml(&plan).contains(MAC));
        let want = (Code::W0303, "a new address: --mac keep keeps it".to_owned());
        assert_eq!(notes(&plan, "nic0"), [want]);
        case.choices.hardware.uuid = Origin::Keep;
        case.choices.hardware.mac = Origin::Keep;
        let plan = case.plan();
        assert_eq!(plan.machines[0].machine.uuid, Some(uuid(UUID)));
        assert!(xml(&plan).contains(UUID) && xml(&plan).contains(MAC));
    }

    #[test]
    fn an_old_uuid_or_address_that_a_machine_of_the_host_has_blocks() {
        let mut case = case();
        let other = machine("db", &[]);
        let macs = vec![MAC.parse().unwrap()];
        case.host().machines = vec![vm_of(other, macs)];
        assert_eq!(case.blockers(), [], "new ones are in nobody's way");
        case.choices.hardware.uuid = Origin::Keep;
        case.choices.hardware.mac = Origin::Keep;
        let uuid = format!("the machine db has the UUID {UUID}");
        let mac = format!("a card of the machine db has the address {MAC}");
        assert_eq!(
            case.blockers(),
            [
                (Code::E0503, uuid, "leave --uuid keep out".to_owned()),
                (Code::E0503, mac, "leave --mac keep out".to_owned()),
            ]
        );
    }

    fn vm_of(
        machine: host::libvirt::KnownMachine,
        macs: Vec<vm::MacAddress>,
    ) -> host::libvirt::KnownMachine {
        host::libvirt::KnownMachine { uuid: uuid(UUID), macs, ..machine }
    }

    #[test]
    fn new_identities_are_in_nobodys_way_even_where_the_same_backup_was_restored_before() {
        let mut case = case();
        let first = case.plan().machines.remove(0).machine;
        let mut known = machine("renamed", &[]);
        known.uuid = first.uuid.unwrap();
        known.macs = first.nics.iter().filter_map(|nic| nic.mac).collect();
        case.host().machines = vec![known];
        let plan = case.plan();
        assert_ne!(plan.machines[0].machine.uuid, first.uuid);
        assert_eq!(told(&plan), []);
    }

    #[test]
    fn a_network_that_the_host_does_not_have_blocks_and_one_that_is_off_where_it_is_needed() {
        let mut case = case();
        case.host().networks = vec![network("lab")];
        let want = "test:///default has no network called default";
        let hint = "virsh net-define FILE makes one of that name";
        assert_eq!(case.blockers(), [(Code::E0504, want.to_owned(), hint.to_owned())]);
        case.host().networks = vec![network("default")];
        case.host().networks[0].is_active = false;
        assert_eq!(case.blockers(), [], "a machine that is off needs none that is on");
        case.choices.start = true;
        let want = "the network default is not started";
        let hint = "virsh net-start default, or leave --start out";
        assert_eq!(case.blockers(), [(Code::E0504, want.to_owned(), hint.to_owned())]);
    }

    #[test]
    fn firmware_variables_are_made_anew_under_the_new_name() {
        let document = crate::plan::fixture::domain("").replacen(
            "<os>",
            "<os><nvram>/var/lib/libvirt/qemu/nvram/web_VARS.fd</nvram>",
            1,
        );
        let mut case = Case::definition(&document);
        case.choices.name = Some("Other One".to_owned());
        let plan = case.plan();
        let row = row(&plan, "nvram");
        assert_eq!(
            (row.from.as_str(), row.to.as_str()),
            (
                "/var/lib/libvirt/qemu/nvram/web_VARS.fd",
                "/var/lib/libvirt/qemu/nvram/Other-One_VARS.fd"
            )
        );
        assert_eq!(row.notes[0].code, Code::W0104);
        assert!(xml(&plan).contains("/var/lib/libvirt/qemu/nvram/Other-One_VARS.fd"));
        let folder = std::path::Path::new(VARIABLES);
        assert!(
            case.target.paths.contains_key(&folder.join("web_VARS.fd")),
            "the folder is asked for"
        );
        case.target.taken.insert(folder.join("Other-One_VARS.fd"));
        let plan = case.plan();
        assert!(xml(&plan).contains("/var/lib/libvirt/qemu/nvram/Other-One-2_VARS.fd"));
    }
}
