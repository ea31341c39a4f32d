//! What an image of a package may open: plain names of its own folder, and what the descriptor says.

use disk::{FileName, Gate, Kind, Names, Opened, Place, Role};
use ovf::EntryName;

use super::PackedImage;
use crate::{Error, Source, SourceKind, source::Access};

/// The most images that may stand above one another in a package: the limit of this product. A backup has
/// a limit of its own, and tells how many there are.
const MAX_CHAIN: usize = 16;

/// Opens what lies in the same folder of the package, and nothing else.
pub(super) struct Package<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) image: &'a PackedImage,
}

#[derive(Debug, thiserror::Error)]
enum PackageError {
    #[error("the {role} '{name}' is not a plain name of a file of the package")]
    Name { role: Role, name: String },
    #[error("the {role} '{name}' is not in the package")]
    Missing { role: Role, name: String },
    #[error("the {role} '{name}' is in the package, and its manifest does not list it")]
    Unlisted { role: Role, name: String },
    #[error("an image of a package may not keep its clusters in another file ('{name}')")]
    DataFile { name: String },
    #[error("cannot open the {role} '{name}' of the package")]
    Source { role: Role, name: String, source: Error },
    #[error("the {role} '{name}' is deflated in a ZIP archive: unzip it first")]
    Deflated { role: Role, name: String },
    #[error("the package comes from a pipe, where the {role} '{name}' cannot be looked up")]
    Pipe { role: Role, name: String },
}

impl Package<'_> {
    /// The member that a name means: a plain name in the folder of the image that names it.
    fn member(&self, role: Role, name: &FileName, from: &Place) -> Option<EntryName> {
        let plain = name.text();
        let is_plain = !plain.is_empty() && !plain.contains(['/', '\\', ':']);
        let named = is_plain.then(|| match from.name.rsplit_once('/') {
            Some((folder, _)) => EntryName::parse(&format!("{folder}/{plain}")),
            None => EntryName::parse(plain),
        });
        let named = named.and_then(Result::ok)?;
        let is_there = |name: &EntryName| self.source.facts().member(name).is_some();
        if role != Role::Parent || is_there(&named) {
            return Some(named);
        }
        // The hint in a delta is often a path of the host that it was made on.
        let by_descriptor = self.next_parent(from).filter(|name| is_there(name));
        Some(by_descriptor.cloned().unwrap_or(named))
    }

    /// What the descriptor says that the image at `from` stands on.
    fn next_parent(&self, from: &Place) -> Option<&EntryName> {
        let chain: Vec<&EntryName> =
            std::iter::once(&self.image.name).chain(&self.image.parents).collect();
        let at = chain.iter().position(|name| name.as_str() == from.name)?;
        chain.get(at + 1).copied()
    }
}

impl Gate for Package<'_> {
    fn open(&self, role: Role, name: &FileName, from: &Place) -> disk::Result<Opened> {
        let shown = name.to_string();
        if role == Role::DataFile {
            return Err(disk::Error::new(Kind::Denied, PackageError::DataFile { name: shown }));
        }
        let Some(member) = self.member(role, name, from) else {
            return Err(disk::Error::new(Kind::Unsafe, PackageError::Name { role, name: shown }));
        };
        let facts = self.source.facts();
        if facts.manifest.as_ref().is_some_and(|(_, all)| all.expected(&member).is_none()) {
            if facts.member(&member).is_none() {
                return Err(missing(role, shown));
            }
            return Err(disk::Error::new(
                Kind::Denied,
                PackageError::Unlisted { role, name: shown },
            ));
        }
        if facts.member(&member).is_none() {
            return Err(missing(role, shown));
        }
        if self.source.access(&member) == Access::FrontToEnd {
            return Err(disk::Error::new(
                Kind::Denied,
                PackageError::Deflated { role, name: shown },
            ));
        }
        match self.source.bytes(&member) {
            Ok(Some(bytes)) => {
                let place = Place { name: member.to_string(), file: None };
                Ok(Opened { bytes, place })
            }
            Ok(None) => {
                Err(disk::Error::new(Kind::Denied, PackageError::Pipe { role, name: shown }))
            }
            Err(source) => {
                let leaf = PackageError::Source { role, name: shown, source };
                Err(disk::Error::new(Kind::Io, leaf))
            }
        }
    }

    fn root(&self) -> Place {
        Place { name: self.image.name.to_string(), file: None }
    }

    fn names(&self, from: &Place) -> Names {
        match &self.image.lowest {
            Some(lowest) if lowest.as_str() == from.name => Names::PassedOver,
            _ => Names::Followed,
        }
    }

    fn max_depth(&self) -> usize {
        match self.source.facts().kind {
            SourceKind::Bundle => MAX_CHAIN.max(self.image.parents.len().saturating_add(1)),
            _ => MAX_CHAIN,
        }
    }
}

/// A delta without its parent is none that could be read, wherever the parent is; anything else is a
/// file that the package lacks.
fn missing(role: Role, name: String) -> disk::Error {
    let kind = if role == Role::Parent { Kind::Denied } else { Kind::Missing };
    disk::Error::new(kind, PackageError::Missing { role, name })
}
