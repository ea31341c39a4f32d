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
    /// Memory, such as 2GiB or 512M.
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<String>,
    /// Firmware; default: what the package says, else bios.
    #[arg(long, value_enum)]
    pub(crate) firmware: Option<FirmwareChoice>,
    /// compat changes as little as the guest can notice, virtio takes virtio for disks, cards and video.
    #[arg(long, value_enum, default_value_t = ProfileChoice::Compat)]
    pub(crate) profile: ProfileChoice,
    /// Bus of all disks; default: by the profile.
    #[arg(long, value_enum, value_name = "BUS")]
    pub(crate) disk_bus: Option<BusChoice>,
    /// Model of all network cards; default: by the profile.
    #[arg(long, value_enum, value_name = "MODEL")]
    pub(crate) nic_model: Option<NicChoice>,
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
    /// Leave an item out, such as sound or item:7 (repeatable).
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
