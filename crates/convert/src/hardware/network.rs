//! Network cards: model, target, address.

use code::Code;
use vm::{MacAddress, Nic, NicModel, NicTarget};

use super::{
    Scene, boot,
    offer::{self, Instead},
};
use crate::{
    Action, Identity, NicChoice, Note, Origin, Profile, Row,
    guest::{Bits, Kind},
    source::Nic as SourceNic,
};

/// The network that is taken when nobody chose one.
const DEFAULT_NETWORK: &str = "default";

/// What the table says of a source model.
struct Mapped {
    model: NicModel,
    /// `None`: the guest sees the same device, or one of the same driver.
    why: Option<&'static str>,
}

/// The network cards of a machine.
#[derive(Debug, Default)]
pub(crate) struct Cards {
    pub(crate) nics: Vec<Nic>,
    /// The boot rank of each card.
    pub(crate) ranks: Vec<u32>,
    pub(crate) rows: Vec<Row>,
}

/// Chooses model, target and address of each card, in the order of the source.
pub(crate) fn cards(scene: &Scene<'_>, identity: &Identity) -> Cards {
    let mut cards = Cards::default();
    let mut taken: Vec<(String, NicTarget)> = Vec::new();
    for (at, source) in scene.system.nics.iter().enumerate() {
        let id = format!("nic{at}");
        let network = source.network.as_deref().unwrap_or_default();
        let label = format!("nic {at}  {network}");
        let from = source.model.clone().unwrap_or_else(|| "unspecified".to_owned());
        if scene.ignores(&id, &source.origin) {
            let note = Note::new(Code::W0203, "left out on request");
            let row = Row::dropped(&id, label.trim_end(), from, note);
            cards.rows.push(row.at(&source.origin.path));
            continue;
        }
        let (model, model_note) = offered(scene, &id, choose_model(scene, &id, source));
        let (target, target_note) = choose_target(scene, network);
        let shared = shares(&taken, network, &target);
        taken.push((network.to_owned(), target.clone()));
        let (mac, mac_note) = choose_mac(scene, source, identity, at);
        let to = format!("{} → {}", model.as_str(), describe(&target));
        let mut row = Row::kept(&id, label.trim_end(), from, to)
            .note_if(model_note)
            .note_if(target_note)
            .note_if(shared)
            .note_if(mac_note)
            .note_if(renamed(scene, source))
            .at(&source.origin.path);
        if row.notes.iter().any(|note| note.code == Code::W0102) && row.action == Action::Kept {
            row = row.changed();
        }
        let link_up = source.connected != Some(false) && !matches!(target, NicTarget::None);
        cards.rows.push(row);
        cards.ranks.push(boot::rank(source.boot_rank));
        cards.nics.push(Nic { model, target, mac: Some(mac), link_up, boot_order: None });
    }
    cards
}

/// The card's model, and a note where the guest needs another driver.
fn choose_model(scene: &Scene<'_>, id: &str, source: &SourceNic) -> (NicModel, Option<Note>) {
    let mapped = source_model(scene, source);
    let changed = |model: NicModel, why: &str| {
        let same = mapped.why.is_none() && mapped.model == model;
        (model, (!same).then(|| Note::new(Code::W0102, why)))
    };
    match (scene.choices.model_of(id), scene.choices.profile) {
        (Some(NicChoice::Model(model)), _) => changed(model, "set by you"),
        (None, Profile::Virtio) => {
            let (model, note) = changed(NicModel::Virtio, "profile virtio");
            let hint = "make sure that the guest has virtio_net before you start it";
            (
                model,
                note.map(
                    |note| if scene.guest.kind.carries_virtio() { note } else { note.hint(hint) },
                ),
            )
        }
        _ => (mapped.model, mapped.why.map(|why| Note::new(Code::W0102, why))),
    }
}

/// The same model, or the next one that the host has; one that the user chose stays.
fn offered(
    scene: &Scene<'_>,
    id: &str,
    (model, note): (NicModel, Option<Note>),
) -> (NicModel, Option<Note>) {
    let is_chosen = matches!(scene.choices.model_of(id), Some(NicChoice::Model(_)));
    match offer::card(&scene.choices.offer, model) {
        Instead::Same => (model, note),
        Instead::Next(next, why) if !is_chosen => (next, Some(Note::new(Code::W0102, why))),
        Instead::Next(_, why) | Instead::Nothing(why) => {
            (model, Some(Note::new(Code::W0102, why).hint("choose another --nic-model")))
        }
    }
}

/// The table of models.
fn source_model(scene: &Scene<'_>, source: &SourceNic) -> Mapped {
    let kind = scene.guest.kind;
    let old = kind.is_old() || (kind == Kind::Unknown && scene.guest.bits == Some(Bits::B32));
    let same = |model| Mapped { model, why: None };
    let near = |model, why| Mapped { model, why: Some(why) };
    for word in &source.words {
        return match word.as_str() {
            "vmxnet3" | "vmware.vmxnet3" => same(NicModel::Vmxnet3),
            "e1000" | "e10000" | "82540em" | "2" => same(NicModel::E1000),
            "82543gc" | "82545em" => same(NicModel::E1000),
            "e1000e" | "82583v" => same(NicModel::E1000e),
            "pcnet32" | "vlance" | "flexible" | "am79c970a" | "am79c973" | "am79c960" if old => {
                same(NicModel::Pcnet)
            }
            "pcnet32" | "vlance" | "flexible" | "am79c970a" | "am79c973" | "am79c960" => {
                near(NicModel::E1000, "systems of today have no PCnet driver")
            }
            "vmxnet" | "vmxnet2" if old => near(NicModel::Pcnet, "QEMU has no VMXNET 1 or 2"),
            "vmxnet" | "vmxnet2" => near(NicModel::E1000, "QEMU has no VMXNET 1 or 2"),
            "sriovethernetcard" | "vmware.pci.passthrough" => {
                near(NicModel::Virtio, "the passed-through function is not on this host")
            }
            "virtio" | "virtionet" | "virtio-net" | "3" => same(NicModel::Virtio),
            "rtl8139" | "1" => same(NicModel::Rtl8139),
            _ => continue,
        };
    }
    let why = if source.words.is_empty() { "the source names no model" } else { "unknown model" };
    near(if old { NicModel::Pcnet } else { NicModel::E1000e }, why)
}

fn choose_target(scene: &Scene<'_>, network: &str) -> (NicTarget, Option<Note>) {
    if network.is_empty() {
        return (NicTarget::None, None);
    }
    if let Some(target) = scene.choices.networks.target(network) {
        return (target.clone(), None);
    }
    let note = Note::new(Code::W0301, format!("no map for \"{network}\"; used {DEFAULT_NETWORK}"))
        .hint(format!("--net '{network}=…'"));
    (NicTarget::Network(DEFAULT_NETWORK.to_owned()), Some(note))
}

/// A note when another source network ends in the same place.
fn shares(taken: &[(String, NicTarget)], network: &str, target: &NicTarget) -> Option<Note> {
    if matches!(target, NicTarget::None | NicTarget::User) {
        return None;
    }
    let (other, _) = taken.iter().find(|(name, there)| name != network && there == target)?;
    let text = format!("\"{network}\" and \"{other}\" both end in {}", describe(target));
    Some(Note::new(Code::W0302, text).hint(format!("--net '{network}=…'")))
}

fn choose_mac(
    scene: &Scene<'_>,
    source: &SourceNic,
    identity: &Identity,
    card: usize,
) -> (MacAddress, Option<Note>) {
    let made = identity.mac(card);
    if scene.choices.mac == Origin::New {
        return (made, None);
    }
    let given = source.mac.as_deref().map(str::parse::<MacAddress>);
    match given {
        Some(Ok(mac)) if mac.is_usable() => (mac, None),
        Some(_) => (made, Some(Note::new(Code::W0303, "the source's address cannot be used"))),
        None => (made, Some(Note::new(Code::W0303, "the source gives no address to keep"))),
    }
}

/// A note that names the old interface name where the slot number tells it.
fn renamed(scene: &Scene<'_>, source: &SourceNic) -> Option<Note> {
    let slot = source.pci_slot?;
    let linux = matches!(scene.guest.kind, Kind::Linux | Kind::LinuxVirtio | Kind::Unknown);
    let text = format!("a Linux guest that calls it ens{slot} will see another name");
    linux.then(|| {
        Note::new(Code::W0304, text).hint("check addresses that are bound to the name in the guest")
    })
}

/// The target as a plan names it.
fn describe(target: &NicTarget) -> String {
    match target {
        NicTarget::Network(name) => format!("network {name}"),
        NicTarget::Bridge { name, vlan: None } => format!("bridge {name}"),
        NicTarget::Bridge { name, vlan: Some(tag) } => format!("bridge {name}, VLAN {tag}"),
        NicTarget::User => "user network".to_owned(),
        NicTarget::None => "no network".to_owned(),
    }
}
