//! What the host's storage and devices mean for a backup: decided before anything is changed.
//!
//! | the machine or its disk | SpaceVM (translated from its manual) | here, and why |
//! |---|---|---|
//! | a mediated device (mdev) | only while powered off (SPACEVM-11) | the same; off, it is read from its images, since a process of it would need the device, and so it is full each time |
//! | a LUN: `device='lun'`, a SCSI `hostdev` | not copied (SPACEVM-17) | the same, with the reason; the definition has it |
//! | a raw disk on LVM: `/dev/mapper`, `/dev/VG/LV`, a volume of a pool `logical` | refused (SPACEVM-18) | read whole each time: what QEMU or a device gives can be copied; only bitmaps are missing |
//! | a raw disk on a ZFS volume: `/dev/zvol`, a pool `zfs` | plain full one only (SPACEVM-19) | the same: whole each time, also with `--incrementable` |
//! | a raw disk on another device, on a server, in a file | | read whole each time; QEMU keeps bitmaps in qcow2 only |
//! | saved states on a ZFS pool | refused (SPACEVM-19) | not asked for: the disk is read as it is now |
//! | a qcow2 on a device | refused on LVM | as one in a file: it has room for bitmaps |
//! | a backup into a pool that is no folder | refused on LVM (SPACEVM-18) | refused, of each such kind: a backup is a file (`backup create --pool`) |
//! | a template | | while it is off, and never started: its clones stand on its disks as they are |
//!
//! A rule that lets less of a machine be counted is a reason at its disks, in the plan and in the point.

use std::{collections::BTreeMap, path::Path};

use bundle::LeftOut;
use domain::{Drive, DriveSource, HostDeviceKind};
use host::libvirt::{Power, Protection, VolumePlace};

use super::{
    Note, Request,
    disks::{Choice, Disk},
    template::{self, CloneCopy, Footing, Marking, Stand},
};
use crate::{Error, Kind, Result};

/// Why nothing counts the changes of a machine with a mediated device.
const MEDIATED: &str =
    "the machine has a mediated device (mdev) and is only read while it is off: full each time";
/// Why nothing counts the changes of a template.
const TEMPLATE: &str =
    "a template is never started, and its images stay as its clones need them: full each time";

/// What the rules say of a machine.
#[derive(Debug, Default)]
pub(super) struct Ruled {
    /// The disks of a template that its disks stand on, by the names of its own.
    pub(super) footings: BTreeMap<String, Footing>,
    /// Whether its backup is that of a template.
    pub(super) is_template: bool,
    /// What people should know.
    pub(super) notes: Vec<Note>,
}

impl Ruled {
    /// What people are told of the disks of these names, which stand on those of a template.
    pub(super) fn notes_of<'t>(&self, targets: impl Iterator<Item = &'t String>) -> Vec<Note> {
        targets.filter_map(|target| Some(self.footings.get(target)?.note(target))).collect()
    }
}

/// Applies the rules to a machine with this definition and its drives, as it runs; `choice` gets their reasons.
///
/// # Errors
/// `E0510` for a machine that must be off for it, or whose template runs; those of the definition and host.
pub(super) fn apply(
    request: &Request,
    (power, definition, live): (&Power, &str, &[Drive]),
    choice: &mut Choice,
    host: &dyn Protection,
) -> Result<Ruled> {
    let mut ruled = Ruled::default();
    for disk in &mut choice.disks {
        let drive = live.iter().find(|drive| drive.target == disk.target);
        place(disk, drive.map(|drive| &drive.source), host);
    }
    let devices = domain::host_devices(definition.as_bytes())?;
    let luns = (1..).zip(devices.iter().filter(|device| device.kind == HostDeviceKind::Scsi));
    choice.left_out.extend(luns.map(|(number, lun)| LeftOut {
        target: format!("hostdev{number}"),
        reason: format!(
            "a SCSI device of the host ({}): it is in the definition, and not copied",
            lun.place
        ),
    }));
    let is_off = *power == Power::Off;
    if devices.iter().any(|device| device.kind == HostDeviceKind::Mediated) {
        if !is_off {
            let text = "the machine has a mediated device (mdev): it can be backed up only while it is off";
            return Err(Error::new(Kind::State, text));
        }
        count_nothing(choice, MEDIATED);
    }
    ruled.is_template = is_template(request, is_off, choice, &mut ruled.notes)?;
    if ruled.is_template {
        count_nothing(choice, TEMPLATE);
    }
    stand(request, choice, &mut ruled)?;
    Ok(ruled)
}

fn count_nothing(choice: &mut Choice, why: &str) {
    choice.disks.iter_mut().for_each(|disk| disk.uncounted = Some(why.to_owned()));
}

/// Whether the machine is a template.
fn is_template(
    request: &Request,
    is_off: bool,
    choice: &Choice,
    notes: &mut Vec<Note>,
) -> Result<bool> {
    match (request.marking, is_off) {
        (Marking::Ordinary, _) | (Marking::ByClones, false) => Ok(false),
        (Marking::Template, true) => Ok(true),
        (Marking::Template, false) => {
            let text =
                "a template can be backed up only while it is off: its clones stand on its disks";
            Err(Error::new(Kind::State, text))
        }
        (Marking::ByClones, true) => {
            let clone = template::clone_of(&choice.disks, request.machine, &request.machines);
            notes.extend(clone.map(|clone| {
                let name = &clone.name;
                Note(format!("it restores as a template, for {name} stands on its disks (--template=no: as any machine)"))
            }));
            Ok(clone.is_some())
        }
    }
}

/// Finds the template of a thin clone.
fn stand(request: &Request, choice: &mut Choice, ruled: &mut Ruled) -> Result<()> {
    for disk in &mut choice.disks {
        let target = disk.target.clone();
        match template::stand(disk, request.machine, &request.machines)? {
            Stand::Itself => {}
            Stand::Template(_) if request.clone_copy == CloneCopy::Whole => {}
            Stand::Template(footing) => {
                ruled.footings.insert(target, footing);
            }
            Stand::Unfit(why) => {
                ruled.notes.push(Note(format!("{target} is copied with its template: {why}")));
            }
        }
    }
    Ok(())
}

/// Finds out where the bytes of a disk are, and what that means for counting changes.
fn place(disk: &mut Disk, source: Option<&DriveSource>, host: &dyn Protection) {
    let mut pool = None;
    if let Some(DriveSource::Volume { pool: name, volume }) = source {
        // Where the host does not say, a job reads it all the same; one that is off cannot be read then.
        if let Ok(VolumePlace { path, pool_kind }) = host.volume_place(name, volume) {
            disk.file = Some(path).filter(|path| path.is_absolute());
            pool = Some(pool_kind);
        }
    }
    if disk.uncounted.is_none() || matches!(source, Some(DriveSource::File(_))) {
        return;
    }
    let resolved = disk.file.as_ref().and_then(|path| path.canonicalize().ok());
    let medium = match (&disk.file, pool.as_deref()) {
        (Some(path), pool) => Medium::of(path, resolved.as_deref(), pool),
        (None, _) => return,
    };
    let what = match medium {
        Medium::Lvm => "an LVM volume",
        Medium::Zfs => "a ZFS volume",
        Medium::Device => "a device",
        Medium::File => return,
    };
    disk.uncounted =
        Some(format!("{what} ({}) keeps no bitmap of changes: full each time", disk.place));
}

/// What bytes lie on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Medium {
    File,
    Lvm,
    Zfs,
    Device,
}

impl Medium {
    /// Tells it by a path, by what that leads to, and by the kind of the pool.
    ///
    /// A device of the device mapper may be something else than LVM (multipath, LUKS): the difference is one
    /// word of a reason.
    fn of(path: &Path, resolved: Option<&Path>, pool: Option<&str>) -> Self {
        let is_below = |folder: &str| path.starts_with(folder);
        let leads_to = |name: &str| {
            let text = resolved.map(|path| path.to_string_lossy()).unwrap_or_default();
            text.starts_with(name)
        };
        match pool {
            Some("zfs") => Self::Zfs,
            Some("logical") => Self::Lvm,
            _ if is_below("/dev/zvol") || leads_to("/dev/zd") => Self::Zfs,
            _ if is_below("/dev/mapper") || leads_to("/dev/dm-") => Self::Lvm,
            _ if is_below("/dev") && is_of_a_group(path) => Self::Lvm,
            _ if is_below("/dev") => Self::Device,
            _ => Self::File,
        }
    }
}

/// Whether a path has the form `/dev/GROUP/VOLUME`, which only LVM makes beside udev's own folders.
fn is_of_a_group(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().skip(2).map(|part| part.to_string_lossy()).collect();
    let [group, _] = parts.as_slice() else { return false };
    !matches!(&**group, "block" | "bus" | "char" | "cciss" | "disk" | "drbd" | "md" | "nbd" | "rbd")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_told_by_their_paths_and_pools() {
        use Medium::{Device, File, Lvm, Zfs};
        for (path, resolved, pool, want) in [
            ("/dev/mapper/vg-root", "/dev/dm-0", None, Lvm),
            ("/dev/vg/root", "/dev/dm-0", None, Lvm),
            ("/dev/vg/root", "/dev/vg/root", None, Lvm),
            ("/dev/disk/by-id/dm-name-vg-root", "/dev/dm-3", None, Lvm),
            ("/dev/vg/root", "", Some("logical"), Lvm),
            ("/dev/zvol/tank/a", "/dev/zd16", None, Zfs),
            ("/dev/zd16", "/dev/zd16", None, Zfs),
            ("/dev/zvol/tank/a", "", Some("zfs"), Zfs),
            ("/dev/sdb", "/dev/sdb", None, Device),
            ("/dev/disk/by-id/ata-x", "/dev/sdb", None, Device),
            ("/dev/rbd/pool/image", "/dev/rbd0", Some("rbd"), Device),
            ("/dev/md/data", "/dev/md127", None, Device),
            ("/srv/images/a.raw", "/srv/images/a.raw", Some("dir"), File),
        ] {
            let found = Medium::of(Path::new(path), Some(Path::new(resolved)), pool);
            assert_eq!(found, want, "{path} {pool:?}");
        }
    }
}
