//! Descriptors that lie in folders: this project's own, and those of others where somebody has them.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// The variable that names a folder with descriptors of others.
const CORPUS: &str = "RELIFT_CORPUS";

/// The descriptors of this project, one for each dialect or oddity, sorted.
#[must_use]
pub fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/ovf"));
    let found = below(folder);
    assert!(found.len() >= 38, "only {} descriptors in {}", found.len(), folder.display());
    found
}

/// The descriptors of others, sorted; where nobody has any, that is said aloud.
#[must_use]
pub fn corpus() -> Vec<PathBuf> {
    let Some(folder) = std::env::var_os(CORPUS) else {
        // The test harness would hide what `eprintln!` writes; a skip has to be seen.
        let words = format!("skipped: {CORPUS} names no folder with descriptors of others\n");
        io::stderr().write_all(words.as_bytes()).expect("standard error is open");
        return Vec::new();
    };
    let found = below(Path::new(&folder));
    assert!(!found.is_empty(), "{CORPUS}: no descriptor is below {}", folder.display());
    found
}

/// Every descriptor below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder);
        for entry in entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a folder that can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("ovf")) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
