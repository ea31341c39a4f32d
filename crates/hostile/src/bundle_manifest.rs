//! The manifest of a native backup.

use bundle::{
    Checkpoint, Indication, LeftOut, Manifest, MemberDigest, Mode, Node, Point, PointDisk,
    Snapshot, SourceFacts, State, Template, TemplateDisk, Vm,
};

use crate::Feed;

/// What stands before the digest of the body, and what before the body.
const DIGEST_KEY: &[u8] = b"\"blake3\":\"";
const BODY_KEY: &[u8] = b"\"body\":";

pub(crate) const BUNDLE_MANIFEST: Feed = Feed {
    name: "bundle_manifest",
    read: |bytes| {
        let Ok(manifest) = Manifest::parse(bytes) else { return };
        let written = manifest.to_bytes().expect("a manifest that was read is not too long");
        assert_eq!(Manifest::parse(&written).ok().as_ref(), Some(&manifest), "it is the same");
        let nodes = manifest.nodes.iter();
        drop(nodes.map(|node| manifest.member(&node.member)).collect::<Vec<_>>());
        if let Some(template) = &manifest.template {
            drop(manifest.nodes.iter().map(|node| template.disk_below(node)).collect::<Vec<_>>());
        }
    },
    seeds: || {
        let all = [Manifest::default(), full()];
        all.iter().map(|manifest| manifest.to_bytes().expect("a small manifest")).collect()
    },
    words: &[
        b"null",
        b"[]",
        b"{}",
        b"[[[[[[[[",
        b"-1",
        b"1e999",
        b"18446744073709551616",
        b"\"\\ud800\"",
        b"\\u0000",
        b"\"format\":2",
        BODY_KEY,
    ],
    seal: Some(seal),
};

/// Makes the digest of the body right.
fn seal(bytes: &mut [u8]) {
    let place = |key: &[u8]| {
        let at = bytes.windows(key.len()).position(|window| window == key)?;
        Some(at + key.len())
    };
    let (Some(digest), Some(body)) = (place(DIGEST_KEY), place(BODY_KEY)) else { return };
    let Some(end) = bytes.iter().rposition(|byte| *byte == b'}').filter(|end| *end > body) else {
        return;
    };
    let found = blake3::hash(bytes[body..end].trim_ascii()).to_hex();
    if let Some(place) = bytes.get_mut(digest..digest + found.len()) {
        place.copy_from_slice(found.as_bytes());
    }
}

/// A manifest with everything in it.
fn full() -> Manifest {
    let member = "a.qcow2".to_owned();
    let backing = Some("/pool/golden.qcow2".to_owned());
    Manifest {
        tool: "relift".to_owned(),
        created_unix_seconds: 1_700_000_000,
        vm: Vm { name: "a".to_owned(), uuid: Some("1-2".to_owned()) },
        consistency: Some("stopped".to_owned()),
        source_facts: Some(SourceFacts::default()),
        nodes: vec![Node { member: member.clone(), capacity_bytes: 1 << 20, backing }],
        snapshots: vec![Snapshot {
            name: "s".to_owned(),
            parent: None,
            created_unix_seconds: 1,
            config: "1-a.xml".to_owned(),
            nodes: vec![member.clone()],
            disks: [("vda".to_owned(), "a.qcow2".to_owned())].into(),
            memory: None,
        }],
        members: vec![MemberDigest {
            name: member.clone(),
            length_bytes: 5,
            blake3: blake3::hash(b"").to_hex().to_string(),
        }],
        deleted: vec!["old".to_owned()],
        is_template: true,
        template: Some(Template {
            name: "golden".to_owned(),
            uuid: None,
            disks: vec![TemplateDisk {
                member,
                backing: "/pool/golden.qcow2".to_owned(),
                path: "/pool/golden.qcow2".to_owned(),
                state: bundle::ImageState::default(),
            }],
        }),
        points: vec![point()],
        incrementable: true,
        protected: true,
        note: Some("n".to_owned()),
        tags: [("k".to_owned(), "v".to_owned())].into(),
    }
}

/// A point with everything in it.
fn point() -> Point {
    Point {
        id: "20261121-190500".to_owned(),
        created_unix_seconds: 1_795_287_900,
        mode: Mode::Incremental,
        config: "1-a.xml".to_owned(),
        state: State::Paused,
        indications: vec![Indication::Online, Indication::QuiesceFailed],
        disks: vec![PointDisk {
            target: "vda".to_owned(),
            member: "a.qcow2".to_owned(),
            capacity_bytes: 1 << 20,
            mode: Mode::Full,
            reason: Some("r".to_owned()),
            read_bytes: 9,
        }],
        left_out: vec![LeftOut { target: "vdb".to_owned(), reason: "r".to_owned() }],
        checkpoint: Some(Checkpoint { name: "c".to_owned(), xml: "<c/>".to_owned() }),
        snapshots: vec!["s".to_owned()],
    }
}
