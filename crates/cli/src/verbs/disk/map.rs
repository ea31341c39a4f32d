//! `disk map`: where the content of a disk lies.

use disk::{Extent, ExtentKind, Image};
use serde::Serialize;

use super::ImageData;
use crate::{
    args::DiskCheckArgs, failure::Result, progress::Gauge, report::Report, show::table::Table,
};

/// A run of the disk, with the names that `qemu-img map --output=json` gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Run {
    start: u64,
    length: u64,
    /// How many images lie above the one that has the run.
    depth: u32,
    /// Whether any image of the chain says something of it.
    present: bool,
    /// Whether it reads as zeros.
    zero: bool,
    /// Whether it has content in a file.
    data: bool,
    compressed: bool,
    /// Where the content lies in its file, where it lies there as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    /// The file, where it is not the image itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<String>,
}

/// Lists the extents of an image; an image whose tables are damaged is refused at the damage.
pub(crate) fn run(args: &DiskCheckArgs, gauge: &Gauge<'_>) -> Result<Report> {
    let image = super::open(&args.input)?;
    gauge.phase("map", None, Some(image.capacity_bytes()));
    let mut runs: Vec<Run> = Vec::new();
    for extent in image.extents() {
        let run = Run::of(&*image, &extent?);
        match runs.last_mut() {
            Some(last) if last.goes_on_in(&run) => last.length += run.length,
            _ => runs.push(run),
        }
    }
    let text = text(&ImageData::of(&*image), &runs);
    Ok(Report::new(text, &runs).warnings(super::warnings(&*image, &args.input.image)))
}

impl Run {
    fn of(image: &dyn Image, extent: &Extent) -> Self {
        let (present, zero, data, compressed) = match extent.kind {
            ExtentKind::Hole => (false, true, false, false),
            ExtentKind::Zero => (true, true, false, false),
            ExtentKind::Data { .. } => (true, false, true, false),
            ExtentKind::Stored { .. } | ExtentKind::StoredPart { .. } => (true, false, true, true),
        };
        let offset = match extent.kind {
            ExtentKind::Data { offset_bytes } => Some(offset_bytes),
            _ => None,
        };
        let file = usize::try_from(extent.file).ok().and_then(|file| image.files().get(file));
        Self {
            start: extent.start_bytes,
            length: extent.len_bytes,
            depth: image.depth(extent.file),
            present,
            zero,
            data,
            compressed,
            offset,
            filename: file.filter(|name| data && !name.is_empty()).cloned(),
        }
    }

    /// Whether `next` continues this run, in its file too where it lies there as it is.
    fn goes_on_in(&self, next: &Self) -> bool {
        let end = self.offset.map(|offset| offset + self.length);
        *next == Self { start: next.start, length: next.length, offset: end, ..self.clone() }
    }

    fn content(&self) -> &'static str {
        match (self.data, self.compressed, self.present) {
            (true, true, _) => "compressed",
            (true, false, _) => "data",
            (false, _, true) => "zero",
            (false, _, false) => "hole",
        }
    }
}

fn text(image: &ImageData, runs: &[Run]) -> String {
    let mut table = Table::new(&[0, 1, 3, 4]);
    table.row(["START", "LENGTH", "CONTENT", "OFFSET", "DEPTH", "FILE"]);
    for run in runs {
        table.row([
            &run.start.to_string(),
            &run.length.to_string(),
            run.content(),
            &run.offset.map(|offset| offset.to_string()).unwrap_or_default(),
            &run.depth.to_string(),
            run.filename.as_deref().unwrap_or_default(),
        ]);
    }
    let lines = table.lines(0, None).join("\n");
    format!("{}, {} bytes, {} extents\n\n{lines}\n", image.name(), image.capacity_bytes, runs.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(start: u64, length: u64, offset: Option<u64>) -> Run {
        Run {
            start,
            length,
            depth: 0,
            present: true,
            zero: false,
            data: true,
            compressed: offset.is_none(),
            offset,
            filename: None,
        }
    }

    #[test]
    fn joins_what_goes_on_in_the_file_too() {
        assert!(run(0, 10, Some(100)).goes_on_in(&run(10, 5, Some(110))));
        assert!(!run(0, 10, Some(100)).goes_on_in(&run(10, 5, Some(111))));
        assert!(run(0, 10, None).goes_on_in(&run(10, 5, None)));
        assert!(!run(0, 10, None).goes_on_in(&run(10, 5, Some(10))));
        let other = Run { depth: 1, ..run(10, 5, None) };
        assert!(!run(0, 10, None).goes_on_in(&other));
    }
}
