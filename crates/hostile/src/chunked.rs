//! A file that is held in chunks, as an appliance may hold its disks.

use std::sync::Arc;

use disk::{Chunked, Declared, ReadAt};
use testkit::{Qcow2, content, stream_optimized, vhd_fixed};

use crate::{Feed, image};

/// How many lengths of chunks an input begins with, in two bytes each.
const LENGTHS: usize = 6;

pub(crate) const CHUNKED: Feed = Feed {
    name: "chunked",
    read: |bytes| {
        let (lengths, file) = bytes.split_at(bytes.len().min(LENGTHS * 2));
        let parts = lengths.chunks(2).map(|pair| {
            usize::from(pair[0]) | usize::from(pair.get(1).copied().unwrap_or_default()) << 8
        });
        let chunked = Arc::new(cut(file, parts));
        assert_same(&chunked, file);
        let opened = disk::open(chunked, Declared::Unknown);
        let whole = disk::open(Arc::new(file.to_vec()), Declared::Unknown);
        match (opened, whole) {
            (Ok(image), Ok(_)) => image::judge(Ok(image)),
            (Err(one), Err(two)) => assert_eq!(one.to_string(), two.to_string()),
            (one, _) => panic!("whole or in chunks, only one is opened: {}", one.is_ok()),
        }
    },
    seeds: || {
        let disk = content(5 << 10);
        let lengths = [512_u16, 0, 511, 1, 1024, 100].map(u16::to_le_bytes).concat();
        let qcow2 = Qcow2::new(5 << 10).cluster_bits(9).build().bytes;
        let files = [vhd_fixed(&disk), stream_optimized(&disk, "a.vmdk"), qcow2];
        files.map(|file| [&lengths[..], &file].concat()).into()
    },
    words: &[b"conectix", b"KDMV", b"QFI\xfb", &[0, 0], &[1, 0], &[0xff, 0xff]],
    seal: None,
};

/// The file in chunks of these lengths; the last one has the rest.
fn cut(mut file: &[u8], lengths: impl Iterator<Item = usize>) -> Chunked {
    let mut parts: Vec<Arc<dyn ReadAt>> = Vec::new();
    for len in lengths {
        let (part, rest) = file.split_at(len.min(file.len()));
        parts.push(Arc::new(part.to_vec()));
        file = rest;
    }
    parts.push(Arc::new(file.to_vec()));
    Chunked::new(parts).expect("a small file")
}

/// Reads the chunks as a whole and in steps, and looks for what is beyond the end.
fn assert_same(chunked: &Chunked, file: &[u8]) {
    let len = file.len() as u64;
    assert_eq!(chunked.len_bytes(), len);
    let mut buf = vec![0xee; file.len()];
    for step in [file.len().max(1), 509] {
        for (at, part) in (0..).step_by(step).zip(buf.chunks_mut(step)) {
            chunked.read_exact_at(part, at).expect("inside the file");
        }
        assert!(buf == file, "other bytes in steps of {step}");
    }
    assert!(chunked.read_exact_at(&mut [0], len).is_err(), "a byte behind the end");
    assert!(chunked.read_exact_at(&mut [0; 2], u64::MAX).is_err(), "bytes behind the last one");
    let mut at = 0;
    while let Some(data) = chunked.next_data(at).expect("memory can be read") {
        assert!(at <= data.start && data.start < data.end && data.end <= len, "{data:?}");
        at = data.end;
    }
}
