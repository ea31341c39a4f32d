//! `disk …`: single disk images.

pub(super) mod check;
pub(super) mod compare;
pub(super) mod convert;
pub(super) mod info;
pub(super) mod map;
pub(super) mod measure;

use std::{
    fs::File,
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use code::Code;
use disk::{Alone, Declared, FileBytes, Folder, Format, Image, ReadAt};
use serde::Serialize;

use crate::{
    args::ImageArgs,
    failure::{Failure, Result},
    json::Message,
};

/// An image as every command on it describes it.
#[derive(Debug, Serialize)]
struct ImageData {
    format: &'static str,
    variant: String,
    capacity_bytes: u64,
    file_bytes: u64,
}

impl ImageData {
    fn of(image: &dyn Image) -> Self {
        let info = image.info();
        Self {
            format: info.format.as_str(),
            variant: info.variant.clone(),
            capacity_bytes: info.capacity_bytes,
            file_bytes: info.file_bytes,
        }
    }

    /// `VMDK streamOptimized`.
    fn name(&self) -> String {
        format_name(self.format, Some(&self.variant))
    }
}

/// A format as people write it, with its sub-format where that says more.
pub(super) fn format_name(format: &str, variant: Option<&str>) -> String {
    let shown = match format {
        "vmdk" | "vhd" | "vhdx" | "vdi" => format.to_ascii_uppercase(),
        _ => format.to_owned(),
    };
    match variant {
        Some(variant) if variant.to_ascii_lowercase().starts_with(format) => variant.to_owned(),
        Some(variant) if !variant.is_empty() => format!("{shown} {variant}"),
        _ => shown,
    }
}

/// Opens an image and, as far as the flags allow it, the files that it names.
pub(super) fn open(input: &ImageArgs) -> Result<Box<dyn Image>> {
    open_allowing(&input.image, input.format, &input.gate.allow_backing)
}

/// Opens an image and no other file, whatever it names.
pub(super) fn open_alone(path: &Path, stated: Option<Format>) -> Result<Box<dyn Image>> {
    let (bytes, declared) = look(path, stated)?;
    disk::open_behind(&Alone, bytes, declared).map_err(|error| refused(error, path))
}

/// Opens a qcow2 image as it was when an internal snapshot was taken.
fn open_snapshot(input: &ImageArgs, name: &str) -> Result<Box<dyn Image>> {
    if let Some(other) = input.format.filter(|format| *format != Format::Qcow2) {
        return Err(Failure::usage(format!("--snapshot is of a qcow2 image, not of {other}")));
    }
    let (bytes, _) = look(&input.image, Some(input.format.unwrap_or(Format::Qcow2)))?;
    let gate = gate(&input.image, &input.gate.allow_backing)?;
    disk::open_snapshot(&gate, bytes, name).map_err(|error| refused(error, &input.image))
}

/// As [`open`], from its parts.
fn open_allowing(
    path: &Path,
    stated: Option<Format>,
    allowed: &[PathBuf],
) -> Result<Box<dyn Image>> {
    let (bytes, declared) = look(path, stated)?;
    let gate = gate(path, allowed)?;
    disk::open_behind(&gate, bytes, declared).map_err(|error| refused(error, path))
}

/// What an image may open: the files beneath its folder, and what the user named.
fn gate(path: &Path, allowed: &[PathBuf]) -> Result<Folder> {
    Folder::of(path, allowed).map_err(|error| {
        let text = "a path of --allow-backing cannot be opened";
        Failure::new(Code::E0508, text).cause(error.to_string())
    })
}

/// What is told of an image that cannot be opened.
fn refused(error: disk::Error, path: &Path) -> Box<Failure> {
    let kind = error.kind();
    let failure = Box::<Failure>::from(error).detail("image", path.display().to_string());
    match (failure.code, kind) {
        (Some(Code::E0401), _) => {
            failure.fix("say which format it is, if you know: -f vmdk, -f raw, …")
        }
        (_, disk::Kind::Denied) => failure.fix(
            "put the file beside the image; elsewhere, if you trust both: --allow-backing PATH",
        ),
        _ => failure,
    }
}

/// Opens the file itself, and settles what is known of its format: what was said, else what the magic
/// says, else raw where the name says so. A name in `.raw` claims that there is no magic.
fn look(path: &Path, stated: Option<Format>) -> Result<(Arc<dyn ReadAt>, Declared)> {
    let shown = path.display().to_string();
    let cannot = |error: std::io::Error| {
        Failure::new(Code::E0508, format!("cannot read {shown}")).cause(error.to_string())
    };
    let file = open_file(path).map_err(cannot)?;
    let kind = file.metadata().map_err(cannot)?.file_type();
    if kind.is_dir() {
        return Err(Failure::usage(format!("{shown} is a folder, not a disk image")));
    }
    if kind.is_fifo() {
        return Err(Failure::usage(format!("{shown} is a pipe, not a disk image"))
            .tip("save what comes out of it to a file first"));
    }
    let bytes: Arc<dyn ReadAt> = Arc::new(FileBytes::new(file).map_err(cannot)?);
    let found = || disk::detect(&*bytes).map_err(|error| refused(error, path));
    let declared = match stated {
        Some(format) => Declared::Stated(format),
        None if has_ending(path, "raw") => Declared::Claimed(Format::Raw),
        None if has_ending(path, "img") && found()?.is_none() => Declared::Claimed(Format::Raw),
        None => Declared::Unknown,
    };
    Ok((bytes, declared))
}

/// Opens a file without waiting: a pipe that nobody writes to would be waited for without end.
pub(super) fn open_file(path: &Path) -> std::io::Result<File> {
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    File::options().read(true).custom_flags(nonblocking).open(path)
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|there| there.eq_ignore_ascii_case(ending))
}

/// What was tolerated about an image.
pub(super) fn warnings(image: &dyn Image, path: &Path) -> Vec<Message> {
    let shown = path.display().to_string();
    image.warnings().iter().map(|warning| Message::of_image(warning, &shown)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_format_is_named_once() {
        for (format, variant, want) in [
            ("vmdk", Some("streamOptimized"), "VMDK streamOptimized"),
            ("qcow2", Some("qcow2 v3"), "qcow2 v3"),
            ("raw", Some("raw"), "raw"),
            ("vhd", None, "VHD"),
        ] {
            assert_eq!(format_name(format, variant), want);
        }
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("a.vmdk");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
        let failure = open_alone(&pipe, None).err().unwrap();
        assert!(
            failure.message.ends_with("a.vmdk is a pipe, not a disk image"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn the_format_is_said_or_has_a_magic_or_is_in_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let vmdk = testkit::stream_optimized(&testkit::content(1 << 20), "a.vmdk");
        let zeros = vec![0; 1 << 20];
        let try_open = |name: &str, bytes: &[u8], stated| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            open_allowing(&path, stated, &[])
                .map(|image| image.format())
                .map_err(|failure| failure.code)
        };
        let mismatch = Err(Some(Code::E0401));
        for (name, bytes, stated, want) in [
            ("a.vmdk", &vmdk, None, Ok(Format::Vmdk)),
            ("b", &vmdk, None, Ok(Format::Vmdk)),
            ("c.img", &vmdk, None, Ok(Format::Vmdk)),
            ("d.raw", &vmdk, None, mismatch),
            ("e.raw", &vmdk, Some(Format::Raw), Ok(Format::Raw)),
            ("f.raw", &vmdk, Some(Format::Vmdk), Ok(Format::Vmdk)),
            ("g.raw", &zeros, None, Ok(Format::Raw)),
            ("h.IMG", &zeros, None, Ok(Format::Raw)),
            ("i.bin", &zeros, None, mismatch),
            ("j.bin", &zeros, Some(Format::Qcow2), mismatch),
        ] {
            assert_eq!(try_open(name, bytes, stated), want, "{name}");
        }
    }
}
