//! QEMU reads what is written, where it is installed.

use std::{fs, path::Path};

use disk::Format;
use testkit::{GuestDisk, oracle, some_guest_disks};

use crate::{LAYOUTS, format_of, is_possible, packed, sources, workers, written};

/// Runs `qemu-img`, which must succeed; false when it is not installed.
fn qemu_img(args: &[&str], what: &str) -> bool {
    let Some(output) = oracle("qemu-img", args) else { return false };
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "qemu-img {args:?} of {what}: {text}");
    true
}

#[test]
fn qemu_reads_every_disk_in_every_layout() {
    let folder = tempfile::tempdir().unwrap();
    for disk in some_guest_disks(3, 6) {
        if !judge(folder.path(), &disk) {
            return;
        }
    }
}

/// Writes a disk in every layout and has each judged; false when there is no judge.
fn judge(folder: &Path, disk: &GuestDisk) -> bool {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (file, raw) = (path("written"), path("raw"));
    let bytes = disk.bytes();
    for image in sources(&bytes) {
        for options in LAYOUTS {
            if format_of(options) == Format::Raw || !is_possible(&*image, &bytes, options) {
                continue;
            }
            let what = format!("{options:?} of {}, {disk:?}", image.format());
            fs::write(&file, written(&*image, options, workers(2)).unwrap().0).unwrap();
            if !qemu_img(&["check", "-q", "-f", "qcow2", &file], &what) {
                return false;
            }
            qemu_img(&["convert", "-f", "qcow2", "-O", "raw", &file, &raw], &what);
            assert!(fs::read(&raw).unwrap() == bytes, "QEMU reads another disk of {what}");
        }
        let what = format!("a VMDK of {}, {disk:?}", image.format());
        fs::write(&file, packed(&*image, workers(2)).unwrap()).unwrap();
        if !qemu_img(&["check", "-q", "-f", "vmdk", &file], &what) {
            return false;
        }
        qemu_img(&["convert", "-f", "vmdk", "-O", "raw", &file, &raw], &what);
        assert!(fs::read(&raw).unwrap() == bytes, "QEMU reads another disk of {what}");
    }
    true
}
