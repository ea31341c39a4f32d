//! VirtualBox's own element `vbox:Machine`: the facts that beat the OVF items.

use crate::xml::{self, Element};

/// What `vbox:Machine` says of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VboxMachine {
    /// `OSType`.
    pub os_type: Option<String>,
    /// `Firmware@type`: `BIOS`, `EFI`, `EFI32`, `EFI64` …
    pub firmware: Option<String>,
    /// `Chipset@type`: `PIIX3` or `ICH9`.
    pub chipset: Option<String>,
    /// `AudioAdapter@controller`, if the adapter is enabled.
    pub audio: Option<String>,
    /// `TrustedPlatformModule@type`, if it is not `None`.
    pub tpm: Option<String>,
    /// Whether `SecureBoot@enabled` is stated, and how.
    pub secure_boot: Option<bool>,
    /// The machine was saved while running: its state is not imported.
    pub has_saved_state: bool,
    /// The enabled network cards, by slot.
    pub adapters: Vec<VboxAdapter>,
    /// The storage controllers, in document order.
    pub controllers: Vec<VboxController>,
}

/// One enabled `Adapter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VboxAdapter {
    /// `slot`.
    pub slot: Option<u32>,
    /// `type`, such as `82540EM`.
    pub model: Option<String>,
    /// `MACAddress`, twelve hexadecimal digits.
    pub mac: Option<String>,
    /// The name of the element that says how it is attached: `NAT`, `BridgedInterface` …
    pub attachment: Option<String>,
    /// The `name` of that element: the network or the interface of the old host.
    pub network: Option<String>,
}

/// One `StorageController`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VboxController {
    /// `name`.
    pub name: Option<String>,
    /// `type`, such as `AHCI`.
    pub model: Option<String>,
    /// What is attached to it.
    pub devices: Vec<VboxAttachment>,
}

/// One `AttachedDevice`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VboxAttachment {
    /// `type`: `HardDisk`, `DVD`, `Floppy`.
    pub device: Option<String>,
    /// `port`.
    pub port: Option<u32>,
    /// `device`: the position on the port.
    pub position: Option<u32>,
    /// The uuid of the image.
    pub image: Option<String>,
}

impl VboxMachine {
    /// Reads a `vbox:Machine`. Its children are in its own namespace or in none, by version.
    pub(super) fn read(machine: &Element) -> Self {
        let hardware = machine.any("Hardware");
        let part = |name| hardware.and_then(|hardware| hardware.any(name));
        let type_of = |name| part(name).and_then(|element| text(element, "type"));
        let audio = part("AudioAdapter").filter(|a| flag(a, "enabled") == Some(true));
        Self {
            os_type: text(machine, "OSType"),
            firmware: type_of("Firmware"),
            chipset: type_of("Chipset"),
            audio: audio.and_then(|adapter| text(adapter, "controller")),
            tpm: type_of("TrustedPlatformModule").filter(|kind| kind != "None"),
            secure_boot: secure_boot(machine),
            has_saved_state: text(machine, "stateFile").is_some(),
            adapters: part("Network").map(adapters).unwrap_or_default(),
            // Up to settings version 1.18 the controllers are beside the hardware, later inside.
            controllers: machine
                .any("StorageControllers")
                .or_else(|| part("StorageControllers"))
                .map(controllers)
                .unwrap_or_default(),
        }
    }
}

fn text(element: &Element, name: &str) -> Option<String> {
    element.own_attribute(name).map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned)
}

fn number(element: &Element, name: &str) -> Option<u32> {
    text(element, name).and_then(|value| value.parse().ok())
}

fn flag(element: &Element, name: &str) -> Option<bool> {
    element.own_attribute(name).and_then(xml::boolean)
}

fn secure_boot(machine: &Element) -> Option<bool> {
    let variables = machine.any("Hardware")?.any("BIOS")?.any("NVRAM")?;
    flag(variables.any("SecureBoot")?, "enabled")
}

fn adapters(network: &Element) -> Vec<VboxAdapter> {
    network
        .children
        .iter()
        .filter(|child| child.name == "Adapter" && flag(child, "enabled") == Some(true))
        .map(adapter)
        .collect()
}

fn adapter(adapter: &Element) -> VboxAdapter {
    let attached = adapter.children.iter().find(|child| child.name != "DisabledModes");
    VboxAdapter {
        slot: number(adapter, "slot"),
        model: text(adapter, "type"),
        mac: text(adapter, "MACAddress"),
        attachment: attached.map(|child| child.name.clone()),
        network: attached.and_then(|child| text(child, "name")),
    }
}

fn controllers(list: &Element) -> Vec<VboxController> {
    list.children
        .iter()
        .filter(|child| child.name == "StorageController")
        .map(|controller| VboxController {
            name: text(controller, "name"),
            model: text(controller, "type"),
            devices: controller
                .children
                .iter()
                .filter(|child| child.name == "AttachedDevice")
                .map(|device| VboxAttachment {
                    device: text(device, "type"),
                    port: number(device, "port"),
                    position: number(device, "device"),
                    image: device.any("Image").and_then(|image| text(image, "uuid")),
                })
                .collect(),
        })
        .collect()
}
