//! An image whose bytes can only pass, front to end: gzip'd, or in a deflated member.

use std::{
    io::{self, Cursor, Read},
    sync::Arc,
};

use code::Code;
use disk::{Declared, Format, Image, Length, Piece, ReadAt, Sequential, Warning, Workbench};

use super::{FrontToEnd, PackedImage};
use crate::Error;

/// What a gzip stream with deflate in it begins with (RFC 1952).
const GZIP_MAGIC: &[u8] = b"\x1f\x8b\x08";

/// What a gzip'd raw image may unpack to where nothing says its capacity (ours): the largest optical
/// disc has 128 GB.
const MAX_UNSTATED_BYTES: u64 = 128 << 30;

/// A capacity is counted in whole sectors.
const SECTOR_BYTES: u64 = 512;

/// How an image can be read.
#[expect(missing_debug_implementations, reason = "images have none")]
pub enum Reading {
    /// At any place.
    AnyPlace(Box<dyn Image>),
    /// Front to end only.
    Passing(Passing),
}

/// Bytes that are read front to end, as often as it is asked for.
#[expect(missing_debug_implementations, reason = "bytes have none")]
pub struct Passing {
    image: PackedImage,
    bytes: Arc<dyn ReadAt>,
    /// The length of what a gzip stream holds, where that has to be known.
    unpacked: Length,
}

/// How the bytes of an image lie in its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// As they are.
    Plain,
    /// As a gzip stream.
    Gzip,
}

impl Passing {
    /// Takes the bytes of all chunks. A raw image that is gzip'd has nothing that says how large it
    /// is, so it is unpacked once to know, as far as its descriptor allows.
    pub(super) fn new(
        image: &PackedImage,
        bytes: Arc<dyn ReadAt>,
        packing: Packing,
    ) -> Result<Self, Error> {
        let raw = Format::Raw;
        let is_raw = matches!(image.declared, Declared::Claimed(said) | Declared::Stated(said) if said == raw);
        let unpacked = match packing {
            Packing::Gzip if is_raw => {
                Length::Known(image.raw_gzip_bytes(Box::new(FrontToEnd::new(&*bytes)))?)
            }
            Packing::Gzip | Packing::Plain => Length::Unknown,
        };
        Ok(Self { image: image.clone(), bytes, unpacked })
    }

    /// Opens the image at its front, with what was tolerated about its packing.
    ///
    /// # Errors
    /// The image is damaged, not understood, or of a format that cannot be read so.
    pub fn open(&self) -> Result<(Box<dyn Sequential + '_>, Option<Warning>), disk::Error> {
        let reader = Box::new(FrontToEnd::new(&*self.bytes));
        self.image.begin(reader, self.bytes.len_bytes(), self.unpacked)
    }

    /// What the image says of itself at its front.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn info(&self) -> Result<disk::Info, disk::Error> {
        let (image, warning) = self.open()?;
        Ok(disk::Info {
            format: image.format(),
            variant: image.variant().to_owned(),
            capacity_bytes: image.capacity_bytes(),
            file_bytes: self.bytes.len_bytes(),
            unit_bytes: None,
            references: Vec::new(),
            warnings: image.warnings().iter().cloned().chain(warning).collect(),
        })
    }

    /// Reads the whole image and gives it up.
    ///
    /// # Errors
    /// The image is damaged.
    pub fn check(&self) -> Result<(), disk::Error> {
        let (mut image, _) = self.open()?;
        let (mut piece, mut bench, mut out) = (Piece::default(), Workbench::new(), Vec::new());
        while image.next(&mut piece)? {
            out.resize(usize::try_from(piece.len_bytes).unwrap_or(usize::MAX), 0);
            piece.decode(&mut bench, &mut out)?;
        }
        Ok(())
    }
}

impl PackedImage {
    /// Decides by the first bytes, and says where they contradict the descriptor.
    pub(super) fn packing(&self, head: &[u8]) -> (Packing, Option<Warning>) {
        let warn = |message| Warning { code: Code::W0610, message, offset_bytes: None, file: None };
        match (head.starts_with(GZIP_MAGIC), self.is_gzip) {
            (true, true) => (Packing::Gzip, None),
            (false, false) => (Packing::Plain, None),
            (false, true) => {
                let text = "the descriptor says that it is gzip'd, and it is not: read as it is";
                (Packing::Plain, Some(warn(text.to_owned())))
            }
            // What is raw by agreement may begin with anything.
            (true, false) if self.is_raw_by_name() => (Packing::Plain, None),
            (true, false) => {
                let text = "it is gzip'd, and the descriptor does not say so: unpacked";
                (Packing::Gzip, Some(warn(text.to_owned())))
            }
        }
    }

    fn is_raw_by_name(&self) -> bool {
        let raw = Format::Raw;
        matches!(self.declared, Declared::Claimed(said) | Declared::Stated(said) if said == raw)
            && !self.name.has_extension("gz")
    }

    /// How many bytes a gzip'd raw image holds.
    fn raw_gzip_bytes(&self, reader: Box<dyn Read + Send + '_>) -> Result<u64, Error> {
        let stated =
            self.stated_bytes.and_then(|bytes| bytes.checked_next_multiple_of(SECTOR_BYTES));
        let most_bytes = stated.unwrap_or(MAX_UNSTATED_BYTES);
        disk::gzip_len_bytes(reader, most_bytes)?.ok_or_else(|| {
            let said = match stated {
                Some(_) => "that the descriptor says",
                None => "that are allowed where no descriptor says how many",
            };
            let text = format!("{} unpacks to more than the {most_bytes} bytes {said}", self.name);
            Error::new(Code::E0403, text)
        })
    }

    /// Opens the image as it passes, with what was tolerated about its packing. `stored_bytes` is
    /// how many bytes pass.
    ///
    /// # Errors
    /// The image is damaged, not understood, or cannot be read from a pipe.
    pub fn stream<'a>(
        &self,
        reader: Box<dyn Read + Send + 'a>,
        stored_bytes: u64,
    ) -> Result<(Box<dyn Sequential + 'a>, Option<Warning>), disk::Error> {
        self.begin(reader, stored_bytes, Length::Unknown)
    }

    fn begin<'a>(
        &self,
        mut reader: Box<dyn Read + Send + 'a>,
        stored_bytes: u64,
        unpacked: Length,
    ) -> Result<(Box<dyn Sequential + 'a>, Option<Warning>), disk::Error> {
        let mut head = Vec::new();
        reader.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut head)?;
        let (packing, warning) = self.packing(&head);
        let reader = Box::new(Cursor::new(head).chain(reader));
        let image = match packing {
            Packing::Gzip => disk::open_gzip(reader, unpacked, self.declared)?,
            Packing::Plain => {
                disk::open_stream(reader, Length::Known(stored_bytes), self.declared)?
            }
        };
        Ok((image, warning))
    }
}

/// The first bytes, as many as tell how the others are packed.
pub(super) fn head(bytes: &dyn ReadAt) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    FrontToEnd::new(bytes).take(GZIP_MAGIC.len() as u64).read_to_end(&mut head)?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use ovf::EntryName;

    use super::*;

    fn image(name: &str, is_gzip: bool, declared: Declared) -> PackedImage {
        let name = EntryName::parse(name).unwrap();
        PackedImage { is_gzip, ..PackedImage::plain(name, declared) }
    }

    #[test]
    fn the_first_bytes_decide_and_a_contradiction_is_told() {
        let vmdk = Declared::Claimed(Format::Vmdk);
        let raw = Declared::Claimed(Format::Raw);
        for (name, is_gzip, declared, head, packing, told) in [
            ("a.vmdk", true, vmdk, GZIP_MAGIC, Packing::Gzip, false),
            ("a.vmdk", false, vmdk, b"KDM", Packing::Plain, false),
            ("a.vmdk", true, vmdk, b"KDM", Packing::Plain, true),
            ("a.vmdk", false, vmdk, GZIP_MAGIC, Packing::Gzip, true),
            ("a.vmdk", false, vmdk, b"\x1f\x8b", Packing::Plain, false),
            ("a.img", false, raw, GZIP_MAGIC, Packing::Plain, false),
            ("a.img.gz", false, raw, GZIP_MAGIC, Packing::Gzip, true),
            ("a.img", true, raw, GZIP_MAGIC, Packing::Gzip, false),
        ] {
            let (found, warning) = image(name, is_gzip, declared).packing(head);
            assert_eq!((found, warning.is_some()), (packing, told), "{name} {is_gzip} {head:?}");
        }
    }
}
