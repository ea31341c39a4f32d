//! Streams of VMDK: the same bytes as a file and from a pipe.

use disk::{Declared, Format, Image, Length, Result, Workbench};
use testkit::{SparseMap, content, stream_optimized};

use crate::{Feed, image, stream};

/// Where the header has the sector of the grain directory.
const DIRECTORY_AT: usize = 56;

pub(crate) const VMDK_STREAM: Feed = Feed {
    name: "vmdk_stream",
    read: |bytes| {
        image::judge(open(bytes));
        let known = from_pipe(bytes, Length::Known(bytes.len() as u64));
        let unknown = from_pipe(bytes, Length::Unknown);
        if let (Ok(known), Ok(unknown)) = (&known, &unknown) {
            assert!(known == unknown, "the length of a stream does not change its disk");
        }
        if let (Ok(image), Ok(known)) = (open(bytes), &known) {
            assert_same(&*image, known);
        }
    },
    seeds: || {
        let mut disk = content(200 << 10);
        disk[64 << 10..100 << 10].fill(7);
        let file = stream_optimized(&disk, "a.vmdk");
        // Its header does not know where the footer is.
        let mut no_directory = file.clone();
        no_directory[DIRECTORY_AT..DIRECTORY_AT + 8].fill(0);
        let no_footer = file[..file.len() - 1024].to_vec();
        let sparse = SparseMap::of(&disk[..64 << 10], 8192).hosted("");
        vec![file, no_directory, no_footer, sparse]
    },
    words: &[
        b"KDMV",
        b"\x78\x9c",
        b"\x78\x01",
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0],
        &u64::MAX.to_le_bytes(),
    ],
    seal: None,
};

pub(crate) fn open(bytes: &[u8]) -> Result<Box<dyn Image>> {
    image::open(bytes, Format::Vmdk)
}

/// Reads the disk as it comes from a pipe.
fn from_pipe(bytes: &[u8], length: Length) -> Result<Vec<u8>> {
    let pipe = Box::new(stream::Dribble::new(bytes));
    stream::read(&mut *disk::open_stream(pipe, length, Declared::Stated(Format::Vmdk))?)
}

/// Compares a disk that came whole from a pipe with the same bytes as a file, where that is sound.
fn assert_same(image: &dyn Image, streamed: &[u8]) {
    if image.capacity_bytes() != streamed.len() as u64 {
        return;
    }
    let (mut bench, mut out) = (Workbench::new(), Vec::new());
    for extent in image.extents().map_while(Result::ok) {
        out.resize(usize::try_from(extent.len_bytes).expect("a small disk"), 0xee);
        if image.read_extent(&extent, &mut bench, &mut out).is_err() {
            return;
        }
        let start = usize::try_from(extent.start_bytes).expect("a small disk");
        let other = &streamed[start..start + out.len()];
        assert!(other == out, "byte {start}: the file and the stream have other bytes");
    }
}
