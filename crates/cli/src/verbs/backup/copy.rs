//! `backup copy`: the same bundle, byte for byte, in another folder or pool.
//!
//! Nothing in the copy says that it is one: points, notes and the protection are what they were. An increment
//! can be added to it as long as the host has the checkpoint of its last point.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use bundle::{Level, verify};
use code::{Code, ExitStatus};
use disk::Progress as _;
use host::{Host as _, Partial, dir};
use serde::Serialize;
use vm::ByteSize;

use super::shelf;
use crate::{
    args::BackupCopyArgs,
    events::Event,
    failure::{Failure, Result},
    progress::Gauge,
    report::Report,
    session::Session,
    show::clean,
    state,
};

/// How much is read at once; the zeros of a whole piece become a hole.
const PIECE_BYTES: usize = 1 << 20;

/// What stands before the name of a pool.
const POOL: &str = "pool:";

/// `relift.backup.copy/1`.
#[derive(Debug, Serialize)]
struct Data {
    path: String,
    file_bytes: u64,
    /// The BLAKE3 digest of both files.
    blake3: String,
    source: SourceData,
}

#[derive(Debug, Serialize)]
struct SourceData {
    path: String,
}

/// Copies a bundle under an unfinished name, reads it back, and gives it its own.
pub(in crate::verbs) fn run(
    args: &BackupCopyArgs,
    session: &Session,
    gauge: &Gauge<'_>,
) -> Result<Report> {
    let source = shelf::located(&args.file)?;
    let folder = folder(&args.dest, &session.hypervisor.uri)?;
    let cannot = |error: std::io::Error| super::unreadable(&source, &error);
    let file = File::open(&source).map_err(cannot)?;
    // Nobody adds to it or deletes it meanwhile.
    bundle::pin(&file).map_err(|error| super::refused(error, &source))?;
    let bundle = super::of_file(file.try_clone().map_err(cannot)?, &source)?;
    // What cannot be understood is no backup that somebody could rely on.
    bundle.config().map_err(|error| super::refused(error, &source))?;
    let out = folder.join(source.file_name().unwrap_or_default());
    if out.symlink_metadata().is_ok() {
        return Err(Failure::new(Code::E0509, format!("{} exists already", out.display())));
    }
    let (needed, free) = (bundle.file_bytes(), dir::facts(&folder)?.free_bytes);
    if needed > free {
        let text = format!("{} are needed in {}", ByteSize(needed), folder.display());
        return Err(Failure::new(Code::E0506, text).cause(format!("{} are free", ByteSize(free))));
    }
    let host = session.host();
    let partial = host.create_partial(&out)?;
    let written = write((&file, &source), &partial, gauge)
        .and_then(|digest| host.publish(&partial).map(|()| digest).map_err(Into::into));
    if written.is_err() {
        // The failure itself is what is told; a name that cannot be removed is in its folder.
        drop(host.remove_file(&partial.path));
    }
    let blake3 = written?;
    host.sync_folder(&folder)?;
    state::of_environment().note_place(&folder)?;
    let path = out.display().to_string();
    session.events.send(&Event::Item { path: &path, file_bytes: needed });
    let source = SourceData { path: source.display().to_string() };
    let data = Data { path, file_bytes: needed, blake3, source };
    Ok(Report::new(text(&data), &data).warnings(super::warnings(&bundle, &out)))
}

/// The folder that is meant, absolute.
fn folder(dest: &Path, uri: &str) -> Result<PathBuf> {
    if let Some(pool) = dest.to_str().and_then(|text| text.strip_prefix(POOL)) {
        return shelf::pool_folder(pool, uri);
    }
    if !dest.is_dir() {
        let text = format!("{} is no folder", dest.display());
        return Err(Failure::new(Code::E0508, text).fix("make it first, or name another one"));
    }
    std::path::absolute(dest)
        .map_err(|error| Failure::usage("DEST is no path").cause(error.to_string()))
}

/// Whether a destination is a pool of the host.
pub(crate) fn is_pool(dest: &Path) -> bool {
    dest.to_str().is_some_and(|text| text.starts_with(POOL))
}

/// Copies the bytes, compares what arrived, and looks at every byte of it as `backup verify` does.
fn write((source, path): (&File, &Path), partial: &Partial, gauge: &Gauge<'_>) -> Result<String> {
    let length = source.metadata().map_err(|error| super::unreadable(path, &error))?.len();
    gauge.phase("copy", None, Some(length));
    partial.file.set_len(length).map_err(|error| unwritable(partial, &error))?;
    let due = pieces((source, path), length, gauge, &mut |at, piece| {
        if piece.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        partial.file.write_all_at(piece, at).map_err(|error| unwritable(partial, &error))
    })?;
    partial.file.sync_all().map_err(|error| unwritable(partial, &error))?;
    gauge.phase("verify", None, Some(length));
    let arrived = pieces((&partial.file, &partial.path), length, gauge, &mut |_, _| Ok(()))?;
    if arrived != due {
        let text = format!("the copy in {} is not what was written", partial.path.display());
        return Err(
            Failure::new(Code::E0605, text).cause(format!("BLAKE3 {arrived}, {due} is due"))
        );
    }
    let file = partial.file.try_clone().map_err(|error| unwritable(partial, &error))?;
    let report = verify(&super::of_file(file, &partial.path)?, Level::Deep, gauge)?;
    match report.faults.first() {
        None => Ok(due.to_hex().to_string()),
        Some(fault) => {
            let text = format!("{} is damaged; it was not copied", path.display());
            Err(Failure::new(Code::E0605, text).cause(fault.message.clone()))
        }
    }
}

/// What is done with each piece of a file, and where it lies.
type Act<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<()>;

/// Reads a file piece by piece, and gives its digest.
fn pieces(
    (file, path): (&File, &Path),
    length: u64,
    gauge: &Gauge<'_>,
    act: Act<'_>,
) -> Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; PIECE_BYTES];
    let mut at = 0_u64;
    while at < length {
        if gauge.stopped() {
            return Err(Failure::stopped(ExitStatus::Interrupted));
        }
        let rest = usize::try_from(length - at).unwrap_or(usize::MAX);
        let piece = &mut buffer[..rest.min(PIECE_BYTES)];
        file.read_exact_at(piece, at).map_err(|error| super::unreadable(path, &error))?;
        hasher.update(piece);
        act(at, piece)?;
        at += piece.len() as u64;
        gauge.advance(piece.len() as u64);
    }
    Ok(hasher.finalize())
}

fn unwritable(partial: &Partial, error: &std::io::Error) -> Box<Failure> {
    let text = format!("cannot write {}", partial.path.display());
    let is_full = error.kind() == std::io::ErrorKind::StorageFull;
    let code = if is_full { Code::E0506 } else { Code::E0508 };
    Failure::new(code, text).cause(error.to_string())
}

fn text(data: &Data) -> String {
    format!(
        "Copied {} to {} ({}), and looked at every byte of it\n",
        clean(&data.source.path),
        clean(&data.path),
        ByteSize(data.file_bytes),
    )
}
