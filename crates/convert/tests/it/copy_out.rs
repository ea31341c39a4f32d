//! Copies to a pipe.

use std::io::{self, Write};

use convert::{
    Kind,
    copy::{TargetOptions, copy_out},
};
use disk::{Compression, Format, Image, Unheard};
use testkit::{MIB, content, stream_optimized};

use crate::{
    copy::{Stop, Sum, open, vmdk, workers},
    copy_encoded::write,
};

#[test]
fn every_guest_byte_comes_in_order() {
    for capacity in [512, 65_536, 65_536 + 512, 3 * MIB + 65_536, 9 * MIB + 1024] {
        let mut want = content(capacity);
        let third = want.len() / 3;
        want[third..2 * third].fill(0);
        let zlib = write(&*vmdk(&want), TargetOptions::Qcow2(Compression::Zlib), 1).0;
        for image in [vmdk(&want), open(want.clone(), Format::Raw), open(zlib, Format::Qcow2)] {
            for threads in [1, 5] {
                let (mut out, sum) = (Vec::new(), Sum::default());
                let done = copy_out(&*image, &mut out, workers(threads), &sum).unwrap();
                assert!(out == want, "{capacity}");
                assert_eq!((done.file_bytes, sum.0.into_inner()), (capacity, capacity));
                assert!(done.data_bytes <= capacity, "{} of {capacity}", done.data_bytes);
            }
        }
    }
}

/// A pipe whose reader goes after some bytes.
pub(crate) struct Pipe {
    pub(crate) room: usize,
    pub(crate) kind: io::ErrorKind,
}

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let count = buf.len().min(self.room);
        self.room -= count;
        if count == 0 { Err(self.kind.into()) } else { Ok(count) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_goes_is_told_from_other_failures() {
    let image = vmdk(&content(8 * MIB));
    for room in [0, 100_000, 5 << 20] {
        for (kind, broken) in
            [(io::ErrorKind::BrokenPipe, true), (io::ErrorKind::StorageFull, false)]
        {
            let mut out = Pipe { room, kind };
            let error = copy_out(&*image, &mut out, workers(3), &Unheard).unwrap_err();
            assert_eq!((error.kind(), error.is_broken_pipe()), (Kind::Target, broken));
        }
    }
}

#[test]
fn what_is_before_the_damage_has_been_written() {
    let want = content(4 * MIB);
    let mut packed = stream_optimized(&want, "a.vmdk");
    let grain = packed
        .windows(12)
        .rposition(|w| w[..8] == (30 * 128_u64).to_le_bytes() && w[8..] != [0; 4]);
    packed[grain.expect("grain 30 has a header") + 40] ^= 1;
    let image: Box<dyn Image> = open(packed, Format::Vmdk);
    let mut out = Vec::new();
    let error = copy_out(&*image, &mut out, workers(4), &Unheard).unwrap_err();
    assert!(error.to_string().starts_with("grain 30: "), "{error}");
    assert!(out.len() >= 16 * 65_536 && want.starts_with(&out), "{} bytes", out.len());
}

#[test]
fn a_stop_ends_the_output() {
    for image in [vmdk(&content(8 * MIB)), open(vec![0; 8 << 20], Format::Raw)] {
        let error = copy_out(&*image, &mut io::sink(), workers(2), &Stop).unwrap_err();
        assert_eq!(error.kind(), Kind::Stopped);
    }
}
