//! The disk formats, and how one is told from another.

use std::{fmt, str::FromStr};

use crate::{
    Error, ReadAt, Result,
    error::{Failure, Kind},
};

/// A disk format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// VMware's virtual disk, in any of its sub-formats.
    Vmdk,
    /// Microsoft's first format, also called VPC.
    Vhd,
    /// Microsoft's second format.
    Vhdx,
    /// VirtualBox's format.
    Vdi,
    /// QEMU's format.
    Qcow2,
    /// The guest's bytes and nothing else.
    Raw,
}

impl Format {
    /// Every format.
    pub const ALL: &'static [Self] =
        &[Self::Vmdk, Self::Vhd, Self::Vhdx, Self::Vdi, Self::Qcow2, Self::Raw];

    /// The name that flags and messages use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vmdk => "vmdk",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vdi => "vdi",
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no disk format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is none of vmdk, vhd, vhdx, vdi, qcow2, raw", .0.escape_default())]
pub struct UnknownFormat(pub String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> std::result::Result<Self, UnknownFormat> {
        let named = Self::ALL.iter().copied().find(|format| format.as_str() == text);
        named.ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

/// What is known of an image's format before it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// A person or our own record says so. Raw is then raw, whatever its first bytes are: a guest
    /// can write any magic into its own disk.
    Stated(Format),
    /// A file's name or an appliance's descriptor says so: the content must not contradict it.
    Claimed(Format),
    /// Nothing is known: the magic decides, and an image without one is refused.
    Unknown,
}

/// Tells the format by the magic numbers, never by a name.
///
/// Raw has no magic: `None` stands for a raw image or for something that is no disk at all.
///
/// # Errors
///
/// When the bytes cannot be read, or when the magic numbers of two formats are found.
pub fn detect(bytes: &dyn ReadAt) -> Result<Option<Format>> {
    find(bytes)?.only()
}

/// The formats whose magic numbers an image has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// By the first bytes.
    front: Option<Format>,
    /// By the last bytes: a VHD has a footer.
    back: Option<Format>,
}

impl Found {
    /// What the first bytes alone say.
    pub(crate) fn in_front(head: &[u8]) -> Self {
        Self { front: front_magic(head), back: None }
    }

    fn has(self, format: Format) -> bool {
        self.front == Some(format) || self.back == Some(format)
    }

    /// The one format, if there is any; two are an error.
    fn only(self) -> Result<Option<Format>> {
        match (self.front, self.back) {
            (Some(one), Some(two)) if one != two => {
                Err(Error::new(Kind::Mismatch, Failure::TwoFormats(one, two)))
            }
            (front, back) => Ok(front.or(back)),
        }
    }
}

/// Looks for every magic number.
pub(crate) fn find(bytes: &dyn ReadAt) -> Result<Found> {
    Ok(Found { front: front_magic(&head(bytes)?), back: vhd_footer(bytes)? })
}

/// Settles the format of an image: what was said and what its magic says must agree.
///
/// `found` looks for the magic; a disk that is stated to be raw is never probed. A disk that is
/// stated to be what one magic says may have the magic of another format, too: a cluster at the end of
/// the file can hold whatever the guest wrote.
pub(crate) fn settle(declared: Declared, found: impl FnOnce() -> Result<Found>) -> Result<Format> {
    if declared == Declared::Stated(Format::Raw) {
        return Ok(Format::Raw);
    }
    let found = found()?;
    if let Declared::Stated(said) = declared
        && found.has(said)
    {
        return Ok(said);
    }
    let mismatch = |failure| Err(Error::new(Kind::Mismatch, failure));
    match (declared, found.only()?) {
        (Declared::Stated(said) | Declared::Claimed(said), Some(found)) => {
            if said == found {
                Ok(said)
            } else {
                mismatch(Failure::OtherFormat { found, said })
            }
        }
        (Declared::Claimed(Format::Raw), None) => Ok(Format::Raw),
        (Declared::Stated(said) | Declared::Claimed(said), None) => {
            mismatch(Failure::NoMagic(said))
        }
        (Declared::Unknown, Some(found)) => Ok(found),
        (Declared::Unknown, None) => mismatch(Failure::Unknown),
    }
}

/// The bytes that every front magic lies in.
pub(crate) const HEAD_BYTES: usize = 512;

/// The largest text that is looked through for `createType`: the limit of a VMDK descriptor.
const MAX_DESCRIPTOR_BYTES: u64 = 1 << 20;

/// The signature of a VDI at byte 64.
const VDI_SIGNATURE: [u8; 4] = 0xbeda_107f_u32.to_le_bytes();

/// The magic of an seSparse extent's constant header.
const SESPARSE_MAGIC: [u8; 8] = 0xcafe_babe_u64.to_le_bytes();

fn head(bytes: &dyn ReadAt) -> Result<Vec<u8>> {
    let len_bytes = bytes.len_bytes();
    let wanted = if len_bytes <= MAX_DESCRIPTOR_BYTES {
        usize::try_from(len_bytes).unwrap_or(HEAD_BYTES)
    } else {
        HEAD_BYTES
    };
    let mut head = vec![0; wanted];
    bytes.fill(&mut head, 0)?;
    Ok(head)
}

/// The format whose magic stands at the front of `head`, which is the first 512 bytes of an image or
/// all of a small one.
pub(crate) fn front_magic(head: &[u8]) -> Option<Format> {
    let vmdk = [&b"KDMV"[..], b"COWD", &SESPARSE_MAGIC];
    if vmdk.iter().any(|magic| head.starts_with(magic)) || is_descriptor(head) {
        return Some(Format::Vmdk);
    }
    if head.get(64..68) == Some(&VDI_SIGNATURE[..]) {
        return Some(Format::Vdi);
    }
    [(&b"QFI\xfb"[..], Format::Qcow2), (b"vhdxfile", Format::Vhdx), (b"conectix", Format::Vhd)]
        .into_iter()
        .find_map(|(magic, format)| head.starts_with(magic).then_some(format))
}

/// Whether the bytes are the text of a VMDK descriptor.
fn is_descriptor(head: &[u8]) -> bool {
    let first = head.get(..HEAD_BYTES).unwrap_or(head);
    if contains_ignoring_case(first, b"# disk descriptorfile") {
        return true;
    }
    !head.contains(&0) && contains_ignoring_case(head, b"createtype")
}

fn contains_ignoring_case(text: &[u8], lowercase: &[u8]) -> bool {
    text.windows(lowercase.len()).any(|part| part.eq_ignore_ascii_case(lowercase))
}

/// A VHD has its footer in the last 512 bytes, very old ones in the last 511.
fn vhd_footer(bytes: &dyn ReadAt) -> Result<Option<Format>> {
    for back in [512, 511] {
        if let Some(offset) = bytes.len_bytes().checked_sub(back) {
            let mut cookie = [0; 8];
            bytes.fill(&mut cookie, offset)?;
            if &cookie == b"conectix" {
                return Ok(Some(Format::Vhd));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(at: usize, magic: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        bytes[at..at + magic.len()].copy_from_slice(magic);
        bytes
    }

    #[test]
    fn tells_each_format_by_its_magic() {
        for (bytes, want) in [
            (with(0, b"KDMV"), Some(Format::Vmdk)),
            (with(0, b"COWD"), Some(Format::Vmdk)),
            (with(0, &SESPARSE_MAGIC), Some(Format::Vmdk)),
            (with(0, b"# Disk DescriptorFile\n"), Some(Format::Vmdk)),
            (b"version = 1\ncreateType = \"vmfs\"\n".to_vec(), Some(Format::Vmdk)),
            (with(0, b"QFI\xfb"), Some(Format::Qcow2)),
            (with(0, b"vhdxfile"), Some(Format::Vhdx)),
            (with(64, &VDI_SIGNATURE), Some(Format::Vdi)),
            (with(0, b"conectix"), Some(Format::Vhd)),
            (with(4096 - 512, b"conectix"), Some(Format::Vhd)),
            (with(4096 - 511, b"conectix"), Some(Format::Vhd)),
            (with(100, b"KDMV"), None),
            (Vec::new(), None),
            (b"QFI".to_vec(), None),
        ] {
            assert_eq!(detect(&bytes).unwrap(), want);
        }
    }

    #[test]
    fn refuses_an_image_that_two_formats_match() {
        let mut bytes = with(0, b"QFI\xfb");
        bytes[4096 - 512..4096 - 504].copy_from_slice(b"conectix");
        let error = detect(&bytes).unwrap_err();
        assert_eq!(error.to_string(), "two disk formats match the image: qcow2 and vhd");
        assert_eq!(error.kind(), Kind::Mismatch);
    }

    #[test]
    fn what_a_person_states_settles_which_of_two_magic_numbers_counts() {
        let mut bytes = with(0, b"QFI\xfb");
        bytes[4096 - 512..4096 - 504].copy_from_slice(b"conectix");
        for said in [Format::Qcow2, Format::Vhd] {
            assert_eq!(settle(Declared::Stated(said), || find(&bytes)).unwrap(), said);
            assert!(settle(Declared::Claimed(said), || find(&bytes)).is_err());
        }
        let error = settle(Declared::Stated(Format::Vdi), || find(&bytes)).unwrap_err();
        assert_eq!(error.to_string(), "two disk formats match the image: qcow2 and vhd");
    }

    #[test]
    fn what_is_said_and_the_magic_must_agree() {
        use Declared::{Claimed, Stated, Unknown};
        let settle = |bytes: &Vec<u8>, declared| settle(declared, || find(bytes));
        let qcow2 = with(0, b"QFI\xfb");
        let nothing = vec![0; 4096];
        assert_eq!(settle(&qcow2, Stated(Format::Raw)).unwrap(), Format::Raw);
        assert_eq!(settle(&qcow2, Unknown).unwrap(), Format::Qcow2);
        assert_eq!(settle(&nothing, Claimed(Format::Raw)).unwrap(), Format::Raw);
        for (bytes, declared, want) in [
            (&qcow2, Claimed(Format::Raw), "the image is qcow2, raw was said"),
            (&qcow2, Stated(Format::Vmdk), "the image is qcow2, vmdk was said"),
            (&nothing, Claimed(Format::Vmdk), "no magic number of vmdk is found in the image"),
            (
                &nothing,
                Unknown,
                "no magic number of a disk format is found; if the image is raw, say so",
            ),
        ] {
            let error = settle(bytes, declared).unwrap_err();
            assert_eq!(error.to_string(), want);
            assert_eq!(error.code(), code::Code::E0401);
        }
    }

    #[test]
    fn reads_back_every_name() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(*format));
        }
        let want = "'a\\n' is none of vmdk, vhd, vhdx, vdi, qcow2, raw";
        assert_eq!("a\n".parse::<Format>().unwrap_err().to_string(), want);
    }
}
