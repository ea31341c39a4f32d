//! From flags to choices: what was typed becomes what the planner understands.

mod network;
mod property;
mod trust;

pub(crate) use network::target as network_target;

use convert::{DiskBus, Licences, Origin, Profile, Watchdog, copy};
use disk::vmdk::StreamOptions;
use ovf::manifest::Algorithm;
use restore::{ManifestPolicy, XmlTrust};
use vm::{Accelerator, ByteSize, Chipset, Firmware, NicModel};

use crate::{
    args::{
        BusChoice, DigestChoice, FirmwareChoice, HardwareArgs, ImageFormat, KeepOrNew,
        LayoutChoice, MachineChoice, ManifestChoice, NicChoice, OutputArgs, OutputFormat,
        PackingArgs, PerItem, PolicyArgs, ProfileChoice, SignatureArgs, VirtTypeChoice,
    },
    failure::{Failure, Result},
};

/// The least memory that a machine is given.
const MIN_MEMORY_BYTES: u64 = 1 << 20;

/// The unit that libvirt counts memory in.
const MEMORY_UNIT_BYTES: u64 = 1 << 10;

/// Everything that the flags of `plan` and `convert` choose.
pub(crate) fn of(
    hardware: &HardwareArgs,
    packing: &PackingArgs,
    policy: &PolicyArgs,
) -> Result<restore::Choices> {
    Ok(restore::Choices {
        systems: hardware.vm.clone(),
        configuration: hardware.configuration.clone(),
        properties: property::values(&hardware.prop, hardware.prop_file.as_deref())?,
        name: hardware.name.as_deref().map(name).transpose()?,
        hardware: convert::Choices {
            licences: if policy.accept_eula { Licences::Accepted } else { Licences::Unanswered },
            ..machine(hardware)?
        },
        output: packed_as(hardware.format, packing, "--format")?,
        manifest: manifest(policy.manifest),
        signature: trust::policy(policy.signature.signature),
        trust_xml: if policy.trust_xml { XmlTrust::AsItStands } else { XmlTrust::Scrubbed },
        strict: policy.strict,
        ..restore::Choices::default()
    })
}

fn machine(args: &HardwareArgs) -> Result<convert::Choices> {
    Ok(convert::Choices {
        profile: match args.profile {
            ProfileChoice::Compat => Profile::Compat,
            ProfileChoice::Virtio => Profile::Virtio,
        },
        disk_bus: for_all(&args.disk_bus).map(disk_bus),
        disk_buses: for_items(&args.disk_bus, disk_bus),
        nic_model: for_all(&args.nic_model).map(nic_model),
        nic_models: for_items(&args.nic_model, nic_model),
        keep_nic_names: args.keep_nic_names,
        firmware: args.firmware.map(|firmware| match firmware {
            FirmwareChoice::Bios => Firmware::Bios,
            FirmwareChoice::Uefi => Firmware::Uefi,
            FirmwareChoice::UefiSecure => Firmware::UefiSecure,
        }),
        chipset: args.machine.map(|machine| match machine {
            MachineChoice::Pc => Chipset::Pc,
            MachineChoice::Q35 => Chipset::Q35,
        }),
        cpu_model: args.cpu.clone(),
        vcpus: args.vcpus,
        max_vcpus: args.max_vcpus,
        memory_bytes: size("--memory", args.memory.as_deref())?,
        max_memory_bytes: size("--max-memory", args.max_memory.as_deref())?,
        watchdog: if args.watchdog { Watchdog::Add } else { Watchdog::Drop },
        mac: origin(args.mac),
        nic_macs: Vec::new(),
        uuid: origin(args.uuid),
        given_uuid: None,
        osinfo: args.os_id.clone(),
        accelerator: match args.virt_type {
            VirtTypeChoice::Qemu => Accelerator::Qemu,
            // A host that is asked may have none: see `hypervisor::consult`.
            VirtTypeChoice::Auto | VirtTypeChoice::Kvm => Accelerator::Kvm,
        },
        offer: vm::Offer::default(),
        networks: network::map(&args.net)?,
        nic_targets: Vec::new(),
        ignore: args.ignore.clone(),
        licences: Licences::Unanswered,
    })
}

/// The choice for all items; the last one counts.
fn for_all<T: Copy>(choices: &[PerItem<T>]) -> Option<T> {
    choices.iter().rev().find(|choice| choice.item.is_none()).map(|choice| choice.choice)
}

/// The choices for single items.
fn for_items<T: Copy, U>(choices: &[PerItem<T>], meaning: impl Fn(T) -> U) -> Vec<(String, U)> {
    let named = |choice: &PerItem<T>| Some((choice.item.clone()?, meaning(choice.choice)));
    choices.iter().filter_map(named).collect()
}

const fn disk_bus(choice: BusChoice) -> DiskBus {
    match choice {
        BusChoice::VirtioBlk => DiskBus::VirtioBlk,
        BusChoice::VirtioScsi => DiskBus::VirtioScsi,
        BusChoice::Sata => DiskBus::Sata,
        BusChoice::Ide => DiskBus::Ide,
        BusChoice::Keep => DiskBus::Keep,
    }
}

const fn nic_model(choice: NicChoice) -> convert::NicChoice {
    match choice {
        NicChoice::Virtio => convert::NicChoice::Model(NicModel::Virtio),
        NicChoice::E1000 => convert::NicChoice::Model(NicModel::E1000),
        NicChoice::E1000e => convert::NicChoice::Model(NicModel::E1000e),
        NicChoice::Vmxnet3 => convert::NicChoice::Model(NicModel::Vmxnet3),
        NicChoice::Keep => convert::NicChoice::Keep,
    }
}

const fn origin(choice: KeepOrNew) -> Origin {
    match choice {
        KeepOrNew::New => Origin::New,
        KeepOrNew::Keep => Origin::Keep,
    }
}

/// What a single image is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ImageTarget {
    /// A file that is written at any place.
    File(copy::TargetOptions),
    /// A streamOptimized VMDK, written front to end.
    StreamOptimized,
}

/// The format and layout of a written image.
pub(crate) fn output(args: &OutputArgs) -> Result<ImageTarget> {
    let format = match args.output_format {
        ImageFormat::Qcow2 => OutputFormat::Qcow2,
        ImageFormat::Raw => OutputFormat::Raw,
        ImageFormat::Vmdk => return stream_optimized(&args.packing),
    };
    packed_as(format, &args.packing, "-O").map(ImageTarget::File)
}

fn stream_optimized(packing: &PackingArgs) -> Result<ImageTarget> {
    if packing.compress.is_some() {
        let failure = Failure::usage("a streamOptimized VMDK is always deflated");
        return Err(failure.tip("leave --compress out"));
    }
    match packing.layout {
        LayoutChoice::Packed => Ok(ImageTarget::StreamOptimized),
        LayoutChoice::Clone => {
            let failure = Failure::usage("a streamOptimized VMDK has no clone layout");
            Err(failure.tip("leave --layout out, or -O qcow2"))
        }
    }
}

/// How the streamOptimized VMDK of an image is written.
///
/// Nothing reads the name that a descriptor gives to its own file, since files are renamed: it is the
/// same one for a file and for a pipe, and so are all bytes.
pub(crate) fn stream_options(image: &dyn disk::Image) -> Result<StreamOptions> {
    let content_id = copy::content_id(image)?;
    Ok(StreamOptions::new(image.capacity_bytes(), "disk.vmdk", content_id))
}

/// The format and layout of a disk; `flag` is the one that says the format.
fn packed_as(
    format: OutputFormat,
    packing: &PackingArgs,
    flag: &str,
) -> Result<copy::TargetOptions> {
    use copy::{CloneFormat, TargetOptions};
    match (format, packing.layout, packing.compress) {
        (OutputFormat::Raw, _, Some(_)) => {
            Err(Failure::usage("a raw image cannot be compressed").tip(format!("{flag} qcow2")))
        }
        (OutputFormat::Raw, LayoutChoice::Clone, None) => {
            Ok(TargetOptions::Clone(CloneFormat::Raw))
        }
        (OutputFormat::Raw, LayoutChoice::Packed, None) => Ok(TargetOptions::Raw),
        (OutputFormat::Qcow2, LayoutChoice::Clone, _) => {
            Ok(TargetOptions::Clone(CloneFormat::Qcow2))
        }
        (OutputFormat::Qcow2, LayoutChoice::Packed, compress) => {
            let compression = compress.map_or(disk::Compression::None, |choice| choice.0);
            Ok(TargetOptions::Qcow2(compression))
        }
    }
}

/// The algorithm of a digest.
pub(crate) const fn digest(choice: DigestChoice) -> Algorithm {
    match choice {
        DigestChoice::Sha1 => Algorithm::Sha1,
        DigestChoice::Sha256 => Algorithm::Sha256,
        DigestChoice::Sha512 => Algorithm::Sha512,
    }
}

/// What is done with the papers of a package that is converted.
pub(crate) fn policy(args: &PolicyArgs) -> Result<restore::Policy> {
    Ok(restore::Policy {
        manifest: manifest(args.manifest),
        point: args.point.clone(),
        ..papers(&args.signature)?
    })
}

/// What is done with the papers of a package that is only looked at.
pub(crate) fn papers(args: &SignatureArgs) -> Result<restore::Policy> {
    Ok(restore::Policy {
        manifest: ManifestPolicy::Check,
        signature: trust::policy(args.signature),
        trust: trust::store(args.trust.as_deref())?,
        point: None,
    })
}

const fn manifest(choice: ManifestChoice) -> ManifestPolicy {
    match choice {
        ManifestChoice::Require => ManifestPolicy::Require,
        ManifestChoice::Check => ManifestPolicy::Check,
        ManifestChoice::Warn => ManifestPolicy::Warn,
        ManifestChoice::Skip => ManifestPolicy::Skip,
    }
}

/// The size that a flag for memory names.
fn size(flag: &str, text: Option<&str>) -> Result<Option<u64>> {
    let Some(text) = text else { return Ok(None) };
    let ByteSize(bytes) =
        text.parse().map_err(|error| Failure::usage(format!("{flag} '{text}' is {error}")))?;
    match memory_refusal(bytes) {
        Some(why) => Err(Failure::usage(format!("{flag} {text} {why}"))),
        None => Ok(Some(bytes)),
    }
}

/// Why no machine can have this much memory; `None` where it can.
pub(crate) fn memory_refusal(bytes: u64) -> Option<String> {
    let is_possible = bytes >= MIN_MEMORY_BYTES && bytes.is_multiple_of(MEMORY_UNIT_BYTES);
    (!is_possible).then(|| {
        format!(
            "is {bytes} bytes; it must be at least {} and a multiple of {}",
            ByteSize(MIN_MEMORY_BYTES),
            ByteSize(MEMORY_UNIT_BYTES)
        )
    })
}

fn name(text: &str) -> Result<String> {
    let possible = convert::domain_name(text);
    if possible == text {
        return Ok(possible);
    }
    let failure = Failure::usage(format!("--name '{text}' cannot be the name of a machine"));
    Err(if possible.is_empty() { failure } else { failure.tip(format!("--name '{possible}'")) })
}

/// The number of worker threads: what was asked for, else one a processor.
pub(crate) fn workers(jobs: Option<u16>) -> usize {
    jobs.map_or_else(
        || std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        usize::from,
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command, PlanArgs};

    fn typed(words: &[&str]) -> PlanArgs {
        let words = ["relift", "plan", "x.ova"].iter().chain(words);
        match Cli::try_parse_from(words).unwrap().command {
            Command::Plan(args) => args,
            other => panic!("plan was typed, not {other:?}"),
        }
    }

    fn choose(words: &[&str]) -> Result<restore::Choices> {
        let args = typed(words);
        of(&args.hardware, &args.packing, &args.policy)
    }

    #[test]
    fn every_flag_reaches_its_choice() {
        let chosen = choose(&[
            "--vcpus",
            "2",
            "--memory",
            "1GiB",
            "--firmware",
            "uefi",
            "--profile",
            "virtio",
            "--max-vcpus",
            "8",
            "--max-memory",
            "4GiB",
            "--watchdog",
            "--keep-nic-names",
            "--mac",
            "keep",
            "--machine",
            "q35",
            "--virt-type",
            "qemu",
            "--net",
            "br0",
            "--ignore",
            "sound",
            "--name",
            "web 1",
            "--format",
            "raw",
            "--manifest",
            "require",
            "--signature",
            "require",
            "--strict",
        ])
        .unwrap();
        assert_eq!(chosen.hardware.vcpus, Some(2));
        assert_eq!(chosen.hardware.memory_bytes, Some(1 << 30));
        assert_eq!(chosen.hardware.firmware, Some(Firmware::Uefi));
        assert_eq!(chosen.hardware.profile, Profile::Virtio);
        assert_eq!((chosen.hardware.max_vcpus, chosen.hardware.watchdog), (Some(8), Watchdog::Add));
        assert_eq!(chosen.hardware.max_memory_bytes, Some(4 << 30));
        assert!(chosen.hardware.keep_nic_names);
        assert_eq!((chosen.hardware.mac, chosen.hardware.uuid), (Origin::Keep, Origin::New));
        assert_eq!(chosen.hardware.chipset, Some(Chipset::Q35));
        assert_eq!(chosen.hardware.accelerator, Accelerator::Qemu);
        assert!(chosen.hardware.networks.others.is_some());
        assert_eq!(chosen.hardware.ignore, ["sound"]);
        assert_eq!(chosen.name.as_deref(), Some("web 1"));
        assert_eq!((chosen.output, chosen.strict), (copy::TargetOptions::Raw, true));
        assert_eq!(chosen.manifest, ManifestPolicy::Require);
        assert_eq!(chosen.signature, restore::SignaturePolicy::Require);
    }

    #[test]
    fn a_choice_for_one_item_stands_beside_the_one_for_all() {
        let words = ["--disk-bus", "sata", "--disk-bus", "disk1=virtio-scsi"];
        let cards = ["--nic-model", "e1000", "--nic-model", "nic1=keep"];
        let chosen = choose(&[words, cards].concat()).unwrap().hardware;
        assert_eq!(chosen.disk_bus, Some(DiskBus::Sata));
        assert_eq!(chosen.bus_of("disk1"), Some(DiskBus::VirtioScsi));
        assert_eq!(chosen.nic_model, Some(convert::NicChoice::Model(NicModel::E1000)));
        assert_eq!(chosen.model_of("nic1"), Some(convert::NicChoice::Keep));
    }

    #[test]
    fn refuses_what_no_machine_can_have() {
        for (words, want) in [
            (["--memory", "lots"], "--memory 'lots' is not a size such as 512M, 2GiB or 10GB"),
            (
                ["--memory", "1000"],
                "--memory 1000 is 1000 bytes; it must be at least 1 MiB and a multiple of 1 KiB",
            ),
            (
                ["--max-memory", "1000"],
                "--max-memory 1000 is 1000 bytes; it must be at least 1 MiB and a multiple of 1 KiB",
            ),
            (["--name", "a/b"], "--name 'a/b' cannot be the name of a machine"),
        ] {
            assert_eq!(choose(&words).unwrap_err().message, want);
        }
    }
}
