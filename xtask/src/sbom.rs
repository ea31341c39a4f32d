//! What is linked into relift, as a CycloneDX 1.5 document: `cargo xtask sbom`.
//!
//! ```text
//! cargo metadata --packages--> packages that are linked --+--> components, dependencies --> JSON
//! Cargo.lock --checksums--------------------------------- /
//! ```
//!
//! The same sources give the same bytes; a time is in it only where `SOURCE_DATE_EPOCH` says one.

mod packages;

use std::{collections::BTreeMap, fs, io::Write as _, path::Path};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use self::packages::{Graph, Package};

/// The package whose program is described.
const ROOT: &str = "cli";

/// What the program is called.
const PROGRAM: &str = "relift";

/// Writes the document to a file, or prints it.
pub(crate) fn run(out: Option<&Path>) -> Result<()> {
    let seconds = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => Some(text.parse().context("SOURCE_DATE_EPOCH is no number of seconds")?),
        Err(_) => None,
    };
    let text = document(&packages::linked(ROOT)?, &packages::checksums()?, seconds)?;
    match out {
        Some(path) => {
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
        }
        None => Ok(std::io::stdout().write_all(text.as_bytes())?),
    }
}

/// The checksums of packages, by name and version.
type Checksums = BTreeMap<(String, String), String>;

fn document(graph: &Graph, checksums: &Checksums, seconds: Option<i64>) -> Result<String> {
    let Some((root, others)) = graph.packages.split_first() else {
        bail!("cargo metadata has no package {ROOT}")
    };
    let timestamp = seconds.map(jiff::Timestamp::from_second).transpose()?;
    let component = Component { r#type: "application", name: PROGRAM, ..Component::of(root, None) };
    let components = others.iter().map(|package| {
        let key = (package.name.clone(), package.version.clone());
        Component::of(package, checksums.get(&key).map(String::as_str))
    });
    let bom = Bom {
        bom_format: "CycloneDX",
        spec_version: "1.5",
        version: 1,
        metadata: Metadata { timestamp: timestamp.map(|time| time.to_string()), component },
        components: components.collect(),
        dependencies: graph.packages.iter().map(|package| Dependency::of(package, graph)).collect(),
    };
    Ok(serde_json::to_string_pretty(&bom)? + "\n")
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Bom<'a> {
    bom_format: &'static str,
    spec_version: &'static str,
    version: u32,
    metadata: Metadata<'a>,
    components: Vec<Component<'a>>,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Serialize)]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    component: Component<'a>,
}

#[derive(Debug, Serialize)]
struct Component<'a> {
    r#type: &'static str,
    #[serde(rename = "bom-ref")]
    bom_ref: String,
    name: &'a str,
    version: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<Licence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
}

#[derive(Debug, Serialize)]
struct Hash<'a> {
    alg: &'static str,
    content: &'a str,
}

#[derive(Debug, Serialize)]
struct Licence {
    expression: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    r#ref: String,
    depends_on: Vec<String>,
}

impl<'a> Component<'a> {
    fn of(package: &'a Package, checksum: Option<&'a str>) -> Self {
        // An old way to write a choice of licences, which SPDX does not know.
        let expression = package.licence.as_ref().map(|text| text.replace('/', " OR "));
        Self {
            r#type: "library",
            bom_ref: reference(package),
            name: &package.name,
            version: &package.version,
            hashes: checksum.map(|content| Hash { alg: "SHA-256", content }).into_iter().collect(),
            licenses: expression.map(|expression| Licence { expression }).into_iter().collect(),
            purl: package.is_published.then(|| purl(package)),
        }
    }
}

impl Dependency {
    fn of(package: &Package, graph: &Graph) -> Self {
        let uses = graph.packages.iter().filter(|other| package.uses.contains(&other.id));
        Self { r#ref: reference(package), depends_on: uses.map(reference).collect() }
    }
}

/// What the document calls a package: two of one name have two versions.
fn reference(package: &Package) -> String {
    if package.is_published {
        purl(package)
    } else {
        format!("{}@{}", package.name, package.version)
    }
}

/// The package at crates.io (package-url, type `cargo`); `+` would be read as a blank.
fn purl(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version.replace('+', "%2B"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_names_what_is_linked_with_licence_and_checksum() {
        let graph = packages::parse(packages::SAMPLE.as_bytes(), "cli").unwrap();
        let key = ("zstd-sys".to_owned(), "2.0.16+zstd.1".to_owned());
        let checksums = Checksums::from([(key, "ab".repeat(32))]);
        let text = document(&graph, &checksums, Some(0)).unwrap();
        let found: serde_json::Value = serde_json::from_str(&text).unwrap();
        let zstd = "pkg:cargo/zstd-sys@2.0.16%2Bzstd.1";
        let want = serde_json::json!({
            "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
            "metadata": {
                "timestamp": "1970-01-01T00:00:00Z",
                "component": {
                    "type": "application", "bom-ref": "cli@0.0.0", "name": "relift",
                    "version": "0.0.0", "licenses": [{"expression": "MIT OR Apache-2.0"}],
                },
            },
            "components": [
                {"type": "library", "bom-ref": "disk@0.0.0", "name": "disk", "version": "0.0.0"},
                {
                    "type": "library", "bom-ref": zstd, "name": "zstd-sys",
                    "version": "2.0.16+zstd.1", "purl": zstd,
                    "hashes": [{"alg": "SHA-256", "content": "ab".repeat(32)}],
                    "licenses": [{"expression": "MIT OR Apache-2.0"}],
                },
            ],
            "dependencies": [
                {"ref": "cli@0.0.0", "dependsOn": ["disk@0.0.0"]},
                {"ref": "disk@0.0.0", "dependsOn": [zstd]},
                {"ref": zstd, "dependsOn": []},
            ],
        });
        assert_eq!(found, want);
        assert!(!document(&graph, &checksums, None).unwrap().contains("timestamp"));
    }

    #[test]
    fn every_package_of_this_program_has_a_licence_and_a_published_one_a_checksum() {
        let (graph, checksums) = (packages::linked(ROOT).unwrap(), packages::checksums().unwrap());
        assert!(graph.packages.len() > 20);
        for package in &graph.packages {
            assert!(package.licence.is_some(), "{package:?}");
            let key = (package.name.clone(), package.version.clone());
            assert_eq!(package.is_published, checksums.contains_key(&key), "{package:?}");
        }
        let has = |name: &str| graph.packages.iter().any(|package| package.name == name);
        assert!(has("disk") && has("serde"));
        // Neither what only tests use, nor what runs only in the compiler.
        assert!(!has("testkit") && !has("insta") && !has("serde_derive"));
        let once = document(&graph, &checksums, None).unwrap();
        assert_eq!(once, document(&graph, &checksums, None).unwrap());
    }
}
