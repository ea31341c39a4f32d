//! VHDs of any guest bytes.

use std::iter::repeat_n;

/// The unit of every disk and of a bit of a bitmap.
const SECTOR: usize = 512;

/// The size of a block: the smallest that tools write, so that a test disk has several.
const BLOCK: usize = 512 << 10;

/// Where the BAT is, behind the copy of the footer and the dynamic header.
const BAT: usize = 512 + 1024;

/// A fixed VHD of these bytes, which are whole sectors.
#[must_use]
pub fn vhd_fixed(disk: &[u8]) -> Vec<u8> {
    [disk, &footer(disk, 2, u64::MAX)].concat()
}

/// A dynamic VHD of these bytes, which are whole sectors; blocks of zeros are left out.
#[must_use]
pub fn vhd_dynamic(disk: &[u8]) -> Vec<u8> {
    let header = header(disk.len());
    let blocks = disk.chunks(BLOCK).map(|block| {
        let has_data = block.iter().any(|byte| *byte != 0);
        has_data.then(|| (vec![0xff; SECTOR], block.to_vec()))
    });
    sparse(&footer(disk, 3, 512), &header, &[], blocks.collect())
}

/// A differencing VHD: `disk` above the disk `parent`, which lies in `parent_file`, a VHD called
/// `parent_name`. Only the sectors that differ are in it.
///
/// # Panics
///
/// When the parent's file is no VHD.
#[must_use]
pub fn vhd_differencing(
    disk: &[u8],
    parent: &[u8],
    parent_file: &[u8],
    parent_name: &str,
) -> Vec<u8> {
    let mut header = header(disk.len());
    let parent_footer = parent_file.last_chunk::<SECTOR>().expect("a VHD ends with a footer");
    header[40..56].copy_from_slice(&parent_footer[68..84]);
    let name: Vec<u8> = parent_name.encode_utf16().flat_map(u16::to_be_bytes).collect();
    header[64..64 + name.len()].copy_from_slice(&name);
    let relative = format!(".\\{parent_name}");
    let relative: Vec<u8> = relative.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let names_at = BAT + bat_bytes(disk.len());
    header[576..580].copy_from_slice(b"W2ru");
    put32(&mut header, 580, SECTOR);
    put32(&mut header, 584, relative.len());
    put32(&mut header, 596, names_at);
    vhd_seal(&mut header, 36);
    let blocks = (0..).zip(disk.chunks(BLOCK)).map(|(index, block)| {
        let mut bitmap = vec![0; SECTOR];
        let mut data = vec![0; block.len()];
        for (number, sector) in block.chunks(SECTOR).enumerate() {
            let at = index * BLOCK + number * SECTOR;
            if parent.get(at..at + SECTOR).is_none_or(|below| below != sector) {
                bitmap[number / 8] |= 0x80 >> (number % 8);
                data[number * SECTOR..][..SECTOR].copy_from_slice(sector);
            }
        }
        bitmap.iter().any(|byte| *byte != 0).then_some((bitmap, data))
    });
    sparse(&footer(disk, 4, 512), &header, &padded(relative, 0), blocks.collect())
}

/// The copy of the footer, the header, the BAT, the names of a parent, blocks, and the footer.
fn sparse(
    footer: &[u8],
    header: &[u8],
    names: &[u8],
    blocks: Vec<Option<(Vec<u8>, Vec<u8>)>>,
) -> Vec<u8> {
    let mut at = BAT + bat_bytes(blocks.len() * BLOCK) + names.len();
    let (mut bat, mut data) = (Vec::new(), Vec::new());
    for block in blocks {
        let Some((bitmap, block)) = block else {
            bat.extend([0xff; 4]);
            continue;
        };
        bat.extend(u32::try_from(at / SECTOR).expect("a small file").to_be_bytes());
        at += SECTOR + BLOCK;
        data.extend(bitmap);
        data.extend_from_slice(&block);
        data.extend(repeat_n(0, BLOCK - block.len()));
    }
    [footer, header, &padded(bat, 0xff), names, &data, footer].concat()
}

fn footer(disk: &[u8], disk_type: usize, header_at: u64) -> Vec<u8> {
    assert!(disk.len().is_multiple_of(SECTOR), "whole sectors");
    let mut footer = vec![0; SECTOR];
    footer[..8].copy_from_slice(b"conectix");
    put32(&mut footer, 8, 2);
    put32(&mut footer, 12, 0x0001_0000);
    footer[16..24].copy_from_slice(&header_at.to_be_bytes());
    footer[28..32].copy_from_slice(b"test");
    put32(&mut footer, 44, disk.len());
    put32(&mut footer, 52, disk.len());
    put32(&mut footer, 60, disk_type);
    // Two disks have two identities, and the same disk always the same one.
    let mix = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let sum = disk.iter().fold(0xcbf2_9ce4_8422_2325, mix);
    footer[68..76].copy_from_slice(&sum.to_be_bytes());
    put32(&mut footer, 80, disk_type);
    vhd_seal(&mut footer, 64);
    footer
}

fn header(disk_bytes: usize) -> Vec<u8> {
    let mut header = vec![0; 1024];
    header[..8].copy_from_slice(b"cxsparse");
    header[8..16].fill(0xff);
    put32(&mut header, 20, BAT);
    put32(&mut header, 24, 0x0001_0000);
    put32(&mut header, 28, disk_bytes.div_ceil(BLOCK));
    put32(&mut header, 32, BLOCK);
    vhd_seal(&mut header, 36);
    header
}

fn bat_bytes(disk_bytes: usize) -> usize {
    (disk_bytes.div_ceil(BLOCK) * 4).next_multiple_of(SECTOR)
}

fn padded(mut bytes: Vec<u8>, with: u8) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(SECTOR), with);
    bytes
}

/// Writes the checksum of a footer (`field` 64) or of a dynamic header (`field` 36) into it.
pub fn vhd_seal(bytes: &mut [u8], field: usize) {
    bytes[field..field + 4].fill(0);
    let sum = bytes.iter().fold(0, |sum: u32, byte| sum.wrapping_add(u32::from(*byte)));
    bytes[field..field + 4].copy_from_slice(&(!sum).to_be_bytes());
}

fn put32(bytes: &mut [u8], at: usize, value: usize) {
    let value = u32::try_from(value).expect("a small number");
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}
