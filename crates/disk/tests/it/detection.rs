//! What is said of an image, and what it is.

use std::{io::Cursor, sync::Arc};

use disk::{Declared, Format, open_stream};

use crate::sample::{self, content};

#[test]
fn a_disk_that_is_stated_to_be_raw_is_never_probed() {
    let bytes = sample::qcow2(&content(1 << 20, &[1]));
    let image = sample::open(&bytes, Format::Raw).unwrap();
    assert_eq!(sample::read_all(&*image).unwrap(), bytes);
    assert_eq!(sample::read_pipe(&bytes, Format::Raw).unwrap().0, bytes);
}

#[test]
fn what_a_guest_wrote_into_its_last_sector_does_not_hide_a_stated_format() {
    let mut disk = content(2 * sample::GRAIN, &[1]);
    disk.truncate(sample::GRAIN + 512);
    let mut bytes = sample::qcow2(&disk);
    bytes.extend_from_slice(&[&b"conectix"[..], &[0; 504]].concat());
    let image = sample::open(&bytes, Format::Qcow2).unwrap();
    assert_eq!(sample::read_all(&*image).unwrap(), disk);
    let error = disk::open(Arc::new(bytes), Declared::Unknown).err().unwrap();
    assert_eq!(error.to_string(), "two disk formats match the image: qcow2 and vhd");
}

#[test]
fn a_pipe_is_told_by_its_first_bytes_and_only_some_formats_can_be_read_so() {
    let bytes = sample::qcow2(&content(1 << 20, &[1]));
    let open = |declared| {
        open_stream(
            Box::new(Cursor::new(bytes.clone())),
            disk::Length::Known(bytes.len() as u64),
            declared,
        )
        .err()
    };
    let error = open(Declared::Unknown).unwrap();
    assert_eq!(error.to_string(), "qcow2 cannot be read from a pipe, save it to a file first");
    let error = open(Declared::Claimed(Format::Raw)).unwrap();
    assert_eq!(error.to_string(), "the image is qcow2, raw was said");
}

#[test]
fn a_raw_image_has_the_bytes_of_its_file() {
    let disk = content(3 * sample::GRAIN + 512, &[1, 3]);
    let image = sample::open(&disk, Format::Raw).unwrap();
    assert_eq!(sample::read_all(&*image).unwrap(), disk);
    let image = sample::open(&disk[..1000], Format::Raw).unwrap();
    assert_eq!(image.capacity_bytes(), 1024);
    assert_eq!(
        image.warnings()[0].to_string(),
        "1000 bytes are no multiple of 512, padded with zeros to 1024"
    );
    let mut end = [1; 30];
    image.read_at(&mut end, 994).unwrap();
    assert_eq!(end[6..], [0; 24]);
    assert_eq!(
        image.read_at(&mut end, 1000).unwrap_err().to_string(),
        "30 bytes from byte 1000 of the disk were asked for, its capacity is 1024 bytes"
    );
}
