//! QEMU reads what is written here, where it is installed.

use std::fs;

use crate::sample::{self, GRAIN, content};

/// Runs `qemu-img`, which must succeed; `None` when it is not installed.
pub(crate) fn qemu_img(args: &[&str]) -> Option<String> {
    let output = testkit::oracle("qemu-img", args)?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "qemu-img {args:?}: {text}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn qemu_reads_the_images_that_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (number, (capacity, grains)) in [
        (512, &[0][..]),
        (GRAIN, &[]),
        (3 * GRAIN + 512, &[0, 3]),
        (600 * GRAIN + 1024, &[0, 1, 2, 511, 512, 600]),
    ]
    .into_iter()
    .enumerate()
    {
        let disk = content(capacity, grains);
        let raw = path(&format!("{number}.raw"));
        let (qcow2, vmdk) = (path(&format!("{number}.qcow2")), path(&format!("{number}.vmdk")));
        fs::write(&raw, &disk).unwrap();
        fs::write(&qcow2, sample::qcow2(&disk)).unwrap();
        fs::write(&vmdk, sample::stream_vmdk(&disk)).unwrap();
        for (file, format) in [(&qcow2, "qcow2"), (&vmdk, "vmdk")] {
            let Some(facts) = qemu_img(&["info", "-f", format, "--output=json", file]) else {
                return;
            };
            assert!(facts.contains(&format!("\"virtual-size\": {capacity}")), "{facts}");
            qemu_img(&["compare", "-f", "raw", "-F", format, &raw, file]);
            qemu_img(&["check", "-f", format, file]);
        }
    }
}

#[test]
fn qemu_finds_no_leak_in_a_disk_of_no_size() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("none.qcow2").to_str().unwrap().to_owned();
    let bytes = sample::qcow2(&[]);
    fs::write(&file, &bytes).unwrap();
    qemu_img(&["check", "-f", "qcow2", &file]);
    let image = sample::open(&bytes, disk::Format::Qcow2).unwrap();
    assert_eq!((image.capacity_bytes(), image.extents().count()), (0, 0));
}

#[test]
fn reads_the_images_that_qemu_writes() {
    let disk = content(600 * GRAIN + 1024, &[0, 1, 2, 511, 512, 600]);
    qemu_writes_and_we_read(&disk);
}

#[test]
fn reads_the_images_that_qemu_ends_with_a_grain() {
    let mut disk = content(600 * GRAIN, &[0, 1, 2, 511]);
    // A grain that does not shrink: QEMU then has no zeros to put behind the last record.
    let mut noise = 1_u32;
    for byte in &mut disk[512 * GRAIN..513 * GRAIN] {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (noise >> 24) as u8;
    }
    qemu_writes_and_we_read(&disk);
}

fn qemu_writes_and_we_read(disk: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let raw = path("disk.raw");
    fs::write(&raw, disk).unwrap();
    for (format, options) in [
        ("vmdk", &["-o", "subformat=streamOptimized"][..]),
        ("vmdk", &["-o", "subformat=monolithicSparse"]),
        ("vmdk", &["-o", "subformat=monolithicSparse,zeroed_grain=on"]),
        ("qcow2", &["-o", "compat=0.10"]),
        ("qcow2", &["-o", "cluster_size=512"]),
        ("qcow2", &["-o", "cluster_size=2M"]),
        ("qcow2", &["-c"]),
        ("qcow2", &["-c", "-o", "cluster_size=4k"]),
    ] {
        let file = path("disk.image");
        let mut args = vec!["convert", "-f", "raw", "-O", format];
        args.extend_from_slice(options);
        args.extend_from_slice(&[&raw, &file]);
        if qemu_img(&args).is_none() {
            return;
        }
        let bytes = fs::read(&file).unwrap();
        let image = sample::open(&bytes, format.parse().unwrap()).unwrap();
        assert_eq!(image.warnings(), [], "{options:?}");
        assert!(sample::read_all(&*image).unwrap() == disk, "{format} {options:?}");
        if format == "vmdk" {
            let (piped, warnings) = sample::read_pipe(&bytes, image.format()).unwrap();
            assert!(piped == disk && warnings.is_empty(), "{options:?}: {warnings:?}");
        }
    }
}
