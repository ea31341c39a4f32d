//! Which appliances there are: a folder, a list of paths, or a table.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use globset::{GlobBuilder, GlobMatcher};

use crate::{Error, Result};

/// The largest list that is read: the limit of this product.
const MAX_LIST_BYTES: u64 = 64 << 20;

/// The most files and folders that are looked at: the limit of this product.
const MAX_ENTRIES: usize = 1_000_000;

/// How deep folders are looked through: the limit of this product.
const MAX_DEPTH: usize = 32;

/// What is looked for in a folder where nothing else is said.
const USUAL: &str = "**/*.{ova,ovf}";

/// One appliance of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The id that the list gives it.
    pub id: Option<String>,
    /// The package.
    pub source: PathBuf,
    /// Flags by their names, with the values that the list gives them.
    pub flags: BTreeMap<String, Vec<String>>,
}

impl Listed {
    fn of(source: PathBuf) -> Self {
        Self { id: None, source, flags: BTreeMap::new() }
    }
}

/// The appliances of a folder (by `glob`, else every `.ova` and `.ovf` in it and below), of a `.csv`
/// with a first line of names, or of a text with a path a line.
///
/// Paths of a list that are not absolute are looked for from the folder of the list.
///
/// # Errors
///
/// When it cannot be read, or a line is none; the line is named.
pub fn list(path: &Path, glob: Option<&str>) -> Result<Vec<Listed>> {
    let wrap = |error| Error::io("cannot read", path, error);
    let found = fs::metadata(path).map_err(wrap)?;
    if found.is_dir() {
        return folder(path, glob.unwrap_or(USUAL));
    }
    if glob.is_some() {
        return Err(Error::usage(format!(
            "--glob is for a folder, and {} is a file",
            path.display()
        )));
    }
    if found.len() > MAX_LIST_BYTES {
        let (length, path) = (found.len(), path.display());
        return Err(Error::usage(format!(
            "{path} has {length} bytes, and {MAX_LIST_BYTES} are allowed"
        )));
    }
    let text = fs::read_to_string(path).map_err(wrap)?;
    let from = path.parent().unwrap_or(Path::new(""));
    let is_table = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    let listed = if is_table { table(&text, from) } else { Ok(lines(&text, from)) };
    listed.map_err(|error| Error::usage(format!("{}: {error}", path.display())))
}

fn lines(text: &str, from: &Path) -> Vec<Listed> {
    let lines = text.lines().map(str::trim);
    let paths = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    paths.map(|path| Listed::of(from.join(path))).collect()
}

/// Reads a table: `id` and `source` are columns of ours, every other one is a flag, several values of
/// which are parted by `;`. An empty cell says nothing.
fn table(text: &str, from: &Path) -> Result<Vec<Listed>> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let said = |error: csv::Error| Error::usage(error.to_string());
    let names: Vec<String> = reader.headers().map_err(said)?.iter().map(key).collect();
    if !names.iter().any(|name| name == "source") {
        return Err(Error::usage("the first line names no column 'source'"));
    }
    let mut listed = Vec::new();
    for row in reader.records() {
        let row = row.map_err(said)?;
        let line = row.position().map_or(0, csv::Position::line);
        let mut one = Listed::of(PathBuf::new());
        for (name, cell) in names.iter().zip(&row).filter(|(_, cell)| !cell.is_empty()) {
            match name.as_str() {
                "id" => one.id = Some(cell.to_owned()),
                "source" => one.source = from.join(cell),
                _ => {
                    let values = cell.split(';').map(|value| value.trim().to_owned());
                    one.flags.insert(name.clone(), values.collect());
                }
            }
        }
        if one.source.as_os_str().is_empty() {
            return Err(Error::usage(format!("line {line} has no source")));
        }
        listed.push(one);
    }
    Ok(listed)
}

/// The name of a column as a flag is called in a file.
fn key(name: &str) -> String {
    name.trim_start_matches('-').to_ascii_lowercase().replace('-', "_")
}

fn folder(root: &Path, glob: &str) -> Result<Vec<Listed>> {
    let matcher = GlobBuilder::new(glob)
        .case_insensitive(true)
        .literal_separator(true)
        .build()
        .map_err(|error| Error::usage(format!("--glob: {error}")))?
        .compile_matcher();
    let mut found = Vec::new();
    let mut seen = 0;
    walk((root, Path::new(""), 0), &matcher, &mut found, &mut seen)?;
    found.sort();
    Ok(found.into_iter().map(Listed::of).collect())
}

/// Goes through a folder; links to folders are not followed, so that no path is seen twice.
fn walk(
    (root, beneath, depth): (&Path, &Path, usize),
    matcher: &GlobMatcher,
    found: &mut Vec<PathBuf>,
    seen: &mut usize,
) -> Result<()> {
    let here = root.join(beneath);
    let wrap = |error| Error::io("cannot list the folder", &here, error);
    for entry in fs::read_dir(&here).map_err(wrap)? {
        let entry = entry.map_err(wrap)?;
        *seen = seen.saturating_add(1);
        if *seen > MAX_ENTRIES {
            let root = root.display();
            return Err(Error::usage(format!(
                "{root} has more than {MAX_ENTRIES} files and folders"
            )));
        }
        let name = beneath.join(entry.file_name());
        let kind = entry.file_type().map_err(wrap)?;
        if kind.is_dir() && depth < MAX_DEPTH {
            walk((root, &name, depth.saturating_add(1)), matcher, found, seen)?;
        } else if !kind.is_dir() && matcher.is_match(&name) {
            found.push(root.join(&name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(listed: &[Listed], root: &Path) -> Vec<String> {
        let names = listed.iter().map(|one| one.source.strip_prefix(root).unwrap());
        names.map(|name| name.display().to_string()).collect()
    }

    #[test]
    fn a_folder_gives_what_the_pattern_finds_below_it_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("b/deep")).unwrap();
        for name in ["z.ova", "A.OVA", "b/x.ovf", "b/deep/y.ova", "b/x-disk1.vmdk", "notes.txt"] {
            fs::write(root.join(name), b"").unwrap();
        }
        std::os::unix::fs::symlink(root, root.join("b/loop")).unwrap();
        let all = list(root, None).unwrap();
        assert_eq!(sources(&all, root), ["A.OVA", "b/deep/y.ova", "b/x.ovf", "z.ova"]);
        let some = list(root, Some("*.ova")).unwrap();
        assert_eq!(sources(&some, root), ["A.OVA", "z.ova"]);
        assert!(list(root, Some("a{")).unwrap_err().to_string().starts_with("--glob: "));
    }

    #[test]
    fn a_text_has_a_path_a_line() {
        let listed = lines("# the first wave\n a.ova \n\n/abs/b.ova\n", Path::new("/lists"));
        assert_eq!(sources(&listed, Path::new("/")), ["lists/a.ova", "abs/b.ova"]);
    }

    #[test]
    fn a_table_has_ids_sources_and_flags() {
        let text = "\u{feff}id,source,name,--net,disk-bus\nweb,a.ova,Web 1,VM Network=br0;DMZ=br1,\n\
                    ,\"b, c.ova\",,,sata\n";
        let listed = table(text, Path::new("/l")).unwrap();
        assert_eq!(listed[0].id.as_deref(), Some("web"));
        assert_eq!(listed[0].flags["net"], ["VM Network=br0", "DMZ=br1"]);
        assert_eq!(listed[0].flags["name"], ["Web 1"]);
        assert!(!listed[0].flags.contains_key("disk_bus"));
        assert_eq!(listed[1].source, Path::new("/l/b, c.ova"));
        assert_eq!(
            (&listed[1].id, listed[1].flags["disk_bus"].as_slice()),
            (&None, &["sata".to_owned()][..])
        );
    }

    #[test]
    fn a_table_without_sources_is_refused_by_line() {
        let told = |text| table(text, Path::new("")).unwrap_err().to_string();
        assert_eq!(told("id,name\na,b\n"), "the first line names no column 'source'");
        assert_eq!(told("id,source\na,a.ova\nb,\n"), "line 3 has no source");
        assert!(told("id,source\na\n").contains("line: 2"), "{}", told("id,source\na\n"));
    }
}
