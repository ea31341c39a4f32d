//! Names of members, and the texts by which a descriptor means them.

use ovf::{EntryName, check_href, resolve_href, spellings};

use crate::Feed;

pub(crate) const NAMES: Feed = Feed {
    name: "names",
    read,
    seeds: || {
        let texts = [
            "a.vmdk",
            "./folder/a%20b.vmdk",
            "../../etc/passwd",
            "https://host/a.vmdk",
            "C:\\a.vmdk",
            "a\u{301}.vmdk",
            " %2e%2e%2fa ",
        ];
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    },
    words: &[b"../", b"./", b"//", b"%2e", b"%2f", b"%00", b"%", b"\\", b"file:", b"\xcc\x81"],
    seal: None,
};

/// Reads a text as the name of a member, and as an `href` in a package.
///
/// # Panics
///
/// When a name that was taken leads out of its folder, or an `href` to a member that is not there.
fn read(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(name) = EntryName::parse(text) {
        let parts: Vec<&str> = name.as_str().split('/').collect();
        let leads_out = parts.iter().any(|part| matches!(*part, "" | "." | ".."));
        assert!(!leads_out, "{name:?} stays in its folder");
        assert_eq!(EntryName::parse(name.as_str()).ok().as_ref(), Some(&name));
        let members = [name];
        drop(resolve_href(text, &members[0], &members));
    }
    let known = |text: &str| EntryName::parse(text).expect("a sound name");
    let members = [known("a.ovf"), known("a.vmdk"), known("folder/a b.vmdk")];
    drop((spellings(text), check_href(text)));
    if let Ok(found) = resolve_href(text, &members[0], &members) {
        assert!(members.contains(found.name), "{:?} is a member", found.name);
    }
}
