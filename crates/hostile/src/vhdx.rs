//! VHDX, dynamic and differencing, with a log that was applied and one that was not.

use std::sync::{Arc, LazyLock};

use disk::{Declared, FileName, Format, Gate, Image, Opened, Place, Result, Role};
use testkit::{Vhdx, content};

use crate::{
    Feed, image,
    sparse_file::{Part, SparseFile, ranges},
};

/// The parts of a file that are not zeros, and the ends of its block (mebibyte 4) and of the bitmap of
/// sectors behind (mebibyte 5), since the file ends where what is given of it does.
const PARTS: &[Part] = &[
    Part { at: 0, len: 512 },
    Part { at: 64 << 10, len: HEADER },
    Part { at: 128 << 10, len: HEADER },
    Part { at: 192 << 10, len: REGIONS },
    Part { at: 256 << 10, len: REGIONS },
    Part { at: 1 << 20, len: 16 << 10 },
    Part { at: 2 << 20, len: 512 },
    Part { at: (2 << 20) + (64 << 10), len: 512 },
    Part { at: 3 << 20, len: 4096 },
    Part { at: (3 << 20) + (32 << 10), len: 512 },
    Part { at: 4 << 20, len: DISK },
    Part { at: (5 << 20) - 512, len: 512 },
    Part { at: 5 << 20, len: 512 },
    Part { at: (6 << 20) - 512, len: 512 },
];

/// Which of the parts are checked by a sum.
const HEADERS: [usize; 2] = [1, 2];
const REGION_TABLES: [usize; 2] = [3, 4];
const LOG: usize = 5;

/// The bytes of a header.
const HEADER: usize = 4096;

/// The bytes of a region table that are given, and all that it has.
const REGIONS: usize = 512;
const REGIONS_WHOLE: usize = 64 << 10;

/// The size of the disk.
const DISK: usize = 12 << 10;

/// What a child calls its parent by.
const PARENT_GUID: [u8; 16] = [0x55; 16];

const LOCATOR: [(&str, &str); 2] = [
    ("relative_path", "parent.vhdx"),
    ("parent_linkage", "{55555555-5555-5555-5555-555555555555}"),
];

pub(crate) const VHDX: Feed = Feed {
    name: "vhdx",
    read: |bytes| image::judge(open(bytes)),
    seeds: || {
        let below = content(DISK as u64);
        let mut above = below.clone();
        above[1024..2048].fill(9);
        let disk = Vhdx::new(&below);
        let delta = Vhdx::new(&above).above(&below, &LOCATOR);
        let files = [disk.build(), disk.with_pending_log().build(), delta.build()];
        files.map(|file| SparseFile::pick(&file, PARTS)).into()
    },
    words: &[
        b"vhdxfile",
        b"head",
        b"regi",
        b"metadata",
        b"loge",
        b"zero",
        b"desc",
        b"data",
        &(1_u64 << 20).to_le_bytes(),
        &(3_u64 << 20).to_le_bytes(),
        &((4_u64 << 20) | 6).to_le_bytes(),
        &((4_u64 << 20) | 7).to_le_bytes(),
        &((5_u64 << 20) | 6).to_le_bytes(),
    ],
    seal: Some(seal),
};

pub(crate) fn open(bytes: &[u8]) -> Result<Box<dyn Image>> {
    let file = Arc::new(SparseFile::new(bytes, PARTS));
    disk::open_behind(&Beside, file, Declared::Stated(Format::Vhdx))
}

/// The one file that a disk may name.
struct Beside;

static PARENT: LazyLock<Arc<SparseFile>> = LazyLock::new(|| {
    let file = Vhdx::new(&content(DISK as u64)).data_write_guid(PARENT_GUID).build();
    Arc::new(SparseFile::new(&SparseFile::pick(&file, PARTS), PARTS))
});

impl Gate for Beside {
    fn open(&self, role: Role, name: &FileName, from: &Place) -> Result<Opened> {
        if name.base().text() != "parent.vhdx" {
            return disk::Closed.open(role, name, from);
        }
        let place = Place { name: "parent.vhdx".to_owned(), file: None };
        Ok(Opened { bytes: PARENT.clone(), place })
    }

    fn root(&self) -> Place {
        Place { name: "input.vhdx".to_owned(), file: None }
    }

    fn max_depth(&self) -> usize {
        16
    }
}

/// Makes the checksums of the headers, the region tables and the first entry of the log right.
fn seal(bytes: &mut [u8]) {
    let places: Vec<_> = ranges(bytes.len(), PARTS).collect();
    for part in HEADERS.into_iter().filter_map(|part| places.get(part)) {
        sum(&mut bytes[part.clone()], 0);
    }
    for part in REGION_TABLES.into_iter().filter_map(|part| places.get(part)) {
        sum(&mut bytes[part.clone()], REGIONS_WHOLE - REGIONS);
    }
    if let Some(part) = places.get(LOG) {
        let log = &mut bytes[part.clone()];
        let len = log.get(8..12).and_then(|len| len.try_into().ok()).map(u32::from_le_bytes);
        let len = usize::try_from(len.unwrap_or_default()).unwrap_or(usize::MAX);
        let len = len.min(log.len());
        sum(&mut log[..len], 0);
    }
}

/// Writes the CRC-32C of the bytes, behind which are `zeros`, to byte 4.
fn sum(bytes: &mut [u8], zeros: usize) {
    let Some(field) = bytes.get_mut(4..8) else { return };
    field.fill(0);
    let sum = crc32c::crc32c_append(crc32c::crc32c(bytes), &[0; REGIONS_WHOLE][..zeros]);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
}
