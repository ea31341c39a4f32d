//! The packages that are linked into a program, as cargo resolves them for this machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::Checksums;
use crate::program::cargo_output;

/// Packages that use one another: the program first, the others by name and version.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) packages: Vec<Package>,
}

/// A package that is linked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Package {
    /// What cargo calls it.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: String,
    /// As its manifest says it.
    pub(super) licence: Option<String>,
    /// Whether it comes from crates.io, and is not part of this workspace.
    pub(super) is_published: bool,
    /// The ids of what it uses.
    pub(super) uses: BTreeSet<String>,
}

/// Asks cargo for the packages of a program.
pub(super) fn linked(root: &str) -> Result<Graph> {
    let platform = host()?;
    let words = ["metadata", "--offline", "--locked", "--format-version", "1", "--filter-platform"];
    let output = cargo_output(&[&words[..], &[&platform]].concat())?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    parse(&output.stdout, root)
}

/// The kind of machine that cargo builds for.
fn host() -> Result<String> {
    let output = cargo_output(&["version", "--verbose"])?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("cargo does not say for which machine it builds")?.to_owned())
}

/// The checksums that the lock file has.
pub(super) fn checksums() -> Result<Checksums> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    let text = fs::read_to_string(&path).context("cannot read Cargo.lock")?;
    let lock: Lock = toml::from_str(&text).context("Cargo.lock has another form")?;
    let locked = lock.package.into_iter();
    Ok(locked.filter_map(|one| Some(((one.name, one.version), one.checksum?))).collect())
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Described>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Described {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Used>,
}

#[derive(Deserialize)]
struct Used {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    /// `None` for what the package itself uses.
    kind: Option<String>,
}

impl Described {
    /// Whether it runs in the compiler and leaves nothing of itself.
    fn is_macro(&self) -> bool {
        self.targets.iter().any(|target| target.kind.iter().any(|kind| kind == "proc-macro"))
    }
}

/// Follows what is linked from the program on.
pub(super) fn parse(json: &[u8], root: &str) -> Result<Graph> {
    let metadata: Metadata =
        serde_json::from_slice(json).context("the JSON of cargo metadata has another form")?;
    let described: BTreeMap<&str, &Described> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let nodes: BTreeMap<&str, &Node> =
        metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let is_ours = |package: &&Described| package.name == root && package.source.is_none();
    let first = metadata.packages.iter().find(is_ours);
    let first = first.with_context(|| format!("cargo metadata has no package {root}"))?;
    let mut waiting = vec![first.id.as_str()];
    let mut seen = BTreeSet::from([first.id.as_str()]);
    let mut packages = Vec::new();
    while let Some(id) = waiting.pop() {
        let (Some(package), Some(node)) = (described.get(id), nodes.get(id)) else {
            bail!("cargo metadata names {id} and does not describe it")
        };
        let is_linked = |used: &&Used| {
            used.dep_kinds.iter().any(|kind| kind.kind.is_none())
                && described.get(used.pkg.as_str()).is_none_or(|package| !package.is_macro())
        };
        let uses: Vec<&str> = node.deps.iter().filter(is_linked).map(|used| &*used.pkg).collect();
        waiting.extend(uses.iter().filter(|id| seen.insert(id)));
        packages.push(Package {
            id: id.to_owned(),
            name: package.name.clone(),
            version: package.version.clone(),
            licence: package.license.clone(),
            is_published: package.source.is_some(),
            uses: uses.into_iter().map(str::to_owned).collect(),
        });
    }
    packages.sort_by_key(|one| (one.id != first.id, one.name.clone(), one.version.clone()));
    Ok(Graph { packages })
}

/// What cargo says of a small workspace.
#[cfg(test)]
pub(super) const SAMPLE: &str = r#"{
  "packages": [
    {"id": "p/cli", "name": "cli", "version": "0.0.0", "license": "MIT OR Apache-2.0",
     "source": null, "targets": [{"kind": ["bin"]}]},
    {"id": "p/disk", "name": "disk", "version": "0.0.0", "license": null, "source": null,
     "targets": [{"kind": ["lib"]}]},
    {"id": "r/zstd-sys", "name": "zstd-sys", "version": "2.0.16+zstd.1", "license": "MIT/Apache-2.0",
     "source": "registry+x", "targets": [{"kind": ["lib"]}, {"kind": ["custom-build"]}]},
    {"id": "r/cc", "name": "cc", "version": "1.0.0", "license": "MIT", "source": "registry+x",
     "targets": [{"kind": ["lib"]}]},
    {"id": "r/derive", "name": "derive", "version": "1.0.0", "license": "MIT",
     "source": "registry+x", "targets": [{"kind": ["proc-macro"]}]},
    {"id": "p/testkit", "name": "testkit", "version": "0.0.0", "license": null, "source": null,
     "targets": [{"kind": ["lib"]}]}
  ],
  "resolve": {"nodes": [
    {"id": "p/cli", "deps": [
      {"pkg": "p/disk", "dep_kinds": [{"kind": null}, {"kind": "dev"}]},
      {"pkg": "p/testkit", "dep_kinds": [{"kind": "dev"}]},
      {"pkg": "r/derive", "dep_kinds": [{"kind": null}]}]},
    {"id": "p/disk", "deps": [{"pkg": "r/zstd-sys", "dep_kinds": [{"kind": null}]}]},
    {"id": "r/zstd-sys", "deps": [{"pkg": "r/cc", "dep_kinds": [{"kind": "build"}]}]},
    {"id": "r/cc", "deps": []}, {"id": "r/derive", "deps": []}, {"id": "p/testkit", "deps": []}
  ]}
}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_what_is_linked_and_neither_tests_nor_builds_nor_macros() {
        let graph = parse(SAMPLE.as_bytes(), "cli").unwrap();
        let names: Vec<&str> = graph.packages.iter().map(|package| &*package.name).collect();
        assert_eq!(names, ["cli", "disk", "zstd-sys"]);
        let error = parse(SAMPLE.as_bytes(), "none").unwrap_err();
        assert_eq!(error.to_string(), "cargo metadata has no package none");
        let error = parse(b"{}", "cli").unwrap_err();
        assert_eq!(error.to_string(), "the JSON of cargo metadata has another form");
    }
}
