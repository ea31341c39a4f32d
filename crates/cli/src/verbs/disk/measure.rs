//! `disk measure`: how many bytes a conversion would write.

use convert::copy;
use serde::Serialize;
use vm::ByteSize;

use super::ImageData;
use crate::{
    args::DiskMeasureArgs,
    choices::{self, ImageTarget},
    failure::Result,
    progress::Gauge,
    report::Report,
    show,
};

#[derive(Debug, Serialize)]
struct Data {
    image: ImageData,
    required_bytes: u64,
    fully_allocated_bytes: u64,
}

/// Runs the conversion without an output; its length is exact.
pub(crate) fn run(args: &DiskMeasureArgs, gauge: &Gauge<'_>) -> Result<Report> {
    let target = choices::output(&args.output)?;
    let image = super::open(&args.input)?;
    gauge.phase("measure", None, Some(image.capacity_bytes()));
    let settings = copy::Settings { workers: choices::workers(args.output.jobs) };
    let measured = match target {
        ImageTarget::File(options) => copy::measure(&*image, options, settings, gauge)?,
        ImageTarget::StreamOptimized => {
            let options = choices::stream_options(&*image)?;
            copy::measure_stream_optimized(&*image, &options, settings, gauge)?
        }
    };
    let data = Data {
        image: ImageData::of(&*image),
        required_bytes: measured.required_bytes,
        fully_allocated_bytes: measured.fully_allocated_bytes,
    };
    let exact = |bytes: u64| format!("{bytes} bytes ({})", ByteSize(bytes));
    let text = format!(
        "{}: {} are required, {} when every cluster is full\n",
        show::clean(&args.input.image.display().to_string()),
        exact(data.required_bytes),
        exact(data.fully_allocated_bytes),
    );
    Ok(Report::new(text, &data).warnings(super::warnings(&*image, &args.input.image)))
}
