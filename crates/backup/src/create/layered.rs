//! The disks of a machine and the images that its snapshots keep, each read by itself from its file.
//!
//! Nobody writes to them meanwhile: the guest does not run, or it writes to overlays of ours.

use std::{collections::BTreeMap, fs::File, path::Path};

use bundle::{Node, PointDisk};
use disk::{Declared, FileBytes, Image as _, Progress};
use ovf::EntryName;

use super::{
    Begun, Request, Sink, Step, Watch,
    base::Reading,
    kept::{Kept, Taken, Top},
    layer::{Layer, Part},
};
use crate::{Error, Kind, Result, snapshot::chain};

/// Copies the images, the definitions and the memory of the snapshots, and then the disks above them.
///
/// # Errors
/// A file cannot be read or was written to meanwhile; the bundle takes no more; somebody said stop.
pub(super) fn copy(
    request: &Request,
    readings: &[Reading],
    kept: &Kept,
    sink: &mut dyn Sink,
    (watch, progress): (&dyn Watch, &dyn Progress),
) -> Result<Vec<PointDisk>> {
    // The disks are opened first and looked at last: they are of one moment.
    let mut tops = Vec::new();
    for reading in readings {
        let top = top_of(kept, reading)?;
        let part = if top.is_empty { Part::Above } else { Part::Top };
        tops.push((reading, top, open(&top.image, top.format, part)?));
    }
    let mut read_bytes: BTreeMap<&str, u64> = BTreeMap::new();
    for layer in &kept.layers {
        let image = open(&layer.image, layer.format, Part::Top)?;
        let (member, backing) = (layer.member.clone(), layer.backing.clone());
        let node = Node { member, capacity_bytes: image.capacity_bytes(), backing };
        watch.begin(Step::Copy { target: &layer.target, total_bytes: node.capacity_bytes });
        let written = sink.layer(&node, &image, request.workers, progress)?;
        *read_bytes.entry(&layer.target).or_default() += written.data_bytes;
    }
    for taken in &kept.snapshots {
        describe(taken, sink, progress)?;
    }
    sink.tell_of(kept.snapshots.iter().map(|taken| taken.snapshot.clone()).collect())?;
    let mut disks = Vec::new();
    for (reading, top, image) in &tops {
        let begun = Begun { kept: top.backing.as_deref(), ..Begun::of(reading) };
        let Begun { target, capacity_bytes, mode, .. } = begun;
        watch.begin(Step::Copy { target, total_bytes: capacity_bytes });
        let written = sink.image(&begun, image, request.workers, progress)?;
        disks.push(PointDisk {
            target: target.to_owned(),
            member: written.member,
            capacity_bytes,
            mode,
            reason: reading.reason.clone(),
            read_bytes: written.data_bytes + read_bytes.get(target).copied().unwrap_or_default(),
        });
    }
    for (_, top, image) in &tops {
        image.check_unchanged().map_err(|error| {
            let text = format!("the image {} cannot be read", top.image.display());
            Error::coded(error.code(), text, error)
        })?;
    }
    Ok(disks)
}

fn top_of<'k>(kept: &'k Kept, reading: &Reading) -> Result<&'k Top> {
    let target = &reading.disk.target;
    let none = || Error::new(Kind::State, format!("the disk {target} is on no file"));
    kept.tops.get(target).ok_or_else(none)
}

fn open(image: &Path, format: Declared, part: Part) -> Result<Layer> {
    Ok(Layer::of(chain::open_as(image, format)?.image, part))
}

/// Writes what there is of a snapshot beside its images.
fn describe(taken: &Taken, sink: &mut dyn Sink, progress: &dyn Progress) -> Result<()> {
    let Taken { snapshot, definition, memory } = taken;
    let definition = definition.as_bytes().to_vec();
    sink.member(&name(&snapshot.config)?, &definition, progress)?;
    let (Some(member), Some(file)) = (&snapshot.memory, memory) else { return Ok(()) };
    let wrap = |error| Error::io("cannot read", file, error);
    let bytes = FileBytes::new(File::open(file).map_err(wrap)?).map_err(wrap)?;
    sink.member(&name(member)?, &bytes, progress)
}

fn name(member: &str) -> Result<EntryName> {
    EntryName::parse(member).map_err(|error| {
        let text = format!("{member} is no name of a member");
        Error::new(Kind::Usage, text).caused_by(error)
    })
}
