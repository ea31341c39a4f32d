//! One header block, decoded and checked.

use code::Code;
use tar::Header;

use crate::{Error, Kind, Place, quote};

/// The length of a block of a tar archive, in bytes.
pub(super) const BLOCK_BYTES: usize = 512;
/// The same, for offsets.
pub(super) const BLOCK: u64 = 512;
/// The greatest length that still can be rounded up to a block (ours, so that no sum overflows).
const MAX_LENGTH_BYTES: u64 = (1 << 63) - 1 - (BLOCK - 1);
/// A size field that says "too great for octal digits".
const SATURATED: u64 = 0o77_777_777_777;

/// What a header describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A pax extension for the next member.
    Pax,
    /// A pax extension for all members that follow.
    GlobalPax,
    /// The name of the next member, as GNU tar writes a long one.
    LongName,
    /// The target of the next member, as GNU tar writes a long one.
    LongLink,
}

/// A header that passed every check of its own fields.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) entry: Entry,
    /// The name of the header itself; an extension may replace it.
    pub(super) name: Vec<u8>,
    /// The size field in bytes.
    pub(super) length_bytes: u64,
}

impl Block {
    /// Checks the checksum first, then type and size.
    pub(super) fn parse(bytes: &[u8; BLOCK_BYTES], offset: u64) -> Result<Self, Error> {
        let header = Header::from_byte_slice(bytes);
        let bad =
            |message: String| Error::malformed(Code::E0101, message).at(Place::Offset(offset));
        let fields = header.as_old();
        let stated = octal(&fields.cksum)
            .ok_or_else(|| bad("the checksum of a tar header is no number".to_owned()))?;
        let (unsigned, signed) = checksums(bytes);
        if stated != unsigned && i64::try_from(stated) != Ok(signed) {
            return Err(bad(format!(
                "the checksum of a tar header is {unsigned}, but it states {stated}"
            )));
        }
        let name = header.path_bytes().into_owned();
        let entry = entry_of(fields.linkflag, &name, offset)?;
        let length_bytes =
            size(&fields.size).filter(|size| *size <= MAX_LENGTH_BYTES).ok_or_else(|| {
                let name = String::from_utf8_lossy(&name);
                bad(format!(
                    "the size of the tar entry {} is no number in 0..={MAX_LENGTH_BYTES}",
                    quote::Plain(&name)
                ))
            })?;
        Ok(Self { entry, name, length_bytes })
    }

    /// The length of a file whose pax extension states one too.
    pub(super) fn length_with(&self, pax: Option<u64>, offset: u64) -> Result<u64, Error> {
        let Some(pax) = pax else { return Ok(self.length_bytes) };
        let field = self.length_bytes;
        if (field != pax && field != 0 && field != SATURATED) || pax > MAX_LENGTH_BYTES {
            let message = format!("a tar entry has two sizes, {field} and {pax} bytes");
            return Err(Error::malformed(Code::E0101, message).at(Place::Offset(offset)));
        }
        Ok(pax)
    }
}

/// Tells whether a block has the checksum of a header.
pub(super) fn is_header(bytes: &[u8; BLOCK_BYTES]) -> bool {
    let stated = octal(&Header::from_byte_slice(bytes).as_old().cksum);
    let (unsigned, signed) = checksums(bytes);
    stated.is_some_and(|sum| sum == unsigned || i64::try_from(sum) == Ok(signed))
}

/// The sum of all bytes, the checksum field read as blanks; old writers summed signed bytes.
fn checksums(bytes: &[u8; BLOCK_BYTES]) -> (u64, i64) {
    let counted = bytes.iter().enumerate().map(
        |(at, byte)| {
            if (148..156).contains(&at) { b' ' } else { *byte }
        },
    );
    counted.fold((0, 0), |(unsigned, signed): (u64, i64), byte| {
        (
            unsigned.saturating_add(u64::from(byte)),
            signed.saturating_add(i64::from(i8::from_ne_bytes([byte]))),
        )
    })
}

fn entry_of(flag: [u8; 1], name: &[u8], offset: u64) -> Result<Entry, Error> {
    let [flag] = flag;
    let what = match flag {
        b'0' | 0 | b'7' if name.ends_with(b"/") => return Ok(Entry::Folder),
        b'0' | 0 | b'7' => return Ok(Entry::File),
        b'5' => return Ok(Entry::Folder),
        b'x' => return Ok(Entry::Pax),
        b'g' => return Ok(Entry::GlobalPax),
        b'L' => return Ok(Entry::LongName),
        b'K' => return Ok(Entry::LongLink),
        b'1' => "a hard link".to_owned(),
        b'2' => "a symbolic link".to_owned(),
        b'3' => "a character device".to_owned(),
        b'4' => "a block device".to_owned(),
        b'6' => "a named pipe".to_owned(),
        b'S' => "a sparse file".to_owned(),
        other => format!("of the type {}", quote::Quoted(&char::from(other).to_string())),
    };
    let name = String::from_utf8_lossy(name);
    let message =
        format!("the tar entry {} is {what}, only regular files are allowed", quote::Plain(&name));
    Err(Error::new(Code::E0105, Kind::Denied, message).at(Place::Offset(offset)))
}

/// Reads octal digits between blanks and NULs (POSIX.1-1988).
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    let text = text.trim_matches([' ', '\0']);
    if text.is_empty() {
        return Some(0);
    }
    if text.starts_with(['+', '-']) {
        return None;
    }
    u64::from_str_radix(text, 8).ok()
}

/// Reads the size field: octal, or base-256 as GNU tar writes what octal cannot hold.
fn size(field: &[u8; 12]) -> Option<u64> {
    let [first, rest @ ..] = field;
    if first & 0x80 == 0 {
        return octal(field);
    }
    // The top bit marks the form; a further one would make the number negative or too great.
    if *first != 0x80 {
        return None;
    }
    let (high, low) = rest.split_last_chunk::<8>()?;
    high.iter().all(|byte| *byte == 0).then(|| u64::from_be_bytes(*low))
}
