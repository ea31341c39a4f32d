//! Where VirtualBox's own description of the machine beats the items, which approximate it.

use code::Code;

use super::{Bus, Controller, Nic, Selector, controllers::Controllers};
use crate::{
    descriptor::{Item, VboxAdapter, VboxAttachment, VboxController, VboxMachine},
    quote,
};

/// Where VirtualBox hangs a disk.
pub(super) struct Hung {
    pub(super) controller: Controller,
    pub(super) unit: Option<u32>,
    /// What its disks are sorted by, as for a controller of an item.
    pub(super) rank: (u64, usize),
}

impl Selector<'_> {
    /// Where VirtualBox hangs the image of this uuid, if that is not where the item says.
    pub(super) fn hung_by_virtualbox(
        &mut self,
        machine: &VboxMachine,
        (image, item): (&str, &Item),
        controllers: &Controllers,
    ) -> Option<Hung> {
        let (at, controller, device) = attached(machine, image)?;
        let model = controller.model.as_deref()?;
        let bus = bus_of(model)?;
        let before = machine.controllers.iter().take(at);
        let same_bus = |one: &&VboxController| one.model.as_deref().and_then(bus_of) == Some(bus);
        // The two channels of an IDE controller are two controllers of an OVF.
        let (number, unit) = match bus {
            Bus::Ide => (device.port.unwrap_or(0), device.position),
            _ => (u32::try_from(before.filter(same_bus).count()).unwrap_or(u32::MAX), device.port),
        };
        let said = controllers.parent_of(item).map(|ranked| &ranked.controller);
        let agrees = said.is_some_and(|said| {
            said.bus == bus && said.subtype.as_deref().is_none_or(|word| is_same(word, model))
        });
        if agrees {
            return None;
        }
        let message = format!(
            "VirtualBox's own description attaches the disk to {}, and that counts",
            quote::Quoted(model)
        );
        self.note(Code::W0112, message, item);
        let own = controllers.numbered(bus, number);
        let rank = own.map_or((u64::MAX, at), |ranked| ranked.rank);
        let id = own.map(|ranked| ranked.controller.instance_id.clone());
        let name = controller.name.clone().unwrap_or_default();
        let controller = Controller {
            instance_id: id.unwrap_or(name),
            bus,
            subtype: Some(model.to_owned()),
            number,
        };
        Some(Hung { controller, unit, rank })
    }

    /// Completes the cards of a machine with VirtualBox's adapters, slot by slot; another number of
    /// adapters than of cards says nothing about any of them.
    pub(super) fn complete_cards(&mut self, nics: &mut [Nic], machine: &VboxMachine) {
        if nics.len() != machine.adapters.len() {
            return;
        }
        let mut adapters: Vec<&VboxAdapter> = machine.adapters.iter().collect();
        adapters.sort_by_key(|adapter| adapter.slot);
        for (nic, adapter) in nics.iter_mut().zip(adapters) {
            nic.adapter.clone_from(&adapter.model);
            if nic.mac.is_none() {
                nic.mac = adapter.mac.as_deref().map(with_colons);
            }
            if nic.network.is_none() {
                nic.network = adapter.network.clone().or_else(|| adapter.attachment.clone());
            }
            if let (Some(said), Some(model)) = (&nic.model, &adapter.model)
                && family(said) != family(model)
            {
                let message = format!(
                    "VirtualBox's own description calls the card {}, and that counts",
                    quote::Quoted(model)
                );
                self.note(Code::W0112, message, &nic.item);
            }
        }
    }
}

/// What the words of items and those of VirtualBox for one kind of card have in common.
fn family(model: &str) -> String {
    let word = model.to_ascii_lowercase();
    match word.as_str() {
        "82540em" | "82543gc" | "82545em" => "e1000".to_owned(),
        "virtio-net" => "virtio".to_owned(),
        amd if amd.starts_with("am79c") => "pcnet32".to_owned(),
        _ => word,
    }
}

/// The controller that an image is attached to, its place in the list, and how it is attached.
fn attached<'m>(
    machine: &'m VboxMachine,
    image: &str,
) -> Option<(usize, &'m VboxController, &'m VboxAttachment)> {
    let is = |text: &str| bare(text).eq_ignore_ascii_case(bare(image));
    machine.controllers.iter().enumerate().find_map(|(at, controller)| {
        let mut devices = controller.devices.iter();
        let device = devices.find(|device| device.image.as_deref().is_some_and(is))?;
        Some((at, controller, device))
    })
}

/// A uuid without its braces.
fn bare(uuid: &str) -> &str {
    uuid.trim().trim_start_matches('{').trim_end_matches('}')
}

/// The bus of a controller by VirtualBox's word for its type; `None` for floppy and USB.
fn bus_of(model: &str) -> Option<Bus> {
    match model.to_ascii_lowercase().as_str() {
        "piix3" | "piix4" | "ich6" => Some(Bus::Ide),
        "ahci" | "intelahci" => Some(Bus::Sata),
        "lsilogic" | "buslogic" | "lsilogicsas" | "virtioscsi" => Some(Bus::Scsi),
        "nvme" => Some(Bus::Nvme),
        _ => None,
    }
}

/// Whether the subtype of an item and VirtualBox's word mean one controller.
fn is_same(subtype: &str, model: &str) -> bool {
    let mut words = subtype.split([' ', ',']);
    words.any(|word| word.eq_ignore_ascii_case(model)) || bus_of(model) != Some(Bus::Scsi)
}

/// VirtualBox writes an address as twelve digits.
fn with_colons(mac: &str) -> String {
    let (pairs, rest) = mac.as_bytes().as_chunks::<2>();
    if pairs.len() != 6 || !rest.is_empty() || !mac.is_ascii() {
        return mac.to_owned();
    }
    let pairs: Vec<String> =
        pairs.iter().map(|pair| String::from_utf8_lossy(pair).into_owned()).collect();
    pairs.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Selection,
        sample::{Sample, item, rasd},
    };

    /// The sample with a disk of VirtualBox, and this `vbox:Machine`.
    fn selected(machine: &str, items: &str) -> Selection {
        let mut sample = Sample::new();
        sample.disks = sample.disks.replace("/>", r#" vbox:uuid="aa-1"/>"#);
        sample.system = format!("<vbox:Machine>{machine}</vbox:Machine>");
        sample.items += items;
        sample.select().unwrap()
    }

    fn attached(model: &str, place: &str) -> String {
        format!(
            r#"<StorageControllers><StorageController name="IDE" type="PIIX4"/>
            <StorageController name="C" type="{model}"><AttachedDevice type="HardDisk" {place}>
            <Image uuid="{{AA-1}}"/></AttachedDevice></StorageController></StorageControllers>"#
        )
    }

    #[test]
    fn a_disk_hangs_where_virtualbox_says() {
        let sata = item(20, "9", &rasd("ResourceSubType", "AHCI"));
        for (model, place, want) in [
            // The item says SCSI, lsilogic, unit 0, controller 3.
            ("LsiLogic", "port='5' device='0'", ("3", Bus::Scsi, "lsilogic", 0, Some(0))),
            ("AHCI", "port='2' device='0'", ("9", Bus::Sata, "AHCI", 0, Some(2))),
            ("LsiLogicSas", "port='1' device='0'", ("3", Bus::Scsi, "LsiLogicSas", 0, Some(1))),
            ("PIIX4", "port='1' device='0'", ("C", Bus::Ide, "PIIX4", 1, Some(0))),
            ("NVMe", "port='0' device='0'", ("C", Bus::Nvme, "NVMe", 0, Some(0))),
            ("USB", "port='0' device='0'", ("3", Bus::Scsi, "lsilogic", 0, Some(0))),
        ] {
            let selection = selected(&attached(model, place), &sata);
            let disk = &selection.systems[0].disks[0];
            let controller = disk.controller.as_ref().unwrap();
            let subtype = controller.subtype.as_deref().unwrap();
            let (id, number) = (controller.instance_id.as_str(), controller.number);
            assert_eq!((id, controller.bus, subtype, number, disk.unit), want, "{model}");
            let said = selection.findings.iter().map(|finding| finding.message.as_str());
            let message = format!(
                "VirtualBox's own description attaches the disk to '{model}', and that counts"
            );
            let differs = (id, subtype) != ("3", "lsilogic");
            let want = if differs { vec![message.as_str()] } else { Vec::new() };
            assert_eq!(said.collect::<Vec<_>>(), want);
        }
    }

    #[test]
    fn a_card_is_the_adapter_of_its_slot() {
        let network =
            |adapters: &str| format!("<Hardware><Network>{adapters}</Network></Hardware>");
        let adapters = r#"
            <Adapter slot="1" enabled="true" MACAddress="080027000002" type="virtio">
              <DisabledModes/><NATNetwork name="lab"/></Adapter>
            <Adapter slot="0" enabled="true" MACAddress="080027000001" type="Am79C973"><NAT/></Adapter>
            <Adapter slot="2" enabled="false" type="82540EM"/>"#;
        let second = item(10, "8", "");
        let cards = |machine: &str, items: &str| -> Vec<[Option<String>; 3]> {
            let system = selected(machine, items).systems.remove(0);
            system.nics.into_iter().map(|nic| [nic.adapter, nic.mac, nic.network]).collect()
        };
        let some = |texts: [&str; 3]| texts.map(|text| Some(text.to_owned()));
        assert_eq!(
            cards(&network(adapters), &second),
            [
                some(["Am79C973", "08:00:27:00:00:01", "net"]),
                some(["virtio", "08:00:27:00:00:02", "lab"])
            ]
        );
        // Two adapters, one card.
        assert_eq!(cards(&network(adapters), ""), [[None, None, Some("net".to_owned())]]);
    }

    #[test]
    fn another_kind_of_card_is_said() {
        for (model, says) in [("82540EM", false), ("82543GC", false), ("virtio", true)] {
            let adapter =
                format!(r#"<Adapter slot="0" enabled="true" type="{model}"><NAT/></Adapter>"#);
            let machine = format!("<Hardware><Network>{adapter}</Network></Hardware>");
            let findings = selected(&machine, "").findings;
            let messages: Vec<_> = findings.into_iter().map(|finding| finding.message).collect();
            let want = "VirtualBox's own description calls the card 'virtio', and that counts";
            assert_eq!(messages, if says { vec![want.to_owned()] } else { Vec::new() });
        }
    }

    #[test]
    fn an_address_that_is_no_address_is_left_as_it_is() {
        assert_eq!(with_colons("0800277861D7"), "08:00:27:78:61:D7");
        for odd in ["", "0800277861D", "08:00:27:78:61:D7", "€€€€"] {
            assert_eq!(with_colons(odd), odd);
        }
    }
}
