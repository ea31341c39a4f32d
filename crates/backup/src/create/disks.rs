//! Which disks of a machine are backed up, and why the others are not.

use std::path::PathBuf;

use bundle::LeftOut;
use domain::{Drive, DriveDevice, DriveSource};

use super::images::place_of;
use crate::{Error, Result};

/// A disk of a machine that is backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disk {
    /// What the definition calls it: `vda`.
    pub(super) target: String,
    /// Its format in libvirt's words: `qcow2`, `raw`.
    pub(super) format: String,
    /// The file or device that the guest writes to, where it is on one.
    pub(super) file: Option<PathBuf>,
    /// Where its bytes are, in words.
    pub(super) place: String,
    /// Why nothing remembers what is written to it, if nothing does.
    pub(super) uncounted: Option<String>,
}

impl Disk {
    /// Whether what is written to it can be remembered in a bitmap of its image.
    #[must_use]
    pub(super) const fn has_bitmaps(&self) -> bool {
        self.uncounted.is_none()
    }

    /// Why an image of this format keeps no bitmap: QEMU keeps one in a qcow2 image, and nowhere else
    /// (before libvirt 10.10).
    #[must_use]
    pub(super) fn without_bitmap(format: &str) -> Option<String> {
        (format != "qcow2").then(|| format!("an image of the format {format} keeps no bitmap"))
    }
}

/// The drives of a machine, parted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Choice {
    /// Those that are backed up, in the order of the definition.
    pub(super) disks: Vec<Disk>,
    /// The disks that are not, with the reason; empty drives are not told.
    pub(super) left_out: Vec<LeftOut>,
    /// The images in its CD drives.
    pub(super) media: Vec<Medium>,
}

/// An image in a CD drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Medium {
    /// What the definition calls the drive: `sda`.
    pub(super) target: String,
    /// The file.
    pub(super) file: PathBuf,
}

/// Parts the drives of the machine as it runs (`live`) and as it is kept (`kept`) by what can be read.
///
/// # Errors
/// A name in `excluded` is no disk of the machine, or nothing is left to back up.
pub(super) fn choose(live: &[Drive], kept: &[Drive], excluded: &[String]) -> Result<Choice> {
    if let Some(name) = excluded.iter().find(|name| live.iter().all(|it| it.target != **name)) {
        let names: Vec<_> = live.iter().map(|drive| drive.target.as_str()).collect();
        let names = names.join(", ");
        return Err(Error::usage(format!("no drive is called {name}; there are: {names}")));
    }
    let mut choice = Choice::default();
    for drive in live {
        let is_kept = kept.iter().any(|other| other.target == drive.target);
        match reason(drive, is_kept, excluded) {
            Verdict::Take => choice.disks.push(disk(drive)),
            Verdict::Medium(file) => {
                choice.media.push(Medium { target: drive.target.clone(), file });
            }
            Verdict::Nothing => {}
            Verdict::LeaveOut(reason) => {
                choice.left_out.push(LeftOut { target: drive.target.clone(), reason });
            }
        }
    }
    if choice.disks.is_empty() {
        return Err(Error::usage("the machine has no disk that can be backed up"));
    }
    Ok(choice)
}

/// What is done with a drive.
enum Verdict {
    Take,
    Medium(PathBuf),
    Nothing,
    LeaveOut(String),
}

fn reason(drive: &Drive, is_kept: bool, excluded: &[String]) -> Verdict {
    let out = |text: &str| Verdict::LeaveOut(text.to_owned());
    match (&drive.device, &drive.source) {
        (_, DriveSource::None) | (DriveDevice::Floppy, _) => return Verdict::Nothing,
        (DriveDevice::Cdrom, DriveSource::File(file)) => return Verdict::Medium(file.clone()),
        (DriveDevice::Cdrom, _) => return Verdict::Nothing,
        (DriveDevice::Lun, _) => {
            return out(
                "a LUN: the guest speaks to the device itself; it is attached again at restore",
            );
        }
        (DriveDevice::Disk, DriveSource::Other(kind)) => {
            return out(&format!("its source is of the type {kind}, which cannot be read"));
        }
        (DriveDevice::Disk, _) => {}
    }
    if excluded.contains(&drive.target) {
        return out("excluded with --exclude-disk");
    }
    if !is_kept {
        return out("plugged in while the machine runs, and not in its kept definition");
    }
    if drive.is_encrypted {
        return out("encrypted: its bytes cannot be read without the key");
    }
    Verdict::Take
}

fn disk(drive: &Drive) -> Disk {
    let file = match &drive.source {
        DriveSource::File(path) | DriveSource::Block(path) => Some(path.clone()),
        _ => None,
    };
    let place = place_of(&drive.source);
    let (target, format) = (drive.target.clone(), drive.format.clone());
    let uncounted = Disk::without_bitmap(&format);
    Disk { target, format, file, place, uncounted }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drives(devices: &str) -> Vec<Drive> {
        let xml = format!("<domain><devices>{devices}</devices></domain>");
        domain::drives(xml.as_bytes()).unwrap()
    }

    const DISK: &str = "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
        <source file='/i/a.qcow2'/><target dev='vda' bus='virtio'/></disk>";

    #[test]
    fn takes_what_can_be_read_and_gives_a_reason_for_each_other_disk() {
        let live = drives(&format!(
            "{DISK}\
             <disk type='block' device='disk'><driver type='raw'/><source dev='/dev/vg/b'/>\
               <target dev='vdb'/></disk>\
             <disk type='file' device='disk'><source file='/i/c'/><target dev='vdc'/></disk>\
             <disk type='file' device='disk'><source file='/i/d'/><target dev='vdd'/></disk>\
             <disk type='block' device='lun'><source dev='/dev/sdq'/><target dev='sda'/></disk>\
             <disk type='vhostuser' device='disk'><source type='unix' path='/s'/>\
               <target dev='vde'/></disk>\
             <disk type='file' device='cdrom'><source file='/i/x.iso'/><target dev='sdb'/></disk>\
             <disk type='file' device='cdrom'><target dev='sdc'/></disk>"
        ));
        let kept: Vec<_> = live.iter().filter(|it| it.target != "vdd").cloned().collect();
        let choice = choose(&live, &kept, &["vdc".to_owned()]).unwrap();
        let taken: Vec<_> = choice.disks.iter().map(|it| (&*it.target, it.has_bitmaps())).collect();
        assert_eq!(taken, [("vda", true), ("vdb", false)]);
        let left: Vec<_> = choice.left_out.iter().map(|it| (&*it.target, &*it.reason)).collect();
        assert_eq!(
            left,
            [
                ("vdc", "excluded with --exclude-disk"),
                ("vdd", "plugged in while the machine runs, and not in its kept definition"),
                (
                    "sda",
                    "a LUN: the guest speaks to the device itself; it is attached again at restore"
                ),
                ("vde", "its source is of the type vhostuser, which cannot be read"),
            ]
        );
        let medium = Medium { target: "sdb".to_owned(), file: "/i/x.iso".into() };
        assert_eq!(choice.media, [medium]);
    }

    #[test]
    fn a_name_that_no_drive_has_and_a_machine_without_disks_are_refused() {
        let live = drives(DISK);
        let error = choose(&live, &live, &["vdz".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "no drive is called vdz; there are: vda");
        let error = choose(&live, &live, &["vda".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "the machine has no disk that can be backed up");
    }
}
