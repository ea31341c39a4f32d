//! What an NBD server says: a handshake, maps and bytes.

use std::io::{self, Read, Write};

use disk::{ExtentKind, Image, Workbench};
use nbd::{ALLOCATION, Client, NbdImage, Options};
use testkit::{NbdExport, content};

use crate::Feed;

const BITMAP: &str = "qemu:dirty-bitmap:cp1";

/// The most extents that are looked at, and the most bytes of one that are read.
const MAX_EXTENTS: usize = 1024;
const MAX_READ_BYTES: u64 = 64 << 10;

/// An input begins with a byte: 0 for a client that asks for no contexts.
pub(crate) const NBD: Feed = Feed {
    name: "nbd",
    read: |bytes| {
        let Some((first, told)) = bytes.split_first() else { return };
        talk(Box::new(io::Cursor::new(told.to_vec())), Box::new(io::sink()), contexts(*first));
    },
    seeds: || {
        let export = || {
            let mut disk = content(200 << 10);
            disk[70 << 10..140 << 10].fill(0);
            NbdExport::new("vda", disk)
        };
        let mapped = |export: NbdExport| {
            let kib = |kib: u32, flags: u32| (kib << 10, flags);
            export
                .context(ALLOCATION, &[kib(70, 0), kib(70, 3), kib(60, 0)])
                .context(BITMAP, &[kib(64, 1), kib(36, 0), kib(64, 1), kib(36, 0)])
        };
        let recorded = |first: u8, export: NbdExport| {
            let told = export.recorded(|stream| {
                let input = Box::new(stream.try_clone().expect("a copy"));
                assert!(talk(input, Box::new(stream), contexts(first)), "an honest server");
            });
            [&[first][..], &told].concat()
        };
        vec![
            recorded(1, mapped(export())),
            recorded(1, mapped(export()).blocks([1024, 4096, 8192])),
            recorded(0, export()),
            recorded(0, export().simple()),
        ]
    },
    words: &[
        b"NBDMAGIC",
        b"IHAVEOPT",
        b"\x00\x03\xe8\x89\x04\x55\x65\xa9",
        b"\x67\x44\x66\x98",
        b"\x66\x8e\x33\xef\x00\x00\x00\x01",
        b"\x66\x8e\x33\xef\x00\x00\x00\x02",
        b"\x66\x8e\x33\xef\x00\x00\x00\x05",
        b"\x66\x8e\x33\xef\x00\x01\x00\x00",
        b"\x66\x8e\x33\xef\x00\x01\x80\x01",
        b"\x00\x00\x02\x00",
    ],
    seal: None,
};

fn contexts(first: u8) -> &'static [&'static str] {
    if first == 0 { &[] } else { &[ALLOCATION, BITMAP] }
}

/// Reads an export as a backup does, full and incremental; says whether all of it went well.
fn talk(input: Box<dyn Read + Send>, output: Box<dyn Write + Send>, contexts: &[&str]) -> bool {
    let contexts: Vec<_> = contexts.iter().map(|&name| name.to_owned()).collect();
    let options = Options { contexts, ..Options::default() };
    let Ok(client) = Client::over(input, output, "vda", &options) else { return false };
    let client = client.into();
    let full = NbdImage::full(std::sync::Arc::clone(&client));
    if options.contexts.is_empty() {
        return walk(&full);
    }
    NbdImage::incremental(client, "cp1").is_ok_and(|image| walk(&image)) && walk(&full)
}

/// Looks at the extents and reads the front of each.
///
/// # Panics
///
/// When they have a gap or an overlap, or end before the disk does.
fn walk(image: &dyn Image) -> bool {
    let (mut end, mut count, mut bench) = (0, 0, Workbench::new());
    let mut buf = vec![0; usize::try_from(MAX_READ_BYTES).expect("small")];
    for extent in image.extents().take(MAX_EXTENTS) {
        let Ok(extent) = extent else { return false };
        assert_eq!(extent.start_bytes, end, "no gap, no overlap");
        assert!(extent.len_bytes > 0, "an extent of no bytes at byte {end}");
        (end, count) = (extent.end_bytes(), count + 1);
        assert!(end <= image.capacity_bytes(), "extents that end within the capacity");
        let front = extent.split(MAX_READ_BYTES).0;
        let out = &mut buf[..usize::try_from(front.len_bytes).expect("small")];
        out.fill(0xee);
        if image.read_extent(&front, &mut bench, out).is_err() {
            return false;
        }
        let is_zeros = !matches!(front.kind, ExtentKind::Data { .. });
        assert!(!is_zeros || disk::is_zero(out), "zeros at byte {}", front.start_bytes);
    }
    assert!(count == MAX_EXTENTS || end == image.capacity_bytes(), "extents end at byte {end}");
    true
}
