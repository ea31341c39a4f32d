//! `relift.inspect/1`: the contract of `inspect --json`.

use convert::source::{Disk, Firmware, ImageFormat, Product, System};
use ovf::{descriptor::Configuration, selection::SelectedProperty};
use serde::Serialize;

use super::look::Look;

/// What stands for a value that must not be printed.
const SECRET: &str = "***";

#[derive(Debug, Serialize)]
pub(super) struct Data {
    pub(super) kind: &'static str,
    pub(super) ovf_version: Option<&'static str>,
    pub(super) producer: Option<String>,
    pub(super) configurations: Vec<ConfigurationData>,
    pub(super) systems: Vec<SystemData>,
    pub(super) networks: Vec<String>,
    pub(super) manifest: Option<ManifestData>,
    pub(super) signature: &'static str,
    /// The moments of a backup, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) points: Vec<crate::verbs::backup::points::PointData>,
}

#[derive(Debug, Serialize)]
pub(super) struct ConfigurationData {
    id: String,
    label: Option<String>,
    default: bool,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct SystemData {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) os: OsData,
    pub(super) vcpus: Option<u32>,
    pub(super) memory_bytes: Option<u64>,
    pub(super) cores_per_socket: Option<u32>,
    pub(super) firmware: Option<&'static str>,
    pub(super) secure_boot: bool,
    pub(super) tpm: bool,
    pub(super) disks: Vec<DiskData>,
    pub(super) nics: Vec<NicData>,
    pub(super) cdroms: usize,
    pub(super) floppies: usize,
    pub(super) product: Option<ProductData>,
    pub(super) properties: Vec<PropertyData>,
}

/// What the machine is as a product.
#[derive(Debug, Serialize)]
pub(super) struct ProductData {
    name: Option<String>,
    vendor: Option<String>,
    version: Option<String>,
    full_version: Option<String>,
    product_url: Option<String>,
    vendor_url: Option<String>,
    app_url: Option<String>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct OsData {
    pub(super) osinfo: Option<String>,
    pub(super) vmware: Option<String>,
    pub(super) cim_id: Option<u32>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct DiskData {
    pub(super) id: Option<String>,
    pub(super) file: Option<String>,
    pub(super) format: Option<&'static str>,
    pub(super) capacity_bytes: Option<u64>,
    pub(super) packed_bytes: Option<u64>,
    pub(super) bus: Option<&'static str>,
    pub(super) controller: Option<String>,
    pub(super) unit: Option<u32>,
}

#[derive(Debug, Serialize)]
pub(super) struct NicData {
    pub(super) network: Option<String>,
    pub(super) model: Option<String>,
    pub(super) mac: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct PropertyData {
    key: String,
    #[serde(rename = "type")]
    kind: String,
    default: Option<String>,
    label: Option<String>,
    user_configurable: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct ManifestData {
    pub(super) digest: Option<&'static str>,
    pub(super) files: usize,
}

/// The document of a package.
pub(super) fn of(look: &Look<'_>) -> Data {
    let envelope = look.facts.description.envelope();
    let manifest = look.facts.manifest.as_ref().map(|(_, manifest)| ManifestData {
        digest: manifest.strongest().map(ovf::manifest::Algorithm::as_str),
        files: manifest.entries.len(),
    });
    let configurations: &[Configuration] = envelope.map_or(&[], |ovf| &ovf.configurations);
    let configurations = configurations.iter().map(|one| ConfigurationData {
        id: one.id.clone(),
        label: one.label.clone(),
        default: look.selection.configuration.as_ref() == Some(&one.id),
    });
    let osinfo = look.converted.iter().map(|converted| converted.guest.osinfo.clone());
    Data {
        points: Vec::new(),
        kind: look.facts.kind.as_str(),
        ovf_version: envelope.map(|ovf| ovf.version.as_str()),
        producer: envelope.and_then(|ovf| ovf.producer.clone()),
        configurations: configurations.collect(),
        systems: look
            .selection
            .systems
            .iter()
            .zip(osinfo)
            .map(|(system, osinfo)| self::system(look, system, osinfo))
            .collect(),
        networks: look.selection.networks.clone(),
        manifest,
        signature: look.facts.signature.as_str(),
    }
}

fn system(look: &Look<'_>, system: &System, osinfo: Option<String>) -> SystemData {
    let os = system.os.clone();
    let nics = system.nics.iter().map(|nic| NicData {
        network: nic.network.clone(),
        model: nic.model.clone(),
        mac: nic.mac.clone(),
    });
    SystemData {
        id: system.id.clone(),
        name: system.name.clone(),
        os: OsData { osinfo, vmware: os.vmware, cim_id: os.cim_id },
        vcpus: system.compute.vcpus,
        memory_bytes: system.compute.memory_bytes,
        cores_per_socket: system.compute.cores_per_socket,
        firmware: system.firmware.map(Firmware::as_str),
        secure_boot: system.secure_boot == Some(true),
        tpm: system.tpm,
        disks: system.disks.iter().map(|disk| self::disk(look, disk)).collect(),
        nics: nics.collect(),
        cdroms: system.cdroms.len(),
        floppies: system.floppies.len(),
        product: system.remarks.product.as_ref().map(product),
        properties: system.remarks.properties.iter().map(property).collect(),
    }
}

fn disk(look: &Look<'_>, disk: &Disk) -> DiskData {
    let found = disk.file.as_ref().map(|file| look.file(file)).unwrap_or_default();
    let stated = disk.format.map(ImageFormat::as_str);
    DiskData {
        id: disk.id.clone(),
        file: disk.file.as_ref().map(|file| file.text().to_owned()),
        format: found.image.map(|image| image.format.as_str()).or(stated),
        capacity_bytes: disk.capacity_bytes,
        packed_bytes: found.packed_bytes,
        bus: disk.controller.as_ref().map(|controller| controller.bus.as_str()),
        controller: disk.controller.as_ref().and_then(|controller| controller.subtype.clone()),
        unit: disk.unit,
    }
}

fn product(product: &Product) -> ProductData {
    let Product { name, vendor, version, full_version, product_url, vendor_url, app_url } =
        product.clone();
    ProductData { name, vendor, version, full_version, product_url, vendor_url, app_url }
}

fn property(property: &SelectedProperty) -> PropertyData {
    let default = property.default.clone();
    PropertyData {
        key: property.key.clone(),
        kind: property.kind.clone(),
        default: if property.password { default.map(|_| SECRET.to_owned()) } else { default },
        label: property.label.clone(),
        user_configurable: property.user_configurable,
    }
}
