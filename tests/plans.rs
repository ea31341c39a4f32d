//! Plans that people have reviewed: one for each descriptor of `fixtures/ovf`, word for word.
//!
//! `RELIFT_CORPUS` names a folder with descriptors of others. Some of their plans are kept here, too,
//! and every domain that comes of any of them must be one that libvirt takes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use testkit::{SparseMap, VmdkDescriptor, oracle};

use crate::bench::Bench;

/// The grain of the disks made here: 64 KiB.
const GRAIN: u64 = 1 << 16;

/// The folder of descriptors that this project made.
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/ovf");

/// Descriptors of the corpus whose plans are kept, by the end of their path.
const KEPT: &[&str] = &[
    "fixtures/uber.ovf",
    "ovfdata/ganeti.ovf",
    "ovfdata/gzip_disk.ovf",
    "ovfdata/virtualbox.ovf",
    "tests/csr1000v_2017.ovf",
    "external-msg/external.ovf",
    "external/nvm_disk.ovf",
    "fixtures/deployment-configs.ovf",
    "tests/test-o-ovirt.expected.ovf",
    "external/SSM-VM-export.ovf",
    "vbs/efi-nvram/efi-nvram.ovf",
    "vbs/vbs-all-enabled.ovf",
    "vbs/secure-boot-enabled-with-efi-firmware.ovf",
    "SugarCRM/SugarCRM.ovf",
    "external/sriovEthernetCard.ovf",
    "external/nostalgia-chunkdisk.ovf",
    "xp-multinic/xp-multinic.ovf",
    "win2k8-64/win2k8-64.ovf",
    "MultiVmVapps/MultiVmVapps.ovf",
    "external/nostalgia-vapp-empty-name.ovf",
    "ovftoolresources/comp002.ovf",
    "nvram_iso/new_vm_nvram_iso.ovf",
    "ovf_input/test1.ovf",
    "ovf_directory/CentOS-6.4-i386-Gnome.ovf",
    "ImportOvf2014/MsDos-MaxMemoryUtilization.ovf",
    "chinese/虚拟机.ovf",
    "vgpu/VM-PCI-VGPU.ovf",
    "legacy/newVM-PCI-Legacy-2.ovf",
    "sun_vhw-pv/sun_vhw-pv.ovf",
    "vmware/Operations-Appliance-9.1.0.0.25262067.ovf",
    "vmware/VMware-vCenter-Server-Appliance-9.1.0.0.25262036_OVF10.ovf",
    "SasPvScsi/SasPvScsi.ovf",
    "hw7template-1x1GHz-1x1GB/hotadd.ovf",
    "dsl-with-tools-ovf/dsl-with-tools-eula.ovf",
    "ovf_extra_config/Nested-ESXi-3-Node-VSAN-Template.ovf",
    "oldOvfs/VirtualAppliance-Zimbra/Zimbra_606_Ubuntu_8041_i386_OVF10.ovf",
    "ApplicationDirector/ApplicationDirector-5.0.0.0-862123_OVF10.ovf",
    "vbox8_oss_audio_driver/vbox8.ovf",
    "ovftoolresources/valid_multiple_subtypes_comsep.ovf",
];

/// A folder with one descriptor, `vm.ovf`, and the files that it names.
struct Package {
    bench: Bench,
}

impl Package {
    /// Makes files for a descriptor: disks of the stated capacity without content, else 4 KiB of zeros.
    fn of(descriptor: &Path) -> Self {
        let bench = Bench::empty();
        let bytes = fs::read(descriptor).unwrap();
        let text = String::from_utf8(bytes).map(|text| without_sizes(&text).into_bytes());
        bench.write("vm.ovf", &text.unwrap_or_else(std::string::FromUtf8Error::into_bytes));
        let said = bench.run(["inspect", "--json", "vm.ovf"]).json();
        let systems = said["data"]["systems"].as_array().into_iter().flatten();
        for disk in systems.flat_map(|system| system["disks"].as_array().unwrap()) {
            let Some(file) = disk["file"].as_str().filter(|file| is_plain(file)) else { continue };
            let capacity = disk["capacity_bytes"].as_u64().filter(|bytes| *bytes <= 1 << 40);
            let (Some(capacity), Some("vmdk")) = (capacity, disk["format"].as_str()) else {
                continue;
            };
            let text = VmdkDescriptor::new("monolithicSparse").text();
            bench.write(file, &SparseMap::new(capacity, GRAIN).hosted(&text));
        }
        for file in ["tools.iso", "boot disk.flp", "vm.nvram"] {
            bench.write(file, &[0; 4096]);
        }
        Self { bench }
    }

    /// The plan as it is printed.
    fn printed(&self) -> String {
        self.bench.run(["plan", "vm.ovf"]).seen()
    }

    /// The domains that the plan would define; a machine that is blocked may have none.
    fn domains(&self, more: &[&str]) -> Vec<String> {
        let words = ["plan", "--json", "vm.ovf"];
        let run = self.bench.run(words.iter().chain(more));
        let document = run.json();
        let machines = document["data"]["machines"].as_array().cloned().unwrap_or_default();
        machines.iter().filter_map(|one| one["domain_xml"].as_str().map(str::to_owned)).collect()
    }
}

/// The descriptor without the sizes of its files, since those made here have others. Of a file in
/// chunks the size says how many there are, so it stays.
fn without_sizes(xml: &str) -> String {
    let size = |tag: &str| {
        let start = tag.find(" ovf:size=\"")?;
        let value = start + " ovf:size=\"".len();
        Some((start, value + tag[value..].find('"')? + 1))
    };
    let tags = xml.split_inclusive('>').map(|tag| match size(tag) {
        Some((start, end)) if tag.contains("File ") && !tag.contains("chunkSize") => {
            format!("{}{}", &tag[..start], &tag[end..])
        }
        _ => tag.to_owned(),
    });
    tags.collect()
}

/// Whether a name is one that a file of a folder can have here.
fn is_plain(file: &str) -> bool {
    file.ends_with(".vmdk") && !file.contains(['/', '%']) && file.len() < 100
}

/// Every descriptor below a folder, sorted.
fn descriptors(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("ovf")) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The descriptors of others, where somebody has them.
fn corpus() -> Option<Vec<PathBuf>> {
    let folder = std::env::var_os("RELIFT_CORPUS")?;
    Some(descriptors(Path::new(&folder)))
}

/// Compares a plan with the one that was reviewed.
fn is_reviewed(descriptor: &Path, folder: &str, name: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(format!("snapshots/{folder}"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, Package::of(descriptor).printed()));
}

#[test]
fn each_fixture_has_the_plan_that_was_reviewed() {
    let fixtures = descriptors(Path::new(FIXTURES));
    assert!(fixtures.len() >= 38, "only {} descriptors", fixtures.len());
    for path in fixtures {
        is_reviewed(&path, "plans", path.file_stem().unwrap().to_str().unwrap());
    }
}

#[test]
fn each_kept_descriptor_of_others_has_the_plan_that_was_reviewed() {
    let Some(corpus) = corpus() else { return };
    for end in KEPT {
        let path = corpus.iter().find(|path| path.ends_with(end));
        let path = path.unwrap_or_else(|| panic!("{end} is not there"));
        is_reviewed(path, "plans/others", &end.replace('/', "_"));
    }
}

#[test]
fn libvirt_takes_each_domain() {
    let mut refused = Vec::new();
    for path in descriptors(Path::new(FIXTURES)).into_iter().chain(corpus().unwrap_or_default()) {
        let package = Package::of(&path);
        for more in [&[][..], &["--profile", "virtio"], &["--firmware", "uefi", "--machine", "q35"]]
        {
            for xml in package.domains(more) {
                package.bench.write("domain.xml", xml.as_bytes());
                let file = package.bench.path("domain.xml");
                let Some(schema) =
                    oracle("virt-xml-validate", [file.as_os_str(), "domain".as_ref()])
                else {
                    return;
                };
                let connect = ["-c", "test:///default", "define", "--validate"].map(AsRef::as_ref);
                let words = connect.into_iter().chain([file.as_os_str()]);
                let Some(driver) = oracle("virsh", words) else { return };
                for output in [schema, driver].iter().filter(|output| !output.status.success()) {
                    let why = String::from_utf8_lossy(&output.stderr).into_owned();
                    refused.push(format!("{} {more:?}: {why}", path.display()));
                }
            }
        }
    }
    assert_eq!(refused, Vec::<String>::new());
}

#[test]
fn a_plan_tells_where_the_descriptor_says_each_item() {
    let package = Package::of(&Path::new(FIXTURES).join("all-the-rest.ovf"));
    let document: Value = package.bench.run(["plan", "--json", "vm.ovf"]).json();
    let rows = document["data"]["machines"][0]["rows"].as_array().unwrap();
    let sound = rows.iter().find(|row| row["item"] == "sound").unwrap();
    let path = "/VirtualSystem[all-the-rest]/VirtualHardwareSection/Item[8]";
    assert_eq!(sound["path"], path, "{sound}");
}
