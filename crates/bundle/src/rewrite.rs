//! The same bundle in another file: compressed, plain, or without what no longer counts.

use std::collections::HashSet;

use code::Code;
use disk::Progress;

use crate::{
    Bundle, Error, Form, Kind, Manifest, Medium, Options, Result, Role, Writer, Written,
    frames::{Frames, Packer},
    tar,
    writer::for_each_step,
};

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
    let plain = &*archive.plain;
    match options.form {
        Form::Tar => {
            let mut position = 0_u64;
            for_each_step(plain, 0..archive.end_bytes, progress, |step| {
                medium.write_all_at(step, position)?;
                position = position.saturating_add(step.len() as u64);
                Ok(())
            })?;
            medium.write_all_at(&tar::END, position)?;
            Ok(position.saturating_add(tar::END_BYTES))
        }
        Form::TarZst => {
            let mut packer = Packer::new(medium, Frames::default(), options.level);
            let mut start = 0;
            let ends =
                archive.members.iter().flat_map(|member| [member.offset_bytes, member.end_bytes()]);
            for end in ends.chain([archive.end_bytes]) {
                for_each_step(plain, start..end, progress, |step| packer.write(step))?;
                packer.cut()?;
                start = end;
            }
            packer.finish()
        }
    }
}

/// Compares the archives of two bundles, byte for byte.
///
/// # Errors
/// `E0605` with the first byte that differs; when reading fails or `progress` says stop.
pub fn compare(a: &Bundle, b: &Bundle, progress: &dyn Progress) -> Result<()> {
    let (length, other) = (a.archive.end_bytes, b.archive.end_bytes);
    if length != other {
        return Err(Error::damaged(format!("an archive of {other} bytes, {length} are due")));
    }
    let (mut at, mut there) = (0_u64, Vec::new());
    for_each_step(&*a.archive.plain, 0..length, progress, |step| {
        there.resize(step.len(), 0);
        b.archive.plain.read_exact_at(&mut there, at)?;
        if let Some(first) = step.iter().zip(&there).position(|(one, two)| one != two) {
            let at = at.saturating_add(first as u64);
            return Err(Error::damaged("the archives differ").at(at));
        }
        at = at.saturating_add(step.len() as u64);
        Ok(())
    })
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
