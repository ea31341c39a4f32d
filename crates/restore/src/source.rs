//! Where a machine comes from, behind one trait.

use std::{io::Read, path::PathBuf, sync::Arc};

use disk::{Progress, ReadAt};
use ovf::{
    EntryName, Finding, Manifest, Signature,
    manifest::{Algorithm, Hasher},
};

use crate::{Description, Error, PackedImage};

/// The ending of plan files.
const PLAN_ENDING: &str = "toml";

/// Kinds of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// A tar with a descriptor in it.
    Ova,
    /// A descriptor with its files beside it.
    Ovf,
    /// A VMX with its files beside it.
    Vmx,
    /// A native backup file.
    Bundle,
    /// A libvirt domain XML alone.
    DomainXml,
}

impl SourceKind {
    /// The word used in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ova => "ova",
            Self::Ovf => "ovf",
            Self::Vmx => "vmx",
            Self::Bundle => "bundle",
            Self::DomainXml => "domain_xml",
        }
    }

    /// Whether the files lie in a folder, among what else may be there, and need not be there to look
    /// at the machine.
    #[must_use]
    pub const fn is_folder(self) -> bool {
        matches!(self, Self::Ovf | Self::Vmx)
    }

    /// Whether it defines the machine in libvirt's own words, so that nothing has to be mapped.
    #[must_use]
    pub const fn is_native(self) -> bool {
        matches!(self, Self::Bundle | Self::DomainXml)
    }
}

/// A small member that is held in memory.
#[derive(Debug, Clone)]
pub struct Text {
    /// Its name.
    pub name: EntryName,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A file of the package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: EntryName,
    /// Where it begins in an archive; 0 for a file of a folder.
    pub offset_bytes: u64,
    /// How many bytes it has.
    pub length_bytes: u64,
}

/// What is known of a source before a disk is read.
#[derive(Debug)]
pub struct Facts {
    /// What it is.
    pub kind: SourceKind,
    /// Its name as the user typed it.
    pub name: String,
    /// The folder that it lies in; a pipe has none.
    pub folder: Option<PathBuf>,
    /// The descriptor's bytes.
    pub descriptor: Text,
    /// What the descriptor says.
    pub description: Description,
    /// The manifest's bytes, and the manifest.
    pub manifest: Option<(Text, Manifest)>,
    /// The certificate's bytes, with the signature.
    pub certificate: Option<Text>,
    /// What is known of its signature; on a pipe it may be still to come.
    pub signature: Signature,
    /// The message bundles that the descriptor was read with.
    pub bundles: Vec<Text>,
    /// The files that are known; those of a pipe come to be known as they pass.
    pub members: Vec<Member>,
    /// Whether every file is known.
    pub is_complete: bool,
    /// Length of the archive, or of all files of the folder that the descriptor names.
    pub package_bytes: Option<u64>,
    /// What was tolerated about the package.
    pub findings: Vec<Finding>,
}

impl Facts {
    /// The names of the files that are known.
    #[must_use]
    pub fn names(&self) -> Vec<EntryName> {
        self.members.iter().map(|member| member.name.clone()).collect()
    }

    /// The file of this name.
    #[must_use]
    pub fn member(&self, name: &EntryName) -> Option<&Member> {
        self.members.iter().find(|member| member.name == *name)
    }

    /// What a plan pins: SHA-256 over the descriptor, the manifest, and the name, offset and length
    /// of each member. Cheap, since no disk is read for it; a pipe has none until it has passed. Of a
    /// folder, plan files do not count: one that is written beside the package would not fit it.
    #[must_use]
    pub fn digest(&self) -> Option<String> {
        if !self.is_complete {
            return None;
        }
        let mut hash = Hasher::new(Algorithm::Sha256);
        let mut part = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        part(&self.descriptor.bytes);
        part(self.manifest.as_ref().map_or(&[], |(text, _)| &text.bytes));
        let counts =
            |one: &&Member| !(self.kind.is_folder() && one.name.has_extension(PLAN_ENDING));
        for member in self.members.iter().filter(counts) {
            part(member.name.as_str().as_bytes());
            part(&member.offset_bytes.to_be_bytes());
            part(&member.length_bytes.to_be_bytes());
        }
        Some(format!("sha256:{}", hash.finish()))
    }
}

/// What the header of a disk image says.
#[derive(Debug, Clone)]
pub struct ImageFacts {
    /// The file.
    pub name: EntryName,
    /// What is known of it, or why it cannot be read.
    pub info: Result<disk::Info, ImageRefusal>,
    /// What its first sectors can be started by, where they could be read.
    pub boot: Option<disk::BootRecord>,
}

/// Why an image cannot be read, as far as its header tells.
#[derive(Debug, Clone)]
pub struct ImageRefusal {
    /// The published code.
    pub code: code::Code,
    /// What is wrong.
    pub message: String,
}

/// How the bytes of a member are handed over.
pub enum Delivery<'a> {
    /// They can be read at any place, and so can the other members of their package.
    Whole(Arc<dyn ReadAt>, &'a dyn Source),
    /// They pass once.
    Stream {
        /// The member's bytes, and nothing behind them.
        reader: &'a mut (dyn Read + Send),
        /// How many there are.
        length_bytes: u64,
    },
}

impl std::fmt::Debug for Delivery<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Whole(..) => "Delivery::Whole",
            Self::Stream { .. } => "Delivery::Stream",
        })
    }
}

/// How bytes are best read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// In any order.
    AnyPlace,
    /// Front to end: every step back begins at the front again.
    FrontToEnd,
}

/// Takes one member; what it leaves of a stream is passed over.
pub type Take<'a> = dyn FnMut(&EntryName, Delivery<'_>) -> Result<(), Error> + 'a;

/// Compares the bytes of a member with what its source knows of them; `E0605` when they are not what
/// was written.
pub type Check = Box<dyn FnOnce(&dyn Progress) -> Result<(), Error> + Send>;

/// A place that machines come from.
///
/// It tells facts and hands out bytes; it never knows where they go.
pub trait Source {
    /// What is known; for a pipe it grows while members pass.
    fn facts(&self) -> &Facts;

    /// The bytes of a member, where they can be read at any place; `None` for a pipe.
    ///
    /// # Errors
    /// The file cannot be opened, or is no regular file of the package's own folder.
    fn bytes(&self, name: &EntryName) -> Result<Option<Arc<dyn ReadAt>>, Error>;

    /// What compares the bytes of a member with what the source itself knows of them; called beside
    /// the copy. A source that knows nothing has none.
    fn check(&self, _name: &EntryName) -> Option<Check> {
        None
    }

    /// How the bytes of a member are best read.
    fn access(&self, _name: &EntryName) -> Access {
        Access::AnyPlace
    }

    /// Asks whether the files of the source are still what was opened. Who has read them asks, before
    /// what was made of them gets its name. What passes once cannot change.
    ///
    /// # Errors
    /// `E0508` when somebody has written to one, or put another one in its place.
    fn check_unchanged(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Hands over each wanted member that is there, once: in the order wanted, or in the order in
    /// which they pass.
    ///
    /// # Errors
    /// The archive is damaged, a file cannot be read, or `take` fails.
    fn deliver(
        &mut self,
        wanted: &dyn Fn(&EntryName) -> bool,
        take: &mut Take<'_>,
    ) -> Result<(), Error>;
}

/// Opens the header of each image, where the source can be read at any place.
///
/// What cannot be read becomes a refusal, not an error: the planner says it in its row.
///
/// # Errors
/// None yet: what cannot be opened is a refusal, too.
pub fn look_at_images(
    source: &dyn Source,
    images: &[PackedImage],
) -> Result<Vec<ImageFacts>, Error> {
    let mut facts = Vec::new();
    for image in images {
        let (info, boot) = match image.look(source) {
            Ok(None) => continue,
            Ok(Some((info, boot))) => (Ok(info), boot),
            Err(error) => {
                (Err(ImageRefusal { code: error.code(), message: error.to_string() }), None)
            }
        };
        facts.push(ImageFacts { name: image.name.clone(), info, boot });
    }
    Ok(facts)
}
