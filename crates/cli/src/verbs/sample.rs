//! `sample create`: the demo appliance.

use std::{fs, path::Path};

use code::Code;
use disk::WriteAt as _;
use host::Host as _;
use serde::Serialize;
use vm::ByteSize;

use crate::{
    args::SampleCreateArgs,
    failure::{Failure, Result},
    report::Report,
    sample,
    session::Session,
    show::{clean, quoted},
};

#[derive(Debug, Serialize)]
struct Data {
    path: String,
    file_bytes: u64,
}

/// Writes the demo appliance; one that is there already and the same is as good.
pub(super) fn run(args: &SampleCreateArgs, session: &Session) -> Result<Report> {
    let bytes = sample::ova()?;
    if !is_there(&args.out, &bytes)? {
        write(&args.out, &bytes, session)?;
    }
    let data = Data { path: args.out.display().to_string(), file_bytes: bytes.len() as u64 };
    let shown = clean(&quoted(&data.path));
    let text = format!(
        "Wrote {shown} ({})\n\nNext:  relift inspect {shown}\n       relift convert {shown} -o out\n",
        ByteSize(data.file_bytes)
    );
    Ok(Report::new(text, &data))
}

/// Whether the same file is there; another one is not overwritten.
fn is_there(path: &Path, bytes: &[u8]) -> Result<bool> {
    let Ok(found) = path.symlink_metadata() else { return Ok(false) };
    let is_same = found.is_file()
        && found.len() == bytes.len() as u64
        && fs::read(path).is_ok_and(|there| there == bytes);
    if is_same {
        return Ok(true);
    }
    let text = format!("{} exists already and is another file", path.display());
    Err(Failure::new(Code::E0509, text).fix("choose another name with -o"))
}

fn write(path: &Path, bytes: &[u8], session: &Session) -> Result<()> {
    let host = session.host();
    let partial = host.create_partial(path)?;
    let written = partial
        .file
        .write_all_at(bytes, 0)
        .map_err(|error| convert::Error::target_image(error.into()).into())
        .and_then(|()| host.publish(&partial).map_err(Into::into));
    if written.is_err() {
        // The failure itself is what is told.
        drop(host.remove_file(&partial.path));
    }
    written
}
