//! What a file is that is no tar archive, by its first bytes.

use code::Code;

use crate::{Error, Kind, Place};

/// First bytes, what they say, and what to do about it.
const KNOWN: [(&[u8], &str, &str); 14] = [
    (b"PK\x03\x04", "a ZIP archive", "unzip it first and take the .ovf inside"),
    (b"PK\x05\x06", "an empty ZIP archive", "copy the file again"),
    (b"\x1f\x8b", "gzip", "unpack it first with gzip -d"),
    (b"\xfd7zXZ\0", "xz", "unpack it first with xz -d"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unpack it first with zstd -d"),
    (b"BZh", "bzip2", "unpack it first with bzip2 -d"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first and take the .ovf inside"),
    (b"KDMV", "a VMDK disk image", "a disk alone is no appliance"),
    (b"# Disk DescriptorFile", "a VMDK descriptor", "a disk alone is no appliance"),
    (b"QFI\xfb", "a qcow2 disk image", "a disk alone is no appliance"),
    (b"vhdxfile", "a VHDX disk image", "a disk alone is no appliance"),
    (b"conectix", "a VHD disk image", "a disk alone is no appliance"),
    (b"<<< ", "a VDI disk image", "a disk alone is no appliance"),
    (b"\x7fELF", "a program", "this is not an appliance"),
];

/// The error for a file whose first block is no tar header.
pub(super) fn not_a_tar(start: &[u8]) -> Error {
    let (looks, hint) = looks_like(start);
    let message = match looks {
        Some("") => "an OVA is a tar archive, but the file is empty".to_owned(),
        Some(what) => format!("an OVA is a tar archive, but this starts like {what}"),
        None => "an OVA is a tar archive, but this starts with no tar header".to_owned(),
    };
    let error = Error::new(Code::E0101, Kind::Unsupported, message).at(Place::Offset(0));
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn looks_like(start: &[u8]) -> (Option<&'static str>, Option<&'static str>) {
    if start.is_empty() {
        return (Some(""), Some("copy or download the file again"));
    }
    if let Some((_, what, hint)) = KNOWN.iter().find(|(magic, _, _)| start.starts_with(magic)) {
        return (Some(what), Some(hint));
    }
    let text =
        String::from_utf8_lossy(start).trim_start_matches('\u{feff}').trim_start().to_lowercase();
    if text.starts_with("<!doctype html") || text.starts_with("<html") {
        let hint = "this is a web page, often a login page saved under the wrong name";
        return (Some("an HTML page"), Some(hint));
    }
    if text.starts_with('<') {
        return (Some("an XML document"), Some("if it is an OVF descriptor, name it .ovf"));
    }
    (None, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_the_file_looks_like() {
        for (start, want) in [
            (&b"PK\x03\x04abc"[..], "starts like a ZIP archive"),
            (b"\x1f\x8b\x08", "starts like gzip"),
            (b"\xfd7zXZ\0", "starts like xz"),
            (b"\x28\xb5\x2f\xfd", "starts like zstd"),
            (b"KDMV", "starts like a VMDK disk image"),
            (b"QFI\xfb", "starts like a qcow2 disk image"),
            (b"\n<HTML>", "starts like an HTML page"),
            (b"<?xml version='1.0'?>", "starts like an XML document"),
            (b"", "the file is empty"),
            (b"hello", "starts with no tar header"),
        ] {
            let error = not_a_tar(start);
            assert!(error.message().contains(want), "{error}");
            assert_eq!(error.code(), Code::E0101);
        }
    }
}
