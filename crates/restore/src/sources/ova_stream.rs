//! An OVA that passes once, such as from a pipe.

use std::{io::Read, sync::Arc};

use code::Code;
use disk::ReadAt;
use ovf::{
    EntryName, Finding,
    archive::{self, Compression, Member as Entry, StreamInput, Walk},
    descriptor::Envelope,
};

use super::{
    Named,
    papers::{self, Papers, parse_manifest, read_text},
};
use crate::{
    Delivery, Description, Error, Facts, ManifestPolicy, Policy, Source, SourceKind,
    source::{Member, Take, Text},
};

/// What the members of a packed archive may come to beside what the descriptor says of its files
/// (ours): manifests, certificates, what nobody refers to.
const SPARE_BYTES: u64 = 1 << 30;

/// What a file may be of which the descriptor does not say how long it is (ours).
const UNSTATED_BYTES: u64 = 64 << 30;

/// An archive on a pipe: the descriptor has passed, the disks have not.
pub(super) struct OvaStream<'a> {
    walk: Walk<StreamInput<Box<dyn Read + Send + 'a>>>,
    policy: Policy,
    facts: Facts,
    /// The member whose header has passed and whose bytes have not.
    waiting: Option<Entry>,
    /// The manifest that has passed, whatever the policy makes of it.
    manifest: Option<Text>,
    /// The certificate that has passed before its manifest.
    certificate: Option<Text>,
    /// What the members may come to; only a packed archive can name more than it holds.
    most_bytes: Option<u64>,
}

impl<'a> OvaStream<'a> {
    /// Reads up to the first member that is neither descriptor, manifest nor certificate.
    ///
    /// An archive that is packed as a whole is unpacked as it passes.
    pub(super) fn open(
        named: Named,
        reader: Box<dyn Read + Send + 'a>,
        policy: &Policy,
    ) -> Result<Self, Error> {
        let (reader, packed) = archive::unpack(reader)
            .map_err(|source| Error::io(format!("cannot read {}", named.shown()), source))?;
        let wrap = |error| Error::from(error).detail("package", named.shown());
        let mut walk = Walk::new(StreamInput::new(reader));
        let mut small: Vec<Text> = Vec::new();
        let mut members = Vec::new();
        let waiting = loop {
            let Some(entry) = walk.next_member().map_err(wrap)? else { break None };
            members.push(member(&entry));
            if is_small(&entry.name) {
                let passed = small.iter().map(|text| &text.name);
                refuse_second(&entry.name, passed)?;
                small.push(read_text(entry.name.clone(), &mut walk, entry.length_bytes)?);
            } else if is_ignored(&entry.name) {
                check_room(&members, packed.map(|_| SPARE_BYTES))?;
            } else {
                break Some(entry);
            }
        };
        let descriptor = one_descriptor(&mut small, waiting.as_ref())?;
        let mut passed = |ending: &str| {
            let at = small.iter().position(|text| text.name.has_extension(ending))?;
            Some(small.swap_remove(at))
        };
        let (manifest, mut certificate) = (passed("mf"), passed("cert"));
        // A certificate whose manifest is still to come waits for it.
        let papers = Papers {
            descriptor,
            manifest: manifest.clone(),
            certificate: if manifest.is_some() || waiting.is_none() {
                certificate.take()
            } else {
                None
            },
        };
        let later = |_: &str| Err(Error::new(Code::E0107, "on a pipe it is still to come"));
        let judged = papers.judge(&named.name, policy, &later)?;
        let most_bytes = packed.map(|_| most_bytes(&judged.envelope));
        let waits = certificate.clone();
        let facts = Facts {
            kind: SourceKind::Ova,
            name: named.name,
            folder: named.folder,
            descriptor: judged.descriptor,
            description: Description::Ovf(Box::new(judged.envelope)),
            manifest: judged.manifest,
            certificate: judged.certificate.or(waits),
            signature: judged.signature,
            bundles: judged.bundles,
            members,
            is_complete: waiting.is_none(),
            package_bytes: None,
            findings: packed.map(packed_finding).into_iter().chain(judged.findings).collect(),
        };
        let policy = policy.clone();
        Ok(Self { walk, policy, facts, waiting, manifest, certificate, most_bytes })
    }

    /// A small member that comes behind the disks.
    fn late(&mut self, entry: &Entry) -> Result<(), Error> {
        let passed = self.facts.members.iter().map(|member| &member.name);
        refuse_second(&entry.name, passed.filter(|name| **name != entry.name))?;
        let text = read_text(entry.name.clone(), &mut self.walk, entry.length_bytes)?;
        if text.name.has_extension("mf") {
            let policy = self.policy.manifest;
            self.manifest = Some(text.clone());
            self.facts.manifest = parse_manifest(text, policy, &mut self.facts.findings)?;
        } else if text.name.has_extension("cert") {
            self.facts.certificate = Some(text.clone());
            self.certificate = Some(text);
        }
        if self.manifest.is_some() {
            self.judge_signature();
        }
        Ok(())
    }

    /// Judges the certificate that has waited, with the manifest that has passed.
    fn judge_signature(&mut self) {
        let Some(certificate) = self.certificate.take() else { return };
        let descriptor = &self.facts.descriptor.name;
        let signature =
            papers::signature(&certificate, self.manifest.as_ref(), descriptor, &self.policy);
        self.facts.findings.extend(signature.finding());
        self.facts.signature = signature;
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
        let may_be_listed =
            self.facts.manifest.is_none() && self.policy.manifest != ManifestPolicy::Skip;
        while let Some(entry) = self.waiting.take() {
            check_room(&self.facts.members, self.most_bytes)?;
            let taken = if is_small(&entry.name) {
                self.late(&entry)
            } else if wanted(&entry.name) || may_be_listed {
                let length_bytes = entry.length_bytes;
                take(&entry.name, Delivery::Stream { reader: &mut self.walk, length_bytes })
            } else {
                Ok(())
            };
            // After a failure as well, so that a manifest behind it can still be asked for.
            let next = self.walk.next_member();
            let next = next.map_err(|error| {
                let name = self.facts.name.clone();
                let named = Named { name, folder: None };
                Error::from(error).detail("package", named.shown())
            });
            self.waiting = next.as_ref().ok().cloned().flatten();
            self.facts.members.extend(self.waiting.as_ref().map(member));
            taken.and(next.map(drop))?;
        }
        self.facts.is_complete = true;
        self.judge_signature();
        self.facts.findings.extend(self.walk.findings().iter().cloned());
        Ok(())
    }
}

/// What is to be said of an archive that is packed as a whole.
fn packed_finding(packed: Compression) -> Finding {
    Finding {
        code: Code::W0608,
        message: format!("the archive is packed with {packed}, an OVA is a plain tar archive"),
        item: None,
        path: None,
        line: None,
    }
}

/// What the members may come to by what the descriptor says of its files.
fn most_bytes(envelope: &Envelope) -> u64 {
    let lengths = envelope.files.iter().map(|file| file.size_bytes.unwrap_or(UNSTATED_BYTES));
    lengths.fold(SPARE_BYTES, u64::saturating_add)
}

/// Refuses the last member by its header, before what it claims to hold is unpacked.
fn check_room(members: &[Member], most_bytes: Option<u64>) -> Result<(), Error> {
    let lengths = members.iter().map(|member| member.length_bytes);
    let named_bytes = lengths.fold(0_u64, u64::saturating_add);
    let Some(most_bytes) = most_bytes.filter(|most| named_bytes > *most) else { return Ok(()) };
    let text = format!(
        "the members of the packed archive come to {named_bytes} bytes, and no more than \
         {most_bytes} are to be expected"
    );
    Err(Error::new(Code::E0106, text).fix("unpack the archive once and give the plain .ova"))
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
