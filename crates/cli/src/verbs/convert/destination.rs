//! What `-o OUT` means, and what of it may be replaced.

use std::{
    collections::BTreeSet,
    fs,
    path::{Component, Path, PathBuf},
};

use super::result::Written;
use crate::failure::{Failure, Result};

/// The largest result file that is read back: the limit of this product.
const MAX_RESULT_BYTES: u64 = 16 << 20;

/// Refuses a name whose ending asks for something else than a folder.
///
/// A folder that is there wins over its ending, and so does a slash behind the name.
pub(super) fn check(out: &Path) -> Result<()> {
    let name = out.as_os_str().to_string_lossy();
    if out.is_dir() || name.ends_with('/') {
        return Ok(());
    }
    let lower = name.to_ascii_lowercase();
    let ending = |endings: &[&str]| endings.iter().any(|ending| lower.ends_with(ending));
    let tip = if ending(&[".qcow2", ".raw", ".img", ".vmdk", ".vhd", ".vhdx", ".vdi"]) {
        "a single disk is converted with: relift disk convert IMG -O qcow2 -o OUT".to_owned()
    } else if ending(&[".ova", ".ovf"]) {
        "a folder that convert wrote becomes an OVA with: relift export DIR -o OUT.ova".to_owned()
    } else if ending(&[".tar", ".tar.zst", ".xml", ".zip", ".gz"]) {
        format!("convert writes a folder; if it shall have this name: -o '{name}/'")
    } else {
        return Ok(());
    };
    Err(Failure::usage(format!("-o {name} is not the name of a folder")).tip(tip))
}

/// The most names of a folder among which the result of a killed run is looked for: ours.
const MAX_NAMES: usize = 100_000;

/// The files of an earlier run in this folder, by its result file: those may be replaced.
///
/// A run that was killed while files got their names left its result beside them, under the name of
/// an unfinished file; there an image must have the length that it says. Without a result file that
/// we wrote, or with one that cannot be read, nothing may be replaced.
pub(in crate::verbs) fn written_before(folder: &Path) -> BTreeSet<PathBuf> {
    let path = restore::plan::result_path(folder);
    if let Some(written) = read(&path) {
        let mut files: BTreeSet<PathBuf> =
            written.files().filter(|name| is_inside(name)).map(|name| folder.join(name)).collect();
        files.insert(path);
        return files;
    }
    let killed = unfinished(folder, &path).into_iter().filter_map(|path| read(&path));
    let files = killed.flat_map(|written| {
        let whole = written.named().filter(|(name, length_bytes)| {
            let length = || fs::symlink_metadata(folder.join(name)).map(|found| found.len());
            is_inside(name)
                && length_bytes.is_none_or(|bytes| length().is_ok_and(|there| there == bytes))
        });
        whole.map(|(name, _)| folder.join(name)).collect::<Vec<_>>()
    });
    files.collect()
}

/// The unfinished files in a folder that would have got this name.
fn unfinished(folder: &Path, path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let start = format!("{name}.partial-");
    let entries = fs::read_dir(folder).into_iter().flatten().take(MAX_NAMES).flatten();
    let names = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&start));
    names.map(|entry| entry.path()).collect()
}

/// A result file that we wrote.
fn read(path: &Path) -> Option<Written> {
    let found = fs::symlink_metadata(path).ok()?;
    if !found.is_file() || found.len() > MAX_RESULT_BYTES {
        return None;
    }
    let written: Written = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    written.is_ours().then_some(written)
}

/// Whether a name in a result file leads to a file of its folder.
fn is_inside(name: &str) -> bool {
    Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_that_asks_for_something_else_is_refused_with_the_right_way() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there.ova");
        fs::create_dir(&there).unwrap();
        for good in [Path::new("out"), Path::new("new.ova/"), Path::new("a.b"), &there] {
            check(good).unwrap();
        }
        let failure = check(Path::new("x.QCOW2")).unwrap_err();
        assert_eq!(failure.message, "-o x.QCOW2 is not the name of a folder");
        assert!(failure.tip.unwrap().starts_with("a single disk is converted with: "));
        let failure = check(Path::new("x.ova")).unwrap_err();
        assert!(failure.tip.unwrap().ends_with("relift export DIR -o OUT.ova"));
        let failure = check(Path::new("x.zip")).unwrap_err();
        assert!(failure.tip.unwrap().ends_with("-o 'x.zip/'"));
    }

    #[test]
    fn replaces_only_what_the_result_file_names_inside_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let result = folder.path().join("relift.result.json");
        assert!(written_before(folder.path()).is_empty());
        fs::write(&result, "{}").unwrap();
        assert!(written_before(folder.path()).is_empty());
        let text = r#"{"schema":"relift.result/1","outputs":[{"path":"a.qcow2"},
            {"path":"../b"},{"path":"/c"}],"domains":["domain.xml"]}"#;
        fs::write(&result, text).unwrap();
        let want = ["a.qcow2", "domain.xml", "relift.result.json"];
        let want: BTreeSet<PathBuf> = want.iter().map(|name| folder.path().join(name)).collect();
        assert_eq!(written_before(folder.path()), want);
        fs::write(&result, text.replace("relift.result/1", "other")).unwrap();
        assert!(written_before(folder.path()).is_empty());
    }

    #[test]
    fn replaces_what_a_killed_run_wrote_where_it_has_the_length_that_the_run_gave_it() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"schema":"relift.result/1","outputs":[{"path":"a.qcow2","file_bytes":3},
            {"path":"b.qcow2","file_bytes":3},{"path":"../c","file_bytes":3}],
            "domains":["domain.xml"]}"#;
        for (name, content) in [
            ("relift.result.json.partial-7", text),
            ("relift.result.json.partial-8", "{"),
            ("a.qcow2", "abc"),
            ("b.qcow2", "mine"),
        ] {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let want = ["a.qcow2", "domain.xml"].map(|name| folder.path().join(name));
        assert_eq!(written_before(folder.path()), want.into());
    }
}
