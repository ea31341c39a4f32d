//! Flags that choose the machine's hardware.

use std::path::PathBuf;

use clap::{Args, ValueEnum, builder::BoolishValueParser};

/// Flags that `plan` and `convert` share.
#[derive(Debug, Args)]
#[command(next_help_heading = "Machine")]
pub(crate) struct HardwareArgs {
    /// Only this machine of a package with several (repeatable; id or name).
    #[arg(long, value_name = "ID|NAME")]
    pub(crate) vm: Vec<String>,
    /// Deployment option; default: the package's own.
    #[arg(long, value_name = "ID")]
    pub(crate) configuration: Option<String>,
    /// Where a source network goes: 'VM Network=br0', 'DMZ=network:dmz', 'DMZ=bridge:br1,vlan=30',
    /// 'DMZ=none', 'DMZ=user'; without a name before = it is for all others.
    #[arg(long, value_name = "SRC=DST|DST")]
    pub(crate) net: Vec<String>,
    /// Value of a property; KEY=@FILE reads it from a file.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) prop: Vec<String>,
    /// File with a KEY=VALUE on each line.
    #[arg(long, value_name = "FILE")]
    pub(crate) prop_file: Option<PathBuf>,
    /// Name of the machine.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Virtual processors.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) vcpus: Option<u32>,
    /// Let processors be added while the machine runs, up to this many in all.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) max_vcpus: Option<u32>,
    /// Memory, such as 2GiB or 512M.
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<String>,
    /// Let memory be added while the machine runs, up to this size in all.
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_memory: Option<String>,
    /// Firmware; default: what the package says, else bios.
    #[arg(long, value_enum)]
    pub(crate) firmware: Option<FirmwareChoice>,
    /// compat changes as little as the guest can notice, virtio takes virtio for disks, cards and video.
    #[arg(long, value_enum, default_value_t = ProfileChoice::Compat)]
    pub(crate) profile: ProfileChoice,
    /// Bus of all disks, or of one: disk1=virtio-scsi (repeatable); default: by the profile.
    /// virtio-blk, virtio-scsi, sata, ide, or keep: the source's own controller, where QEMU has it.
    #[arg(long, value_name = "[ITEM=]BUS")]
    pub(crate) disk_bus: Vec<PerItem<BusChoice>>,
    /// Model of all network cards, or of one: nic0=e1000e (repeatable); default: by the profile.
    /// virtio, e1000, e1000e, vmxnet3, or keep: the source's own model, where QEMU has it.
    #[arg(long, value_name = "[ITEM=]MODEL")]
    pub(crate) nic_model: Vec<PerItem<NicChoice>>,
    /// Give the machine a watchdog timer (i6300esb); when it runs out nothing happens.
    #[arg(long)]
    pub(crate) watchdog: bool,
    /// Linux guests: ens192 stays ens192 (needs q35; the domain gets a qemu: section).
    #[arg(long)]
    pub(crate) keep_nic_names: bool,
    /// Ethernet addresses: made anew, or the package's own.
    #[arg(long, value_enum, default_value_t = KeepOrNew::New)]
    pub(crate) mac: KeepOrNew,
    /// The machine's UUID: made anew, or the package's own.
    #[arg(long, value_enum, default_value_t = KeepOrNew::New)]
    pub(crate) uuid: KeepOrNew,
    /// Machine type; default: by firmware and buses.
    #[arg(long, value_enum)]
    pub(crate) machine: Option<MachineChoice>,
    /// CPU model as libvirt names it; default: the host's own.
    #[arg(long, value_name = "MODEL")]
    pub(crate) cpu: Option<String>,
    /// libosinfo id of the guest; default: recognised from the package.
    #[arg(long, value_name = "URL")]
    pub(crate) os_id: Option<String>,
    /// kvm needs the host's processor, qemu emulates it; auto is what the host offers, without one kvm.
    #[arg(long, value_enum, default_value_t = VirtTypeChoice::Auto)]
    pub(crate) virt_type: VirtTypeChoice,
    /// Format of the disks.
    #[arg(long, value_enum, default_value_t = super::OutputFormat::Qcow2)]
    pub(crate) format: super::OutputFormat,
    /// Leave an item out, such as sound, item:7 or section:NAME (repeatable).
    #[arg(long, value_name = "ITEM")]
    pub(crate) ignore: Vec<String>,
}

/// Whether a host is asked what it offers.
#[derive(Debug, Args)]
#[command(next_help_heading = "Machine")]
pub(crate) struct HostArgs {
    /// Ask no libvirt host what it offers; choose as for a QEMU with all its devices.
    #[arg(long, env = "RELIFT_OFFLINE", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(crate) offline: bool,
}

/// A choice for one item of the machine, or for all of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PerItem<T> {
    /// The item's id, such as `disk1`; `None` is all.
    pub(crate) item: Option<String>,
    /// What was chosen.
    pub(crate) choice: T,
}

impl<T: ValueEnum> std::str::FromStr for PerItem<T> {
    type Err = String;

    /// Reads `BUS` and `ITEM=BUS`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (item, word) = match text.split_once('=') {
            Some((item, word)) => (Some(item.to_owned()), word),
            None => (None, text),
        };
        let choice = T::from_str(word, false).map_err(|_| {
            let words = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
            let words: Vec<String> = words.map(|word| word.get_name().to_owned()).collect();
            format!("'{word}' is none of {}", words.join(", "))
        })?;
        match item.as_deref() {
            Some("") => Err("an item is missing before =, such as disk1 or nic0".to_owned()),
            _ => Ok(Self { item, choice }),
        }
    }
}

/// Firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FirmwareChoice {
    Bios,
    Uefi,
    UefiSecure,
}

/// Profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileChoice {
    Compat,
    Virtio,
}

/// Buses of disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BusChoice {
    VirtioBlk,
    VirtioScsi,
    Sata,
    Ide,
    /// The source's own controller, where QEMU has it.
    Keep,
}

/// Models of network cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NicChoice {
    Virtio,
    E1000,
    E1000e,
    Vmxnet3,
    /// The source's own model, where QEMU has it.
    Keep,
}

/// Identities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeepOrNew {
    New,
    Keep,
}

/// Machine types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MachineChoice {
    Pc,
    Q35,
}

/// How the guest's instructions are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VirtTypeChoice {
    Auto,
    Kvm,
    Qemu,
}
