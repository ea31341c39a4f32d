//! What the first sectors of a guest's disk can be started by.
//!
//! ```text
//! sector 0: code for a BIOS, table of partitions (one of type EE: the real table is a GPT)
//! sector 1: GPT header --> entries: the type of each partition
//! ```
//!
//! UEFI specification 2.10, 5.2 and 5.3. Checksums are not compared: this is a look, and whoever asks
//! for it must be able to live with no answer.

use crate::{
    Image, Result,
    fields::{le32, le64},
};

/// GPT counts in the sectors of the disk, which are of 512 bytes on every virtual disk here.
const SECTOR_BYTES: usize = 512;

/// The part of the first sector that a BIOS runs.
const CODE_BYTES: usize = 440;

/// The most bytes of a partition table that are read (ours; every tool makes a table of 16 KiB).
const MAX_TABLE_BYTES: u64 = 64 << 10;

/// The size of an entry: 128 bytes times a power of two; more than this is no table (ours).
const ENTRY_BYTES: std::ops::RangeInclusive<u32> = 128..=4096;

/// The type of an EFI system partition, as it lies on the disk.
const EFI_SYSTEM: [u8; 16] = [
    0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b,
];

/// The type of a partition that holds a loader for a BIOS, as it lies on the disk.
const BIOS_BOOT: [u8; 16] = *b"Hah!IdontNeedEFI";

/// What the first sectors of a disk hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BootRecord {
    /// The first sector has code that a BIOS would run.
    pub has_bios_code: bool,
    /// There is a GPT with a partition for the loader of a BIOS.
    pub has_bios_partition: bool,
    /// There is a GPT with an EFI system partition.
    pub has_efi_partition: bool,
}

impl BootRecord {
    /// Looks at a disk. What is no boot record or partition table has none of it.
    ///
    /// # Errors
    /// The image cannot be read there.
    pub fn read(image: &dyn Image) -> Result<Self> {
        let mut head = [0_u8; 2 * SECTOR_BYTES];
        if image.capacity_bytes() < head.len() as u64 {
            return Ok(Self::default());
        }
        image.read_at(&mut head, 0)?;
        let has_signature = head.get(510..512) == Some(&[0x55, 0xaa]);
        let code = head.get(..CODE_BYTES).unwrap_or_default();
        let mut found =
            Self { has_bios_code: has_signature && !crate::is_zero(code), ..Self::default() };
        let Some(table) = Table::find(&head) else { return Ok(found) };
        let mut bytes = vec![0_u8; crate::fields::buffer_len(table.len_bytes)];
        let end_bytes = table.start_bytes.checked_add(table.len_bytes);
        if end_bytes.is_none_or(|end| end > image.capacity_bytes()) {
            return Ok(found);
        }
        image.read_at(&mut bytes, table.start_bytes)?;
        for entry in bytes.chunks_exact(table.entry_bytes) {
            found.has_efi_partition |= entry.starts_with(&EFI_SYSTEM);
            found.has_bios_partition |= entry.starts_with(&BIOS_BOOT);
        }
        Ok(found)
    }
}

/// Where the entries of a GPT are.
struct Table {
    start_bytes: u64,
    len_bytes: u64,
    entry_bytes: usize,
}

impl Table {
    /// Reads the header in the second sector; `None` for what is none, or one that makes no sense.
    fn find(head: &[u8]) -> Option<Self> {
        let header = head.get(SECTOR_BYTES..).filter(|bytes| bytes.starts_with(b"EFI PART"))?;
        let start_bytes = le64(header, 72)?.checked_mul(SECTOR_BYTES as u64)?;
        let entry_bytes = le32(header, 84).filter(|size| ENTRY_BYTES.contains(size))?;
        let wanted = u64::from(le32(header, 80)?).checked_mul(entry_bytes.into())?;
        let entry_bytes =
            usize::try_from(entry_bytes).ok().filter(|size| size.is_power_of_two())?;
        Some(Self { start_bytes, len_bytes: wanted.min(MAX_TABLE_BYTES), entry_bytes })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Declared, Format};

    /// A disk with a protective record and a GPT with one partition of this type.
    fn gpt(partition: [u8; 16]) -> Vec<u8> {
        let mut disk = vec![0_u8; 64 << 10];
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        disk[512..520].copy_from_slice(b"EFI PART");
        disk[512 + 72..512 + 80].copy_from_slice(&2_u64.to_le_bytes());
        disk[512 + 80..512 + 84].copy_from_slice(&4_u32.to_le_bytes());
        disk[512 + 84..512 + 88].copy_from_slice(&128_u32.to_le_bytes());
        disk[1024 + 128..1024 + 144].copy_from_slice(&partition);
        disk
    }

    fn read(disk: Vec<u8>) -> BootRecord {
        let image = crate::open(Arc::new(disk), Declared::Stated(Format::Raw)).unwrap();
        BootRecord::read(&*image).unwrap()
    }

    const fn record(code: bool, bios: bool, efi: bool) -> BootRecord {
        BootRecord { has_bios_code: code, has_bios_partition: bios, has_efi_partition: efi }
    }

    #[test]
    fn tells_what_a_disk_can_be_started_by() {
        let with_code = |mut disk: Vec<u8>| {
            disk[0] = 0xeb;
            disk
        };
        let mbr = {
            let mut disk = vec![0_u8; 4096];
            disk[510..512].copy_from_slice(&[0x55, 0xaa]);
            disk
        };
        for (disk, want) in [
            (vec![0; 4096], record(false, false, false)),
            (vec![7; 4096], record(false, false, false)),
            (vec![0; 512], record(false, false, false)),
            (mbr.clone(), record(false, false, false)),
            (with_code(mbr), record(true, false, false)),
            (gpt(EFI_SYSTEM), record(false, false, true)),
            (with_code(gpt(EFI_SYSTEM)), record(true, false, true)),
            (gpt(BIOS_BOOT), record(false, true, false)),
            (gpt([1; 16]), record(false, false, false)),
        ] {
            assert_eq!(read(disk), want);
        }
    }

    #[test]
    fn a_table_that_makes_no_sense_is_none() {
        let mut spoilt = Vec::new();
        for (at, value) in [
            (72, u64::MAX.to_le_bytes()),
            (72, (1_u64 << 54).to_le_bytes()),
            (72, 120_u64.to_le_bytes()),
            (80, 0_u64.to_le_bytes()),
            (80, (4 | 127_u64 << 32).to_le_bytes()),
            (80, (4 | 129_u64 << 32).to_le_bytes()),
            (80, u64::MAX.to_le_bytes()),
        ] {
            let mut disk = gpt(EFI_SYSTEM);
            disk[512 + at..512 + at + 8].copy_from_slice(&value);
            spoilt.push(disk);
        }
        for disk in spoilt {
            assert_eq!(read(disk), BootRecord::default());
        }
        // A count that lies is cut; what is inside the limit counts.
        let mut disk = gpt(EFI_SYSTEM);
        disk.resize(128 << 10, 0);
        disk[512 + 80..512 + 84].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(read(disk).has_efi_partition);
    }
}
