//! Network cards: model, target, address.

use code::Code;
use vm::{Chipset, MacAddress, Nic, NicModel, NicTarget, PciLayout};

use super::{
    Scene, boot,
    names::{self, Keeping, Name},
    offer::{self, Instead},
};
use crate::{
    Action, Choices, Identity, NicChoice, Note, Origin, Profile, Row, SourceCard,
    guest::{Bits, GuestOs, Kind},
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
    /// What each card is of the source.
    pub(crate) sources: Vec<SourceCard>,
    /// The boot rank of each card.
    pub(crate) ranks: Vec<u32>,
    pub(crate) rows: Vec<Row>,
}

/// A card that is built, where its row is, and what became of its name.
struct Built<'a> {
    id: String,
    source: &'a SourceNic,
    row: usize,
    name: Option<&'a Name>,
}

/// Chooses model, target and address of each card, in the order of the source.
pub(crate) fn cards(scene: &Scene<'_>, keeping: &Keeping, identity: &Identity) -> Cards {
    let mut cards = Cards::default();
    let mut built: Vec<Built<'_>> = Vec::new();
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
        let name = keeping.name(at);
        let slot = stays(scene, name);
        let chosen = choose_model(scene.choices, scene.guest, &id, source);
        let (model, model_note) = offered(scene, &id, chosen);
        let (model, model_note) = behind_port(slot, model, model_note);
        let (target, target_note) = choose_target(scene, &id, network);
        let shared = shares(&taken, network, &target);
        taken.push((network.to_owned(), target.clone()));
        let (mac, mac_note) = choose_mac(scene, (&id, source), &cards.nics, identity.mac(at));
        let link_up = source.connected != Some(false) && target != NicTarget::None;
        let cable = if link_up || target == NicTarget::None { "" } else { ", unplugged" };
        let to = format!("{} → {}{cable}", model.as_str(), describe(&target));
        let mut row = Row::kept(&id, label.trim_end(), from, to)
            .note_if(model_note)
            .note_if(target_note)
            .note_if(shared)
            .note_if(mac_note)
            .at(&source.origin.path);
        if row.notes.iter().any(|note| note.code == Code::W0102) && row.action == Action::Kept {
            row = row.changed();
        }
        cards.sources.push(SourceCard { row: id.clone(), network: source.network.clone() });
        built.push(Built { id, source, row: cards.rows.len(), name });
        cards.rows.push(row);
        cards.ranks.push(boot::rank(source.boot_rank));
        cards.nics.push(Nic { model, target, mac: Some(mac), slot, link_up, boot_order: None });
    }
    tell_names(scene, &built, &mut cards);
    cards
}

/// The slot number that a card shows so that its name stays; only q35 has ports that show one.
fn stays(scene: &Scene<'_>, name: Option<&Name>) -> Option<u16> {
    match name {
        Some(Name::Stays(slot)) if scene.chipset == Chipset::Q35 => Some(*slot),
        _ => None,
    }
}

/// The model behind a port that shows a slot number: a conventional card cannot be there.
fn behind_port(slot: Option<u16>, model: NicModel, note: Option<Note>) -> (NicModel, Option<Note>) {
    if slot.is_none() || model.is_express() {
        return (model, note);
    }
    let text =
        format!("its name stays on a PCI Express card only, which {} is not", model.as_str());
    (NicModel::E1000e, Some(Note::new(Code::W0102, text)))
}

/// Says in the row of each card what becomes of its name, once all cards have their places.
fn tell_names(scene: &Scene<'_>, built: &[Built<'_>], cards: &mut Cards) {
    let layout = PciLayout::of(scene.chipset, &cards.nics);
    for ((card, nic), address) in built.iter().zip(&cards.nics).zip(&layout.cards) {
        let Some(row) = cards.rows.get_mut(card.row) else { continue };
        match (card.name, nic.slot) {
            (_, Some(slot)) => row.reason = format!("stays ens{slot}"),
            (Some(Name::Lost(why)), None) => row.notes.push(names::lost(why)),
            (_, None) => {
                row.notes.extend(names::changes(scene, (&card.id, card.source), &layout, *address));
            }
        }
    }
}

/// The card's model, and a note where the guest needs another driver.
pub(super) fn choose_model(
    choices: &Choices,
    guest: &GuestOs,
    id: &str,
    source: &SourceNic,
) -> (NicModel, Option<Note>) {
    let mapped = source_model(guest, source);
    let changed = |model: NicModel, why: &str| {
        let same = mapped.why.is_none() && mapped.model == model;
        (model, (!same).then(|| Note::new(Code::W0102, why)))
    };
    match (choices.model_of(id), choices.profile) {
        (Some(NicChoice::Model(model)), _) => changed(model, "set by you"),
        (None, Profile::Virtio) => {
            let (model, note) = changed(NicModel::Virtio, "profile virtio");
            let hint = "make sure that the guest has virtio_net before you start it";
            (
                model,
                note.map(|note| if guest.kind.carries_virtio() { note } else { note.hint(hint) }),
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
fn source_model(guest: &GuestOs, source: &SourceNic) -> Mapped {
    let kind = guest.kind;
    let old = kind.is_old() || (kind == Kind::Unknown && guest.bits == Some(Bits::B32));
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

fn choose_target(scene: &Scene<'_>, id: &str, network: &str) -> (NicTarget, Option<Note>) {
    if let Some(target) = scene.choices.target_of(id, network) {
        return (target.clone(), None);
    }
    if network.is_empty() {
        return (NicTarget::None, None);
    }
    let note = Note::new(Code::W0301, format!("no map for \"{network}\"; used {DEFAULT_NETWORK}"))
        .hint(map_it(network));
    (NicTarget::Network(DEFAULT_NETWORK.to_owned()), Some(note))
}

/// The flag that maps a network, as a shell reads it.
fn map_it(network: &str) -> String {
    format!("--net '{}=…'", network.replace('\'', r"'\''"))
}

/// A note when another source network ends in the same place.
fn shares(taken: &[(String, NicTarget)], network: &str, target: &NicTarget) -> Option<Note> {
    if matches!(target, NicTarget::None | NicTarget::User) {
        return None;
    }
    let (other, _) = taken.iter().find(|(name, there)| name != network && there == target)?;
    let text = format!("\"{network}\" and \"{other}\" both end in {}", describe(target));
    Some(Note::new(Code::W0302, text).hint(map_it(network)))
}

/// The card's address: the one that was given, one that is made, or the source's own if a card can
/// have it and none before has.
fn choose_mac(
    scene: &Scene<'_>,
    (id, source): (&str, &SourceNic),
    before: &[Nic],
    made: MacAddress,
) -> (MacAddress, Option<Note>) {
    if let Some(mac) = scene.choices.mac_of(id).filter(|mac| mac.is_usable()) {
        return (mac, None);
    }
    if scene.choices.mac == Origin::New {
        return (made, None);
    }
    let given = source.mac.as_deref().map(str::parse::<MacAddress>);
    let why = match given {
        Some(Ok(mac)) if before.iter().any(|nic| nic.mac == Some(mac)) => {
            "another card has the source's address"
        }
        Some(Ok(mac)) if mac.is_usable() => return (mac, None),
        Some(_) => "the source's address cannot be used",
        None => "the source gives no address to keep",
    };
    (made, Some(Note::new(Code::W0303, why)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_for_a_network_is_one_word_of_a_shell() {
        assert_eq!(map_it("VM Network"), "--net 'VM Network=…'");
        assert_eq!(map_it("Bob's LAN"), r"--net 'Bob'\''s LAN=…'");
    }
}
