//! VMDKs whose extents are other files.

use disk::{ExtentKind, Format, Kind};
use testkit::{SparseMap, VmdkDescriptor};

use crate::{
    folder::Files,
    sample::{self, GRAIN, content, read_pipe, refusal},
};

/// A disk of one descriptor `d.vmdk` with these extent lines, beside these files.
fn disk(lines: &[&str], files: &[(&str, &[u8])]) -> Files {
    let descriptor = VmdkDescriptor::new("custom");
    let descriptor = lines.iter().fold(descriptor, |descriptor, line| descriptor.extent(line));
    let folder = Files::new(files);
    folder.put("d.vmdk", descriptor.text().as_bytes());
    folder
}

#[test]
fn extents_of_every_type_follow_one_another() {
    let guest = content(8 * GRAIN, &[0, 1, 3, 4, 5, 7]);
    let part = |grains: std::ops::Range<usize>| &guest[grains.start * GRAIN..grains.end * GRAIN];
    let mut flat = vec![9; 1024];
    flat.extend(part(0..1));
    flat.extend([9; 700]);
    let folder = disk(
        &[
            "RW 128 FLAT \"a flat.vmdk\" 2",
            "RDONLY 128 SPARSE \"b.vmdk\"",
            "RW 128 ZERO",
            "RW 128 VMFS \"c.vmdk\"",
            "RW 128 VMFSSPARSE \"d-delta.vmdk\"",
            "RW 128 SESPARSE \"e-sesparse.vmdk\"",
            "RW 0 ZERO",
            "RW 256 SPARSE \"f.vmdk\"",
        ],
        &[
            ("a flat.vmdk", &flat),
            ("b.vmdk", &sample::stream_vmdk(part(1..2))),
            ("c.vmdk", part(3..4)),
            ("d-delta.vmdk", &SparseMap::of(part(4..5), 512).cowd()),
            ("e-sesparse.vmdk", &SparseMap::of(part(5..6), 4096).sesparse()),
            ("f.vmdk", &SparseMap::of(part(6..8), 65536).hosted("")),
        ],
    );
    assert!(folder.read("d.vmdk") == guest);
    let image = folder.open("d.vmdk").unwrap();
    assert_eq!((image.variant(), image.warnings().len()), ("custom", 0));
    assert_eq!(image.files().len(), 7);
    assert_eq!(image.info().references.len(), 6);
    assert_eq!(image.info().references[0].name, "a flat.vmdk");
    // The bytes of a flat extent are named as they lie in its file.
    let first = image.extents().next().unwrap().unwrap();
    assert_eq!((first.kind, first.file), (ExtentKind::Data { offset_bytes: 1024 }, 1));
}

#[test]
fn a_split_disk_may_name_itself_and_others_in_its_parts() {
    let guest = content(4 * GRAIN, &[0, 3]);
    // Each part is larger than what the disk uses of it, and one has an old descriptor.
    let old = VmdkDescriptor::new("x").parent(1, "gone").extent("RW 9 FLAT \"/etc/passwd\" 0");
    let first = SparseMap::of(&guest[..2 * GRAIN], 65536).hosted(&old.text());
    let mut second = guest[2 * GRAIN..].to_vec();
    second.extend([7; GRAIN]);
    let second = SparseMap::of(&second, 65536).hosted("");
    let folder = disk(
        &["RW 256 SPARSE \"s001.vmdk\"", "RW 256 SPARSE \"s002.vmdk\""],
        &[("s001.vmdk", &first), ("s002.vmdk", &second)],
    );
    assert!(folder.read("d.vmdk") == guest);
    let image = folder.open("d.vmdk").unwrap();
    assert_eq!(image.info().unit_bytes, Some(65536));
    // What the old descriptor stood on may be missed.
    assert_eq!(
        image.warnings()[0].to_string(),
        "the extent's own descriptor calls it a delta, and the disk that lists it decides what lies below, at byte 512 of s001.vmdk"
    );
    let want = "the embedded descriptor names an extent of type FLAT: the disk lies in other files";
    assert_eq!(folder.refusal("s001.vmdk"), format!("{want}, at byte 512"));
}

#[test]
fn what_may_not_be_read_is_zeros_and_said() {
    let folder =
        disk(&["RW 128 FLAT \"a\" 0", "NOACCESS 128 FLAT \"gone\" 0"], &[("a", &[5; GRAIN])]);
    let mut want = vec![5; GRAIN];
    want.resize(2 * GRAIN, 0);
    assert!(folder.read("d.vmdk") == want);
    assert_eq!(
        folder.warnings("d.vmdk"),
        [
            "line 10 of the descriptor: 1 extents without access, from this one on, are read as zeros, at byte 0"
        ]
    );
}

#[test]
fn a_name_in_another_encoding_is_found() {
    let text = VmdkDescriptor::new("vmfs").extent("RW 128 FLAT \"caf\u{e9}\" 0").text();
    let latin: Vec<_> = text.replace("UTF-8", "windows-1252").chars().map(|c| c as u8).collect();
    let folder = Files::new(&[("d.vmdk", &latin), ("caf\u{e9}", &[3; GRAIN])]);
    assert!(folder.read("d.vmdk") == [3; GRAIN]);
    // The label is wrong: the bytes themselves are the name.
    folder.put("d.vmdk", text.replace("UTF-8", "windows-1252").as_bytes());
    assert!(folder.read("d.vmdk") == [3; GRAIN]);
}

#[test]
fn refuses_what_is_not_there_or_elsewhere() {
    let sparse = SparseMap::new(65536, 65536).hosted("");
    for (line, want) in [
        (
            "RW 8 FLAT \"../../etc/passwd\" 0",
            "the extent '../../etc/passwd' does not lie beneath the image's own folder",
        ),
        (
            "RW 8 FLAT \"/dev/zero\" 0",
            "the extent '/dev/zero' does not lie beneath the image's own folder",
        ),
        ("RW 8 FLAT \"gone\" 0", "the extent 'gone' is not there"),
        (
            "RW 8 FLAT \"d.vmdk\" 0",
            "the extent 'd.vmdk' is an image of its own chain, which so has no end",
        ),
        ("RW 3 FLAT \"a\" 0", "1536 bytes from byte 0 on are not inside the file of 1024, in a"),
        ("RW 2 FLAT \"a\" 1", "1024 bytes from byte 512 on are not inside the file of 1024, in a"),
        (
            "RW 1 FLAT \"a\" 99999999999999999",
            "512 bytes from byte 18446744073709551615 on are not inside the file of 1024, in a",
        ),
        (
            "RW 1 SPARSE \"a\"",
            "the extent has none of the magic numbers KDMV, COWD and 0xcafebabe of a sparse one, in a",
        ),
        ("RW 129 SPARSE \"s\"", "the extent 's' has 65536 bytes, its descriptor says 66048"),
        (
            "RW 8 VMFSRDM \"a\"",
            "line 9 of the descriptor: an extent of type VMFSRDM is a raw device mapping, the data is not in this file",
        ),
        (
            "RW 8 TAPE \"a\"",
            "line 9 of the descriptor: an extent of type TAPE, known are FLAT, VMFS, SPARSE, VMFSSPARSE, SESPARSE, ZERO",
        ),
        (
            "RW 8 FLAT",
            "line 9 of the descriptor: an extent of type FLAT without the name of a file",
        ),
        ("RW 0 ZERO", "the extents of the descriptor have no sectors"),
        ("", "a VMDK descriptor without an extent"),
        (
            "RW 999999999999 ZERO",
            "a virtual size of 511999999999488 bytes is over the limit of 70368744177664 bytes",
        ),
        (
            "encryption.keySafe = \"k\"",
            "the disk is encrypted ('encryption.keySafe' in its descriptor); decrypt it where it was made",
        ),
    ] {
        let folder = disk(&[line], &[("a", &[1; 1024]), ("s", &sparse)]);
        assert_eq!(folder.refusal("d.vmdk"), want, "{line}");
    }
}

#[test]
fn no_other_file_is_opened_where_none_is_allowed() {
    let text = VmdkDescriptor::new("vmfs").extent("RW 8 FLAT \"a\" 0").text();
    let error = refusal(text.as_bytes(), Format::Vmdk);
    let want = "the image needs its extent 'a', and only images that stand alone are read here";
    assert_eq!((error.to_string().as_str(), error.kind()), (want, Kind::Denied));
    let error = read_pipe(text.as_bytes(), Format::Vmdk).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a VMDK that is no hosted sparse extent: this disk cannot be read from a pipe, save it to a file first"
    );
    let zeros = VmdkDescriptor::new("custom").extent("RW 8 ZERO").text();
    let image = sample::open(zeros.as_bytes(), Format::Vmdk).unwrap();
    assert_eq!(sample::read_all(&*image).unwrap(), [0; 4096]);
}

#[test]
fn a_descriptor_cut_anywhere_is_refused_or_smaller() {
    let text = VmdkDescriptor::new("custom").extent("RW 8 FLAT \"a\" 0").extent("RW 8 ZERO").text();
    let folder = Files::new(&[("a", &[1; 4096])]);
    for len in 21..text.len() {
        folder.put("d.vmdk", &text.as_bytes()[..len]);
        if let Ok(image) = folder.open("d.vmdk") {
            let disk = sample::read_all(&*image).unwrap();
            assert!([512, 4096, 4608, 8192].contains(&disk.len()), "{len}: {}", disk.len());
        }
    }
    let long = text + &"# more\n".repeat(150_000);
    folder.put("d.vmdk", long.as_bytes());
    let want = format!("a descriptor of {} bytes is over the limit of 1048576", long.len());
    assert_eq!(folder.refusal("d.vmdk"), want);
}

#[test]
fn reads_the_split_disks_and_deltas_that_qemu_writes() {
    let guest = content(40 * GRAIN + 1024, &[0, 7, 40]);
    for sub_format in ["monolithicFlat", "twoGbMaxExtentFlat", "twoGbMaxExtentSparse"] {
        let folder = Files::new(&[("raw", &guest)]);
        let option = format!("subformat={sub_format}");
        let (raw, vmdk, delta) = (folder.path("raw"), folder.path("d.vmdk"), folder.path("e.vmdk"));
        let words = ["convert", "-f", "raw", "-O", "vmdk", "-o", &option, &raw, &vmdk];
        let Some(output) = testkit::oracle("qemu-img", words) else { return };
        assert!(output.status.success(), "{output:?}");
        assert!(folder.read("d.vmdk") == guest, "{sub_format}");
        if sub_format == "twoGbMaxExtentSparse" {
            let words = ["create", "-q", "-f", "vmdk", "-F", "vmdk", "-b", &vmdk, &delta];
            let output = testkit::oracle("qemu-img", words).unwrap();
            assert!(output.status.success(), "{output:?}");
            assert!(folder.read("e.vmdk") == guest, "a delta above {sub_format}");
        }
    }
}
