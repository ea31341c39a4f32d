//! Packages in other containers than a plain tar: packed tars pass once, ZIP is read where it lies.

use testkit::{MIB, Package, Signer, ZipMethod, gzip, xz, zip, zstd};

use crate::bench::{Bench, Run};

/// The files that a conversion wrote, with what is in them but for the source's own name and digest.
fn written(bench: &Bench, line: &str) -> Vec<(String, Vec<u8>)> {
    let run = bench.shell(&format!("{line} -o out"));
    assert_eq!(run.code, Some(0), "{line}: {run:?}");
    let files = bench.files("out").into_iter().filter(|name| !name.ends_with(".json"));
    let files: Vec<_> = files.map(|name| (name.clone(), bench.read(&name))).collect();
    std::fs::remove_dir_all(bench.path("out")).unwrap();
    files
}

fn refused(bench: &Bench, line: &str, code: &str, exit: i32) -> Run {
    let run = bench.shell(line);
    assert_eq!(run.code, Some(exit), "{line}: {run:?}");
    assert!(run.stderr.starts_with(&format!("error[{code}]: ")), "{line}: {run:?}");
    assert!(!bench.path("out").exists(), "{line}");
    run
}

/// Each way to pack a tar, with a file name that says nothing.
fn packed(ova: &[u8]) -> [(&'static str, Vec<u8>); 3] {
    [("gzip", gzip(ova)), ("xz", xz(ova)), ("zstd", zstd(ova))]
}

#[test]
fn a_packed_archive_gives_the_same_machine_as_the_plain_one() {
    let bench = Bench::empty();
    let ova = bench.package("vm.ova").ova();
    let want = written(&bench, "relift convert vm.ova");
    for (name, bytes) in packed(&ova) {
        bench.write("packed", &bytes);
        assert!(written(&bench, "relift convert packed") == want, "{name}");
        assert!(written(&bench, "cat packed | relift convert -") == want, "{name}");
        let run = bench.run(["inspect", "--json", "packed"]);
        assert_eq!(run.code, Some(0), "{run:?}");
        let json = run.json();
        assert_eq!(json["data"]["kind"], "ova");
        let told = format!("the archive is packed with {name}, an OVA is a plain tar archive");
        assert_eq!(json["warnings"][0]["message"], told);
        assert_eq!(json["warnings"][0]["code"], "W0608");
        let run = bench.run(["verify", "packed"]);
        assert_eq!(run.code, Some(0), "{run:?}");
    }
}

#[test]
fn a_packed_archive_that_is_cut_or_changed_is_refused() {
    let bench = Bench::empty();
    let package = bench.package("vm.ova");
    let other = testkit::stream_optimized(&vec![5; 1 << 20], "vm-disk1.vmdk");
    let changed = package.ova_with_another("vm-disk1.vmdk", &other);
    for (name, bytes) in packed(&package.ova()) {
        bench.write("packed", &bytes[..bytes.len() / 2]);
        for line in ["relift convert packed -o out", "cat packed | relift convert - -o out"] {
            let run = refused(&bench, line, "E0102", 4);
            assert!(run.stderr.contains(name), "{run:?}");
        }
    }
    for (_, bytes) in packed(&changed) {
        bench.write("packed", &bytes);
        refused(&bench, "relift convert packed -o out", "E0203", 5);
    }
}

/// The archive, in which the member of this name claims to be 1 TiB long.
fn claiming(mut ova: Vec<u8>, name: &str) -> Vec<u8> {
    let named = format!("{name}\0");
    let at = ova.chunks(512).position(|block| block.starts_with(named.as_bytes())).unwrap() * 512;
    let header = &mut ova[at..at + 512];
    // Base 256, as GNU tar writes numbers of more than 33 bits.
    header[124..128].copy_from_slice(&[0x80, 0, 0, 0]);
    header[128..136].copy_from_slice(&(1_u64 << 40).to_be_bytes());
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    ova
}

#[test]
fn a_member_that_claims_more_than_the_descriptor_lets_expect_is_not_unpacked() {
    let bench = Bench::empty();
    for name in ["pad.bin", "._pad"] {
        let package = bench.package("vm.ova").member(name, Vec::new());
        let ova = claiming(package.ova(), name);
        for (_, bytes) in packed(&ova) {
            bench.write("packed", &bytes);
            for line in ["relift inspect packed", "cat packed | relift convert - -o out"] {
                let run = refused(&bench, line, "E0106", 4);
                assert!(
                    run.stderr.contains("the members of the packed archive come to"),
                    "{run:?}"
                );
                assert!(run.stderr.contains("give the plain .ova"), "{run:?}");
            }
        }
    }
}

#[test]
fn a_zip_is_read_where_it_lies_and_gives_the_same_machine() {
    let signer = Signer::rsa("Example");
    let bench = Bench::empty();
    let package = Package::small("vm", MIB);
    bench.write("vm.ova", &package.ova());
    bench.write("signer.pem", signer.pem().as_bytes());
    let want = written(&bench, "relift convert vm.ova");
    let package = package.signed_by(&signer, "SHA256", &[]);
    for method in [ZipMethod::Stored, ZipMethod::Deflated] {
        bench.write("vm.zip", &package.zip(method));
        assert!(written(&bench, "relift convert vm.zip") == want, "{method:?}");
        let run = bench.run(["inspect", "--json", "vm.zip", "--trust", "signer.pem"]);
        assert_eq!(run.code, Some(0), "{run:?}");
        let data = &run.json()["data"];
        assert_eq!((&data["kind"], &data["signature"]), (&"ova".into(), &"trusted".into()));
        assert_eq!(data["systems"][0]["disks"][0]["format"], "vmdk");
        let run = bench.run(["verify", "--level", "deep", "vm.zip"]);
        assert_eq!(run.code, Some(0), "{run:?}");
        // Nothing is unpacked to anywhere.
        assert_eq!(bench.files(""), ["signer.pem", "vm.ova", "vm.zip"]);
    }
}

#[test]
fn a_zip_on_a_pipe_is_refused_with_a_way_out() {
    let bench = Bench::empty();
    bench.write("vm.zip", &Package::small("vm", MIB).zip(ZipMethod::Stored));
    let run = refused(&bench, "cat vm.zip | relift convert - -o out", "E0101", 4);
    assert!(run.stderr.contains("starts like a ZIP archive"), "{run:?}");
}

#[test]
fn a_zip_that_is_damaged_cut_or_unsafe_is_refused() {
    let bench = Bench::empty();
    let good = Package::small("vm", MIB).zip(ZipMethod::Deflated);
    bench.write("vm.zip", &good[..good.len() - 30]);
    refused(&bench, "relift inspect vm.zip", "E0102", 4);
    let mut spoiled = good.clone();
    let middle = good.len() / 2;
    spoiled[middle..middle + 50].fill(0xee);
    bench.write("vm.zip", &spoiled);
    let run = bench.run(["convert", "vm.zip", "-o", "out"]);
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(!bench.path("out").exists());
    for name in ["../vm.ovf", "/vm.ovf"] {
        bench.write("vm.zip", &zip(&[(name, b"<Envelope/>")], ZipMethod::Stored));
        refused(&bench, "relift inspect vm.zip", "E0105", 4);
    }
    let other = testkit::stream_optimized(&vec![5; 1 << 20], "vm-disk1.vmdk");
    let package = Package::small("vm", MIB);
    let (ovf, mf) =
        (package.bytes("vm.ovf").to_vec(), package.signed_by(&Signer::rsa("x"), "SHA256", &[]));
    let members: [(&str, &[u8]); 3] =
        [("vm.ovf", &ovf), ("vm.mf", mf.bytes("vm.mf")), ("vm-disk1.vmdk", &other)];
    bench.write("vm.zip", &zip(&members, ZipMethod::Deflated));
    refused(&bench, "relift convert vm.zip -o out", "E0203", 5);
}
