//! Whether a package is what its manifest says, and its disks are sound.

use code::Code;
use disk::{Progress, ReadAt};
use ovf::{
    EntryName, Finding,
    manifest::{Algorithm, Digest, Entry},
};

use crate::{
    Delivery, Error, Facts, PackedImage, Reading, Source,
    plan::{self, Choices},
    source::Text,
};

/// How far to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Which files the manifest lists, and which are there.
    Quick,
    /// The same, and every digest.
    Digests,
    /// The same, and every table and grain of the disks.
    Deep,
}

/// What is known of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The file.
    pub name: String,
    /// What was found.
    pub verdict: Verdict,
    /// The numbers behind it.
    pub detail: String,
}

/// What was found about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is as the manifest says, or there is no manifest to say anything.
    Ok,
    /// Its digest is another.
    Mismatch,
    /// The manifest or the descriptor names it, and it is not there.
    Missing,
    /// It is there, and the manifest does not list it.
    Extra,
    /// It lists, and was not read at this level.
    Listed,
    /// The disk is damaged.
    Damaged,
}

impl Verdict {
    /// The word used in rows and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Mismatch => "mismatch",
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Listed => "listed",
            Self::Damaged => "damaged",
        }
    }

    /// Whether the package is not what it should be.
    #[must_use]
    pub const fn is_fault(self) -> bool {
        matches!(self, Self::Mismatch | Self::Missing | Self::Damaged)
    }
}

/// Checks every file of a package.
///
/// # Errors
/// The package cannot be read, or somebody said stop. A mismatch is no error.
pub fn verify(
    source: &mut dyn Source,
    level: Level,
    progress: &dyn Progress,
) -> Result<Vec<Checked>, Error> {
    let images = plan::images(source.facts(), &Choices::default())?;
    let facts = source.facts();
    if level == Level::Deep && !facts.is_complete {
        return Err(Error::new(Code::E0405, "the tables of a disk on a pipe cannot be checked")
            .fix("save the package to a file, or leave --level deep out"));
    }
    let manifest = facts.manifest.as_ref().map(|(_, manifest)| manifest.clone());
    let may_come = manifest.is_none() && !facts.is_complete;
    let algorithms = |name: &EntryName| match manifest.as_ref().and_then(|all| all.expected(name)) {
        Some(entry) => vec![entry.digest.algorithm()],
        None if may_come => ANY.to_vec(),
        None => Vec::new(),
    };
    let image =
        |name: &EntryName| images.iter().find(|image| image.name == *name && level == Level::Deep);
    let wanted = |name: &EntryName| {
        level >= Level::Digests && !algorithms(name).is_empty() || image(name).is_some()
    };
    let mut read: Vec<Read> = Vec::new();
    source.deliver(&wanted, &mut |name, delivery| {
        let algorithms = algorithms(name);
        let (digests, damage) = match delivery {
            Delivery::Whole(bytes, package) => {
                let digests = hash(&*bytes, &algorithms, progress)?;
                let damage = match image(name) {
                    Some(image) => damage(image, package, progress)?,
                    None => None,
                };
                (digests, damage)
            }
            Delivery::Stream { reader, .. } => (hash_stream(reader, &algorithms)?, None),
        };
        read.push(Read { name: name.clone(), digests, damage });
        Ok(())
    })?;
    source.check_unchanged()?;
    let facts = source.facts();
    if level >= Level::Digests {
        let name = facts.descriptor.name.clone();
        let line = facts.manifest.as_ref().and_then(|(_, manifest)| manifest.expected(&name));
        let digests: Vec<Digest> = line
            .map(|entry| crate::digest_of(&facts.descriptor.bytes, entry.digest.algorithm()))
            .into_iter()
            .collect();
        read.retain(|one| one.name != name);
        read.push(Read { name, digests, damage: None });
    }
    Ok(judge(facts, &read, level))
}

/// What was read of one file.
struct Read {
    name: EntryName,
    digests: Vec<Digest>,
    damage: Option<String>,
}

/// The algorithms that a file may turn out to be listed with, when the manifest comes last.
pub(crate) const ANY: [Algorithm; 4] =
    [Algorithm::Sha256, Algorithm::Sha1, Algorithm::Sha512, Algorithm::Sha384];

fn hash(
    bytes: &dyn ReadAt,
    algorithms: &[Algorithm],
    progress: &dyn Progress,
) -> Result<Vec<Digest>, Error> {
    if algorithms.is_empty() {
        return Ok(Vec::new());
    }
    convert::digest::digest(bytes, algorithms, progress)
        .map_err(|error| convert::Error::reading(error).into())
}

fn hash_stream(
    reader: &mut (dyn std::io::Read + Send),
    algorithms: &[Algorithm],
) -> Result<Vec<Digest>, Error> {
    std::thread::scope(|scope| convert::digest::Tee::new(reader, algorithms, scope).finish())
        .map_err(|error| convert::Error::reading(error).into())
}

/// The first fault of a disk.
fn damage(
    image: &PackedImage,
    package: &dyn Source,
    progress: &dyn Progress,
) -> Result<Option<String>, Error> {
    let image = match image.open(package) {
        Ok(Some(Reading::AnyPlace(image))) => image,
        Ok(Some(Reading::Passing(image))) => {
            return Ok(image.check().err().map(|error| error.to_string()));
        }
        Ok(None) => return Ok(None),
        Err(error) => return Ok(Some(error.to_string())),
    };
    let report = disk::check(&*image, progress)?;
    Ok(report.faults.first().map(|fault| match report.faults.len() {
        1 => fault.message.clone(),
        count => format!("{} (and {} more faults)", fault.message, count - 1),
    }))
}

/// One row a file, in the order of the archive; what is missing comes last.
fn judge(facts: &Facts, read: &[Read], level: Level) -> Vec<Checked> {
    let manifest = facts.manifest.as_ref().map(|(_, manifest)| manifest);
    let own = facts.manifest.as_ref().map(|(text, _)| text.name.clone());
    let mut rows = Vec::new();
    for member in &facts.members {
        let name = &member.name;
        let done = read.iter().find(|one| one.name == *name);
        if Some(name) == own.as_ref() || name.has_extension("cert") {
            continue;
        }
        let row = |verdict, detail: String| Checked { name: name.to_string(), verdict, detail };
        if let Some(damage) = done.and_then(|one| one.damage.clone()) {
            rows.push(row(Verdict::Damaged, damage));
            continue;
        }
        rows.push(match manifest.map(|manifest| manifest.expected(name)) {
            None => row(Verdict::Ok, "no manifest".to_owned()),
            Some(None) => row(Verdict::Extra, "not in the manifest".to_owned()),
            Some(Some(entry)) if level == Level::Quick => {
                row(Verdict::Listed, entry.digest.algorithm().as_str().to_owned())
            }
            Some(Some(entry)) => {
                let digest = done.and_then(|one| {
                    one.digests.iter().find(|digest| digest.algorithm() == entry.digest.algorithm())
                });
                match digest {
                    Some(digest) if *digest == entry.digest => {
                        row(Verdict::Ok, digest_text(digest))
                    }
                    Some(digest) => row(
                        Verdict::Mismatch,
                        format!("expected {}, actual {digest}", entry.digest),
                    ),
                    None => row(Verdict::Listed, entry.digest.algorithm().as_str().to_owned()),
                }
            }
        });
    }
    rows.extend(missing(facts));
    rows
}

fn digest_text(digest: &Digest) -> String {
    format!("{} {digest}", digest.algorithm().as_str())
}

/// What is named and not there.
fn missing(facts: &Facts) -> Vec<Checked> {
    let names = facts.names();
    let mut rows: Vec<Checked> = Vec::new();
    let mut push = |name: &str, detail: &str| {
        let name = name.to_owned();
        rows.push(Checked { name, verdict: Verdict::Missing, detail: detail.to_owned() });
    };
    let listed = facts.manifest.iter().flat_map(|(_, manifest)| &manifest.entries);
    for entry in listed {
        let own = facts.manifest.as_ref().is_some_and(|(text, _)| text.name.as_str() == entry.name);
        if !own && ovf::resolve_href(&entry.name, &facts.descriptor.name, &names).is_err() {
            push(&entry.name, "in the manifest, not in the package");
        }
    }
    for name in facts.description.missing_files(facts) {
        push(&name, "in the descriptor, not in the package");
    }
    rows.dedup_by(|a, b| a.name == b.name);
    rows
}

/// Compares one digest with its line.
pub(crate) fn compare(
    facts: &Facts,
    manifest: &Text,
    entry: &Entry,
    actual: &Digest,
) -> Result<(), Error> {
    if entry.digest == *actual {
        return Ok(());
    }
    let algorithm = entry.digest.algorithm().as_str();
    let line = format!("{} line {}, {algorithm}", manifest.name, entry.line);
    let fix = format!(
        "download it again and compare with the vendor's checksum, or \
         continue at your own risk:  relift convert {} --manifest warn",
        facts.name
    );
    Err(Error::new(Code::E0203, format!("checksum does not match for {}", entry.name))
        .detail("package", &facts.name)
        .detail("manifest", line)
        .detail("expected", entry.digest.to_string())
        .detail("actual", actual.to_string())
        .fix(fix))
}

/// Whether the manifest speaks of exactly what is there: each used file has a line, each line a file.
///
/// A folder may hold other people's files, so there only what is used or listed counts.
pub(crate) fn complete(facts: &Facts, used: &[EntryName]) -> Result<Vec<Finding>, Error> {
    let Some((_, manifest)) = &facts.manifest else { return Ok(Vec::new()) };
    let mut names = facts.names();
    if facts.kind.is_folder() {
        names.retain(|name| used.contains(name) || manifest.expected(name).is_some());
    }
    manifest.check_complete(&names, &facts.descriptor.name, used).map_err(|error| {
        Error::from(error).detail("package", &facts.name).fix(
            "ask the vendor for a complete package, or go on at your own risk: --manifest warn",
        )
    })
}

/// An error that the policy turns into a warning.
pub(crate) fn as_finding(error: &Error, name: &EntryName) -> Finding {
    Finding {
        code: error.code(),
        message: error.to_string(),
        item: Some(name.to_string()),
        path: None,
        line: None,
    }
}
