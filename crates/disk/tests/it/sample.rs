//! Guest content, and ways to write it and to read it back.

use std::{
    io::{self, Cursor},
    sync::{Arc, Mutex},
};

use disk::{
    CLUSTER_BYTES, Declared, Error, Extent, Format, Image, Piece, Result, Target, Workbench,
    WriteAt, is_zero, open_stream, qcow2,
    vmdk::{StreamOptions, StreamWriter},
};

pub(crate) const GRAIN: usize = 64 << 10;

/// A disk of `capacity` bytes with a different pattern in each of the given grains.
pub(crate) fn content(capacity: usize, grains: &[usize]) -> Vec<u8> {
    let mut disk = vec![0; capacity];
    for grain in grains {
        for (at, byte) in disk.iter_mut().enumerate().skip(grain * GRAIN).take(GRAIN) {
            *byte = (at / 7 + grain * 31) as u8 | 1;
        }
    }
    disk
}

/// The disk as a streamOptimized VMDK.
pub(crate) fn stream_vmdk(disk: &[u8]) -> Vec<u8> {
    let options = StreamOptions::new(disk.len() as u64, "disk.vmdk", 1);
    let mut writer = StreamWriter::create(Vec::new(), &options).unwrap();
    for (index, grain) in disk.chunks(GRAIN).enumerate() {
        writer.write_grain(index as u64, grain).unwrap();
    }
    writer.finish().unwrap()
}

/// A file in memory.
#[derive(Default)]
pub(crate) struct Memory(pub(crate) Mutex<Vec<u8>>);

impl WriteAt for Memory {
    fn write_all_at(&self, buf: &[u8], offset_bytes: u64) -> io::Result<()> {
        let mut bytes = self.0.lock().unwrap();
        let start = offset_bytes as usize;
        let end = start + buf.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(buf);
        Ok(())
    }

    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        disk::ReadAt::read_exact_at(&*self.0.lock().unwrap(), buf, offset_bytes)
    }

    fn set_len_bytes(&self, len_bytes: u64) -> io::Result<()> {
        self.0.lock().unwrap().resize(len_bytes as usize, 0);
        Ok(())
    }
}

/// Copies the clusters that are not zero into a target, as a copy loop does.
pub(crate) fn fill(target: &mut dyn Target, disk: &[u8]) -> u64 {
    let file = target.file();
    for (number, cluster) in disk.chunks(CLUSTER_BYTES as usize).enumerate() {
        if !is_zero(cluster) {
            let offset = target.place(number as u64).unwrap();
            file.write_all_at(cluster, offset).unwrap();
        }
    }
    target.finish().unwrap()
}

/// The disk as a plain qcow2 image.
pub(crate) fn qcow2(disk: &[u8]) -> Vec<u8> {
    let memory = Arc::new(Memory::default());
    let file: Arc<dyn WriteAt> = memory.clone();
    let mut writer = qcow2::Writer::create(file, disk.len() as u64).unwrap();
    let len = fill(&mut writer, disk);
    let bytes = memory.0.lock().unwrap().clone();
    assert_eq!(bytes.len() as u64, len);
    bytes
}

pub(crate) fn open(bytes: &[u8], format: Format) -> Result<Box<dyn Image>> {
    disk::open(Arc::new(bytes.to_vec()), Declared::Stated(format))
}

/// The guest bytes, extent by extent; every promise of the iterator is checked.
pub(crate) fn read_all(image: &dyn Image) -> Result<Vec<u8>> {
    let mut bench = Workbench::new();
    let mut disk = Vec::new();
    for extent in image.extents() {
        let extent = extent?;
        let Extent { start_bytes, len_bytes, .. } = extent;
        assert_eq!(start_bytes, disk.len() as u64, "no gaps, no overlaps");
        assert!(len_bytes > 0);
        disk.resize(disk.len() + len_bytes as usize, 0xee);
        image.read_extent(&extent, &mut bench, &mut disk[start_bytes as usize..])?;
    }
    assert_eq!(disk.len() as u64, image.capacity_bytes());
    Ok(disk)
}

/// The guest bytes as they come from a pipe, and the warnings.
pub(crate) fn read_pipe(bytes: &[u8], format: Format) -> Result<(Vec<u8>, Vec<String>)> {
    let pipe = Box::new(Cursor::new(bytes.to_vec()));
    let mut stream =
        open_stream(pipe, disk::Length::Known(bytes.len() as u64), Declared::Stated(format))?;
    let mut disk = vec![0; stream.capacity_bytes() as usize];
    let (mut piece, mut bench) = (Piece::default(), Workbench::new());
    while stream.next(&mut piece)? {
        let start = piece.start_bytes as usize;
        piece.decode(&mut bench, &mut disk[start..start + piece.len_bytes as usize])?;
    }
    Ok((disk, stream.warnings().iter().map(ToString::to_string).collect()))
}

/// The message of the first error on the way to the guest bytes.
pub(crate) fn refusal(bytes: &[u8], format: Format) -> Error {
    open(bytes, format).and_then(|image| read_all(&*image)).unwrap_err()
}
