//! `backup compress`, `backup decompress`: the same archive in the other form.

use std::path::{Path, PathBuf};

use bundle::{Bundle, DEFAULT_LEVEL, Form, Options};
use code::Code;
use host::{Host as _, Partial};
use serde::Serialize;
use vm::ByteSize;

use super::form_name;
use crate::{
    args::{BackupCompressArgs, BackupRewriteArgs},
    failure::{Failure, Result},
    progress::Gauge,
    report::Report,
    session::Session,
};

#[derive(Debug, Serialize)]
struct Data {
    path: String,
    form: &'static str,
    file_bytes: u64,
    source: SourceData,
}

#[derive(Debug, Serialize)]
struct SourceData {
    path: String,
    file_bytes: u64,
    removed: bool,
}

/// Compresses a bundle.
pub(in crate::verbs) fn compress(
    args: &BackupCompressArgs,
    session: &Session,
    gauge: &Gauge<'_>,
) -> Result<Report> {
    run(&args.rewrite, options(Form::TarZst, args.compression_level), session, gauge)
}

/// Decompresses a bundle.
pub(in crate::verbs) fn decompress(
    args: &BackupRewriteArgs,
    session: &Session,
    gauge: &Gauge<'_>,
) -> Result<Report> {
    run(args, options(Form::Tar, DEFAULT_LEVEL), session, gauge)
}

/// No time is written: the headers stay as they are.
const fn options(form: Form, level: i32) -> Options {
    Options { form, level, unix_seconds: 0 }
}

fn run(
    args: &BackupRewriteArgs,
    options: Options,
    session: &Session,
    gauge: &Gauge<'_>,
) -> Result<Report> {
    let bundle = super::open(&args.file)?;
    let shown = args.file.display();
    if bundle.form() == options.form {
        return Err(Failure::usage(format!("{shown} is a .{} already", options.form.ending())));
    }
    // A file that cannot be understood is not replaced.
    bundle.config().map_err(|error| super::refused(error, &args.file))?;
    let out = match &args.out {
        Some(out) => out.clone(),
        None => renamed(&args.file, options.form)?,
    };
    if out.symlink_metadata().is_ok() {
        return Err(Failure::new(Code::E0509, format!("{} exists already", out.display())));
    }
    let host = session.host();
    let partial = host.create_partial(&out)?;
    let written = write(&bundle, &partial, options, gauge)
        .and_then(|bytes| host.publish(&partial).map(|()| bytes).map_err(Into::into));
    if written.is_err() {
        // The failure itself is what is told; a name that cannot be removed is in its folder.
        drop(host.remove_file(&partial.path));
    }
    let file_bytes = written?;
    host.sync_folder(folder_of(&out))?;
    let removed = !args.keep && args.out.is_none();
    if removed {
        host.remove_file(&args.file)?;
    }
    let source = SourceData { path: shown.to_string(), file_bytes: bundle.file_bytes(), removed };
    let path = out.display().to_string();
    let data = Data { path, form: form_name(options.form), file_bytes, source };
    Ok(Report::new(text(&data), &data).warnings(super::warnings(&bundle, &args.file)))
}

/// Writes the archive, and reads it back to compare it with what it was made from.
fn write(bundle: &Bundle, partial: &Partial, options: Options, gauge: &Gauge<'_>) -> Result<u64> {
    let phase = if options.form == Form::Tar { "decompress" } else { "compress" };
    gauge.phase(phase, None, Some(bundle.archive_bytes()));
    let file_bytes = bundle::rewrite(bundle, &partial.file, options, gauge)?;
    gauge.phase("verify", None, Some(bundle.archive_bytes()));
    let file =
        partial.file.try_clone().map_err(|error| super::unreadable(&partial.path, &error))?;
    bundle::compare(bundle, &super::of_file(file, &partial.path)?, gauge)?;
    Ok(file_bytes)
}

/// The same name with the other ending.
fn renamed(path: &Path, form: Form) -> Result<PathBuf> {
    let name = path.as_os_str().to_string_lossy();
    let (stem, due) = match form {
        Form::TarZst => (name.strip_suffix(".tar"), ".tar"),
        Form::Tar => (name.strip_suffix(".tar.zst"), ".tar.zst"),
    };
    let stem = stem.filter(|_| path.to_str().is_some()).ok_or_else(|| {
        Failure::usage(format!("{name} does not end in {due}")).tip("say where it shall go: -o OUT")
    })?;
    Ok(PathBuf::from(format!("{stem}.{}", form.ending())))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn text(data: &Data) -> String {
    let clean = crate::show::clean;
    let verb = if data.form == "tar" { "Decompressed" } else { "Compressed" };
    format!(
        "{verb} {} ({}) to {} ({}), and compared them{}\n",
        clean(&data.source.path),
        ByteSize(data.source.file_bytes),
        clean(&data.path),
        ByteSize(data.file_bytes),
        if data.source.removed { "; the old file is removed" } else { "" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_file_has_the_other_ending() {
        let renamed = |name: &str, form| renamed(Path::new(name), form).ok();
        assert_eq!(renamed("a/b.tar", Form::TarZst), Some("a/b.tar.zst".into()));
        assert_eq!(renamed("b.tar.zst", Form::Tar), Some("b.tar".into()));
        assert_eq!(renamed("b.zst", Form::Tar), None);
        assert_eq!(renamed("b.ova", Form::TarZst), None);
        assert_eq!(folder_of(Path::new("a/b")), Path::new("a"));
        assert_eq!(folder_of(Path::new("b")), Path::new("."));
    }
}
