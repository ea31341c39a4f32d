//! Servers that do as they should.

use std::{sync::Arc, thread};

use disk::{ExtentKind, Image as _};
use nbd::{ALLOCATION, Client, Dirty, Kind, NbdImage, Options, State};
use testkit::{NbdExport, NbdRequest, content, read_extents};

use crate::server::{NAME, connect, honest};

const BITMAP: &str = "qemu:dirty-bitmap:cp1";
const KIB: u32 = 1 << 10;

/// Where the runs of the bitmap end, in KiB, and their flags.
const BITMAP_RUNS: [(u64, u32); 4] = [(200, 0), (250, 1), (840, 0), (1024, 1)];

/// 1 MiB: data, a hole of 200 KiB from 100 KiB on, zeros from 900 KiB on.
fn disk() -> Vec<u8> {
    let mut disk = content(1 << 20);
    disk[100 << 10..300 << 10].fill(0);
    disk[900 << 10..].fill(0);
    disk
}

fn export() -> NbdExport {
    NbdExport::new(NAME, disk())
        .context(ALLOCATION, &[(100 * KIB, 0), (200 * KIB, 3), (600 * KIB, 0), (124 * KIB, 2)])
        .context(BITMAP, &[(200 * KIB, 0), (50 * KIB, 1), (590 * KIB, 0), (184 * KIB, 1)])
}

#[test]
fn any_range_is_read_whatever_the_blocks_of_the_server() {
    for export in [
        NbdExport::new(NAME, disk()),
        NbdExport::new(NAME, disk()).simple(),
        NbdExport::new(NAME, disk()).blocks([1, 4096, 4096]),
        NbdExport::new(NAME, disk()).blocks([4096, 65_536, 10_000]),
        NbdExport::new(NAME, disk()).blocks([65_536, 65_536, u32::MAX]),
    ] {
        let client = honest(&export, &[]).unwrap();
        assert_eq!(client.size_bytes(), 1 << 20);
        for (start, len) in [(0, 1 << 20), (1, 1), (4095, 2), (77_777, 500_000), (1 << 20, 0)] {
            let mut buf = vec![0xee; len];
            client.read_exact_at(&mut buf, start as u64).unwrap();
            assert!(buf == disk()[start..start + len], "{start} {len}");
        }
        let error = client.read_exact_at(&mut [0; 2], (1 << 20) - 1).unwrap_err();
        let want = "export \"vda\": 2 bytes are not inside the disk of 1048576 bytes, at byte 1048575 \
                    of the disk";
        assert_eq!(error.to_string(), want);
    }
}

#[test]
fn replies_find_their_requests_in_whatever_order_they_come() {
    let export = NbdExport::new(NAME, disk()).blocks([512, 4096, 8192]);
    let (mut kept, whole) = (Vec::new(), disk());
    let client = connect(&export, &[], move |_, request| {
        kept.push(*request);
        if kept.len() % 5 != 0 && request.range().end < 1 << 20 {
            return Some(Vec::new());
        }
        // Of all that was asked a chunk each, in turn, and each reply from its end.
        let parts = |request: NbdRequest| {
            let mut parts = vec![request.done()];
            for start in request.range().step_by(1024) {
                let at = usize::try_from(start).unwrap();
                parts.push(request.data(start, &whole[at..at + 1024]));
            }
            parts
        };
        let mut replies: Vec<_> = kept.drain(..).rev().map(parts).collect();
        let mut bytes = Vec::new();
        while replies.iter().any(|parts| !parts.is_empty()) {
            replies.iter_mut().for_each(|parts| bytes.extend(parts.pop().unwrap_or_default()));
        }
        Some(bytes)
    })
    .unwrap();
    let mut buf = vec![0xee; 1 << 20];
    client.read_exact_at(&mut buf, 0).unwrap();
    assert!(buf == disk());
}

#[test]
fn many_threads_read_over_one_connection() {
    let client = Arc::new(honest(&export(), &[ALLOCATION]).unwrap());
    let whole = Arc::new(disk());
    let threads: Vec<_> = (0..8_usize)
        .map(|thread| {
            let (client, whole) = (Arc::clone(&client), Arc::clone(&whole));
            thread::spawn(move || {
                for step in 0..100 {
                    let start = (thread * 7919 + step * 10_007) % (1 << 19);
                    let mut buf = vec![0xee; 1 + step * 997];
                    client.read_exact_at(&mut buf, start as u64).unwrap();
                    assert!(buf == whole[start..start + buf.len()], "{start}");
                    let runs = client.map(&[ALLOCATION], 0..1 << 20).unwrap();
                    assert_eq!(runs.map(Result::unwrap).count(), 4);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn the_map_tells_zeros_dirty_bytes_and_both_together() {
    use State::{Clean, Data, Zero};
    let client = honest(&export(), &[BITMAP, ALLOCATION]).unwrap();
    let map = |contexts: &[&str], from: u64, to: u64| -> Vec<_> {
        let runs = client.map(contexts, from << 10..to << 10).unwrap().map(Result::unwrap);
        runs.map(|run| (run.start_bytes >> 10, run.len_bytes >> 10, run.state)).collect()
    };
    let want = [(0, 100, Data), (100, 200, Zero), (300, 600, Data), (900, 124, Zero)];
    assert_eq!(map(&[ALLOCATION], 0, 1024), want);
    let want = [(0, 200, Clean), (200, 50, Data), (250, 590, Clean), (840, 184, Data)];
    assert_eq!(map(&[BITMAP], 0, 1024), want);
    let want =
        [(0, 200, Clean), (200, 50, Zero), (250, 590, Clean), (840, 60, Data), (900, 124, Zero)];
    assert_eq!(map(&[ALLOCATION, BITMAP], 0, 1024), want);
    assert_eq!(map(&[ALLOCATION], 150, 301), [(150, 150, Zero), (300, 1, Data)]);
    assert_eq!(map(&[ALLOCATION], 150, 150), []);
    let error = client.map(&["qemu:dirty-bitmap:cp2"], 0..512).unwrap_err();
    let want = "export \"vda\": the context \"qemu:dirty-bitmap:cp2\" was not agreed on";
    assert_eq!(error.to_string(), want);
    let error = client.map(&[ALLOCATION], 0..(1 << 20) + 512).unwrap_err();
    let want = "export \"vda\": a map of 0..1049088, the disk has 1048576 bytes in blocks of 512";
    assert_eq!(error.to_string(), want);
}

#[test]
fn a_map_that_comes_in_parts_is_the_same() {
    let client = connect(&export(), &[BITMAP, ALLOCATION], |export, request| {
        // 2 KiB of one context and 3 of the other at a time.
        let whole = export.answer(request);
        if request.command == 0 {
            return Some(whole);
        }
        let flags = |at: u64, runs: [(u64, u32); 4]| {
            runs.iter().find(|(end, _)| at < end << 10).map_or(0, |run| run.1)
        };
        let allocation = flags(request.offset, [(100, 0), (300, 3), (900, 0), (1024, 2)]);
        let bitmap = flags(request.offset, BITMAP_RUNS);
        let behind = [(2 * KIB, bitmap), (KIB, flags(request.offset + 2048, BITMAP_RUNS))];
        let known = if request.len > 2 * KIB { &behind[..] } else { &behind[..1] };
        let mut bytes = request.status(2, known);
        bytes.extend(request.status(1, &[(2 * KIB, allocation)]));
        bytes.extend(request.done());
        Some(bytes)
    })
    .unwrap();
    let whole = honest(&export(), &[BITMAP, ALLOCATION]).unwrap();
    let runs = |client: &Client| -> Vec<_> {
        client.map(&[ALLOCATION, BITMAP], 0..1 << 20).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(runs(&client), runs(&whole));
}

#[test]
fn an_image_of_everything_leaves_out_the_zeros() {
    let client = Arc::new(honest(&export(), &[ALLOCATION]).unwrap());
    let image = NbdImage::full(Arc::clone(&client));
    let extents: Vec<_> = image
        .extents()
        .map(|extent| extent.map(|e| (e.start_bytes >> 10, e.len_bytes >> 10, e.kind)).unwrap())
        .collect();
    let data = |start: u64| ExtentKind::Data { offset_bytes: start << 10 };
    let want = [
        (0, 128, data(0)),
        (128, 128, ExtentKind::Zero),
        (256, 704, data(256)),
        (960, 64, ExtentKind::Zero),
    ];
    assert_eq!(extents, want);
    assert!(read_extents(&image).unwrap() == disk());
    for (start, len) in [(0, 1 << 20), (130_000, 70_000), (1_048_575, 1)] {
        let mut buf = vec![0xee; len];
        image.read_at(&mut buf, start as u64).unwrap();
        assert!(buf == disk()[start..start + len]);
    }
    let dirty = Dirty { marked_bytes: 1 << 20, widened_bytes: 1 << 20, data_bytes: 832 << 10 };
    assert_eq!(image.dirty().unwrap(), dirty);
    // Without a map everything is read.
    let client = Arc::new(honest(&export(), &[]).unwrap());
    assert_eq!(NbdImage::full(client).extents().count(), 1);
}

#[test]
fn an_image_of_what_changed_has_whole_clusters() {
    let client = Arc::new(honest(&export(), &[ALLOCATION, BITMAP]).unwrap());
    let image = NbdImage::incremental(client, "cp1").unwrap();
    let extents: Vec<_> = image
        .extents()
        .map(|extent| extent.map(|e| (e.start_bytes >> 10, e.len_bytes >> 10, e.kind)).unwrap())
        .collect();
    let data = |start: u64| ExtentKind::Data { offset_bytes: start << 10 };
    let want = [
        (0, 192, ExtentKind::Hole),
        (192, 64, data(192)),
        (256, 576, ExtentKind::Hole),
        (832, 128, data(832)),
        (960, 64, ExtentKind::Zero),
    ];
    assert_eq!(extents, want);
    let dirty = Dirty { marked_bytes: 234 << 10, widened_bytes: 256 << 10, data_bytes: 192 << 10 };
    assert_eq!(image.dirty().unwrap(), dirty);
    let client = Arc::new(honest(&export(), &[ALLOCATION]).unwrap());
    let error = NbdImage::incremental(client, "cp1").unwrap_err();
    assert_eq!(error.kind(), Kind::NoContext);
}

#[test]
fn a_server_is_found_by_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("a.sock");
    let error = Client::connect(&socket, NAME, &Options::default()).unwrap_err();
    let want = format!("export \"vda\": cannot connect to the socket {}", socket.display());
    assert_eq!(error.to_string(), want);
    export().listen(&socket);
    let connect = |name: &str, contexts: &[&str]| {
        let contexts = contexts.iter().map(|&name| name.to_owned()).collect();
        Client::connect(&socket, name, &Options { contexts, ..Options::default() })
    };
    connect(NAME, &[ALLOCATION]).unwrap();
    for (name, contexts, kind, want) in [
        (
            NAME,
            &[ALLOCATION, "qemu:dirty-bitmap:gone"][..],
            Kind::NoContext,
            "export \"vda\": the server has no context \"qemu:dirty-bitmap:gone\"",
        ),
        (
            "vdz",
            &[][..],
            Kind::Missing,
            "export \"vdz\": the server does not give the export: there is no export of that name \
             (it says \"no such export\")",
        ),
    ] {
        let error = connect(name, contexts).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, want));
    }
}
