//! Which disks of a machine are in a snapshot, where the overlay of each goes, and why the others are not.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use bundle::LeftOut;
use domain::{Drive, DriveDevice, DriveSource};

use crate::{Error, Result};

/// A disk that is in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Included {
    /// The disk: `vda`.
    pub target: String,
    /// The file or device that the machine writes to until then, and that is its state.
    pub image: PathBuf,
    /// The file that it goes on with.
    pub overlay: PathBuf,
}

/// What is wanted of a snapshot's disks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The name of the snapshot.
    pub(super) snapshot: &'a str,
    /// The names of the machine's snapshots: an overlay is not called after more than one.
    pub(super) others: &'a [String],
    /// Disks that are to be left out.
    pub(super) exclude: &'a [String],
    /// Where overlays go; `None` for beside each image.
    pub(super) storage: Option<&'a Path>,
}

/// Decides for each disk.
///
/// `live` are the drives that the machine has, `own` those of its own definition.
///
/// # Errors
/// A disk is to be left out that the machine does not have, or none is left.
pub(super) fn choose(
    live: &[Drive],
    own: &[Drive],
    wanted: &Wanted<'_>,
) -> Result<(Vec<Included>, Vec<LeftOut>)> {
    let names = |drives: &[Drive]| -> Vec<String> {
        drives.iter().map(|drive| drive.target.clone()).collect()
    };
    if let Some(unknown) = wanted.exclude.iter().find(|name| !names(live).contains(name)) {
        let known = names(live).join(", ");
        return Err(Error::usage(format!("the machine has no disk {unknown}, only {known}")));
    }
    let (mut included, mut left_out) = (Vec::new(), Vec::new());
    let mut taken = BTreeSet::new();
    for drive in live {
        let is_own = own.iter().any(|other| other.target == drive.target);
        let reason = match image(drive, wanted) {
            Err(reason) => reason,
            Ok(_) if !is_own => "hot-plugged, and not in the machine's own definition".to_owned(),
            Ok(image) => {
                let overlay = overlay(image, &drive.target, wanted, &mut taken);
                let (target, image) = (drive.target.clone(), image.to_owned());
                included.push(Included { target, image, overlay });
                continue;
            }
        };
        left_out.push(LeftOut { target: drive.target.clone(), reason });
    }
    if included.is_empty() {
        let why: Vec<String> =
            left_out.iter().map(|one| format!("{}: {}", one.target, one.reason)).collect();
        let text = format!("no disk of the machine can be in a snapshot ({})", why.join("; "));
        return Err(Error::usage(text));
    }
    Ok((included, left_out))
}

/// The image of a disk that can be in a snapshot, or why it cannot.
fn image<'a>(drive: &'a Drive, wanted: &Wanted<'_>) -> std::result::Result<&'a Path, String> {
    let refuse = |reason: &str| Err(reason.to_owned());
    if wanted.exclude.contains(&drive.target) {
        return refuse("left out by --exclude-disk");
    }
    match drive.device {
        DriveDevice::Cdrom => return refuse("a CD drive"),
        DriveDevice::Floppy => return refuse("a floppy drive"),
        DriveDevice::Lun => return refuse("a device of the host that the guest itself commands"),
        DriveDevice::Disk => {}
    }
    let image = match &drive.source {
        DriveSource::None => return refuse("an empty drive"),
        DriveSource::File(path) => path,
        DriveSource::Block(path) if wanted.storage.is_some() => path,
        DriveSource::Block(path) => {
            let path = path.display();
            return Err(format!(
                "on the device {path}, beside which no overlay can lie: --storage"
            ));
        }
        DriveSource::Network { protocol, .. } => return Err(format!("on a server ({protocol})")),
        DriveSource::Volume { pool, volume } => {
            return Err(format!("the volume {volume} of the pool {pool}, by name and not by file"));
        }
        DriveSource::Other(kind) => return Err(format!("of the type {kind}")),
    };
    if drive.is_read_only {
        return refuse("read-only");
    }
    if drive.is_shareable {
        return refuse("shared with other machines");
    }
    if drive.is_transient {
        return refuse("transient: what is written to it is dropped");
    }
    Ok(image)
}

/// `<image stem>.<snapshot>.qcow2`, of an overlay the stem of the image that it began from.
fn overlay(
    image: &Path,
    target: &str,
    wanted: &Wanted<'_>,
    taken: &mut BTreeSet<PathBuf>,
) -> PathBuf {
    let folder = wanted.storage.or_else(|| image.parent()).unwrap_or(Path::new("/"));
    let stem = stem(image, wanted.others);
    let first = folder.join(format!("{stem}.{}.qcow2", wanted.snapshot));
    let second = folder.join(format!("{stem}.{target}.{}.qcow2", wanted.snapshot));
    // Two disks may have one stem: `a.img` and `a.qcow2`.
    let path = if taken.contains(&first) { second } else { first };
    taken.insert(path.clone());
    path
}

/// The name of an image without its ending, and without the snapshot that it was begun by.
pub(super) fn stem(image: &Path, snapshots: &[String]) -> String {
    let name = image.file_stem().unwrap_or_default().to_string_lossy();
    let begun_by = |snapshot: &String| {
        // Overlays that were begun by going back have a number behind it.
        let (front, end) = name.rsplit_once('.')?;
        let rest = end.strip_prefix(snapshot.as_str())?;
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let is_one = rest.is_empty() || rest.strip_prefix('-').is_some_and(is_number);
        is_one.then(|| front.to_owned())
    };
    snapshots.iter().find_map(begun_by).unwrap_or_else(|| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted<'_> = Wanted { snapshot: "s2", others: &[], exclude: &[], storage: None };

    fn drives(disks: &str) -> Vec<Drive> {
        let xml = format!("<domain><devices>{disks}</devices></domain>");
        domain::drives(xml.as_bytes()).unwrap()
    }

    fn file(target: &str, path: &str, more: &str) -> String {
        format!("<disk><source file='{path}'/><target dev='{target}'/>{more}</disk>")
    }

    fn overlay_of(path: &str, others: &[&str], storage: Option<&str>) -> PathBuf {
        let others: Vec<String> = others.iter().map(|&name| name.to_owned()).collect();
        let live = drives(&file("vda", path, ""));
        let wanted = Wanted { others: &others, storage: storage.map(Path::new), ..WANTED };
        let (included, _) = choose(&live, &live, &wanted).unwrap();
        assert_eq!(included[0].image, Path::new(path));
        included[0].overlay.clone()
    }

    #[test]
    fn an_overlay_lies_beside_its_image_and_is_called_after_it_and_the_snapshot() {
        for (path, others, storage, want) in [
            ("/i/web.qcow2", &[][..], None, "/i/web.s2.qcow2"),
            ("/i/web.s1.qcow2", &["s1"], None, "/i/web.s2.qcow2"),
            ("/i/web.s1-3.qcow2", &["s0", "s1"], None, "/i/web.s2.qcow2"),
            ("/i/web.s1.qcow2", &["s"], None, "/i/web.s1.s2.qcow2"),
            ("/i/web.v1-x.qcow2", &["v1"], None, "/i/web.v1-x.s2.qcow2"),
            ("/i/web", &[], Some("/o"), "/o/web.s2.qcow2"),
        ] {
            assert_eq!(overlay_of(path, others, storage), Path::new(want), "{path}");
        }
    }

    #[test]
    fn two_images_of_one_stem_get_two_overlays() {
        let live = drives(&(file("vda", "/i/a.img", "") + &file("vdb", "/i/a.qcow2", "")));
        let (included, _) = choose(&live, &live, &WANTED).unwrap();
        let overlays: Vec<_> = included.iter().map(|one| one.overlay.to_str().unwrap()).collect();
        assert_eq!(overlays, ["/i/a.s2.qcow2", "/i/a.vdb.s2.qcow2"]);
    }

    #[test]
    fn each_disk_that_is_left_out_has_its_reason() {
        let own = file("vda", "/i/a", "") + &file("vdx", "/i/x", "");
        for (disk, want) in [
            (file("vdx", "/i/x", ""), "left out by --exclude-disk"),
            (file("vdb", "/i/b", ""), "hot-plugged, and not in the machine's own definition"),
            (file("vdb", "/i/b", "<readonly/>"), "read-only"),
            (file("vdb", "/i/b", "<shareable/>"), "shared with other machines"),
            (
                file("vdb", "/i/b", "<transient/>"),
                "transient: what is written to it is dropped",
            ),
            ("<disk device='cdrom'><target dev='sda'/></disk>".to_owned(), "a CD drive"),
            ("<disk device='floppy'><target dev='fda'/></disk>".to_owned(), "a floppy drive"),
            (
                "<disk device='lun' type='block'><source dev='/dev/x'/><target dev='sda'/></disk>".to_owned(),
                "a device of the host that the guest itself commands",
            ),
            ("<disk><target dev='vdb'/></disk>".to_owned(), "an empty drive"),
            (
                "<disk type='block'><source dev='/dev/x'/><target dev='vdb'/></disk>".to_owned(),
                "on the device /dev/x, beside which no overlay can lie: --storage",
            ),
            (
                "<disk type='network'><source protocol='rbd' name='p/i'/><target dev='vdb'/></disk>".to_owned(),
                "on a server (rbd)",
            ),
            (
                "<disk type='volume'><source pool='p' volume='v'/><target dev='vdb'/></disk>".to_owned(),
                "the volume v of the pool p, by name and not by file",
            ),
            ("<disk type='nvme'><source type='pci'/><target dev='vdb'/></disk>".to_owned(), "of the type nvme"),
        ] {
            let live = drives(&(file("vda", "/i/a", "") + &disk));
            let exclude = ["vdx".to_owned()];
            let exclude = if disk.contains("vdx") { &exclude[..] } else { &[] };
            let wanted = Wanted { exclude, ..WANTED };
            let (included, left_out) = choose(&live, &drives(&own), &wanted).unwrap();
            assert_eq!((included.len(), left_out.len()), (1, 1), "{disk}");
            assert_eq!(left_out[0].reason, want);
        }
    }

    #[test]
    fn a_device_can_be_in_a_snapshot_where_overlays_have_another_place() {
        let live = drives("<disk type='block'><source dev='/dev/v/x'/><target dev='vda'/></disk>");
        let wanted = Wanted { storage: Some(Path::new("/o")), ..WANTED };
        let (included, _) = choose(&live, &live, &wanted).unwrap();
        assert_eq!(included[0].overlay, Path::new("/o/x.s2.qcow2"));
    }

    #[test]
    fn a_snapshot_of_nothing_is_refused() {
        let live = drives("<disk device='cdrom'><target dev='sda'/></disk>");
        let error = choose(&live, &live, &WANTED).unwrap_err().to_string();
        assert_eq!(error, "no disk of the machine can be in a snapshot (sda: a CD drive)");
        let wanted = Wanted { exclude: &["vdz".to_owned()], ..WANTED };
        let error = choose(&live, &live, &wanted).unwrap_err().to_string();
        assert_eq!(error, "the machine has no disk vdz, only sda");
    }
}
