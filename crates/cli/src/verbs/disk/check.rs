//! `disk check`: every fault of an image.

use code::ExitStatus;
use disk::Report as Findings;
use serde::Serialize;
use vm::ByteSize;

use super::ImageData;
use crate::{
    args::DiskCheckArgs,
    failure::{Failure, Result},
    json::Message,
    progress::Gauge,
    report::Report,
};

#[derive(Debug, Serialize)]
struct Data {
    #[serde(flatten)]
    image: ImageData,
    faults: Vec<FaultData>,
    more_faults: bool,
    data_bytes: u64,
    stored_units: u64,
}

#[derive(Debug, Serialize)]
struct FaultData {
    code: &'static str,
    message: String,
    offset_bytes: Option<u64>,
}

/// Checks an image; damage is exit 5, an image that cannot be opened 4.
pub(crate) fn run(args: &DiskCheckArgs, gauge: &Gauge<'_>) -> Result<Report> {
    let image = super::open(&args.input)?;
    gauge.phase("check", None, Some(image.capacity_bytes()));
    let found = disk::check(&*image, gauge)?;
    let name = args.input.image.display().to_string();
    let data = data(ImageData::of(&*image), &found);
    let text = text(&name, &data);
    let warnings = found.warnings.iter().map(|warning| Message::of_image(warning, &name));
    Ok(Report::new(text, &data).warnings(warnings).failed(failure(&name, &found)))
}

fn data(image: ImageData, found: &Findings) -> Data {
    let faults = found.faults.iter().map(|fault| FaultData {
        code: fault.code.as_str(),
        message: fault.message.clone(),
        offset_bytes: fault.offset_bytes,
    });
    Data {
        image,
        faults: faults.collect(),
        more_faults: found.more,
        data_bytes: found.data_bytes,
        stored_units: found.stored_units,
    }
}

fn text(name: &str, data: &Data) -> String {
    let name = crate::show::clean(name);
    if !data.faults.is_empty() {
        return String::new();
    }
    format!(
        "{name} is clean: {}, {} of {} have content, {} compressed grains inflated\n",
        data.image.name(),
        ByteSize(data.data_bytes),
        ByteSize(data.image.capacity_bytes),
        data.stored_units
    )
}

/// The first fault is the failure, the others are listed with it.
fn failure(name: &str, found: &Findings) -> Option<Box<Failure>> {
    let first = found.faults.first()?;
    let count = found.faults.len();
    let count = if found.more { format!("more than {count}") } else { count.to_string() };
    let others = found.faults.iter().skip(1);
    let failure = Failure::new(first.code, first.message.clone())
        .detail("image", name)
        .detail("faults", count)
        .exit(ExitStatus::Integrity)
        .others(others.map(|fault| Message::new(fault.code, &fault.message)).collect());
    Some(failure)
}

#[cfg(test)]
mod tests {
    use code::Code;
    use disk::Fault;

    use super::*;

    #[test]
    fn damage_is_exit_5_and_every_fault_is_named() {
        let fault = |text: &str| Fault {
            code: Code::E0404,
            message: text.to_owned(),
            offset_bytes: Some(7),
        };
        let found = Findings { faults: vec![fault("a"), fault("b")], ..Findings::default() };
        let failure = failure("x.vmdk", &found).unwrap();
        assert_eq!((failure.code, failure.exit), (Some(Code::E0404), ExitStatus::Integrity));
        assert_eq!(failure.others.len(), 1);
        assert!(super::failure("x.vmdk", &Findings::default()).is_none());
    }
}
