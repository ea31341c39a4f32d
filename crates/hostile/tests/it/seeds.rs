//! What is spoiled was sound before: a seed that its parser refuses would reach nothing behind it.

use std::{io::Cursor, sync::Arc};

use hostile::Feed;

/// Asserts that each seed of a feed is taken; says how many there are.
fn each(name: &str, take: impl Fn(&[u8]) -> Result<(), String>) -> usize {
    let seeds = (Feed::named(name).seeds)();
    for (number, seed) in seeds.iter().enumerate() {
        assert_eq!(take(seed), Ok(()), "{name}: seed {number}");
    }
    seeds.len()
}

/// Whether something was taken, or why not.
fn told<T, E: std::fmt::Display>(read: Result<T, E>) -> Result<(), String> {
    read.map(drop).map_err(|error| error.to_string())
}

#[test]
fn archives_are_sound() {
    assert_eq!(each("tar", |bytes| told(ovf::archive::Index::read(Cursor::new(bytes)))), 2);
    assert_eq!(each("zip", |bytes| told(ovf::archive::zip::Zip::read(Cursor::new(bytes)))), 3);
    let opened = |bytes: &[u8]| {
        let named = restore::Named { name: "a.ova".to_owned(), folder: None };
        let policy = restore::Policy::default();
        told(restore::open_bytes(named, Arc::new(bytes.to_vec()), &policy))
    };
    assert_eq!(each("package", opened), 4);
}

#[test]
fn backups_are_sound() {
    let whole = |bytes: &[u8]| {
        let bundle = bundle::Bundle::open(Arc::new(bytes.to_vec())).map_err(|e| e.to_string())?;
        let report = bundle::verify(&bundle, bundle::Level::Deep, &disk::Unheard);
        let faults = report.map_err(|error| error.to_string())?.faults;
        if faults.is_empty() { Ok(()) } else { Err(format!("{faults:?}")) }
    };
    assert_eq!(each("bundle_tar", whole) + each("bundle_frames", whole), 5);
    assert_eq!(each("bundle_manifest", |bytes| told(bundle::Manifest::parse(bytes))), 2);
}

#[test]
fn texts_are_sound() {
    assert_eq!(each("manifest", |bytes| told(ovf::Manifest::parse(bytes))), 3);
    assert_eq!(each("vmx", |bytes| told(vmx::Vmx::parse(bytes))), 2);
    let document = |bytes: &[u8]| {
        told(domain::read(bytes))
            .or_else(|_| told(domain::read_backup_job(bytes)))
            .or_else(|_| told(domain::read_checkpoint(bytes)))
            .or_else(|_| told(domain::read_snapshot(bytes)))
    };
    assert_eq!(each("domain_xml", document), 7);
    assert_eq!(each("plan_toml", |bytes| cli::check_plan_file(str::from_utf8(bytes).unwrap())), 1);
    for name in ["ovf", "ovf_machine"] {
        let count = each(name, |bytes| {
            let envelope = ovf::Envelope::parse(bytes).map_err(|error| error.to_string())?;
            told(envelope.select(&ovf::Choices::default()))
        });
        assert!(count >= 20, "{name}: {count} seeds");
    }
}
