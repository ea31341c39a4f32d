//! Deltas of VMware above the disks that they were made from.

use disk::{Format, Kind};
use testkit::{SparseMap, VmdkDescriptor};

use crate::{
    folder::Files,
    sample::{self, GRAIN, content, refusal},
};

const BASE_CID: u32 = 0x1234_5678;

/// A delta `delta.vmdk` of 4 KiB grains, of which grain 1 is stored and grain 17 is zeros, above a
/// base `base.vmdk`; and the disk that both are.
fn chain(base: &[u8]) -> (Files, Vec<u8>) {
    let text = VmdkDescriptor::new("vmfs").extent(&flat(base));
    let folder = Files::new(&[("base-flat.vmdk", base), ("base.vmdk", text.text().as_bytes())]);
    let map = SparseMap::new(base.len() as u64, 4096).grain(1, &[0xaa; 4096]).zero(17);
    folder.put("delta-sesparse.vmdk", &map.sesparse());
    let line = format!("RW {} SESPARSE \"delta-sesparse.vmdk\"", base.len() / 512);
    let delta = VmdkDescriptor::new("seSparse").cid(7).extent(&line);
    folder.put("delta.vmdk", delta.parent(BASE_CID, "/vmfs/volumes/x/base.vmdk").text().as_bytes());
    let mut disk = base.to_vec();
    disk[4096..8192].fill(0xaa);
    disk[17 * 4096..18 * 4096].fill(0);
    (folder, disk)
}

fn flat(base: &[u8]) -> String {
    format!("RW {} VMFS \"base-flat.vmdk\"", base.len() / 512)
}

#[test]
fn holes_show_the_parent_through_deltas_of_every_kind() {
    let base = content(3 * GRAIN + 1024, &[0, 1, 3]);
    let (folder, mut disk) = chain(&base);
    assert!(folder.read("delta.vmdk") == disk);
    let image = folder.open("delta.vmdk").unwrap();
    assert_eq!(image.files()[1..], ["delta-sesparse.vmdk", "base.vmdk", "base-flat.vmdk"]);
    let roles: Vec<_> = image.info().references.iter().map(|found| found.role).collect();
    assert_eq!(roles, ["extent", "parent"]);
    // A COWD above it, and a monolithicSparse with its descriptor inside above that one.
    let cowd = SparseMap::new(base.len() as u64, 512).grain(9, &[0xbb; 512]).cowd();
    folder.put("2-delta.vmdk", &cowd);
    let line = format!("RW {} VMFSSPARSE \"2-delta.vmdk\"", base.len() / 512);
    let text = VmdkDescriptor::new("vmfsSparse").cid(8).parent(7, "delta.vmdk").extent(&line);
    folder.put("2.vmdk", text.text().as_bytes());
    disk[9 * 512..10 * 512].fill(0xbb);
    assert!(folder.read("2.vmdk") == disk);
    let text = VmdkDescriptor::new("monolithicSparse").cid(9).parent(8, "C:\\vm\\2.vmdk");
    let text = text.extent(&format!("RW {} SPARSE \"was called so.vmdk\"", base.len() / 512));
    let map = SparseMap::new(base.len() as u64, 4096).grain(0, &[0xcc; 4096]).zero(20);
    folder.put("3.vmdk", &map.hosted(&text.text()));
    disk[..4096].fill(0xcc);
    disk[20 * 4096..21 * 4096].fill(0);
    assert!(folder.read("3.vmdk") == disk);
    assert_eq!(folder.warnings("3.vmdk").len(), 1, "grains of 4 KiB are small");
}

#[test]
fn a_compressed_parent_shows_through_in_parts() {
    let base = content(3 * GRAIN, &[0, 1, 2]);
    let (folder, disk) = chain(&base);
    // The writer of the sample gives the CID 1.
    folder.put("base.vmdk", &sample::stream_vmdk(&base));
    let want = "the parent 'base.vmdk' has the CID 00000001, the delta was made above 12345678";
    assert_eq!(folder.refusal("delta.vmdk"), want);
    let line = format!("RW {} SESPARSE \"delta-sesparse.vmdk\"", base.len() / 512);
    let delta = VmdkDescriptor::new("seSparse").parent(1, "base.vmdk").extent(&line);
    folder.put("delta.vmdk", delta.text().as_bytes());
    assert!(folder.read("delta.vmdk") == disk);
}

#[test]
fn a_parent_may_be_shorter_and_not_longer() {
    let base = content(2 * GRAIN, &[0, 1]);
    let (folder, mut disk) = chain(&base);
    let short = &base[..GRAIN + 512];
    folder.put("base.vmdk", VmdkDescriptor::new("vmfs").extent(&flat(short)).text().as_bytes());
    disk[GRAIN + 512..].fill(0);
    assert!(folder.read("delta.vmdk") == disk);
    let long = [&base[..], &[1; 512]].concat();
    folder.put("base-flat.vmdk", &long);
    folder.put("base.vmdk", VmdkDescriptor::new("vmfs").extent(&flat(&long)).text().as_bytes());
    let want = "the parent 'base.vmdk' has 131584 bytes, the delta above it only 131072";
    assert_eq!(folder.refusal("delta.vmdk"), want);
}

#[test]
fn refuses_a_parent_that_is_another_or_nowhere() {
    let base = content(2 * GRAIN, &[0, 1]);
    let (folder, _) = chain(&base);
    let delta = |hint: &str| {
        let line = "RW 256 SESPARSE \"delta-sesparse.vmdk\"";
        let text = VmdkDescriptor::new("seSparse").cid(7).parent(BASE_CID, hint).extent(line);
        folder.put("delta.vmdk", text.text().as_bytes());
        folder.refusal("delta.vmdk")
    };
    let needs = |hint: &str| {
        format!(
            "the disk is a delta: it needs the parent '{hint}' with CID 12345678 (its own CID is 00000007)"
        )
    };
    for hint in ["gone.vmdk", "/vmfs/gone.vmdk", "sub/gone.vmdk", ""] {
        assert_eq!(delta(hint), needs(hint));
    }
    assert_eq!(folder.open("delta.vmdk").err().unwrap().kind(), Kind::Denied);
    for (hint, want) in [
        ("../gone.vmdk", "the parent '../gone.vmdk' does not lie beneath the image's own folder"),
        ("delta.vmdk", "the parent 'delta.vmdk' is an image of its own chain, which so has no end"),
        (
            "base-flat.vmdk",
            "the file is neither a VMDK descriptor nor a sparse extent of one, in base-flat.vmdk",
        ),
        (
            "delta-sesparse.vmdk",
            "the parent 'delta-sesparse.vmdk' has no CID, the delta was made above 12345678",
        ),
    ] {
        assert_eq!(delta(hint), want);
    }
    // What is wrong further down is told of the file that it is in.
    folder.put("base-flat.vmdk", &base[512..]);
    let want = "131072 bytes from byte 0 on are not inside the file of 130560, in base-flat.vmdk";
    assert_eq!(delta("base.vmdk"), want);
    let text = VmdkDescriptor::new("x").parent(1, "gone.vmdk").extent("RW 256 ZERO").text();
    folder.put("base.vmdk", text.as_bytes());
    let want = "the disk is a delta: it needs the parent 'gone.vmdk' with CID 00000001 (its own CID is 12345678), in base.vmdk";
    assert_eq!(delta("base.vmdk"), want);
}

#[test]
fn a_delta_is_refused_where_no_other_file_is_allowed() {
    let text = VmdkDescriptor::new("monolithicSparse").cid(2).parent(1, "base.vmdk").text();
    let bytes = SparseMap::new(1 << 20, 65536).hosted(&text);
    let error = refusal(&bytes, Format::Vmdk);
    let want = "the disk is a delta: it needs the parent 'base.vmdk' with CID 00000001 (its own CID is 00000002), at byte 512";
    assert_eq!((error.to_string().as_str(), error.kind()), (want, Kind::Denied));
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.starts_with("the image needs its parent 'base.vmdk'"), "{why}");
}

#[test]
fn a_chain_of_256_disks_is_read_and_one_of_257_is_not() {
    let folder = Files::new(&[]);
    let text = |number: u32| {
        let text = VmdkDescriptor::new("x").cid(number);
        let text =
            if number == 0 { text } else { text.parent(number - 1, &format!("{}", number - 1)) };
        let text = text.extent("RW 8 SPARSE \"was called so\"").text();
        SparseMap::new(4096, 4096).hosted(&text)
    };
    for number in 0..257 {
        folder.put(&number.to_string(), &text(number));
    }
    let base = VmdkDescriptor::new("x").cid(0).extent("RW 8 SPARSE \"a\"").text();
    folder.put("0", &SparseMap::new(4096, 4096).grain(0, &[5; 4096]).hosted(&base));
    assert!(folder.read("255") == [5; 4096]);
    let want = "the parent '0' would be image 257 of the chain, 256 are allowed, at byte 512 of 1";
    assert_eq!(folder.refusal("256"), want);
}
