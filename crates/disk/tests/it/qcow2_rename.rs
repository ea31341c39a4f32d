//! Children that are told another name of their parent, as QEMU reads them then.

use std::{fs, path::Path};

use disk::{
    Format,
    qcow2::{head_len_bytes, rename_backing},
};

use crate::{
    oracle::qemu_img,
    sample::{GRAIN, content},
};

/// Gives the file's image another parent, as a copy that goes on behind the first cluster does.
fn rename_in_place(file: &Path, backing: Option<(&str, Format)>) {
    let mut bytes = fs::read(file).unwrap();
    let head_len = head_len_bytes(&bytes[..24]).unwrap();
    let head = rename_backing(&bytes[..head_len], backing).unwrap();
    bytes[..head_len].copy_from_slice(&head);
    fs::write(file, bytes).unwrap();
}

#[test]
fn qemu_follows_the_new_name_and_reads_the_same_disk() {
    let disk = content(40 * GRAIN, &[0, 1, 7, 39]);
    for options in ["compat=0.10", "compat=1.1", "cluster_size=512", "cluster_size=2M,compat=0.10"]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let [raw, old, new, child] = ["raw", "old.qcow2", "new.qcow2", "child.qcow2"].map(path);
        fs::write(&raw, &disk).unwrap();
        let make = ["convert", "-f", "raw", "-O", "qcow2", "-o", options, &raw, &old];
        if qemu_img(&make).is_none() {
            return;
        }
        let over = ["-b", "old.qcow2", "-F", "qcow2", &child];
        qemu_img(&[&["create", "-f", "qcow2", "-o", options][..], &over].concat());
        fs::rename(&old, &new).unwrap();
        for name in ["new.qcow2", new.as_str()] {
            rename_in_place(Path::new(&child), Some((name, Format::Qcow2)));
            let facts = qemu_img(&["info", "-f", "qcow2", "--output=json", &child]).unwrap();
            for fact in [
                format!("\"backing-filename\": \"{name}\""),
                "\"backing-filename-format\": \"qcow2\"".to_owned(),
            ] {
                assert!(facts.contains(&fact), "{options}: {facts}");
            }
            qemu_img(&["check", "-f", "qcow2", &child]);
            qemu_img(&["compare", "-f", "raw", "-F", "qcow2", &raw, &child]);
        }
        rename_in_place(Path::new(&child), None);
        let facts = qemu_img(&["info", "-f", "qcow2", "--output=json", &child]).unwrap();
        assert!(!facts.contains("backing"), "{options}: {facts}");
        qemu_img(&["check", "-f", "qcow2", &child]);
    }
}
