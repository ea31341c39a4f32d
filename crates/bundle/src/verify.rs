//! Whether a bundle is what it was when it was written.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use code::Code;
use disk::{Alone, Declared, Format, Kind as DiskKind, Progress};

use crate::{
    Bundle, Error, Kind, Manifest, Member, MemberDigest, Result, Role, chain,
    digest::{compare, digest_of, unlisted},
    frames, tail,
};

/// How far a verification looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Headers, lengths, the chain of images, the definition, the seek table.
    Quick,
    /// The same, and every byte with its digest.
    Digests,
    /// The same, and every table of the disks.
    Deep,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The published code.
    pub code: Code,
    /// The member; `None` for the file as a whole.
    pub member: Option<String>,
    /// The byte of the member, or of the file where there is none.
    pub offset_bytes: Option<u64>,
    /// What is wrong.
    pub message: String,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let mut message = error.message().to_owned();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            let text = inner.to_string();
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            cause = inner.source();
        }
        // Damage is what a verification finds, however it came to light.
        let code = match error.kind() {
            Kind::Integrity | Kind::Malformed => match error.code() {
                Code::E0604 | Code::E0404 => error.code(),
                _ => Code::E0605,
            },
            _ => error.code(),
        };
        let (member, offset_bytes) = (error.member().map(str::to_owned), error.offset_bytes());
        Self { code, member, offset_bytes, message }
    }
}

/// What became of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its digest is that of the manifest.
    Same,
    /// It is there, with the length that is due; its bytes were not read.
    There,
    /// Its bytes could be read; there is no digest to compare them with.
    Read,
    /// A fault is about it.
    Damaged,
}

impl Verdict {
    /// One word for people and documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::There => "there",
            Self::Read => "read",
            Self::Damaged => "damaged",
        }
    }
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Each member with its verdict, in the order of the archive.
    pub members: Vec<(Member, Verdict)>,
    /// What is wrong, worst known first: the file, then its members.
    pub faults: Vec<Fault>,
    /// Whether there is a manifest to compare with.
    pub has_manifest: bool,
}

/// Verifies a bundle.
///
/// # Errors
/// When `progress` says stop. Everything else that is wrong is a fault of the report.
pub fn verify(bundle: &Bundle, level: Level, progress: &dyn Progress) -> Result<Report> {
    let mut faults = Vec::new();
    check_frames(bundle, &mut faults);
    faults.extend(tail::check(bundle).err().map(Fault::from));
    faults.extend(bundle.config().err().map(Fault::from));
    let manifest = match bundle.manifest() {
        Ok(manifest) => manifest,
        Err(error) => {
            faults.push(error.into());
            None
        }
    };
    let differing = manifest.iter().flat_map(|manifest| presence(bundle, manifest));
    faults.extend(differing.map(Fault::from));
    let mut read = Vec::new();
    for member in bundle.members() {
        let due = manifest.as_ref().and_then(|manifest| manifest.member(member.name.as_str()));
        read.push(match level {
            Level::Quick => Verdict::There,
            Level::Digests | Level::Deep => {
                let verdict = read_member(bundle, member, due, progress, &mut faults)?;
                let is_worth_it = member.role.is_image() && verdict != Verdict::Damaged;
                if level == Level::Deep && is_worth_it {
                    let bytes = bundle.bytes(member)?;
                    check_image(member.name.as_str(), &bytes, progress, &mut faults)?;
                }
                verdict
            }
        });
    }
    check_nodes(bundle, manifest.as_ref(), &mut faults);
    let members = bundle.members().cloned().zip(read).map(|(member, verdict)| {
        let is_faulty = names(&faults, member.name.as_str());
        (member, if is_faulty { Verdict::Damaged } else { verdict })
    });
    Ok(Report { members: members.collect(), faults, has_manifest: manifest.is_some() })
}

/// Whether a fault is about a member.
fn names(faults: &[Fault], member: &str) -> bool {
    faults.iter().any(|fault| fault.member.as_deref() == Some(member))
}

/// Compares the seek table with the frames themselves.
fn check_frames(bundle: &Bundle, faults: &mut Vec<Fault>) {
    let archive = &bundle.archive;
    let Some(unpacked) = &archive.unpacked else { return };
    let frames = unpacked.frames();
    if !archive.by_table {
        let end = frames.packed_bytes();
        let behind = archive.file().len_bytes().saturating_sub(end);
        // A table of ours follows the end frame; one that was not used is damaged or not published.
        if frames.end_frame().is_some()
            && frames::table_bytes(archive.file(), end).is_ok_and(|table| table == behind)
            && behind > 0
        {
            let error = Error::damaged("the seek table does not say where the frames are").at(end);
            faults.push(error.into());
        }
        return;
    }
    match frames::walk(archive.file()) {
        Err(error) => faults.push(error.into()),
        Ok(walked) => {
            // A table of another writer may go on behind what a walk takes for the end.
            let pairs = walked.list().iter().zip(frames.list());
            if let Some((found, _)) = pairs.into_iter().find(|(found, said)| found != said) {
                let message = "the seek table says another length of a frame";
                faults.push(Error::damaged(message).at(found.packed_start).into());
            } else if walked.list().len() != frames.list().len() {
                let message = format!(
                    "the seek table has {} frames, the file {}",
                    frames.list().len(),
                    walked.list().len()
                );
                faults.push(Error::damaged(message).at(walked.packed_bytes()).into());
            }
        }
    }
}

/// Compares what the manifest lists with what is there; one error for each member that differs.
pub(crate) fn presence(bundle: &Bundle, manifest: &Manifest) -> Vec<Error> {
    let mut differing = Vec::new();
    let there: HashMap<&str, &Member> =
        bundle.members().map(|member| (member.name.as_str(), member)).collect();
    let listed: HashSet<&str> = manifest.members.iter().map(|due| due.name.as_str()).collect();
    for due in &manifest.members {
        let problem = match there.get(due.name.as_str()) {
            None => "the manifest lists it, it is not there".to_owned(),
            Some(member) if member.length_bytes != due.length_bytes => {
                format!("{} bytes, {} are due", member.length_bytes, due.length_bytes)
            }
            Some(_) => continue,
        };
        differing.push(Error::damaged(problem).in_member(&due.name));
    }
    // Only manifests are not listed: anything else came there by another hand.
    let strangers = bundle.members().filter(|member| {
        !matches!(member.role, Role::Manifest { .. }) && !listed.contains(member.name.as_str())
    });
    differing.extend(strangers.map(|member| unlisted().in_member(member.name.as_str())));
    differing
}

/// Compares the chain that the images' headers make with that of the manifest.
fn check_nodes(bundle: &Bundle, manifest: Option<&Manifest>, faults: &mut Vec<Fault>) {
    let nodes = match bundle.nodes() {
        Ok(nodes) => nodes,
        // What cannot be read was said already.
        Err(error) if error.member().is_some_and(|member| names(faults, member)) => return,
        Err(error) => return faults.push(error.into()),
    };
    for due in manifest.iter().flat_map(|manifest| &manifest.nodes) {
        if !nodes.contains(due) && !names(faults, &due.member) {
            let message = "the image's header is not what the manifest says of it";
            faults.push(Error::damaged(message).in_member(&due.member).into());
        }
    }
    let roles = bundle.roles();
    let wrong = manifest.iter().flat_map(|manifest| chain::wrong(&roles, manifest, &nodes));
    faults.extend(wrong.map(Fault::from));
}

/// Reads every byte of a member.
fn read_member(
    bundle: &Bundle,
    member: &Member,
    due: Option<&MemberDigest>,
    progress: &dyn Progress,
    faults: &mut Vec<Fault>,
) -> Result<Verdict> {
    let name = member.name.as_str();
    if matches!(member.role, Role::Manifest { .. }) {
        // The current one was parsed already.
        let is_known = names(faults, name);
        faults.extend(bundle.parsed(member).err().filter(|_| !is_known).map(Fault::from));
        progress.advance(member.length_bytes);
        return Ok(Verdict::Read);
    }
    // A wrong length was said already.
    let due = due.filter(|due| due.length_bytes == member.length_bytes);
    let compared = digest_of(bundle, member, progress)
        .and_then(|found| due.map_or(Ok(()), |due| compare(due, &found)));
    match compared {
        Err(error) if error.kind() == Kind::Stopped => return Err(error),
        Err(error) => {
            faults.push(error.in_member(name).into());
            return Ok(Verdict::Damaged);
        }
        Ok(()) => {}
    }
    Ok(if due.is_some() { Verdict::Same } else { Verdict::Read })
}

fn check_image(
    name: &str,
    bytes: &Arc<dyn disk::ReadAt>,
    progress: &dyn Progress,
    faults: &mut Vec<Fault>,
) -> Result<()> {
    let declared = Declared::Stated(Format::Qcow2);
    let checked = disk::open_behind(&Alone, Arc::clone(bytes), declared)
        .and_then(|image| disk::check(&*image, &Quiet(progress)));
    match checked {
        Ok(found) => faults.extend(found.faults.into_iter().map(|fault| Fault {
            code: fault.code,
            member: Some(name.to_owned()),
            offset_bytes: fault.offset_bytes,
            message: fault.message,
        })),
        Err(error) if error.kind() == DiskKind::Stopped => return Err(Error::stopped()),
        Err(error) => faults.push(Error::from(error).in_member(name).into()),
    }
    Ok(())
}

/// Passes on a stop, and does not count bytes that were counted already.
struct Quiet<'a>(&'a dyn Progress);

impl Progress for Quiet<'_> {
    fn advance(&self, _done_bytes: u64) {}

    fn stopped(&self) -> bool {
        self.0.stopped()
    }
}

#[cfg(test)]
mod tests {
    use disk::Unheard;

    use super::*;
    use crate::{Form, append, fake::Memory, sample};

    fn faults(bytes: Vec<u8>, level: Level) -> Vec<Fault> {
        match Bundle::open(Arc::new(bytes)) {
            Ok(bundle) => verify(&bundle, level, &Unheard).unwrap().faults,
            Err(error) => vec![error.into()],
        }
    }

    /// A bundle with an append, so that everything the format has is in it.
    fn grown(form: Form) -> Vec<u8> {
        let medium = Memory::with(sample::bundle(form));
        append(&sample::open(medium.bytes()), &medium, &sample::increment(1), &Unheard).unwrap();
        medium.bytes()
    }

    #[test]
    fn a_sound_bundle_has_no_faults() {
        for form in [Form::Tar, Form::TarZst] {
            assert_eq!(faults(grown(form), Level::Quick), []);
            let report = verify(&sample::open(grown(form)), Level::Deep, &Unheard).unwrap();
            assert_eq!(report.faults, []);
            assert!(report.has_manifest);
            let verdicts: Vec<_> =
                report.members.iter().map(|(_, verdict)| verdict.as_str()).collect();
            assert_eq!(verdicts, ["same", "same", "same", "read", "same", "same", "read"]);
        }
    }

    #[test]
    fn a_damaged_member_is_named_with_the_reason() {
        let mut bytes = sample::bundle(Form::Tar);
        let bundle = sample::open(bytes.clone());
        let iso = bundle.member("tools.iso").unwrap().offset_bytes;
        bytes[iso as usize] ^= 1;
        let found = faults(bytes, Level::Deep);
        let [fault] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((fault.code, fault.member.as_deref()), (Code::E0605, Some("tools.iso")));
        assert!(fault.message.starts_with("the BLAKE3 digest is "), "{}", fault.message);
    }

    #[test]
    fn a_damaged_frame_is_named_with_member_and_byte() {
        let mut bytes = sample::bundle(Form::TarZst);
        let bundle = sample::open(bytes.clone());
        let member = bundle.member("web-disk0.qcow2").unwrap();
        let plain = member.offset_bytes..member.end_bytes();
        let frames = bundle.archive.unpacked.as_ref().unwrap().frames().packed_range(plain);
        bytes[frames.end as usize - 1] ^= 1;
        let found = faults(bytes, Level::Deep);
        let [fault] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(
            (fault.member.as_deref(), fault.offset_bytes),
            (Some("web-disk0.qcow2"), Some(0))
        );
        let want = format!(
            "the compressed frame at byte {} of the file does not unpack: Restored data doesn't match checksum",
            frames.start
        );
        assert_eq!(fault.message, want);
    }

    #[test]
    fn what_the_manifest_lists_has_to_be_there_and_nothing_else() {
        let bundle = sample::open(sample::bundle(Form::Tar));
        let members = sample::content(&bundle);
        let without: Vec<_> = members
            .iter()
            .filter(|(name, _)| name != "tools.iso")
            .map(|(name, bytes)| (name.as_str(), bytes.clone()))
            .chain([("new.iso", vec![1])])
            .collect();
        let found = faults(sample::foreign(Form::Tar, &without), Level::Quick);
        let told: Vec<_> = found
            .iter()
            .map(|fault| (fault.member.as_deref().unwrap(), fault.message.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("tools.iso", "the manifest lists it, it is not there"),
                ("new.iso", "the manifest does not list it"),
            ]
        );
    }
}
