//! The crates of the workspace and which of each other they use, as cargo reads the manifests.

use std::fmt;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::program::cargo_output;

/// A crate of the workspace.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Manifest {
    /// Its name.
    pub(super) name: String,
    /// What it uses of the workspace.
    #[serde(rename = "dependencies", deserialize_with = "arrows")]
    pub(super) arrows: Vec<Arrow>,
}

/// One crate of the workspace using another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arrow {
    /// The crate that is used.
    pub(super) to: String,
    /// What it is used for.
    pub(super) purpose: Purpose,
}

/// What a dependency is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Purpose {
    /// The crate itself.
    #[default]
    Normal,
    /// Its build script.
    Build,
    /// Its tests.
    Dev,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "normal",
            Self::Build => "build",
            Self::Dev => "dev",
        })
    }
}

/// Asks cargo for the crates of the workspace.
pub(super) fn read() -> Result<Vec<Manifest>> {
    let output = cargo_output(&["metadata", "--no-deps", "--offline", "--format-version", "1"])?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    parse(&output.stdout)
}

fn parse(json: &[u8]) -> Result<Vec<Manifest>> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Manifest>,
    }
    let metadata: Metadata =
        serde_json::from_slice(json).context("the JSON of cargo metadata has another form")?;
    Ok(metadata.packages)
}

/// Keeps the dependencies that have a path: only crates of the workspace do.
fn arrows<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Arrow>, D::Error> {
    #[derive(Deserialize)]
    struct Dependency {
        name: String,
        path: Option<String>,
        kind: Option<Purpose>,
    }
    let all = Vec::<Dependency>::deserialize(from)?;
    let ours = all.into_iter().filter(|dependency| dependency.path.is_some());
    Ok(ours.map(|d| Arrow { to: d.name, purpose: d.kind.unwrap_or_default() }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_dependencies_within_the_workspace() {
        let json = br#"{"packages": [{"name": "ovf", "version": "0.0.0", "dependencies": [
            {"name": "code", "path": "/x/code", "kind": null},
            {"name": "serde", "source": "registry", "kind": null},
            {"name": "testkit", "path": "/x/testkit", "kind": "dev"}
        ]}]}"#;
        let arrow = |to: &str, purpose| Arrow { to: to.into(), purpose };
        assert_eq!(
            parse(json).unwrap(),
            [Manifest {
                name: "ovf".into(),
                arrows: vec![arrow("code", Purpose::Normal), arrow("testkit", Purpose::Dev)],
            }]
        );
    }

    #[test]
    fn refuses_json_of_another_form() {
        let error = parse(br#"{"crates": []}"#).unwrap_err();
        assert_eq!(error.to_string(), "the JSON of cargo metadata has another form");
    }
}
