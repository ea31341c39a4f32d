//! `disk info`: what an image says of itself.

use disk::{Format, Image};
use serde::Serialize;
use vm::ByteSize;

use super::ImageData;
use crate::{args::DiskInfoArgs, failure::Result, report::Report, show::table::Table};

#[derive(Debug, Serialize)]
struct Data {
    #[serde(flatten)]
    image: ImageData,
    unit_bytes: Option<u64>,
    references: Vec<ReferenceData>,
    snapshots: Vec<SnapshotData>,
}

/// An internal snapshot of a qcow2 image.
#[derive(Debug, Serialize)]
struct SnapshotData {
    id: String,
    name: String,
    capacity_bytes: u64,
    created: Option<String>,
    memory_bytes: u64,
}

#[derive(Debug, Serialize)]
struct ReferenceData {
    role: &'static str,
    name: String,
}

/// Describes an image; opens no other file that it names.
pub(crate) fn run(args: &DiskInfoArgs) -> Result<Report> {
    let image = super::open_alone(&args.image, args.format)?;
    let info = image.info();
    let references = info.references.iter();
    let data = Data {
        image: ImageData::of(&*image),
        unit_bytes: info.unit_bytes,
        references: references
            .map(|one| ReferenceData { role: one.role, name: one.name.clone() })
            .collect(),
        snapshots: snapshots(&*image)?,
    };
    let text = text(&args.image.display().to_string(), &data);
    Ok(Report::new(text, &data).warnings(super::warnings(&*image, &args.image)))
}

fn snapshots(image: &dyn Image) -> Result<Vec<SnapshotData>> {
    if image.format() != Format::Qcow2 {
        return Ok(Vec::new());
    }
    let found = disk::qcow2::snapshots(&**image.bytes())?;
    let described = found.into_iter().map(|one| SnapshotData {
        created: created(one.date_seconds),
        id: one.id,
        name: one.name,
        capacity_bytes: one.size_bytes,
        memory_bytes: one.vm_state_bytes,
    });
    Ok(described.collect())
}

fn created(seconds: u64) -> Option<String> {
    let seconds = i64::try_from(seconds).ok()?;
    jiff::Timestamp::from_second(seconds).ok().map(|time| time.to_string())
}

fn text(name: &str, data: &Data) -> String {
    let mut table = Table::new(&[]);
    let exact = |bytes: u64| format!("{} ({bytes} bytes)", ByteSize(bytes));
    table.row(["Image", name]);
    table.row(["Format", &data.image.name()]);
    table.row(["Capacity", &exact(data.image.capacity_bytes)]);
    table.row(["File", &exact(data.image.file_bytes)]);
    if let Some(bytes) = data.unit_bytes {
        table.row(["Grain", &ByteSize(bytes).to_string()]);
    }
    for reference in &data.references {
        table.row([reference.role, &reference.name]);
    }
    for snapshot in &data.snapshots {
        let created = snapshot.created.as_deref().unwrap_or("at an unknown time");
        let memory = if snapshot.memory_bytes == 0 { "" } else { ", with memory" };
        table.row(["snapshot", &format!("{} ({created}{memory})", snapshot.name)]);
    }
    table.lines(0, None).join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_other_files_as_text() {
        let data = Data {
            image: ImageData {
                format: "vmdk",
                variant: "monolithicSparse".to_owned(),
                capacity_bytes: 64 << 20,
                file_bytes: 700,
            },
            unit_bytes: Some(65536),
            references: vec![ReferenceData { role: "parent", name: "../x\u{1b}".to_owned() }],
            snapshots: Vec::new(),
        };
        assert_eq!(
            text("a.vmdk", &data),
            "Image      a.vmdk
Format     VMDK monolithicSparse
Capacity   64 MiB (67108864 bytes)
File       700 B (700 bytes)
Grain      64 KiB
parent     ../x\\u{1b}
"
        );
    }
}
