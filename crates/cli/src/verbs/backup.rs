//! `backup …`: native backup files.

pub(super) mod append;
pub(super) mod config;
pub(super) mod copy;
pub(super) mod create;
pub(super) mod delete;
pub(super) mod list;
pub(super) mod points;
pub(super) mod protect;
pub(super) mod prune;
pub(super) mod rewrite;
pub(super) mod shelf;
pub(super) mod show;
pub(super) mod verify;

use std::{fs::File, path::Path, sync::Arc};

use bundle::{Bundle, Form};
use code::Code;
use disk::FileBytes;

use super::disk::open_file;
use crate::{
    failure::{Failure, Result},
    json::Message,
};

pub(in crate::verbs) use create::find as find_machine;

/// Whether a file is a bundle, sound or not.
pub(in crate::verbs) fn is_one(path: &Path) -> bool {
    let bytes =
        open_file(path).ok().filter(|file| file.metadata().is_ok_and(|found| found.is_file()));
    let bundle = bytes.and_then(|file| Bundle::open(Arc::new(FileBytes::new(file).ok()?)).ok());
    bundle.is_some_and(|bundle| restore::is_backup(&bundle))
}

/// Opens a bundle to be read.
fn open(path: &Path) -> Result<Bundle> {
    let cannot = |error: std::io::Error| unreadable(path, &error);
    of_file(open_file(path).map_err(cannot)?, path)
}

/// Reads the headers of an open file.
fn of_file(file: File, path: &Path) -> Result<Bundle> {
    let cannot = |error: std::io::Error| unreadable(path, &error);
    if !file.metadata().map_err(cannot)?.is_file() {
        let text = format!("{} is no regular file, a bundle is one", path.display());
        return Err(Failure::usage(text));
    }
    let bytes = Arc::new(FileBytes::new(file).map_err(cannot)?);
    Bundle::open(bytes).map_err(|error| refused(error, path))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Box<Failure> {
    Failure::new(Code::E0508, format!("cannot read {}", path.display())).cause(error.to_string())
}

/// What is told of a bundle that cannot be used.
fn refused(error: bundle::Error, path: &Path) -> Box<Failure> {
    Box::<Failure>::from(error).detail("bundle", path.display().to_string())
}

/// What was tolerated about a bundle.
fn warnings(bundle: &Bundle, path: &Path) -> Vec<Message> {
    let shown = path.display().to_string();
    bundle.findings().iter().map(|finding| Message::from(finding).about(&shown)).collect()
}

/// The form as documents name it.
const fn form_name(form: Form) -> &'static str {
    match form {
        Form::Tar => "tar",
        Form::TarZst => "tar_zst",
    }
}
