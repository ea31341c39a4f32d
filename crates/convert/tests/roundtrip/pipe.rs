//! What comes from a pipe is written as what comes from a file.

use std::{io::Cursor, sync::Arc};

use convert::copy::{TargetOptions, copy_stream};
use disk::{Compression, Declared, Format, Length, Unheard};
use proptest::prelude::*;
use testkit::{Memory, cases, guest_disks, stream_optimized};

use crate::{open, workers, written};

/// The file that is written of an image that comes once, front to end.
fn written_from_a_pipe(source: Vec<u8>, format: Format, options: TargetOptions) -> Vec<u8> {
    let length = Length::Known(source.len() as u64);
    let reader = Box::new(Cursor::new(source));
    let mut stream = disk::open_stream(reader, length, Declared::Stated(format)).unwrap();
    let file = Arc::new(Memory::default());
    let mut target = options.create(Arc::clone(&file) as _, stream.capacity_bytes()).unwrap();
    let done = copy_stream(&mut *stream, &mut *target, workers(3), &Unheard).unwrap();
    let bytes = file.bytes();
    assert_eq!(done.file_bytes, bytes.len() as u64);
    bytes
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn a_pipe_gives_the_same_file(disk in guest_disks(2), pick in any::<prop::sample::Index>()) {
        let bytes = disk.bytes();
        let packed = stream_optimized(&bytes, "disk.vmdk");
        let layouts = [
            TargetOptions::Raw,
            TargetOptions::Qcow2(Compression::None),
            TargetOptions::Qcow2(Compression::Zlib),
            TargetOptions::Qcow2(Compression::Zstd(1)),
        ];
        let options = *pick.get(&layouts);
        for (source, format) in [(bytes, Format::Raw), (packed, Format::Vmdk)] {
            let (want, _) = written(&*open(source.clone(), format), options, workers(1)).unwrap();
            let found = written_from_a_pipe(source, format, options);
            prop_assert!(found == want, "another file: {:?} of {}", options, format);
        }
    }
}
