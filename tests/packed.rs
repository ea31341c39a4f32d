//! Images that do not lie in one member as they are: chunks, gzip, deltas, several extents.
//!
//! Each test knows the guest's bytes, and compares them with the disk that was written.

use ovf::manifest::Algorithm;
use testkit::{
    Descriptor, MIB, Package, SparseMap, VmdkDescriptor, content, gzip, stream_optimized,
};

use crate::bench::{Bench, Run};

/// The file that the descriptor names.
const DISK: &str = "disk.vmdk";

/// A machine with one disk.
fn machine(file: &str) -> Descriptor {
    Descriptor::new("vm", "debian10_64Guest")
        .controller("3", "6", "VirtualSCSI", "0")
        .disk(file, MIB, "3", "0")
}

/// A package of a descriptor and these files, with a manifest.
fn package(descriptor: &Descriptor, files: &[(&str, Vec<u8>)]) -> Package {
    let package = Package::new("vm", descriptor).manifest(Algorithm::Sha256);
    files.iter().fold(package, |package, (name, bytes)| package.member(name, bytes.clone()))
}

/// The package as an OVA and as a folder; and what its disk holds, raw.
fn bench(package: &Package) -> Bench {
    let bench = Bench::empty();
    bench.write("vm.ova", &package.ova());
    std::fs::create_dir(bench.path("vm")).unwrap();
    package.write_to(&bench.path("vm"));
    bench.write("want.raw", &content(MIB));
    bench
}

/// Converts, and compares with what the disk holds.
fn converts(bench: &Bench, line: &str) -> Run {
    let run = bench.shell(&format!("{line} -o out"));
    assert_eq!(run.code, Some(0), "{line}: {run:?}");
    let same = bench.run(["disk", "compare", "out/vm-disk0.qcow2", "want.raw"]);
    assert_eq!(same.code, Some(0), "{line}: {same:?}");
    std::fs::remove_dir_all(bench.path("out")).unwrap();
    run
}

const FILE: &str = "relift convert vm.ova";
const FOLDER: &str = "relift convert vm";
const PIPE: &str = "cat vm.ova | relift convert -";

/// Neither a result nor a part of one.
fn refuses(bench: &Bench, line: &str, code: &str, exit: i32) -> Run {
    let run = bench.shell(&format!("{line} -o out"));
    assert_eq!(run.code, Some(exit), "{line}: {run:?}");
    let mut errors = run.stderr.lines().filter(|line| line.starts_with("error"));
    let first = errors.next().unwrap_or_default();
    assert!(first.starts_with(&format!("error[{code}]: ")), "{line}: {run:?}");
    assert!(!bench.path("out").exists(), "{line}");
    run
}

/// A disk cut into chunks of `chunk_bytes`.
fn chunked(stored: &[u8], chunk_bytes: usize, more: &str) -> (Descriptor, Vec<(String, Vec<u8>)>) {
    let attributes = format!(r#"ovf:size="{}" ovf:chunkSize="{chunk_bytes}"{more}"#, stored.len());
    let chunks = stored.chunks(chunk_bytes).enumerate();
    let named = chunks.map(|(number, chunk)| (format!("{DISK}.{number:09}"), chunk.to_vec()));
    (machine(DISK).file_attributes(DISK, &attributes), named.collect())
}

fn borrowed(files: &[(String, Vec<u8>)]) -> Vec<(&str, Vec<u8>)> {
    files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect()
}

#[test]
fn chunks_are_one_disk() {
    let stored = stream_optimized(&content(MIB), DISK);
    let (descriptor, chunks) = chunked(&stored, 100_000, "");
    assert!(chunks.len() > 2);
    let bench = bench(&package(&descriptor, &borrowed(&chunks)));
    for line in [FILE, FOLDER] {
        converts(&bench, line);
    }
    let run = bench.run(["verify", "--level", "deep", "vm.ova"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let run = bench.run(["inspect", "--json", "vm.ova"]);
    let disk = &run.json()["data"]["systems"][0]["disks"][0];
    assert_eq!(disk["packed_bytes"], stored.len(), "{run:?}");
}

#[test]
fn chunks_that_are_gzip_as_a_whole_are_one_disk() {
    let stored = gzip(&stream_optimized(&content(MIB), DISK));
    let (descriptor, chunks) = chunked(&stored, 70_000, r#" ovf:compression="gzip""#);
    let bench = bench(&package(&descriptor, &borrowed(&chunks)));
    for line in [FILE, FOLDER] {
        converts(&bench, line);
    }
}

#[test]
fn a_chunk_that_is_missing_or_changed_is_refused() {
    let stored = stream_optimized(&content(MIB), DISK);
    let (descriptor, mut chunks) = chunked(&stored, 100_000, "");
    let last = chunks.pop().unwrap();
    let short = bench(&package(&descriptor, &borrowed(&chunks)));
    for line in [FILE, FOLDER] {
        refuses(&short, line, "E0104", 4);
    }
    chunks.push(last);
    let whole = package(&descriptor, &borrowed(&chunks));
    let mut other = chunks[1].1.clone();
    other[50_000] ^= 1;
    let bench = bench(&whole);
    bench.write("vm.ova", &whole.ova_with_another("disk.vmdk.000000001", &other));
    refuses(&bench, FILE, "E0203", 5);
}

#[test]
fn chunks_on_a_pipe_are_refused_with_a_way_out() {
    let stored = stream_optimized(&content(MIB), DISK);
    let (descriptor, chunks) = chunked(&stored, 100_000, "");
    let bench = bench(&package(&descriptor, &borrowed(&chunks)));
    let run = refuses(&bench, PIPE, "E0405", 4);
    assert!(run.stderr.contains("save the package to a file first"), "{run:?}");
}

/// A package whose one disk is stored so.
fn stored(bytes: Vec<u8>, attributes: &str) -> Bench {
    bench(&package(&machine(DISK).file_attributes(DISK, attributes), &[(DISK, bytes)]))
}

#[test]
fn a_disk_that_is_gzip_is_unpacked_on_the_way() {
    let image = stream_optimized(&content(MIB), DISK);
    let bench = stored(gzip(&image), r#"ovf:compression="gzip""#);
    for line in [FILE, FOLDER, PIPE] {
        let run = converts(&bench, line);
        assert!(!run.stderr.contains("W0610"), "{run:?}");
    }
    let run = bench.run(["verify", "--level", "deep", "vm.ova"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let run = bench.run(["inspect", "--json", "vm.ova"]);
    assert_eq!(run.json()["data"]["systems"][0]["disks"][0]["format"], "vmdk", "{run:?}");
    // What follows the last member is nothing, as long as it is zeros.
    let members = [gzip(&image[..90_000]), gzip(&image[90_000..]), vec![0; 777]].concat();
    let bench = stored(members, r#"ovf:compression="gzip""#);
    for line in [FILE, PIPE] {
        converts(&bench, line);
    }
}

#[test]
fn a_raw_disk_that_is_gzip_is_as_long_as_what_is_unpacked() {
    let name = "disk.raw.gz";
    let xml = machine(name).file_attributes(name, r#"ovf:compression="gzip""#);
    let xml = xml
        .xml()
        .replace("http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized", "");
    let bench = Bench::empty();
    std::fs::create_dir(bench.path("vm")).unwrap();
    bench.write("vm/vm.ovf", xml.as_bytes());
    bench.write(&format!("vm/{name}"), &gzip(&content(MIB)));
    bench.write("want.raw", &content(MIB));
    converts(&bench, FOLDER);
    bench.write(&format!("vm/{name}"), &gzip(&content(MIB)[..1 << 19]));
    refuses(&bench, FOLDER, "E0403", 4);
    bench.write(&format!("vm/{name}"), &gzip(&vec![0; 9 << 20]));
    let run = refuses(&bench, FOLDER, "E0403", 4);
    let told = "disk.raw.gz unpacks to more than the 1048576 bytes that the descriptor says";
    assert!(run.stderr.contains(told), "{run:?}");
}

#[test]
fn gzip_that_nobody_declared_is_found_by_its_first_bytes() {
    let bench = stored(gzip(&stream_optimized(&content(MIB), DISK)), "");
    for line in [FILE, FOLDER, PIPE] {
        let run = converts(&bench, line);
        assert!(run.stderr.contains("it is gzip'd, and the descriptor does not say so"), "{run:?}");
        assert!(run.stderr.contains("warning[W0610]: "), "{run:?}");
    }
}

#[test]
fn a_disk_that_is_no_gzip_is_read_as_it_is() {
    let bench = stored(stream_optimized(&content(MIB), DISK), r#"ovf:compression="gzip""#);
    for line in [FILE, FOLDER, PIPE] {
        let run = converts(&bench, line);
        assert!(run.stderr.contains("says that it is gzip'd, and it is not"), "{run:?}");
        assert!(run.stderr.contains("warning[W0610]: "), "{run:?}");
    }
}

#[test]
fn damaged_gzip_is_damage_and_another_digest_is_told_first() {
    let packed = gzip(&stream_optimized(&content(MIB), DISK));
    let mut spoiled = packed.clone();
    let middle = spoiled.len() / 2;
    spoiled[middle..middle + 9].fill(0x55);
    for bytes in [spoiled.clone(), packed[..packed.len() - 20].to_vec()] {
        let bench = stored(bytes, r#"ovf:compression="gzip""#);
        for line in [FILE, FOLDER, PIPE] {
            refuses(&bench, line, "E0404", 4);
        }
        let run = bench.run(["verify", "--level", "deep", "vm.ova"]);
        assert_eq!(run.code, Some(5), "{run:?}");
    }
    let whole = machine(DISK).file_attributes(DISK, r#"ovf:compression="gzip""#);
    let whole = package(&whole, &[(DISK, packed)]);
    let bench = bench(&whole);
    bench.write("vm.ova", &whole.ova_with_another(DISK, &spoiled));
    for line in [FILE, PIPE] {
        refuses(&bench, line, "E0203", 5);
    }
}

#[test]
fn what_is_packed_passes_again_to_be_compared() {
    let bench = stored(gzip(&stream_optimized(&content(MIB), DISK)), r#"ovf:compression="gzip""#);
    converts(&bench, "relift convert vm.ova --verify full");
}

/// A delta of one grain above a base, and what both hold.
fn delta(hint: &str) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let want = content(MIB);
    let mut base = want.clone();
    base[..65_536].fill(9);
    let map = SparseMap::new(MIB, 65_536).grain(0, &want[..65_536]);
    let text = VmdkDescriptor::new("monolithicSparse").cid(7).parent(0x1234_5678, hint);
    let text = text.extent(&format!("RW {} SPARSE \"{DISK}\"", MIB / 512));
    let below = VmdkDescriptor::new("monolithicSparse");
    let below = below.extent(&format!("RW {} SPARSE \"base.vmdk\"", MIB / 512));
    let base = SparseMap::of(&base, 65_536).hosted(&below.text());
    (map.hosted(&text.text()), base, want)
}

#[test]
fn a_delta_stands_on_the_disk_that_the_descriptor_names() {
    // The hint is that of the host it was made on; the descriptor's parentRef is what counts.
    for hint in ["base.vmdk", "/vmfs/volumes/4711/other.vmdk"] {
        let (child, base, want) = delta(hint);
        let descriptor = machine(DISK).above("base.vmdk", MIB);
        let bench = bench(&package(&descriptor, &[(DISK, child), ("base.vmdk", base)]));
        assert!(want == content(MIB));
        for line in [FILE, FOLDER] {
            converts(&bench, line);
        }
        let run = refuses(&bench, PIPE, "E0402", 4);
        assert!(run.stderr.contains("save the package to a file first"), "{run:?}");
    }
}

#[test]
fn a_delta_without_its_parent_is_refused() {
    let (child, base, _) = delta("base.vmdk");
    // Not in the package at all.
    let alone = bench(&package(&machine(DISK), &[(DISK, child.clone())]));
    for line in [FILE, FOLDER] {
        refuses(&alone, line, "E0402", 4);
    }
    // In the package, and no line of the manifest vouches for it.
    let unlisted = package(&machine(DISK), &[(DISK, child), ("base.vmdk", base)]);
    let unlisted = bench(&unlisted.manifest_of(&["vm.ovf", DISK]));
    for line in [FILE, FOLDER] {
        refuses(&unlisted, line, "E0402", 4);
    }
}

#[test]
fn extents_are_members_of_the_package() {
    let want = content(MIB);
    let half = want.len() / 2;
    let second = SparseMap::of(&want[half..], 65_536).hosted("");
    let text = VmdkDescriptor::new("custom")
        .extent(&format!("RW {} FLAT \"a-flat.vmdk\" 0", half / 512))
        .extent(&format!("RW {} SPARSE \"b.vmdk\"", half / 512))
        .text();
    let files = [
        (DISK, text.clone().into_bytes()),
        ("a-flat.vmdk", want[..half].to_vec()),
        ("b.vmdk", second),
    ];
    let descriptor = machine(DISK).file("a-flat.vmdk").file("b.vmdk");
    let split = bench(&package(&descriptor, &files));
    for line in [FILE, FOLDER] {
        converts(&split, line);
    }
    let run = split.shell(&format!("{PIPE} -o out"));
    assert_eq!(run.code, Some(4), "{run:?}");
    // A name that is no plain name of the package's own folder is never opened.
    for name in ["/etc/hostname", "../a-flat.vmdk", "sub/a-flat.vmdk", "nbd:x"] {
        let climbing = text.replace("a-flat.vmdk", name).into_bytes();
        let [_, a, b] = files.clone();
        let bench = bench(&package(&descriptor, &[(DISK, climbing), a, b]));
        for line in [FILE, FOLDER] {
            let run = bench.shell(&format!("{line} -o out"));
            assert_eq!(run.code, Some(4), "{name}: {run:?}");
            assert!(!bench.path("out").exists());
        }
    }
}

#[test]
fn chunks_of_other_lengths_are_not_those_of_the_file() {
    let stored = stream_optimized(&content(MIB), DISK);
    let (descriptor, chunks) = chunked(&stored, 100_000, "");
    let mut moved = chunks.clone();
    let byte = moved[0].1.pop().unwrap();
    moved[1].1.insert(0, byte);
    let mut long = chunks;
    long.last_mut().unwrap().1.push(0);
    for (chunks, want) in [(moved, "its chunks have 100000 each"), (long, "bytes in all, not")] {
        let bench = bench(&package(&descriptor, &borrowed(&chunks)));
        let run = refuses(&bench, FILE, "E0303", 4);
        assert!(run.stderr.contains(want), "{run:?}");
    }
}

#[test]
fn a_stated_size_is_a_hint_only() {
    let (other, none) = ("W0608", "W0610");
    for (size, code) in
        [("0", other), ("12", other), ("-9223372036854775809", none), ("text", none)]
    {
        let image = stream_optimized(&content(MIB), DISK);
        let bench = stored(image, &format!(r#" ovf:size="{size}""#));
        let run = bench.run(["inspect", "--json", "vm.ova"]);
        assert_eq!(run.code, Some(0), "{run:?}");
        let warnings = run.json()["warnings"].clone();
        assert!(warnings.as_array().unwrap().iter().any(|one| one["code"] == code), "{run:?}");
        converts(&bench, FILE);
    }
}
