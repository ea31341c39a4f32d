//! `disk compare`: whether two images hold the same guest bytes.

use code::ExitStatus;
use serde::Serialize;

use super::ImageData;
use crate::{
    args::DiskCompareArgs,
    failure::{Failure, Result},
    json::Message,
    progress::Gauge,
    report::Report,
};

#[derive(Debug, Serialize)]
struct Data {
    a: ImageData,
    b: ImageData,
    identical: bool,
    first_difference_bytes: Option<u64>,
}

/// Compares two images; a difference is exit 5.
pub(crate) fn run(args: &DiskCompareArgs, gauge: &Gauge<'_>) -> Result<Report> {
    let a = super::open_allowing(&args.a, args.format_a, &args.gate.allow_backing)?;
    let b = super::open_allowing(&args.b, args.format_b, &args.gate.allow_backing)?;
    let total_bytes = a.capacity_bytes().max(b.capacity_bytes());
    gauge.phase("compare", None, Some(total_bytes));
    let found = disk::compare(&*a, &*b, gauge)?;
    let first = found.first_difference_bytes;
    let data = Data {
        a: ImageData::of(&*a),
        b: ImageData::of(&*b),
        identical: first.is_none(),
        first_difference_bytes: first,
    };
    let text = if first.is_none() { "The disks are identical.\n" } else { "" };
    let failure = first.map(|at| {
        let text = format!("the disks differ, first at byte {at}");
        Failure::plain(ExitStatus::Integrity, text)
            .detail("a", args.a.display().to_string())
            .detail("b", args.b.display().to_string())
    });
    let mut warnings = super::warnings(&*a, &args.a);
    warnings.extend(super::warnings(&*b, &args.b));
    let both = format!("{}, {}", args.a.display(), args.b.display());
    warnings.extend(found.warnings.iter().map(|warning| Message::of_image(warning, &both)));
    Ok(Report::new(text, &data).warnings(warnings).failed(failure))
}
