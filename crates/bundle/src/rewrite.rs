//! The same bundle in another file: compressed, plain, or without what no longer counts.

use std::{collections::HashSet, ops::Range};

use code::Code;
use disk::{Progress, is_zero};
use rayon::prelude::*;

use crate::{
    Bundle, Error, Form, Kind, Manifest, Medium, Options, Result, Role, Writer, Written,
    archive::Archive,
    frames::{Frames, MAX_BUFFERED_BYTES, Packer},
    tar,
    writer::{STEP_BYTES, for_each_step},
};

/// The most pieces that are read at once, whatever the number of cores (ours: 96 MiB of memory).
const MAX_BATCH: usize = 8;

/// Writes the archive of a bundle in another form and gives the length of the file in bytes.
///
/// The archive itself stays what it is, byte for byte, and so do its digests: `zstd -dc` of what is
/// written is the plain archive.
///
/// # Errors
/// When reading or writing fails, the bundle is damaged, or `progress` says stop.
pub fn rewrite(
    bundle: &Bundle,
    medium: &dyn Medium,
    options: Options,
    progress: &dyn Progress,
) -> Result<u64> {
    let archive = &bundle.archive;
    match options.form {
        Form::Tar => unpack(archive, medium, progress),
        Form::TarZst => {
            let mut packer = Packer::new(medium.into(), Frames::default(), options.level);
            let mut start = 0;
            let ends =
                archive.members.iter().flat_map(|member| [member.offset_bytes, member.end_bytes()]);
            for end in ends.chain([archive.end_bytes]) {
                packer.read(&*archive.plain, start..end, progress, |_| {})?;
                packer.cut()?;
                start = end;
            }
            packer.finish()
        }
    }
}

/// Writes the plain archive; what is zeros stays a hole of the new file.
fn unpack(archive: &Archive, medium: &dyn Medium, progress: &dyn Progress) -> Result<u64> {
    let end = archive.end_bytes;
    for_each_piece(archive, end, progress, |at, piece| {
        if !is_zero(piece) {
            medium.write_all_at(piece, at)?;
        }
        Ok(())
    })?;
    medium.write_all_at(&tar::END, end)?;
    Ok(end.saturating_add(tar::END_BYTES))
}

/// Compares the archives of two bundles, byte for byte.
///
/// # Errors
/// `E0605` with the first byte that differs; when reading fails or `progress` says stop.
pub fn compare(a: &Bundle, b: &Bundle, progress: &dyn Progress) -> Result<()> {
    let (a, b) = (&a.archive, &b.archive);
    let (length, other) = (a.end_bytes, b.end_bytes);
    if length != other {
        return Err(Error::damaged(format!("an archive of {other} bytes, {length} are due")));
    }
    // In the frames of the one that has some, so that each is unpacked once.
    let (first, second) = if a.form == Form::TarZst { (a, b) } else { (b, a) };
    for_each_piece(first, length, progress, |at, piece| {
        let mut there = vec![0; piece.len()];
        second.plain.read_exact_at(&mut there, at)?;
        if there == piece {
            return Ok(());
        }
        let same = there.iter().zip(piece).take_while(|(one, two)| one == two).count();
        Err(Error::damaged("the archives differ").at(at.saturating_add(same as u64)))
    })
}

/// Reads an archive up to `end`, its pieces on all cores and about in order; the error is that of the first
/// piece that has one.
fn for_each_piece(
    archive: &Archive,
    end: u64,
    progress: &dyn Progress,
    act: impl Fn(u64, &[u8]) -> Result<()> + Sync,
) -> Result<()> {
    let plain = &*archive.plain;
    let Some(mut pieces) = pieces(archive, end) else {
        // A great frame of another writer is unpacked from front to end.
        let mut at = 0_u64;
        return for_each_step(plain, 0..end, progress, |step| {
            act(at, step)?;
            at = at.saturating_add(step.len() as u64);
            Ok(())
        });
    };
    let batch_len = rayon::current_num_threads().saturating_mul(4).min(MAX_BATCH);
    loop {
        if progress.stopped() {
            return Err(Error::stopped());
        }
        let batch: Vec<Range<u64>> = pieces.by_ref().take(batch_len).collect();
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(()) };
        let done: Vec<Result<()>> = batch
            .par_iter()
            .map_init(Vec::new, |buffer, piece| {
                let length = piece.end.saturating_sub(piece.start);
                buffer.resize(usize::try_from(length).unwrap_or(0), 0);
                plain.read_exact_at(buffer, piece.start)?;
                act(piece.start, buffer)
            })
            .collect();
        done.into_iter().collect::<Result<()>>()?;
        progress.advance(last.end.saturating_sub(first.start));
    }
}

/// The archive in pieces that can be read in any order; `None` when it has a frame that is too great.
fn pieces(archive: &Archive, end: u64) -> Option<Box<dyn Iterator<Item = Range<u64>> + '_>> {
    let Some(unpacked) = &archive.unpacked else {
        let step = STEP_BYTES as u64;
        let starts = (0..end).step_by(STEP_BYTES);
        return Some(Box::new(starts.map(move |at| at..at.saturating_add(step).min(end))));
    };
    let frames = unpacked.frames().list();
    if frames.iter().any(|frame| frame.plain_len > MAX_BUFFERED_BYTES) {
        return None;
    }
    let ranges = frames.iter().map(move |frame| {
        frame.plain_start..frame.plain_start.saturating_add(frame.plain_len).min(end)
    });
    Some(Box::new(ranges.filter(|range| range.start < range.end)))
}

/// Writes a bundle without what an append left behind: pads, older manifests, deleted members.
///
/// Older definitions stay: they are the machine at other points in time. What is not known is kept.
///
/// # Errors
/// As [`rewrite()`], and when a member has another digest than the manifest says.
pub fn compact(
    bundle: &Bundle,
    medium: &dyn Medium,
    options: Options,
    progress: &dyn Progress,
) -> Result<Written> {
    let manifest = bundle.manifest()?;
    let deleted: HashSet<&str> =
        manifest.iter().flat_map(|manifest| &manifest.deleted).map(String::as_str).collect();
    let mut writer = Writer::new(medium, options);
    for member in bundle.members() {
        let is_old = matches!(member.role, Role::Manifest { .. });
        if !is_old && !deleted.contains(member.name.as_str()) {
            writer.add(&member.name, &*bundle.bytes(member)?, progress)?;
        }
    }
    let manifest = match &manifest {
        Some(manifest) => Some(compacted(manifest, writer.written()?)?),
        None => None,
    };
    writer.finish(manifest.as_ref())
}

/// The manifest without what is deleted; what was copied has to be what it says.
fn compacted(manifest: &Manifest, written: &[crate::MemberDigest]) -> Result<Manifest> {
    for copied in written {
        if let Some(due) = manifest.member(&copied.name)
            && due != copied
        {
            let message = format!("the BLAKE3 digest is {}, {} is due", copied.blake3, due.blake3);
            return Err(Error::damaged(message).in_member(&copied.name));
        }
    }
    let kept = |name: &String| !manifest.deleted.contains(name);
    let mut next = manifest.clone();
    next.deleted.clear();
    next.members = written.to_vec();
    next.nodes.retain(|node| kept(&node.member));
    next.snapshots.retain(|snapshot| kept(&snapshot.config) && snapshot.nodes.iter().all(kept));
    next.points.retain(|point| point.members().all(kept));
    if let Some(lost) =
        next.nodes.iter().find(|node| node.backing.as_ref().is_some_and(|b| !kept(b)))
    {
        let message = "the image stands on one that is deleted";
        return Err(Error::new(Code::E0606, Kind::Malformed, message).in_member(&lost.member));
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use disk::Unheard;

    use super::*;
    use crate::{append, fake::Memory, sample};

    fn rewritten(bytes: &[u8], form: Form) -> Vec<u8> {
        let medium = Memory::default();
        let options = sample::options(form);
        let length = rewrite(&sample::open(bytes.to_vec()), &medium, options, &Unheard).unwrap();
        assert_eq!(length, medium.bytes().len() as u64);
        medium.bytes()
    }

    #[test]
    fn the_archive_is_the_same_byte_for_byte_in_both_forms() {
        let plain = sample::bundle(Form::Tar);
        let packed = rewritten(&plain, Form::TarZst);
        assert!(packed.len() < plain.len() / 10, "{} bytes", packed.len());
        assert!(zstd::decode_all(packed.as_slice()).unwrap() == plain);
        assert!(rewritten(&packed, Form::Tar) == plain);
        assert!(packed == sample::bundle(Form::TarZst), "as if it had been written so");
        compare(&sample::open(plain), &sample::open(packed), &Unheard).unwrap();
    }

    #[test]
    fn a_difference_is_named_with_its_byte() {
        let plain = sample::bundle(Form::Tar);
        let mut other = plain.clone();
        other[600] ^= 1;
        let error =
            compare(&sample::open(plain.clone()), &sample::open(other), &Unheard).unwrap_err();
        assert_eq!(error.to_string(), "the archives differ, at byte 600");
        let shorter = sample::foreign(Form::Tar, &[("1-a.xml", sample::xml("a"))]);
        let error = compare(&sample::open(plain), &sample::open(shorter), &Unheard).unwrap_err();
        assert!(error.to_string().starts_with("an archive of 1024 bytes, "), "{error}");
    }

    #[test]
    fn compacting_drops_pads_older_manifests_and_what_is_deleted() {
        let medium = Memory::with(sample::bundle(Form::Tar));
        append(&sample::open(medium.bytes()), &medium, &sample::increment(1), &Unheard).unwrap();
        let bundle = sample::open(medium.bytes());
        let compacted = Memory::default();
        compact(&bundle, &compacted, sample::options(Form::TarZst), &Unheard).unwrap();
        let found = sample::open(compacted.bytes());
        let names: Vec<_> = found.members().map(|member| member.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "1700000000-web.xml",
                "web-disk0.qcow2",
                "tools.iso",
                "web-1.snapshot",
                "1700000001-web.xml",
                "1700000001-manifest.json",
            ]
        );
        assert_eq!(found.archive.members.len(), names.len());
        let report = crate::verify(&found, crate::Level::Deep, &Unheard).unwrap();
        assert_eq!(report.faults, []);
    }
}
