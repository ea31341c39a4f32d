//! Manifests of packages.

use ovf::{
    EntryName, Manifest,
    manifest::{Algorithm, Hasher},
};

use crate::Feed;

pub(crate) const MANIFEST: Feed = Feed {
    name: "manifest",
    read,
    seeds: || {
        let line = |label: &str, algorithm: Algorithm, gap: &str| {
            let digest = Hasher::new(algorithm).finish();
            format!("{label}{gap}(a b.vmdk{label}){gap}= {digest}\r\n")
        };
        let ours = line("SHA256", Algorithm::Sha256, "") + &line("SHA1", Algorithm::Sha1, " ");
        let long = line("SHA512", Algorithm::Sha512, "") + &line("SHA384", Algorithm::Sha384, "");
        let escaped = ours.replace("a b", "./a%20b");
        [ours, long, escaped].map(|text| [text.as_bytes(), &[0; 40]].concat()).to_vec()
    },
    words: &[
        b"SHA1(",
        b"SHA256(",
        b"SHA-256",
        b"MD5(",
        b")= ",
        b"%2e%2e%2f",
        b"./",
        b"\xef\xbb\xbf",
    ],
    seal: None,
};

/// Reads a manifest and looks for each of its files.
///
/// # Panics
///
/// When a file that a line names is not found.
fn read(bytes: &[u8]) {
    let Ok(manifest) = Manifest::parse(bytes) else { return };
    // A name that a member would have in another spelling is somebody else's.
    let plain = |name: &str| EntryName::parse(name).ok().filter(|member| member.as_str() == name);
    let members: Vec<EntryName> =
        manifest.entries.iter().filter_map(|entry| plain(&entry.name)).collect();
    for member in &members {
        let found = manifest.expected(member).unwrap_or_else(|| panic!("{member:?} has a line"));
        drop(found.check(&Hasher::new(found.digest.algorithm()).finish()));
    }
    if let Some(descriptor) = members.first() {
        drop(manifest.check_complete(&members, descriptor, &members));
    }
    assert_eq!(manifest.strongest().is_none(), manifest.entries.is_empty());
}
