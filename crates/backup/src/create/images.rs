//! The disks of a machine that is off, read from its images.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use bundle::PointDisk;
use code::Code;
use disk::{Alone, Declared, FileBytes, Folder, Format, Image, Role};
use domain::DriveSource;
use host::libvirt::Power;

use super::{Begun, Doors, Request, Sink, Step, base::Reading};
use crate::{Error, Kind, Result};

/// The longest chain of images (as that of `disk convert`).
const MAX_DEPTH: usize = 256;

/// Copies each disk whole.
///
/// # Errors
/// An image cannot be read, is on no file, or was written to meanwhile; the bundle takes no more.
pub(super) fn copy_off(
    request: &Request,
    readings: &[Reading],
    sink: &mut dyn Sink,
    doors: &Doors<'_>,
) -> Result<Vec<PointDisk>> {
    let images: Vec<_> = readings.iter().map(open).collect::<Result<_>>()?;
    let mut disks = Vec::new();
    for (reading, image) in readings.iter().zip(&images) {
        let target = reading.disk.target.as_str();
        doors.watch.begin(Step::Copy { target, total_bytes: reading.capacity_bytes });
        let begun = Begun {
            target,
            capacity_bytes: reading.capacity_bytes,
            mode: reading.mode,
            kept: None,
        };
        let written = sink.image(&begun, &**image, request.workers, doors.watch)?;
        disks.push(PointDisk {
            target: target.to_owned(),
            member: written.member,
            capacity_bytes: reading.capacity_bytes,
            mode: reading.mode,
            reason: reading.reason.clone(),
            read_bytes: written.data_bytes,
        });
    }
    // The disks are of one moment: none changed until the last was read.
    for (reading, image) in readings.iter().zip(&images) {
        image.check_unchanged().map_err(|error| about(Path::new(&reading.disk.place), error))?;
    }
    if doors.host.power(request.machine)? != Power::Off {
        let text = "the machine was started while its images were read";
        return Err(Error::new(Kind::State, text));
    }
    Ok(disks)
}

/// Opens the image of a disk with all that it stands on, in the formats that the host is told.
///
/// The guest cannot change the names in an image: libvirt, too, follows those of an image that it is told
/// to be a qcow2, and of no other.
fn open(reading: &Reading) -> Result<Box<dyn Image>> {
    let disk = &reading.disk;
    let Some(path) = &disk.file else {
        let text = format!(
            "the disk {} is on {}: it can be read while the machine runs, or is started with --incrementable",
            disk.target, disk.place
        );
        return Err(Error::usage(text));
    };
    let format = match disk.format.as_str() {
        "qcow2" => Format::Qcow2,
        "raw" => Format::Raw,
        other => {
            let text =
                format!("the disk {} has the format {other}, which is not read", disk.target);
            return Err(Error::usage(text));
        }
    };
    let below = if format == Format::Qcow2 { chain(path)? } else { Vec::new() };
    let gate = Folder::of(path, &below)
        .map_err(|error| Error::io("cannot open the images below", path, error))?;
    let image = disk::open_behind(&gate, bytes(path)?, Declared::Stated(format));
    image.map_err(|error| about(path, error))
}

/// The images that an image stands on, by their names in the headers.
fn chain(top: &Path) -> Result<Vec<PathBuf>> {
    let mut chain: Vec<PathBuf> = Vec::new();
    let mut next = Some(top.to_owned());
    while let Some(path) = next.take() {
        if chain.len() >= MAX_DEPTH {
            let text = format!("more than {MAX_DEPTH} images stand on each other");
            return Err(Error::coded(Code::E0405, text, top.display().to_string()));
        }
        let image = disk::open_behind(&Alone, bytes(&path)?, Declared::Unknown);
        let image = image.map_err(|error| about(&path, error))?;
        for named in &image.info().references {
            let file = path.with_file_name(&named.name);
            if named.role == Role::BackingFile.as_str() {
                next = Some(file.clone());
            }
            chain.push(file);
        }
    }
    Ok(chain)
}

fn bytes(path: &Path) -> Result<Arc<FileBytes>> {
    let open = || FileBytes::new(File::open(path)?);
    open().map(Arc::new).map_err(|error| Error::io("cannot read", path, error))
}

fn about(path: &Path, error: disk::Error) -> Error {
    let (code, text) = (error.code(), format!("the image {} cannot be read", path.display()));
    Error::coded(code, text, error)
}

/// Where the bytes of a drive are, in words.
pub(super) fn place_of(source: &DriveSource) -> String {
    match source {
        DriveSource::File(path) | DriveSource::Block(path) => path.display().to_string(),
        DriveSource::Network { protocol, name } => format!("{protocol}:{name}"),
        DriveSource::Volume { pool, volume } => format!("the volume {volume} of the pool {pool}"),
        DriveSource::Other(kind) => format!("a source of the type {kind}"),
        DriveSource::None => "nothing".to_owned(),
    }
}
