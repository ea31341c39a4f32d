//! Copies of backups, and increments into backups that take none.

use std::fs;

use crate::{
    bench::Bench,
    shelf::{FIRST, backup, nights},
};

#[test]
fn a_copy_is_the_same_file_and_is_remembered_as_a_backup() {
    let bench = nights(1);
    fs::create_dir(bench.path("second")).unwrap();
    let protected = bench.shell("relift backup protect web01-0 --note keep");
    assert_eq!(protected.code, Some(0), "{protected:?}");
    let run = bench.shell("relift backup copy web01-0 second");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.starts_with("Copied ./web01-0.tar to "), "{}", run.stdout);
    assert!(run.stdout.ends_with(", and looked at every byte of it\n"), "{}", run.stdout);
    assert_eq!(bench.read("second/web01-0.tar"), bench.read("web01-0.tar"));
    assert_eq!(bench.files("second"), ["second/web01-0.tar"]);
    let deleted = bench.shell("relift backup delete second/web01-0.tar --yes");
    assert_eq!(deleted.code, Some(6), "the protection is copied, too: {deleted:?}");
    let again = bench.shell("relift backup copy web01-0.tar second --json");
    assert_eq!(again.code, Some(8), "{again:?}");
    assert!(again.stdout.contains("\"schema\":\"relift.backup.copy/1\""), "{}", again.stdout);
    let list = bench.shell("relift backup list");
    assert!(list.stdout.contains("web01-0"), "{}", list.stdout);
}

#[test]
fn what_cannot_be_copied_leaves_nothing() {
    let bench = Bench::empty();
    backup(&bench, "web01", "web01", FIRST);
    fs::create_dir(bench.path("second")).unwrap();
    let mut bytes = bench.read("web01.tar");
    let at = bytes.len() / 2;
    let spoiled = bytes.iter().skip(at).position(|byte| *byte != 0).unwrap() + at;
    bytes[spoiled] ^= 1;
    bench.write("spoiled.tar", &bytes);
    for (line, code, said) in [
        (
            "backup copy spoiled.tar second",
            5,
            "error[E0605]: spoiled.tar is damaged; it was not copied",
        ),
        ("backup copy web01.tar nowhere", 8, "error[E0508]: nowhere is no folder"),
        ("backup copy web02 second", 13, "error[E0505]: no backup is called 'web02'"),
    ] {
        let run = bench.shell(&format!("relift {line}"));
        assert_eq!(run.code, Some(code), "{run:?}");
        assert!(run.stderr.starts_with(said), "{}", run.stderr);
        assert_eq!(bench.files("second"), [""; 0]);
    }
}

#[test]
fn a_backup_that_is_being_written_is_not_copied() {
    let bench = nights(1);
    fs::create_dir(bench.path("second")).unwrap();
    let file = fs::File::open(bench.path("web01-0.tar")).unwrap();
    bundle::lock(&file).unwrap();
    let run = bench.shell("relift backup copy web01-0.tar second");
    assert_eq!(run.code, Some(11), "{run:?}");
    assert_eq!(bench.files("second"), [""; 0]);
}

#[test]
fn an_increment_into_a_bundle_that_takes_none_is_refused_with_why() {
    let bench = nights(1);
    let before = bench.read("web01-0.tar");
    for (line, said) in [
        (
            "backup append web01-0.tar",
            "error[E0606]: no increment is possible: web01-0.tar has no point that an increment could \
             stand on",
        ),
        (
            "backup append --last web01",
            "error[E0606]: no increment is possible: no incrementable backup of web01",
        ),
    ] {
        let run = bench.shell(&format!("relift {line}"));
        assert_eq!(run.code, Some(4), "{run:?}");
        assert!(run.stderr.starts_with(said), "{}", run.stderr);
    }
    for line in ["backup append", "backup append web01-0.tar --last web01"] {
        assert_eq!(bench.shell(&format!("relift {line}")).code, Some(2), "{line}");
    }
    assert_eq!(bench.read("web01-0.tar"), before);
}
