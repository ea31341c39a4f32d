//! An OVA that passes once, such as from a pipe.

use std::{io::Read, sync::Arc};

use code::Code;
use disk::ReadAt;
use ovf::{
    EntryName,
    archive::{Member as Entry, StreamInput, Walk},
    manifest::Signature,
};

use super::{parse_descriptor, parse_manifest, read_text, signs_nothing, untrusted};
use crate::{
    Delivery, Description, Error, Facts, ManifestPolicy, Source, SourceKind,
    source::{Member, Take, Text},
};

/// What the source is called in messages.
const NAME: &str = "-";

/// An archive on a pipe: the descriptor has passed, the disks have not.
pub(super) struct OvaStream<'a> {
    walk: Walk<StreamInput<Box<dyn Read + Send + 'a>>>,
    policy: ManifestPolicy,
    facts: Facts,
    /// The member whose header has passed and whose bytes have not.
    waiting: Option<Entry>,
    /// A manifest has passed, whatever the policy makes of it.
    has_manifest: bool,
}

impl<'a> OvaStream<'a> {
    /// Reads up to the first member that is neither descriptor, manifest nor certificate.
    pub(super) fn open(
        reader: Box<dyn Read + Send + 'a>,
        policy: ManifestPolicy,
    ) -> Result<Self, Error> {
        let mut walk = Walk::new(StreamInput::new(reader));
        let mut small: Vec<Text> = Vec::new();
        let mut members = Vec::new();
        let mut findings = Vec::new();
        let waiting = loop {
            let Some(entry) = walk.next_member().map_err(wrap)? else { break None };
            members.push(member(&entry));
            if is_small(&entry.name) {
                let passed = small.iter().map(|text| &text.name);
                refuse_second(&entry.name, passed)?;
                small.push(read_text(entry.name.clone(), &mut walk, entry.length_bytes)?);
            } else if !is_ignored(&entry.name) {
                break Some(entry);
            }
        };
        let descriptor = one_descriptor(&mut small, waiting.as_ref())?;
        let has_manifest = small.iter().any(|text| text.name.has_extension("mf"));
        let mut manifest = None;
        let mut certificate = None;
        for text in small {
            if text.name.has_extension("mf") {
                manifest = parse_manifest(text, policy, &mut findings)?;
            } else if text.name.has_extension("cert") {
                certificate = Some(text.name);
            }
        }
        findings.extend(certificate.as_ref().map(untrusted));
        let facts = Facts {
            kind: SourceKind::Ova,
            name: NAME.to_owned(),
            folder: None,
            description: Description::Ovf(Box::new(parse_descriptor(&descriptor, NAME)?)),
            descriptor,
            manifest,
            signature: Signature::of_certificate(certificate.as_ref()),
            members,
            is_complete: waiting.is_none(),
            package_bytes: None,
            findings,
        };
        Ok(Self { walk, policy, facts, waiting, has_manifest })
    }

    /// A small member that comes behind the disks.
    fn late(&mut self, entry: &Entry) -> Result<(), Error> {
        let passed = self.facts.members.iter().map(|member| &member.name);
        refuse_second(&entry.name, passed.filter(|name| **name != entry.name))?;
        let text = read_text(entry.name.clone(), &mut self.walk, entry.length_bytes)?;
        self.has_manifest |= text.name.has_extension("mf");
        if text.name.has_extension("mf") && self.facts.manifest.is_none() {
            self.facts.manifest = parse_manifest(text, self.policy, &mut self.facts.findings)?;
        } else if text.name.has_extension("cert") {
            self.facts.findings.push(untrusted(&text.name));
            self.facts.signature = Signature::of_certificate(Some(&text.name));
        }
        Ok(())
    }
}

impl Source for OvaStream<'_> {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn bytes(&self, _name: &EntryName) -> Result<Option<Arc<dyn ReadAt>>, Error> {
        Ok(None)
    }

    fn deliver(
        &mut self,
        wanted: &dyn Fn(&EntryName) -> bool,
        take: &mut Take<'_>,
    ) -> Result<(), Error> {
        // Without a manifest so far, every member may turn out to be listed.
        let may_be_listed = self.facts.manifest.is_none() && self.policy != ManifestPolicy::Skip;
        while let Some(entry) = self.waiting.take() {
            let taken = if is_small(&entry.name) {
                self.late(&entry)
            } else if wanted(&entry.name) || may_be_listed {
                let length_bytes = entry.length_bytes;
                take(&entry.name, Delivery::Stream { reader: &mut self.walk, length_bytes })
            } else {
                Ok(())
            };
            // After a failure as well, so that a manifest behind it can still be asked for.
            let next = self.walk.next_member().map_err(wrap);
            self.waiting = next.as_ref().ok().cloned().flatten();
            self.facts.members.extend(self.waiting.as_ref().map(member));
            taken.and(next.map(drop))?;
        }
        self.facts.is_complete = true;
        if self.facts.signature != Signature::Unsigned && !self.has_manifest {
            return Err(signs_nothing(&self.facts.name));
        }
        self.facts.findings.extend(self.walk.findings().iter().cloned());
        Ok(())
    }
}

fn wrap(error: ovf::Error) -> Error {
    Error::from(error).detail("package", "standard input")
}

fn member(entry: &Entry) -> Member {
    Member {
        name: entry.name.clone(),
        offset_bytes: entry.offset_bytes,
        length_bytes: entry.length_bytes,
    }
}

fn is_small(name: &EntryName) -> bool {
    !is_ignored(name) && ["ovf", "mf", "cert"].iter().any(|ending| name.has_extension(ending))
}

/// Leavings of other systems' archivers.
fn is_ignored(name: &EntryName) -> bool {
    name.base().starts_with("._") || name.base() == ".DS_Store" || name.folder() == Some("__MACOSX")
}

/// Refuses a second descriptor, manifest or certificate before it is read.
fn refuse_second<'n>(
    name: &EntryName,
    mut passed: impl Iterator<Item = &'n EntryName>,
) -> Result<(), Error> {
    for (ending, code) in [("ovf", Code::E0103), ("mf", Code::E0105), ("cert", Code::E0105)] {
        let is_first = !name.has_extension(ending)
            || !passed.any(|other| other.has_extension(ending) && !is_ignored(other));
        if !is_first {
            return Err(Error::new(code, format!("{name} is a second .{ending} of the package")));
        }
    }
    Ok(())
}

fn one_descriptor(small: &mut Vec<Text>, waiting: Option<&Entry>) -> Result<Text, Error> {
    let is_descriptor = |text: &Text| text.name.has_extension("ovf");
    let count = small.iter().filter(|text| is_descriptor(text)).count();
    match (count, small.iter().position(is_descriptor), waiting) {
        (1, Some(at), _) => Ok(small.swap_remove(at)),
        (0, _, Some(entry)) => {
            let text = format!("{} comes before the descriptor", entry.name);
            Err(Error::new(Code::E0107, text).fix("save the package to a file and give that"))
        }
        _ => Err(Error::new(Code::E0103, "no .ovf is in the package")),
    }
}
