//! The tar archive around an OVA: from a file, from a pipe, packed as a whole.

use std::io::{Cursor, Read};

use ovf::{
    Error,
    archive::{Index, Member, StreamInput, Walk, unpack},
};
use testkit::{Package, gzip, xz, zstd};

use crate::{Feed, steps::Steps};

/// The length of a block, in bytes.
const BLOCK: usize = 512;

/// Where the checksum stands in a header, and how long it is.
const SUM: std::ops::Range<usize> = 148..156;

/// What tells a header from other blocks, and where it stands.
const MAGIC: (std::ops::Range<usize>, &[u8]) = (257..262, b"ustar");

pub(crate) const TAR: Feed = Feed {
    name: "tar",
    read: read_tar,
    seeds: || vec![package().ova(), extended()],
    words: &[
        b"ustar\x0000",
        b"ustar  \0",
        b"././@LongLink",
        b"../",
        b"14 path=a.ovf\n",
        b"12 size=512\n",
        b"22 GNU.sparse.major=1\n",
        b"00000001000\0",
        b"77777777777\0",
        b"\x80\0\0\0\0\0\0\0\0\0\x02\0",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\0",
        b"L",
        b"x",
        b"g",
        b"5",
    ],
    seal: Some(seal),
};

pub(crate) const TAR_PACKED: Feed = Feed {
    name: "tar_packed",
    read: |bytes| drop(walked(bytes)),
    seeds: || {
        let tar = package().ova();
        vec![gzip(&tar), xz(&tar), zstd(&tar), [gzip(&tar[..700]), gzip(&tar[700..])].concat()]
    },
    words: &[
        b"\x1f\x8b\x08",
        b"\xfd7zXZ\0",
        b"\x28\xb5\x2f\xfd",
        // A frame that may be skipped, a block of one byte many times, the last block.
        b"\x50\x2a\x4d\x18\x04\0\0\0",
        b"\x02\0\x10",
        b"\x01\0\0",
    ],
    seal: None,
};

/// A package of three small members.
fn package() -> Package {
    Package::of_text("a", "<Envelope/>")
        .member("a-disk1.vmdk", vec![7; 700])
        .manifest(ovf::manifest::Algorithm::Sha256)
}

/// A member whose name and size stand in a record of their own, and one with a long name of GNU's.
fn extended() -> Vec<u8> {
    let record = b"12 path=b.x\n12 size=100\n".as_slice();
    let long = [b"n".repeat(120), vec![0]].concat();
    let members = [
        header("pax", b'x', record.len()),
        block(record),
        header("short", b'0', 100),
        block(&[1; 100]),
        header("././@LongLink", b'L', long.len()),
        block(&long),
        header("short", b'0', 3),
        block(b"end"),
        header("folder/", b'5', 0),
        vec![0; 2 * BLOCK],
    ];
    let mut bytes = members.concat();
    seal(&mut bytes);
    bytes
}

fn header(name: &str, kind: u8, length: usize) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[124..135].copy_from_slice(format!("{length:011o}").as_bytes());
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    block
}

fn block(bytes: &[u8]) -> Vec<u8> {
    let mut block = bytes.to_vec();
    block.resize(bytes.len().next_multiple_of(BLOCK), 0);
    block
}

/// Makes the checksum of every header right.
pub(crate) fn seal(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(BLOCK) {
        if block[MAGIC.0] == *MAGIC.1 {
            block[SUM].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[SUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

/// Reads an archive as a file and as a stream.
///
/// # Panics
///
/// When the two differ, or a member is not what lies at its place.
fn read_tar(bytes: &[u8]) {
    let index = Index::read(Cursor::new(bytes)).map(|index| {
        drop((index.descriptor(), index.manifest(), index.certificate()));
        index.members
    });
    let told = |error: Error| format!("{} {error}", error.code().as_str());
    let mut walk = Walk::new(StreamInput::new(Steps::new(bytes)));
    let streamed = passed(&mut walk, &mut |member, content| {
        let from = usize::try_from(member.offset_bytes).expect("a place in the input");
        assert!(bytes[from..].starts_with(content), "{} is what lies there", member.name);
    });
    assert_eq!(index.map_err(told), streamed.map_err(told), "a file and a stream are alike");
}

/// Reads an archive that is packed as a whole, or is not.
fn walked(bytes: &[u8]) -> Result<Vec<Member>, Error> {
    let (reader, _) = unpack(Box::new(Steps::new(bytes)))?;
    passed(&mut Walk::new(StreamInput::new(reader)), &mut |_, _| {})
}

/// Passes the members of an archive, reading all that is in them.
fn passed<R: Read>(
    walk: &mut Walk<StreamInput<R>>,
    take: &mut dyn FnMut(&Member, &[u8]),
) -> Result<Vec<Member>, Error> {
    /// The most that is read of a member.
    const MAX_READ: u64 = 1 << 16;

    let mut members = Vec::new();
    while let Some(member) = walk.next_member()? {
        let mut content = Vec::new();
        // What is damaged here is told again by the next call.
        if walk.by_ref().take(MAX_READ).read_to_end(&mut content).is_ok() {
            take(&member, &content);
        }
        members.push(member);
    }
    Ok(members)
}
