//! One configuration of a descriptor: the machines that would be built.
//!
//! ```text
//!  Envelope + Choices --which items survive--> cpu, memory, firmware, properties
//!                                         \--> disks in bus order, drives, network cards
//! ```
//!
//! What a machine needs must be sound: a used disk that refers to nothing, or to two things, is an
//! error. The same defect where nothing uses it is a finding of the envelope.

mod compute;
mod controllers;
mod firmware;
mod machine;
mod nics;
mod package;
mod properties;
mod property_rules;
mod storage;
mod survivors;
mod virtualbox;

use std::fmt;

use code::Code;

pub use machine::{
    Bus, Controller, Drive, Firmware, Nic, PackageFile, ParentDisk, SelectedDisk, SelectedProperty,
    SelectedSystem,
};

use crate::{
    Envelope, Error, Finding, Kind,
    descriptor::{Configuration, Item, VirtualSystem},
    quote,
};
use controllers::Controllers;
use properties::Properties;

/// How many ids or keys a message lists.
const LISTED: usize = 20;

/// The most items of one machine, those of all configurations together (ours).
const MAX_ITEMS: usize = 4096;

/// What the user chose.
#[derive(Clone, Copy, Default)]
pub struct Choices<'a> {
    /// The id of the configuration; `None` takes the default one.
    pub configuration: Option<&'a str>,
    /// Values of properties by full key, or by the bare key where that is unique.
    pub properties: &'a [(String, String)],
}

impl fmt::Debug for Choices<'_> {
    /// Shows the keys only: a value may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = self.properties.iter().map(|(key, _)| key.as_str()).collect();
        f.debug_struct("Choices")
            .field("configuration", &self.configuration)
            .field("properties", &keys)
            .finish()
    }
}

/// The machines of one configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The id of the configuration; `None` when the descriptor declares none.
    pub configuration: Option<String>,
    /// One for each system of the envelope, in its order.
    pub systems: Vec<SelectedSystem>,
    /// The names of the networks, in document order.
    pub networks: Vec<String>,
    /// What was tolerated while selecting; the envelope's own findings are not repeated.
    pub findings: Vec<Finding>,
}

impl Selection {
    /// The files that the machines use, each once, in the order of first use.
    ///
    /// A parent comes before the disk that differs from it.
    #[must_use]
    pub fn used_files(&self) -> Vec<&PackageFile> {
        let mut used: Vec<&PackageFile> = Vec::new();
        for system in &self.systems {
            let drives = system.cdroms.iter().chain(&system.floppies);
            let files = system.disks.iter().flat_map(SelectedDisk::files);
            for file in files.chain(drives.filter_map(|drive| drive.file.as_ref())) {
                if !used.contains(&file) {
                    used.push(file);
                }
            }
        }
        used
    }
}

impl Envelope {
    /// Selects the machines of one configuration.
    ///
    /// # Errors
    /// `E0306` for an unknown configuration or property, `E0303` when a used disk refers to nothing
    /// or to two things, `E0304` for a value out of range, `E0402` for a disk whose parent is not
    /// there, `E0106` for more than a named limit.
    pub fn select(&self, choices: &Choices<'_>) -> Result<Selection, Error> {
        let configuration = self.chosen(choices.configuration)?;
        properties::check_choices(&self.systems, choices.properties)?;
        let mut selector = Selector {
            envelope: self,
            configuration: configuration.map(|chosen| chosen.id.as_str()),
            choices: *choices,
            findings: Vec::new(),
            expanded: properties::Expanded::default(),
        };
        let systems = self
            .systems
            .iter()
            .enumerate()
            .map(|(index, system)| selector.system(index, system))
            .collect::<Result<_, _>>()?;
        Ok(Selection {
            configuration: configuration.map(|chosen| chosen.id.clone()),
            systems,
            networks: self.networks.iter().map(|network| network.name.clone()).collect(),
            findings: selector.findings,
        })
    }

    fn chosen(&self, wanted: Option<&str>) -> Result<Option<&Configuration>, Error> {
        let Some(wanted) = wanted else {
            return Ok(self.configurations.iter().find(|configuration| configuration.default));
        };
        if let Some(found) = self.configurations.iter().find(|known| known.id == wanted) {
            return Ok(Some(found));
        }
        let ids: Vec<_> = self
            .configurations
            .iter()
            .take(LISTED)
            .map(|known| quote::Plain(&known.id).to_string())
            .collect();
        let known = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
        let message = format!(
            "no configuration has the id {}; the descriptor declares: {known}",
            quote::Quoted(wanted)
        );
        Err(Error::malformed(Code::E0306, message))
    }
}

/// What the parts of a selection share.
struct Selector<'a> {
    envelope: &'a Envelope,
    configuration: Option<&'a str>,
    choices: Choices<'a>,
    findings: Vec<Finding>,
    expanded: properties::Expanded,
}

impl<'a> Selector<'a> {
    fn system(&mut self, index: usize, system: &'a VirtualSystem) -> Result<SelectedSystem, Error> {
        let stated: Vec<&Item> = system.hardware.items.iter().collect();
        at_most(MAX_ITEMS, "items", &stated)?;
        let survivors = self.survivors(system);
        let items = survivors.items.as_slice();
        let controllers = Controllers::of(items);
        let properties = Properties::of(system, self.configuration, &self.choices);
        let compute = self.compute(system, &survivors)?;
        let firmware = self.firmware(system, items);
        Ok(SelectedSystem {
            index,
            id: system.id.clone(),
            handle: system.handle.clone(),
            name: system.display_name().map(str::to_owned),
            os: system.os.clone(),
            vcpus: compute.vcpus,
            vcpu_range: compute.vcpu_range,
            memory_bytes: compute.memory_bytes,
            memory_range_bytes: compute.memory_range_bytes,
            cores_per_socket: compute.cores_per_socket,
            threads_per_core: compute.threads_per_core,
            firmware: firmware.firmware,
            secure_boot: firmware.secure_boot,
            tpm: firmware.tpm,
            disks: self.disks(system, items, (&controllers, &properties))?,
            cdroms: self.drives(items, &controllers, storage::is_cd_drive)?,
            floppies: self.drives(items, &controllers, storage::is_floppy_drive)?,
            nics: self.nics(system, items)?,
            properties: self.properties(&properties)?,
            wants_environment: !properties.is_empty() || !system.hardware.transports.is_empty(),
            items: items.iter().map(|item| (*item).clone()).collect(),
        })
    }

    /// Notes what was tolerated at an item.
    fn note(&mut self, code: Code, message: impl Into<String>, item: &Item) {
        let mut finding = Finding::new(code, message).at_line(item.origin.line);
        finding.item = Some(quote::Plain(&item.display_name()).to_string());
        finding.path = Some(item.origin.path.clone());
        self.findings.push(finding);
    }
}

/// Checks a named limit before anything is made of the items.
fn at_most(limit: usize, what: &str, items: &[&Item]) -> Result<(), Error> {
    let Some(first_over) = items.get(limit) else { return Ok(()) };
    let message = format!("{} {what}, at most {limit} are allowed", items.len());
    Err(item_error(Code::E0106, Kind::Limit, message, first_over))
}

/// An error at an item.
fn item_error(code: Code, kind: Kind, message: String, item: &Item) -> Error {
    let path = item.origin.path.clone();
    Error::new(code, kind, message).at(crate::Place::Element { path, line: item.origin.line })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Sample, item, item_with, rasd};

    const SIZES: &str = r#"<DeploymentOptionSection>
        <Configuration ovf:id="small"><Label>S</Label></Configuration>
        <Configuration ovf:id="large" ovf:default="true"/></DeploymentOptionSection>"#;

    fn quantity(value: &str) -> String {
        rasd("VirtualQuantity", value)
    }

    #[test]
    fn selects_what_a_sound_descriptor_states() {
        let selection = Sample::new().select().unwrap();
        assert_eq!(selection.findings, []);
        assert_eq!(
            (selection.configuration.as_deref(), selection.networks.as_slice()),
            (None, &["net".to_owned()][..])
        );
        let system = &selection.systems[0];
        assert_eq!((system.vcpus, system.memory_bytes), (Some(2), Some(1 << 30)));
        assert_eq!((system.name.as_deref(), system.items.len()), (Some("vm"), 5));
        let disk = &system.disks[0];
        assert_eq!((disk.capacity_bytes, disk.unit), (Some(64 << 20), Some(0)));
        let controller = disk.controller.as_ref().unwrap();
        assert_eq!((controller.bus, controller.subtype.as_deref()), (Bus::Scsi, Some("lsilogic")));
        assert_eq!(system.nics[0].model.as_deref(), Some("E1000"));
        let used: Vec<_> = selection.used_files().iter().map(|f| f.href.as_str()).collect();
        assert_eq!(used, ["disk1.vmdk"]);
    }

    #[test]
    fn keeps_the_items_of_the_chosen_configuration() {
        let mut sample = Sample { options: SIZES.into(), ..Sample::new() };
        sample.items += &item_with(r#"configuration="large huge""#, 3, "1", &quantity("8"));
        sample.items += &item_with(r#"ovf:configuration="small""#, 10, "9", "");
        let envelope = sample.parse();
        let of = |id| {
            let choices = Choices { configuration: id, ..Choices::default() };
            envelope.select(&choices).unwrap()
        };
        assert_eq!(of(None).configuration.as_deref(), Some("large"));
        assert_eq!((of(None).systems[0].vcpus, of(None).systems[0].nics.len()), (Some(8), 1));
        let small = of(Some("small"));
        assert_eq!((small.systems[0].vcpus, small.systems[0].nics.len()), (Some(2), 2));
        let wrong = Choices { configuration: Some("tiny"), ..Choices::default() };
        let error = envelope.select(&wrong).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no configuration has the id 'tiny'; the descriptor declares: small, large"
        );
        assert_eq!(error.code(), Code::E0306);
    }

    #[test]
    fn refuses_more_items_than_the_limit() {
        let items = (0..4097).map(|n| item(1, &n.to_string(), "")).collect();
        let sample = Sample { items, ..Sample::new() };
        let want = "4097 items, at most 4096 are allowed".to_owned();
        assert_eq!(sample.refusal(), (Code::E0106, want));
    }

    #[test]
    fn of_two_processor_items_the_specific_then_the_first_is_taken() {
        let mut sample = Sample { options: SIZES.into(), ..Sample::new() };
        sample.items += &item(3, "11", &quantity("4"));
        assert_eq!(sample.select().unwrap().systems[0].vcpus, Some(2));
        sample.items += &item_with(r#"ovf:configuration="large""#, 3, "12", &quantity("6"));
        assert_eq!(sample.select().unwrap().systems[0].vcpus, Some(6));
        assert_eq!(sample.messages().last().unwrap(), "3 processor items, this one is taken");
    }

    #[test]
    fn bounds_are_ranges_and_never_values() {
        let mut sample = Sample::new();
        sample.items += &item_with(r#"ovf:bound="min""#, 3, "1", &quantity("1"));
        sample.items += &item_with(r#"ovf:bound="max""#, 3, "1", &quantity("16"));
        sample.items += &item_with(r#"ovf:bound="max""#, 3, "1", &quantity("32"));
        sample.items += &item_with(r#"ovf:bound="max""#, 4, "77", &quantity("2048"));
        let system = sample.select().unwrap().systems.remove(0);
        assert_eq!((system.vcpus, system.vcpu_range), (Some(2), (Some(1), Some(16))));
        assert_eq!(system.memory_range_bytes, (None, Some(2 << 30)));
        assert_eq!(
            sample.messages(),
            [
                "a second bound of one kind is ignored",
                "a bound without a value for '77'",
                "memory of '2048' without a unit is read as MiB",
            ]
        );
    }

    #[test]
    fn memory_is_read_in_its_unit_or_in_the_likely_one() {
        for (value, unit, want, finding) in [
            ("1", "byte * 2^30", Some(1 << 30), None),
            (
                "512",
                "MegaBytes",
                Some(512 << 20),
                Some("the memory unit 'MegaBytes' is read as binary"),
            ),
            ("512", "", Some(512 << 20), Some("memory of '512' without a unit is read as MiB")),
            (
                "1048576",
                "",
                Some(1 << 20),
                Some("memory of '1048576' without a unit is read as bytes"),
            ),
            ("512", "parsecs", None, Some("the memory unit 'parsecs' is not known")),
        ] {
            let memory = quantity(value) + &rasd("AllocationUnits", unit);
            let sample = Sample { items: item(4, "1", &memory), ..Sample::new() };
            let system = sample.select().unwrap().systems.remove(0);
            assert_eq!((system.memory_bytes, system.vcpus), (want, None));
            assert_eq!(sample.messages(), finding.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn refuses_processors_and_memory_out_of_range() {
        for (resource_type, value, unit, want) in [
            (3, "0", "", "'0' processors are not in 1..=4096"),
            (3, "4294967297", "", "'4294967297' processors are not in 1..=4096"),
            (3, "-1", "", "'-1' processors are not in 1..=4096"),
            (3, "1.5", "", "'1.5' processors are not in 1..=4096"),
            (4, "x", "byte", "memory of 'x' is not in 1 MiB..=64 TiB"),
            (4, "1", "byte", "memory of 1 bytes is not in 1 MiB..=64 TiB"),
            (
                4,
                "18446744073709551616",
                "byte",
                "memory of '18446744073709551616' is not in 1 MiB..=64 TiB",
            ),
            (4, "65", "byte * 2^40", "memory of 71468255805440 bytes is not in 1 MiB..=64 TiB"),
        ] {
            let more = quantity(value) + &rasd("AllocationUnits", unit);
            let sample = Sample { items: item(resource_type, "1", &more), ..Sample::new() };
            assert_eq!(sample.refusal(), (Code::E0304, want.to_owned()));
        }
    }

    #[test]
    fn reads_firmware_secure_boot_and_tpm() {
        let config = |key: &str, value: &str| {
            format!(r#"<vmw:Config vmw:key="{key}" vmw:value="{value}"/>"#)
        };
        let extra = |key: &str, value: &str| config(key, value).replace("Config", "ExtraConfig");
        let tpm = item(34, "9", &rasd("ResourceSubType", "vmware.vTPM"));
        for (hardware, items, want) in [
            (String::new(), "", (None, None, false)),
            (config("Firmware", "EFI"), "", (Some(Firmware::Efi), None, false)),
            (
                extra("firmware", "bios") + &config("firmware", "efi"),
                "",
                (Some(Firmware::Efi), None, false),
            ),
            (config("bootOptions.efiSecureBootEnabled", "true"), "", (None, Some(true), false)),
            (extra("uefi.secureBoot.enabled", "FALSE"), "", (None, Some(false), false)),
            (config("firmware", "coreboot"), "", (Some(Firmware::Bios), None, false)),
            (String::new(), tpm.as_str(), (None, None, true)),
        ] {
            let sample = Sample { hardware, items: items.to_owned(), ..Sample::new() };
            let system = sample.select().unwrap().systems.remove(0);
            assert_eq!((system.firmware, system.secure_boot, system.tpm), want);
        }
    }

    #[test]
    fn reads_the_topology_and_the_slot_of_a_card() {
        let mut sample = Sample::new();
        let cores =
            quantity("4") + "<vmw:CoresPerSocket ovf:required=\"false\">2</vmw:CoresPerSocket>";
        let card = r#"<vmw:Config vmw:key="slotInfo.pciSlotNumber" vmw:value="192"/>"#;
        let mac = rasd("Address", "00:50:56:00:00:01") + card;
        sample.items = item(3, "1", &cores) + &item(10, "2", &mac);
        let system = sample.select().unwrap().systems.remove(0);
        assert_eq!(system.cores_per_socket, Some(2));
        assert_eq!(system.nics[0].pci_slot, Some(192));
        assert_eq!(system.nics[0].mac.as_deref(), Some("00:50:56:00:00:01"));
        assert_eq!(system.nics[0].network, None);
    }

    #[test]
    fn reads_the_dialect_of_ovirt() {
        let mut sample = Sample::new();
        sample.files = r#"<File ovf:id="v" ovf:href="i/v"/>"#.into();
        sample.disks = r#"<Disk ovf:diskId="x" ovf:size="3" ovf:fileRef="i/v"
            ovf:volume-format="COW" ovf:disk-interface="SATA"/>"#
            .into();
        sample.system = "<BiosType>4</BiosType>".into();
        let cpu = rasd("num_of_sockets", "2") + &rasd("cpu_per_socket", "3");
        let disk = rasd("HostResource", "i/v")
            + &rasd("Address", "{type=drive,bus=0,controller=0,target=0,unit=2}");
        sample.items =
            item(3, "1", &cpu) + &item(17, "v", &disk) + &item(20, "u", "<Type>video</Type>");
        let selection = sample.select().unwrap();
        let system = &selection.systems[0];
        assert_eq!((system.vcpus, system.cores_per_socket), (Some(6), Some(3)));
        assert_eq!((system.firmware, system.secure_boot), (Some(Firmware::Efi), Some(true)));
        let disk = &system.disks[0];
        assert_eq!(disk.capacity_bytes, Some(3 << 30));
        assert_eq!(disk.file.as_ref().unwrap().href, "i/v");
        assert_eq!(
            (disk.unit, disk.controller.as_ref().map(|one| one.bus)),
            (Some(2), Some(Bus::Sata))
        );
    }
}
