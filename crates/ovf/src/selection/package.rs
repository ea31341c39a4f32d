//! Following the references of a used disk: item, disk, file, parent.

use code::Code;

use super::{PackageFile, item_error};
use crate::{
    Envelope, Error, Kind,
    descriptor::{Compression, Disk, File, Item},
    quote,
};

/// The most chunks of one file (ours).
const MAX_CHUNKS: u64 = 4096;
/// The longest chain of differences (ours).
const MAX_CHAIN: usize = 16;

/// What a `HostResource` refers to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reference<'a> {
    /// A disk, by its id.
    Disk(&'a str),
    /// A file, by its id.
    File(&'a str),
    /// A text without a form: the id of a disk (Oracle), or `image/volume` (oVirt).
    Bare(&'a str),
}

impl<'a> Reference<'a> {
    /// Reads `ovf:/disk/x`, `/disk/x`, `ovf://disk/x`, `ovf:disk/x`, `disk/x`, the same for `file`,
    /// or a bare id; `None` for any other form.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let scheme_less = text.strip_prefix("ovf:").unwrap_or(text);
        let path = scheme_less.trim_start_matches('/');
        if let Some(id) = path.strip_prefix("disk/") {
            return (!id.is_empty()).then_some(Self::Disk(id));
        }
        if let Some(id) = path.strip_prefix("file/") {
            return (!id.is_empty()).then_some(Self::File(id));
        }
        let is_bare = path == text && !text.is_empty() && !text.contains("://");
        is_bare.then_some(Self::Bare(text))
    }
}

/// The references of one envelope, followed for one item.
pub(super) struct Package<'a> {
    pub(super) envelope: &'a Envelope,
    pub(super) item: &'a Item,
}

impl<'a> Package<'a> {
    fn error(&self, code: Code, message: String) -> Error {
        item_error(code, Kind::Malformed, message, self.item)
    }

    /// The disk of an id: exactly one, or several that say the same.
    pub(super) fn disk(&self, id: &str) -> Result<&'a Disk, Error> {
        let mut found = self.envelope.disks.iter().filter(|disk| disk.id == id);
        let Some(first) = found.next() else {
            let message = format!("no disk has the id {}", quote::Quoted(id));
            return Err(self.error(Code::E0303, message));
        };
        if found.any(|other| Disk { origin: first.origin.clone(), ..other.clone() } != *first) {
            let message = format!("two disks have the id {}", quote::Quoted(id));
            return Err(self.error(Code::E0303, message));
        }
        Ok(first)
    }

    /// The disk that a text without a form means.
    pub(super) fn bare_disk(&self, text: &str) -> Result<&'a Disk, Error> {
        let disks = &self.envelope.disks;
        if self.envelope.is_ovirt && !disks.iter().any(|disk| disk.id == text) {
            let volume = text.rsplit('/').next().unwrap_or(text);
            let by_file = disks.iter().find(|disk| disk.file_ref.as_deref() == Some(text));
            if let Some(disk) = by_file.or_else(|| disks.iter().find(|disk| disk.id == volume)) {
                return Ok(disk);
            }
        }
        self.disk(text)
    }

    /// The file of an id: exactly one, or several that say the same.
    pub(super) fn file(&self, id: &str) -> Result<PackageFile, Error> {
        let is_meant = |file: &&File| {
            file.id == id || (self.envelope.is_ovirt && file.href.as_deref() == Some(id))
        };
        let mut found = self.envelope.files.iter().filter(is_meant);
        let Some(first) = found.next() else {
            let message = format!("no file has the id {}", quote::Quoted(id));
            return Err(self.error(Code::E0303, message));
        };
        if found.any(|other| File { origin: first.origin.clone(), ..other.clone() } != *first) {
            let message = format!("two files have the id {}", quote::Quoted(id));
            return Err(self.error(Code::E0303, message));
        }
        self.usable(first)
    }

    /// The file of a disk; `None` is an empty disk.
    pub(super) fn file_of(&self, disk: &Disk) -> Result<Option<PackageFile>, Error> {
        disk.file_ref.as_deref().map(|id| self.file(id)).transpose()
    }

    /// The disks that a disk differs from, nearest first.
    pub(super) fn chain(&self, disk: &'a Disk) -> Result<Vec<&'a Disk>, Error> {
        let mut chain: Vec<&Disk> = Vec::new();
        let mut next = disk.parent_ref.as_deref();
        while let Some(id) = next {
            if id == disk.id || chain.iter().any(|parent| parent.id == id) {
                let message = format!("the disk {} is its own parent", quote::Quoted(id));
                return Err(self.error(Code::E0303, message));
            }
            if chain.len() >= MAX_CHAIN {
                let message = format!("a chain of more than {MAX_CHAIN} parents");
                return Err(item_error(Code::E0106, Kind::Limit, message, self.item));
            }
            if !self.envelope.disks.iter().any(|parent| parent.id == id) {
                let message = format!("the parent {} is not there", quote::Quoted(id));
                return Err(self.error(Code::E0402, message));
            }
            let parent = self.disk(id)?;
            next = parent.parent_ref.as_deref();
            chain.push(parent);
        }
        Ok(chain)
    }

    fn usable(&self, file: &File) -> Result<PackageFile, Error> {
        let name = quote::Quoted(&file.id);
        let Some(href) = file.href.clone() else {
            return Err(self.error(Code::E0303, format!("the file {name} has no href")));
        };
        if let Compression::Unknown(word) = &file.compression {
            let message =
                format!("the compression {} of the file {name} is not known", quote::Quoted(word));
            return Err(self.error(Code::E0303, message));
        }
        if file.chunk_bytes == Some(0) {
            return Err(self.error(Code::E0303, format!("the file {name} has chunks of 0 bytes")));
        }
        let usable = PackageFile {
            id: file.id.clone(),
            href,
            size_bytes: file.size_bytes,
            chunk_bytes: file.chunk_bytes,
            compression: file.compression.clone(),
        };
        if let Some(chunks) = usable.chunk_count().filter(|chunks| *chunks > MAX_CHUNKS) {
            let message =
                format!("the file {name} has {chunks} chunks, at most {MAX_CHUNKS} are allowed");
            return Err(item_error(Code::E0106, Kind::Limit, message, self.item));
        }
        Ok(usable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_of_a_host_resource() {
        for (text, want) in [
            ("ovf:/disk/d1", Some(Reference::Disk("d1"))),
            ("/disk/d1", Some(Reference::Disk("d1"))),
            ("ovf://disk/d1", Some(Reference::Disk("d1"))),
            ("ovf:disk/d1", Some(Reference::Disk("d1"))),
            ("disk/d1", Some(Reference::Disk("d1"))),
            ("ovf:/file/f1", Some(Reference::File("f1"))),
            ("/file/f1", Some(Reference::File("f1"))),
            ("d1", Some(Reference::Bare("d1"))),
            ("image/volume", Some(Reference::Bare("image/volume"))),
            ("ovf:/disk/", None),
            ("/dev/sda", None),
            ("http://h/d1", None),
            ("ovf:d1", None),
            ("", None),
        ] {
            assert_eq!(Reference::parse(text), want, "{text}");
        }
    }
}
