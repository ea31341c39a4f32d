//! How an image lies in a package, and how it is opened there.
//!
//! ```text
//! one member | chunks in order --> bytes --> disk::open_behind(Package gate) --> Image
//!                                        \-> gzip'd, deflated: Passing --> Sequential
//! ```

mod gate;
mod passing;

use std::{
    io::{self, SeekFrom},
    sync::Arc,
};

use code::Code;
use disk::{Chunked, Declared, Image, ReadAt};
use ovf::EntryName;

use crate::{Error, Source, source::Access};
use gate::Package;
use passing::Packing;
pub use passing::{Passing, Reading};

/// One image of a package: the members that hold it, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedImage {
    /// The member that holds it, or its first chunk.
    pub name: EntryName,
    /// The other chunks, in order.
    pub further: Vec<EntryName>,
    /// Whether the descriptor says that what the members hold is gzip'd.
    pub is_gzip: bool,
    /// What the descriptor, or the backup, says that a delta stands on, the nearest first.
    pub parents: Vec<EntryName>,
    /// The lowest image of the chain that is read, where it goes on below: what those that are read do not
    /// have shows as holes.
    pub lowest: Option<EntryName>,
    /// What is known of the format.
    pub declared: Declared,
    /// What the descriptor says that the image holds: a raw one that is gzip'd is unpacked no further.
    pub stated_bytes: Option<u64>,
}

impl PackedImage {
    /// An image that one member holds as it is.
    #[must_use]
    pub const fn plain(name: EntryName, declared: Declared) -> Self {
        Self {
            name,
            further: Vec::new(),
            is_gzip: false,
            parents: Vec::new(),
            lowest: None,
            declared,
            stated_bytes: None,
        }
    }

    /// The members that hold the image itself.
    pub fn members(&self) -> impl Iterator<Item = &EntryName> {
        std::iter::once(&self.name).chain(&self.further)
    }

    /// Every member that is read for the image as far as is known: its own, and those it stands on.
    pub fn used(&self) -> impl Iterator<Item = &EntryName> {
        self.members().chain(&self.parents)
    }

    /// The bytes of all chunks; `None` for a pipe.
    ///
    /// # Errors
    /// A member cannot be opened.
    pub fn bytes(&self, source: &dyn Source) -> Result<Option<Arc<dyn ReadAt>>, Error> {
        let mut parts = Vec::new();
        for name in self.members() {
            let Some(bytes) = source.bytes(name)? else { return Ok(None) };
            parts.push(bytes);
        }
        if parts.len() <= 1 {
            return Ok(parts.pop());
        }
        let whole = Chunked::new(parts).map_err(|source| {
            Error::io(format!("cannot join the chunks of {}", self.name), source)
        })?;
        Ok(Some(Arc::new(whole)))
    }

    /// Opens the image and what it stands on; `None` for a pipe.
    ///
    /// # Errors
    /// A member cannot be opened; the image is damaged, not understood, or names what is not in the
    /// package.
    pub fn open(&self, source: &dyn Source) -> Result<Option<Reading>, Error> {
        let Some(bytes) = self.bytes(source)? else { return Ok(None) };
        let head = passing::head(&*bytes)
            .map_err(|source| Error::io(format!("cannot read {}", self.name), source))?;
        let (packing, _) = self.packing(&head);
        let passes = self.members().any(|name| source.access(name) == Access::FrontToEnd);
        if packing == Packing::Gzip || passes {
            return Ok(Some(Reading::Passing(Passing::new(self, bytes, packing)?)));
        }
        let gate = Package { source, image: self };
        let image = disk::open_behind(&gate, bytes, self.declared)?;
        self.check_parent(&*image)?;
        Ok(Some(Reading::AnyPlace(image)))
    }

    /// What the image says of itself, and what its first sectors can be started by, where they can be
    /// read at any place; `None` for a pipe.
    ///
    /// # Errors
    /// As [`open`](Self::open). Damage in the first sectors is none of it: the run will meet it.
    pub fn look(
        &self,
        source: &dyn Source,
    ) -> Result<Option<(disk::Info, Option<disk::BootRecord>)>, Error> {
        let image = match self.open(source)? {
            None => return Ok(None),
            Some(Reading::Passing(image)) => return Ok(Some((image.info()?, None))),
            Some(Reading::AnyPlace(image)) => image,
        };
        let mut info = image.info().clone();
        if self.is_gzip {
            // It is read as it is, so its first bytes are not those of gzip.
            info.warnings.extend(self.packing(&[]).1);
        }
        Ok(Some((info, disk::BootRecord::read(&*image).ok())))
    }

    /// Whether the image agrees with a descriptor that calls it a delta.
    fn check_parent(&self, image: &dyn Image) -> Result<(), Error> {
        let stands_alone = image.info().references.iter().all(|one| one.role == "extent");
        if self.parents.is_empty() || !stands_alone {
            return Ok(());
        }
        let text =
            format!("the descriptor calls {} a delta, and the image names no parent", self.name);
        Err(Error::new(Code::E0402, text)
            .fix("consolidate the snapshots of the machine and export it again"))
    }
}

/// Reads bytes that can be read at any place, front to end or from where it is sent.
pub(crate) struct FrontToEnd<'a> {
    bytes: Held<'a>,
    at: u64,
}

enum Held<'a> {
    Borrowed(&'a dyn ReadAt),
    Shared(Arc<dyn ReadAt>),
}

impl<'a> FrontToEnd<'a> {
    pub(crate) const fn new(bytes: &'a dyn ReadAt) -> Self {
        Self { bytes: Held::Borrowed(bytes), at: 0 }
    }

    pub(crate) const fn shared(bytes: Arc<dyn ReadAt>) -> Self {
        Self { bytes: Held::Shared(bytes), at: 0 }
    }

    fn held(&self) -> &dyn ReadAt {
        match &self.bytes {
            Held::Borrowed(bytes) => *bytes,
            Held::Shared(bytes) => &**bytes,
        }
    }
}

impl io::Read for FrontToEnd<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let rest = self.held().len_bytes().saturating_sub(self.at);
        let len = usize::try_from(rest).unwrap_or(usize::MAX).min(buf.len());
        self.held().read_exact_at(&mut buf[..len], self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

impl io::Seek for FrontToEnd<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.held().len_bytes().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
