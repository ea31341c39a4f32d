//! `disk info`: what an image says of itself.

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
}

#[derive(Debug, Serialize)]
struct ReferenceData {
    role: &'static str,
    name: String,
}

/// Describes an image; opens no other file that it names.
pub(crate) fn run(args: &DiskInfoArgs) -> Result<Report> {
    let image = super::open_allowing(&args.image, args.format, &[])?;
    let info = image.info();
    let references = info.references.iter();
    let data = Data {
        image: ImageData::of(&*image),
        unit_bytes: info.unit_bytes,
        references: references
            .map(|one| ReferenceData { role: one.role, name: one.name.clone() })
            .collect(),
    };
    let text = text(&args.image.display().to_string(), &data);
    Ok(Report::new(text, &data).warnings(super::warnings(&*image, &args.image)))
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
