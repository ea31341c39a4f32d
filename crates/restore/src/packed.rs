//! How an image lies in a package, and how it is opened there.
//!
//! ```text
//! one member | chunks in order | gzip'd --> bytes --> disk::open_behind(Package gate) --> Image
//! ```

mod gate;

use std::{io, sync::Arc};

use code::Code;
use disk::{Chunked, Declared, Image, Length, ReadAt, Sequential};
use ovf::EntryName;

use crate::{Error, Source};
use gate::Package;

/// One image of a package: the members that hold it, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedImage {
    /// The member that holds it, or its first chunk.
    pub name: EntryName,
    /// The other chunks, in order.
    pub further: Vec<EntryName>,
    /// Whether what the members hold is gzip'd.
    pub is_gzip: bool,
    /// What the descriptor says that a delta stands on, the nearest first.
    pub parents: Vec<EntryName>,
    /// What is known of the format.
    pub declared: Declared,
}

impl PackedImage {
    /// An image that one member holds as it is.
    #[must_use]
    pub const fn plain(name: EntryName, declared: Declared) -> Self {
        Self { name, further: Vec::new(), is_gzip: false, parents: Vec::new(), declared }
    }

    /// The members that hold the image itself.
    pub fn members(&self) -> impl Iterator<Item = &EntryName> {
        std::iter::once(&self.name).chain(&self.further)
    }

    /// Every member that the descriptor names for the image: its own, and those it stands on.
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

    /// Opens the image and what it stands on; `None` for a pipe. An image that is gzip'd can only be
    /// streamed.
    ///
    /// # Errors
    /// A member cannot be opened; the image is damaged, not understood, or names what is not in the
    /// package.
    pub fn open(&self, source: &dyn Source) -> Result<Option<Box<dyn Image>>, Error> {
        let Some(bytes) = self.bytes(source)? else { return Ok(None) };
        let gate = Package { source, image: self };
        let image = disk::open_behind(&gate, bytes, self.declared)?;
        self.check_parent(&*image)?;
        Ok(Some(image))
    }

    /// What the image says of itself; `None` for a pipe.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn info(&self, source: &dyn Source) -> Result<Option<disk::Info>, Error> {
        if !self.is_gzip {
            return Ok(self.open(source)?.map(|image| image.info().clone()));
        }
        let Some(bytes) = self.bytes(source)? else { return Ok(None) };
        let length = self.unpacked_length(&*bytes)?;
        let image = self.stream(Box::new(FrontToEnd::new(&*bytes)), length)?;
        Ok(Some(disk::Info {
            format: image.format(),
            variant: image.variant().to_owned(),
            capacity_bytes: image.capacity_bytes(),
            file_bytes: bytes.len_bytes(),
            unit_bytes: None,
            references: Vec::new(),
            warnings: image.warnings().to_vec(),
        }))
    }

    /// Opens the image as it passes. `length` is that of the image itself, unpacked.
    ///
    /// # Errors
    /// The image is damaged, not understood, or cannot be read from a pipe.
    pub fn stream<'a>(
        &self,
        reader: Box<dyn io::Read + Send + 'a>,
        length: Length,
    ) -> Result<Box<dyn Sequential + 'a>, disk::Error> {
        if self.is_gzip {
            disk::open_gzip(reader, length, self.declared)
        } else {
            disk::open_stream(reader, length, self.declared)
        }
    }

    /// The length of what `bytes`, which are gzip'd, hold. A raw image has nothing else that says how
    /// large it is, so it is unpacked once to know.
    ///
    /// # Errors
    /// The gzip stream is damaged or cannot be read.
    pub(crate) fn unpacked_length(&self, bytes: &dyn ReadAt) -> Result<Length, Error> {
        let raw = disk::Format::Raw;
        if !matches!(self.declared, Declared::Claimed(said) | Declared::Stated(said) if said == raw)
        {
            return Ok(Length::Unknown);
        }
        let reader = Box::new(FrontToEnd::new(bytes));
        Ok(Length::Known(disk::gzip_len_bytes(reader)?))
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

/// Reads bytes that can be read at any place, front to end.
pub(crate) struct FrontToEnd<'a> {
    bytes: &'a dyn ReadAt,
    at: u64,
}

impl<'a> FrontToEnd<'a> {
    pub(crate) const fn new(bytes: &'a dyn ReadAt) -> Self {
        Self { bytes, at: 0 }
    }
}

impl io::Read for FrontToEnd<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let rest = self.bytes.len_bytes().saturating_sub(self.at);
        let len = usize::try_from(rest).unwrap_or(usize::MAX).min(buf.len());
        self.bytes.read_exact_at(&mut buf[..len], self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}
