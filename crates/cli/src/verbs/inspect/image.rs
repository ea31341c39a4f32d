//! A single disk image, described as a package of one disk.

use std::path::Path;

use vm::ByteSize;

use super::document::{Data, DiskData, SystemData};
use crate::{
    failure::Result,
    report::Report,
    show::clean,
    verbs::disk::{self, format_name},
};

/// Describes an image.
pub(super) fn run(path: &Path) -> Result<Report> {
    let image = disk::open_alone(path, None)?;
    let info = image.info();
    let data = Data {
        points: Vec::new(),
        kind: "disk",
        ovf_version: None,
        producer: None,
        configurations: Vec::new(),
        systems: vec![SystemData {
            disks: vec![DiskData {
                file: Some(path.display().to_string()),
                format: Some(info.format.as_str()),
                capacity_bytes: Some(info.capacity_bytes),
                packed_bytes: Some(info.file_bytes),
                ..DiskData::default()
            }],
            ..SystemData::default()
        }],
        networks: Vec::new(),
        manifest: None,
        signature: "unsigned",
    };
    let shown = clean(&path.display().to_string());
    let text = format!(
        "{shown} — a disk image\n\n  Format    {}\n  Packed    {}\n  Capacity  {}\n\n\
         Next:  relift disk check {shown}\n       relift disk convert {shown} -O qcow2 -o OUT.qcow2\n",
        format_name(info.format.as_str(), Some(&clean(&info.variant))),
        ByteSize(info.file_bytes),
        ByteSize(info.capacity_bytes),
    );
    Ok(Report::new(text, &data).warnings(disk::warnings(&*image, path)))
}
