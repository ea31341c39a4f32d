//! ZIP archives with a package in them.

use std::io::{Cursor, Read as _};

use ovf::archive::zip::{Inflate, Method, Zip};
use testkit::ZipMethod;

use crate::Feed;

/// The most that is read of a member.
const MAX_READ: u64 = 1 << 16;

pub(crate) const ZIP: Feed = Feed {
    name: "zip",
    read,
    seeds: || {
        let members: [(&str, &[u8]); 3] =
            [("a.ovf", b"<Envelope/>"), ("f/b.vmdk", &[7; 300]), ("a.mf", b"SHA1(a)= 0\n")];
        vec![
            testkit::zip(&members, ZipMethod::Stored),
            testkit::zip(&members, ZipMethod::Deflated),
            large(&testkit::zip(&members[..1], ZipMethod::Stored)),
        ]
    },
    words: &[
        b"PK\x01\x02",
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"PK\x06\x06",
        b"PK\x06\x07",
        b"../",
        &[1, 0, 24, 0],
        &[8, 0],
        &[0xff; 4],
    ],
    seal: None,
};

/// An archive of one member again, with the record and the locator of a large one before its end.
fn large(archive: &[u8]) -> Vec<u8> {
    /// The length of the end record.
    const END: usize = 22;

    let (front, end) = archive.split_at(archive.len() - END);
    let number = |at: usize| u64::from(u32::from_le_bytes([end[at], end[at + 1], end[at + 2], 0]));
    let numbers = [1, 1, number(12), number(16)].map(u64::to_le_bytes).concat();
    let mut end = end.to_vec();
    end[8..20].fill(0xff);
    let record = [b"PK\x06\x06".as_slice(), &44_u64.to_le_bytes(), &[0; 12], &numbers].concat();
    let place = (front.len() as u64).to_le_bytes();
    let locator = [b"PK\x06\x07".as_slice(), &[0; 4], &place, &[1, 0, 0, 0]].concat();
    [front, &record, &locator, &end].concat()
}

/// Reads the directory, then each member.
///
/// # Panics
///
/// When a member lies outside of the archive, or unpacks to more than its length.
fn read(bytes: &[u8]) {
    let Ok(zip) = Zip::read(Cursor::new(bytes)) else { return };
    assert_eq!(zip.index.members.len(), zip.methods.len(), "each member has a method");
    for (member, method) in zip.index.members.iter().zip(&zip.methods) {
        let stored_bytes = match method {
            Method::Stored => member.length_bytes,
            Method::Deflated { packed_bytes, .. } => *packed_bytes,
        };
        let end = member.offset_bytes + stored_bytes;
        assert!(end <= bytes.len() as u64, "{} ends at byte {end}", member.name);
        let from = usize::try_from(member.offset_bytes).expect("a place in the input");
        let Some(inflate) = Inflate::new(&bytes[from..], member, *method) else { continue };
        let mut content = Vec::new();
        if inflate.take(MAX_READ).read_to_end(&mut content).is_ok() {
            let due = member.length_bytes.min(MAX_READ);
            assert_eq!(content.len() as u64, due, "{} is as long as it says", member.name);
        }
    }
}
