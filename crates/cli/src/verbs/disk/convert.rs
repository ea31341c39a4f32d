//! `disk convert`: the same guest bytes in another format.

use std::{
    io::{self, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use code::Code;
use convert::copy;
use disk::{Image, Progress, vmdk::StreamOptions};
use host::{Host as _, Partial};
use serde::Serialize;
use vm::ByteSize;

use super::ImageData;
use crate::{
    args::{DiskConvertArgs, ImageFormat},
    choices::{self, ImageTarget},
    failure::{Failure, Result},
    progress::Gauge,
    report::Report,
    session::Session,
    show,
};

#[derive(Debug, Serialize)]
struct Data {
    image: ImageData,
    output: OutputData,
    data_bytes: u64,
    source_digest: Option<DigestData>,
}

#[derive(Debug, Serialize)]
struct OutputData {
    path: String,
    format: &'static str,
    file_bytes: u64,
}

#[derive(Debug, Serialize)]
struct DigestData {
    algorithm: &'static str,
    value: String,
}

/// Converts one image; what fails leaves nothing behind.
pub(crate) fn run(args: &DiskConvertArgs, session: &Session, gauge: &Gauge<'_>) -> Result<Report> {
    let to_stdout = args.out.as_os_str() == "-";
    check_output(args)?;
    if to_stdout {
        session.claim_stdout("-o -")?;
    } else if args.out.symlink_metadata().is_ok() {
        return Err(Failure::new(Code::E0509, format!("{} exists already", args.out.display())));
    }
    let image = match &args.snapshot {
        Some(name) => super::open_snapshot(&args.input, name)?,
        None => super::open(&args.input)?,
    };
    gauge.phase("convert", None, Some(image.capacity_bytes()));
    let (done, source_digest) = hashed(&*image, args, gauge, || {
        if to_stdout { pour(&*image, args, gauge) } else { write(&*image, args, session, gauge) }
    })?;
    let data = Data {
        image: ImageData::of(&*image),
        output: OutputData {
            path: args.out.display().to_string(),
            format: args.output.output_format.as_str(),
            file_bytes: done.file_bytes,
        },
        data_bytes: done.data_bytes,
        source_digest,
    };
    let text = if to_stdout { String::new() } else { text(&args.input.image, &data) };
    Ok(Report::new(text, &data).warnings(super::warnings(&*image, &args.input.image)))
}

/// Refuses what the flags and the name of the output cannot be together.
fn check_output(args: &DiskConvertArgs) -> Result<()> {
    let target = choices::output(&args.output)?;
    if args.out.as_os_str() == "-" {
        return match target {
            ImageTarget::StreamOptimized | ImageTarget::File(copy::TargetOptions::Raw) => Ok(()),
            ImageTarget::File(_) => {
                Err(Failure::usage("-o - writes raw bytes or a VMDK").tip("add -O raw or -O vmdk"))
            }
        };
    }
    let format = args.output.output_format;
    let named = args.out.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("vmdk"));
    if named && format != ImageFormat::Vmdk {
        let text = format!("{} would be {}, not VMDK", args.out.display(), format.as_str());
        return Err(Failure::usage(text).tip("add -O vmdk"));
    }
    Ok(())
}

fn text(image: &Path, data: &Data) -> String {
    let image = show::clean(&image.display().to_string());
    let converted = format!(
        "Converted {image} ({}) to {} ({}): {}, {} with content, file {}\n",
        data.image.name(),
        show::clean(&data.output.path),
        data.output.format,
        ByteSize(data.image.capacity_bytes),
        ByteSize(data.data_bytes),
        ByteSize(data.output.file_bytes),
    );
    let hashed = data.source_digest.as_ref();
    let hashed = hashed.map(|one| format!("{} {}  {image}\n", one.algorithm, one.value));
    converted + &hashed.unwrap_or_default()
}

/// Converts, and hashes the source file on a thread of its own where that was asked for.
fn hashed(
    image: &dyn Image,
    args: &DiskConvertArgs,
    gauge: &Gauge<'_>,
    convert: impl FnOnce() -> Result<copy::Summary>,
) -> Result<(copy::Summary, Option<DigestData>)> {
    let Some(choice) = args.digest else { return Ok((convert()?, None)) };
    let algorithm = choices::digest(choice);
    let watch = UntilFailed { gauge, failed: AtomicBool::new(false) };
    thread::scope(|scope| {
        let hashing =
            scope.spawn(|| convert::digest::digest(&**image.bytes(), &[algorithm], &watch));
        let done = convert().inspect_err(|_| watch.failed.store(true, Ordering::Relaxed))?;
        let digests = hashing
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the hashing thread failed")))
            .map_err(convert::Error::reading)?;
        let digest = digests
            .first()
            .map(|digest| DigestData { algorithm: algorithm.as_str(), value: digest.to_string() });
        Ok((done, digest))
    })
}

/// Stops the hashing when nobody will see the digest: the conversion has failed.
struct UntilFailed<'a> {
    gauge: &'a Gauge<'a>,
    failed: AtomicBool,
}

impl Progress for UntilFailed<'_> {
    fn advance(&self, done_bytes: u64) {
        self.gauge.advance(done_bytes);
    }

    fn stopped(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.gauge.stopped()
    }
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
    match choices::output(&args.output)? {
        ImageTarget::File(options) => {
            let file = Arc::new(partial.file.try_clone().map_err(convert::Error::reading)?);
            let output = copy::Output { file, capacity_bytes: image.capacity_bytes(), options };
            Ok(copy::write_image(image, output, settings(args), gauge)?)
        }
        ImageTarget::StreamOptimized => {
            let options = choices::stream_options(image)?;
            Ok(stream_optimized(image, &mut &partial.file, &options, settings(args), gauge)?)
        }
    }
}

/// Writes front to end: every guest byte, zeros too, or a VMDK.
fn pour(image: &dyn Image, args: &DiskConvertArgs, gauge: &Gauge<'_>) -> Result<copy::Summary> {
    let out = &mut io::stdout();
    let poured = match choices::output(&args.output)? {
        ImageTarget::File(_) => copy::copy_out(image, out, settings(args), gauge),
        ImageTarget::StreamOptimized => {
            let options = choices::stream_options(image)?;
            stream_optimized(image, out, &options, settings(args), gauge)
        }
    };
    match poured {
        // The reader has seen enough.
        Err(error) if error.is_broken_pipe() => Ok(copy::Summary::default()),
        Err(error) if error.kind() == convert::Kind::Target => {
            Err(Failure::new(Code::E0508, "cannot write to standard output")
                .cause(error.to_string()))
        }
        other => Ok(other?),
    }
}

fn stream_optimized(
    image: &dyn Image,
    out: &mut dyn Write,
    options: &StreamOptions,
    settings: copy::Settings,
    gauge: &Gauge<'_>,
) -> std::result::Result<copy::Summary, convert::Error> {
    let done = copy::write_stream_optimized(image, out, options, settings, gauge)?;
    Ok(copy::Summary { data_bytes: done.data_bytes, file_bytes: done.file_bytes })
}

fn settings(args: &DiskConvertArgs) -> copy::Settings {
    copy::Settings { workers: choices::workers(args.output.jobs) }
}
