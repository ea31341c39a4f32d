//! The demo appliance: a package in VMware's layout whose guest prints one line and halts.
//!
//! Always the same bytes: no clock, no random numbers, no host.

mod boot;

use disk::vmdk::{StreamOptions, StreamWriter};
use ovf::{
    EntryName,
    archive::Writer,
    manifest::{self, Algorithm, Digest, Hasher},
};

use crate::failure::Result;

/// The descriptor; two numbers in it are those of the disk.
const DESCRIPTOR: &str = include_str!("sample/demo.ovf");

/// The size of the guest's disk.
const CAPACITY_BYTES: u64 = 64 << 20;

/// The size of a grain.
const GRAIN_BYTES: usize = 64 << 10;

/// The grains that hold text, which compresses; the last one of the disk is among them.
const TEXT_GRAINS: [u64; 4] = [1, 2, 300, 1023];

/// The grain that holds noise, which does not compress.
const NOISE_GRAIN: u64 = 512;

/// How hard the disk is deflated: a small file is worth the time.
const SMALL_LEVEL: i32 = 6;

/// The content id of the disk, and the seed of the noise.
const SEED: u32 = 0x7265_6c66;

/// 2026-01-01T00:00:00Z, the time of every member.
const MEMBER_TIME_SECONDS: u64 = 1_767_225_600;

/// The bytes of the package: descriptor, manifest, disk.
pub(crate) fn ova() -> Result<Vec<u8>> {
    let disk = disk()?;
    let populated = (TEXT_GRAINS.len() + 2) * GRAIN_BYTES;
    let descriptor = DESCRIPTOR
        .replace("@PACKED@", &disk.len().to_string())
        .replace("@POPULATED@", &populated.to_string());
    let name = |text: &str| EntryName::parse(text);
    let (ovf, mf, vmdk) = (name("demo.ovf")?, name("demo.mf")?, name("demo-disk1.vmdk")?);
    let entries = [(ovf.clone(), digest(descriptor.as_bytes())), (vmdk.clone(), digest(&disk))];
    let manifest = manifest::write(&entries);
    let mut writer = Writer::new(Vec::new(), MEMBER_TIME_SECONDS);
    let members = [(&ovf, descriptor.as_bytes()), (&mf, manifest.as_bytes()), (&vmdk, &disk)];
    for (name, bytes) in members {
        writer.begin(name, bytes.len() as u64)?;
        std::io::Write::write_all(&mut writer, bytes).map_err(ovf::Error::from)?;
    }
    Ok(writer.finish()?)
}

/// A streamOptimized disk with a boot sector, text, noise and zeros.
fn disk() -> Result<Vec<u8>> {
    let options = StreamOptions {
        level: SMALL_LEVEL,
        ..StreamOptions::new(CAPACITY_BYTES, "demo-disk1.vmdk", SEED)
    };
    let mut writer = StreamWriter::create(Vec::new(), &options)?;
    let mut grain = vec![0; GRAIN_BYTES];
    for index in 0..CAPACITY_BYTES / GRAIN_BYTES as u64 {
        match index {
            0 => {
                text(&mut grain, index);
                for (slot, byte) in grain.iter_mut().zip(boot::sector()) {
                    *slot = byte;
                }
            }
            NOISE_GRAIN => noise(&mut grain),
            index if TEXT_GRAINS.contains(&index) => text(&mut grain, index),
            _ => continue,
        }
        writer.write_grain(index, &grain)?;
    }
    Ok(writer.finish()?)
}

fn text(grain: &mut [u8], index: u64) {
    let line = format!("This is grain {index} of the disk of the relift demo appliance.\n");
    for (slot, byte) in grain.iter_mut().zip(line.bytes().cycle()) {
        *slot = byte;
    }
}

/// The generator xorshift64 of George Marsaglia (2003).
fn noise(grain: &mut [u8]) {
    let mut state = u64::from(SEED);
    for chunk in grain.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        for (slot, byte) in chunk.iter_mut().zip(state.to_le_bytes()) {
            *slot = byte;
        }
    }
}

fn digest(bytes: &[u8]) -> Digest {
    let mut hash = Hasher::new(Algorithm::Sha256);
    hash.update(bytes);
    hash.finish()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use disk::Declared;

    use super::*;

    #[test]
    fn the_package_is_small_and_always_the_same() {
        let ova = ova().unwrap();
        assert!(ova.len() < 200 << 10, "{} bytes", ova.len());
        assert!(ova == super::ova().unwrap());
    }

    #[test]
    fn the_disk_begins_with_the_boot_sector_and_has_every_kind_of_grain() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("demo.vmdk");
        std::fs::write(&path, disk().unwrap()).unwrap();
        let bytes = disk::FileBytes::new(std::fs::File::open(&path).unwrap()).unwrap();
        let image = disk::open(Arc::new(bytes), Declared::Unknown).unwrap();
        assert_eq!(image.capacity_bytes(), CAPACITY_BYTES);
        let mut sector = [0; 512];
        image.read_at(&mut sector, 0).unwrap();
        assert_eq!(sector, boot::sector());
        image.read_at(&mut sector, 3 * GRAIN_BYTES as u64).unwrap();
        assert_eq!(sector, [0; 512]);
        image.read_at(&mut sector, CAPACITY_BYTES - 512).unwrap();
        assert_ne!(sector, [0; 512]);
    }

    #[test]
    fn the_package_is_sound_down_to_every_grain() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("demo.ova");
        std::fs::write(&path, ova().unwrap()).unwrap();
        let mut source = restore::open(&path, &restore::Policy::default()).unwrap();
        assert!(source.facts().findings.is_empty(), "{:?}", source.facts().findings);
        let rows = restore::verify(&mut *source, restore::Level::Deep, &disk::Unheard).unwrap();
        let files: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(files, ["demo.ovf", "demo-disk1.vmdk"]);
        assert!(rows.iter().all(|row| row.verdict == restore::Verdict::Ok), "{rows:?}");
    }
}
