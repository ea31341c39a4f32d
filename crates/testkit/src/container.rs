//! What people put packages into, beside a tar.

use std::io::Write as _;

use flate2::{Compression, Crc, write::DeflateEncoder, write::GzEncoder};

/// How a member of a ZIP archive is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZipMethod {
    /// As it is.
    Stored,
    /// By deflate.
    Deflated,
}

/// The bytes as a gzip stream.
#[must_use]
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes every write");
    encoder.finish().expect("memory takes every write")
}

/// The bytes as an xz stream.
#[must_use]
pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).expect("memory takes every write");
    encoder.finish().expect("memory takes every write")
}

/// The bytes as a zstd frame.
#[must_use]
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).expect("memory takes every write")
}

/// A ZIP archive of these members, as Info-ZIP writes it.
#[must_use]
pub fn zip(members: &[(&str, &[u8])], method: ZipMethod) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in members {
        let mut crc = Crc::new();
        crc.update(bytes);
        let (number, packed) = match method {
            ZipMethod::Stored => (0, bytes.to_vec()),
            ZipMethod::Deflated => (8, deflate(bytes)),
        };
        let mut common = [0, number, 0, 0].map(u16::to_le_bytes).concat();
        let sizes = [crc.sum(), short(packed.len()), short(bytes.len())];
        common.extend(sizes.map(u32::to_le_bytes).concat());
        common.extend((name.len() as u16).to_le_bytes());
        let offset = short(out.len());
        out.extend(b"PK\x03\x04\x14\0");
        out.extend(&common);
        out.extend([0, 0]);
        out.extend(name.as_bytes());
        out.extend(packed);
        directory.extend(b"PK\x01\x02\x14\x03\x14\0");
        directory.extend(&common);
        directory.extend([0; 8]);
        directory.extend([0o100_644 << 16, offset].map(u32::to_le_bytes).concat());
        directory.extend(name.as_bytes());
    }
    let (start, count) = (short(out.len()), members.len() as u16);
    out.extend(&directory);
    out.extend(b"PK\x05\x06");
    out.extend([0, 0, count, count].map(u16::to_le_bytes).concat());
    out.extend([short(directory.len()), start].map(u32::to_le_bytes).concat());
    out.extend([0, 0]);
    out
}

/// The bytes as a deflate stream without a header, as qcow2 and ZIP have it.
#[must_use]
pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes every write");
    encoder.finish().expect("memory takes every write")
}

fn short(length: usize) -> u32 {
    u32::try_from(length).expect("a small archive")
}
