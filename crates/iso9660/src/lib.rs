//! A CD image with one file in its root: ISO 9660 (ECMA-119) with Joliet names beside it.
//!
//! ```text
//! sector 16 primary volume descriptor   17 the same for Joliet   18 end of descriptors
//!        19..=22 path tables, little and big endian, of each     23, 24 the root directories
//!        25.. the file
//! ```
//!
//! The image depends on what goes in alone: every date is the same.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::expect_used
    )
)]

mod fields;

use std::fmt;

use fields::{Both, Sector, padded, ucs2, ucs2_padded};

/// The size of a logical sector (ECMA-119 6.1.2).
pub const SECTOR_BYTES: usize = 2048;

/// The most bytes of a file: what its sectors are counted in has 32 bits, and nobody needs more.
const MAX_FILE_BYTES: usize = 64 << 20;

/// The most characters of a volume's name that Joliet holds.
const MAX_VOLUME_CHARS: usize = 16;

/// The first sector of the volume descriptors: those before it are the system's.
const DESCRIPTORS_AT: u32 = 16;
const PATH_TABLES_AT: u32 = 19;
const ROOTS_AT: u32 = 23;
const FILE_AT: u32 = 25;

/// 2026-01-01T00:00:00Z, the date of everything, as a directory record says it (ECMA-119 9.1.5).
const DATE: [u8; 7] = [126, 1, 1, 0, 0, 0, 0];

/// The same as a volume descriptor says it (ECMA-119 8.4.26.1), and a date that is not said.
const LONG_DATE: &[u8; 17] = b"2026010100000000\0";
const NO_DATE: &[u8; 17] = b"0000000000000000\0";

/// The length of a directory record without its name (ECMA-119 9.1).
const RECORD_BYTES: u8 = 33;

/// The length of the path table, which has the root only (ECMA-119 9.4).
const PATH_TABLE_BYTES: u32 = 10;

/// A file and the names that it has.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// What the volume is called: at most 16 characters of ASCII.
    pub volume: &'a str,
    /// The name for readers of plain ISO 9660, such as `OVF_ENV.XML`: 8 and 3 of `A-Z0-9_`.
    pub short_name: &'a str,
    /// The name for everybody else, such as `ovf-env.xml`: at most 64 characters.
    pub name: &'a str,
    /// What is in it: at most 64 MiB.
    pub bytes: &'a [u8],
}

/// Why a file cannot be put on a CD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// It is too long; how long.
    File(usize),
    /// The volume's name is too long, or has other characters than ASCII.
    Volume,
    /// The short name is not 8 and 3 of `A-Z0-9_`.
    ShortName,
    /// The name has more than 64 characters, or one that Joliet has not.
    Name,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(length) => {
                write!(f, "a file of {length} bytes, {MAX_FILE_BYTES} are allowed")
            }
            Self::Volume => {
                write!(f, "the volume's name is not {MAX_VOLUME_CHARS} ASCII characters")
            }
            Self::ShortName => f.write_str("the short name is not 8 and 3 of A-Z, 0-9 and _"),
            Self::Name => f.write_str("the name has no place in a Joliet directory"),
        }
    }
}

impl std::error::Error for Error {}

/// Which of the two trees a structure belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tree {
    Primary,
    Joliet,
}

impl Tree {
    const fn path_table_at(self) -> u32 {
        match self {
            Self::Primary => PATH_TABLES_AT,
            Self::Joliet => PATH_TABLES_AT + 2,
        }
    }

    const fn root_at(self) -> u32 {
        match self {
            Self::Primary => ROOTS_AT,
            Self::Joliet => ROOTS_AT + 1,
        }
    }
}

/// Makes the image.
///
/// # Errors
/// A name has no place in it, or the file is too long.
pub fn image(file: &File<'_>) -> Result<Vec<u8>, Error> {
    check(file)?;
    let file_sectors = u32::try_from(file.bytes.len().div_ceil(SECTOR_BYTES))
        .map_err(|_| Error::File(file.bytes.len()))?;
    let sectors = FILE_AT.saturating_add(file_sectors);
    let mut image = vec![0; (DESCRIPTORS_AT as usize).saturating_mul(SECTOR_BYTES)];
    for tree in [Tree::Primary, Tree::Joliet] {
        image.extend(descriptor(file, tree, sectors).finish());
    }
    image.extend(Sector::new().bytes(b"\xffCD001\x01").finish());
    for tree in [Tree::Primary, Tree::Joliet] {
        image.extend(path_table(tree.root_at().to_le_bytes(), 1_u16.to_le_bytes()).finish());
        image.extend(path_table(tree.root_at().to_be_bytes(), 1_u16.to_be_bytes()).finish());
    }
    for tree in [Tree::Primary, Tree::Joliet] {
        image.extend(root(file, tree).finish());
    }
    image.extend(file.bytes);
    image.resize((sectors as usize).saturating_mul(SECTOR_BYTES), 0);
    Ok(image)
}

fn check(file: &File<'_>) -> Result<(), Error> {
    if file.bytes.len() > MAX_FILE_BYTES {
        return Err(Error::File(file.bytes.len()));
    }
    let printable = |c: char| c.is_ascii() && !c.is_ascii_control();
    if file.volume.len() > MAX_VOLUME_CHARS || !file.volume.chars().all(printable) {
        return Err(Error::Volume);
    }
    let plain = |part: &str, most: usize| {
        (1..=most).contains(&part.len())
            && part.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    match file.short_name.split_once('.') {
        Some((stem, ending)) if plain(stem, 8) && plain(ending, 3) => {}
        _ => return Err(Error::ShortName),
    }
    let forbidden = |c: char| c.is_control() || "*/:;?\\".contains(c) || u32::from(c) > 0xffff;
    if file.name.is_empty() || file.name.chars().count() > 64 || file.name.chars().any(forbidden) {
        return Err(Error::Name);
    }
    Ok(())
}

/// A volume descriptor (ECMA-119 8.4; Joliet's differs in its type, its escape and its names).
fn descriptor(file: &File<'_>, tree: Tree, sectors: u32) -> Sector {
    let text = |text: &str, length: usize| match tree {
        Tree::Primary => padded(text, length),
        Tree::Joliet => ucs2_padded(text, length),
    };
    let (kind, escape): (u8, &[u8]) = match tree {
        Tree::Primary => (1, b""),
        Tree::Joliet => (2, b"%/E"),
    };
    let mut escapes = escape.to_vec();
    escapes.resize(32, 0);
    let table = tree.path_table_at();
    Sector::new()
        .bytes(&[kind])
        .bytes(b"CD001\x01\0")
        .bytes(&text("", 32))
        .bytes(&text(file.volume, 32))
        .bytes(&[0; 8])
        .both(Both::U32(sectors))
        .bytes(&escapes)
        .both(Both::U16(1))
        .both(Both::U16(1))
        .both(Both::U16(2048))
        .both(Both::U32(PATH_TABLE_BYTES))
        .bytes(&table.to_le_bytes())
        .bytes(&[0; 4])
        .bytes(&table.saturating_add(1).to_be_bytes())
        .bytes(&[0; 4])
        .bytes(&directory(tree.root_at(), &[0]))
        .bytes(&text("", 128))
        .bytes(&text("", 128))
        .bytes(&text("", 128))
        .bytes(&text("", 128))
        .bytes(&text("", 37))
        .bytes(&text("", 37))
        .bytes(&text("", 37))
        .bytes(LONG_DATE)
        .bytes(LONG_DATE)
        .bytes(NO_DATE)
        .bytes(NO_DATE)
        .bytes(&[1])
}

/// A path table with the root only.
fn path_table(at: [u8; 4], parent: [u8; 2]) -> Sector {
    Sector::new().bytes(&[1, 0]).bytes(&at).bytes(&parent).bytes(&[0, 0])
}

/// The root directory: itself, its parent, which is itself, and the file.
fn root(file: &File<'_>, tree: Tree) -> Sector {
    let name = match tree {
        Tree::Primary => format!("{};1", file.short_name).into_bytes(),
        Tree::Joliet => ucs2(file.name),
    };
    let length = u32::try_from(file.bytes.len()).unwrap_or(u32::MAX);
    Sector::new()
        .bytes(&directory(tree.root_at(), &[0]))
        .bytes(&directory(tree.root_at(), &[1]))
        .bytes(&record(FILE_AT, length, 0, &name))
}

/// The record of a directory of one sector.
fn directory(at: u32, name: &[u8]) -> Vec<u8> {
    record(at, 2048, 2, name)
}

/// A directory record (ECMA-119 9.1); its length is even.
fn record(at: u32, length: u32, flags: u8, name: &[u8]) -> Vec<u8> {
    let name_bytes = u8::try_from(name.len()).unwrap_or(u8::MAX);
    let unpadded = RECORD_BYTES.saturating_add(name_bytes);
    let mut record = Sector::new()
        .bytes(&[unpadded.next_multiple_of(2), 0])
        .both(Both::U32(at))
        .both(Both::U32(length))
        .bytes(&DATE)
        .bytes(&[flags, 0, 0])
        .both(Both::U16(1))
        .bytes(&[name_bytes])
        .bytes(name)
        .into_bytes();
    record.resize(record.len().next_multiple_of(2), 0);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> File<'_> {
        File { volume: "OVF ENV", short_name: "OVF_ENV.XML", name: "ovf-env.xml", bytes }
    }

    fn u32_at(image: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(image[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn both_trees_lead_to_the_file() {
        let content: Vec<u8> = (0..5000_u32).map(|n| (n % 251) as u8).collect();
        let image = image(&file(&content)).unwrap();
        assert_eq!(image.len(), 28 * SECTOR_BYTES);
        for (descriptor, want) in [(16, b"OVF_ENV.XML;1".to_vec()), (17, ucs2("ovf-env.xml"))] {
            let root = u32_at(&image, descriptor * SECTOR_BYTES + 156 + 2) as usize * SECTOR_BYTES;
            // Behind the records of the directory and of its parent, 34 bytes each.
            let record = &image[root + 68..];
            let (at, length) =
                (u32_at(record, 2) as usize * SECTOR_BYTES, u32_at(record, 10) as usize);
            assert_eq!(&record[33..33 + usize::from(record[32])], want);
            assert_eq!(image[at..at + length], content);
        }
    }

    #[test]
    fn an_empty_file_and_a_full_sector_fit() {
        assert_eq!(image(&file(b"")).unwrap().len(), 25 * SECTOR_BYTES);
        assert_eq!(image(&file(&[1; SECTOR_BYTES])).unwrap().len(), 26 * SECTOR_BYTES);
    }

    #[test]
    fn refuses_names_that_have_no_place() {
        let long = "x".repeat(65);
        for (spoilt, want) in [
            (File { volume: "a volume of words", ..file(b"") }, Error::Volume),
            (File { volume: "Ü", ..file(b"") }, Error::Volume),
            (File { short_name: "ovf.xml", ..file(b"") }, Error::ShortName),
            (File { short_name: "OVFENVIRO.XML", ..file(b"") }, Error::ShortName),
            (File { name: "a/b", ..file(b"") }, Error::Name),
            (File { name: &long, ..file(b"") }, Error::Name),
        ] {
            assert_eq!(image(&spoilt), Err(want), "{spoilt:?}");
        }
    }
}
