//! `disk convert`: the same guest bytes in another format.

use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use code::Code;
use convert::copy;
use disk::{Extent, Image, Progress as _, Target, Workbench};
use host::{Host as _, Partial};
use serde::Serialize;
use vm::{ByteSize, DiskFormat};

use super::ImageData;
use crate::{
    args::{DiskConvertArgs, OutputFormat},
    choices,
    failure::{Failure, Result},
    progress::Gauge,
    report::Report,
    session::Session,
    show,
};

/// Guest bytes that are decoded at a time for stdout.
const CHUNK_BYTES: u64 = 1 << 20;

#[derive(Debug, Serialize)]
struct Data {
    image: ImageData,
    output: OutputData,
    data_bytes: u64,
}

#[derive(Debug, Serialize)]
struct OutputData {
    path: String,
    format: &'static str,
    file_bytes: u64,
}

/// Converts one image; what fails leaves nothing behind.
pub(crate) fn run(args: &DiskConvertArgs, session: &Session, gauge: &Gauge<'_>) -> Result<Report> {
    let to_stdout = args.out.as_os_str() == "-";
    if to_stdout && args.output_format != OutputFormat::Raw {
        return Err(Failure::usage("-o - writes raw bytes").tip("add -O raw"));
    }
    if to_stdout {
        session.claim_stdout("-o -")?;
    } else if args.out.symlink_metadata().is_ok() {
        return Err(Failure::new(Code::E0509, format!("{} exists already", args.out.display())));
    }
    let image = super::open(&args.image, args.format.format)?;
    let format = choices::format(args.output_format);
    gauge.phase("convert", None, Some(image.capacity_bytes()));
    let done = if to_stdout {
        pour(&*image, &mut io::stdout().lock(), gauge)?
    } else {
        write(&*image, args, session, gauge)?
    };
    let data = Data {
        image: ImageData::of(&*image),
        output: OutputData {
            path: args.out.display().to_string(),
            format: format.as_str(),
            file_bytes: done.file_bytes,
        },
        data_bytes: done.data_bytes,
    };
    let text = if to_stdout { String::new() } else { text(&args.image, &data) };
    Ok(Report::new(text, &data).warnings(super::warnings(&*image, &args.image)))
}

fn text(image: &Path, data: &Data) -> String {
    format!(
        "Converted {} ({}) to {} ({}): {}, {} with content, file {}\n",
        show::clean(&image.display().to_string()),
        data.image.name(),
        show::clean(&data.output.path),
        data.output.format,
        ByteSize(data.image.capacity_bytes),
        ByteSize(data.data_bytes),
        ByteSize(data.output.file_bytes),
    )
}

/// Writes a file under a name of its own, which it loses when it is complete and on disk.
fn write(
    image: &dyn Image,
    args: &DiskConvertArgs,
    session: &Session,
    gauge: &Gauge<'_>,
) -> Result<copy::Summary> {
    let host = session.host();
    let partial = host.create_partial(&args.out)?;
    let done = fill(image, &partial, args, gauge)
        .and_then(|done| host.publish(&partial).map(|()| done).map_err(Into::into));
    if done.is_err() {
        // The failure itself is what is told; a name that cannot be removed is in its folder.
        drop(host.remove_file(&partial.path));
    }
    done
}

fn fill(
    image: &dyn Image,
    partial: &Partial,
    args: &DiskConvertArgs,
    gauge: &Gauge<'_>,
) -> Result<copy::Summary> {
    let file = partial.file.try_clone().map_err(convert::Error::reading)?;
    let capacity_bytes = image.capacity_bytes();
    let mut target: Box<dyn Target> = match choices::format(args.output_format) {
        DiskFormat::Qcow2 => Box::new(
            disk::qcow2::Writer::create(Arc::new(file), capacity_bytes)
                .map_err(convert::Error::target_image)?,
        ),
        DiskFormat::Raw => Box::new(
            disk::raw::Writer::create(Arc::new(file), capacity_bytes)
                .map_err(convert::Error::target_image)?,
        ),
    };
    let settings = copy::Settings { workers: choices::workers(args.jobs) };
    Ok(copy::copy_image(image, &mut *target, settings, gauge)?)
}

/// Writes every guest byte, zeros too, front to end.
fn pour(image: &dyn Image, out: &mut dyn Write, gauge: &Gauge<'_>) -> Result<copy::Summary> {
    let mut done = copy::Summary::default();
    let (mut bench, mut chunk) = (Workbench::new(), Vec::new());
    for extent in image.extents() {
        let mut rest: Option<Extent> = Some(extent?);
        while let Some(extent) = rest {
            if gauge.stopped() {
                return Err(convert::Error::stopped().into());
            }
            let (part, behind) = extent.split(CHUNK_BYTES);
            rest = behind;
            chunk.resize(usize::try_from(part.len_bytes).unwrap_or(usize::MAX), 0);
            image.read_extent(&part, &mut bench, &mut chunk)?;
            match out.write_all(&chunk) {
                // The reader has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(done),
                other => other.map_err(|error| {
                    Failure::new(Code::E0508, "cannot write to standard output")
                        .cause(error.to_string())
                })?,
            }
            done.file_bytes += part.len_bytes;
            gauge.advance(part.len_bytes);
        }
    }
    done.data_bytes = done.file_bytes;
    Ok(done)
}
