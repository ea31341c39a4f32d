//! Schema 1 of a plan file, as it is written and read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::{Spanned, Value};

/// The version of the schema.
pub(super) const SCHEMA: u32 = 1;

/// A text, and where it stands.
pub(super) type Text = Option<Spanned<String>>;

/// The whole file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) schema: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Text,
    pub(super) source: Source,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) choices: BTreeMap<Spanned<String>, Spanned<Value>>,
    #[serde(default)]
    pub(super) machine: Vec<Machine>,
}

/// Where the machines come from.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    pub(super) path: String,
    pub(super) kind: String,
    pub(super) digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) descriptor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) manifest: Option<String>,
}

/// One machine.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Machine {
    pub(super) id: Spanned<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uuid: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) vcpus: Option<Spanned<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory_bytes: Option<Spanned<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) firmware: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) machine: Text,
    #[serde(default)]
    pub(super) disk: Vec<Disk>,
    #[serde(default)]
    pub(super) nic: Vec<Nic>,
    #[serde(default)]
    pub(super) row: Vec<Row>,
}

/// One disk.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Disk {
    pub(super) id: Spanned<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bus: Text,
}

/// One network card.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nic {
    pub(super) id: Spanned<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mac: Text,
}

/// What became of one item; written for people, and never compared.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) item: String,
    pub(super) action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<String>,
    pub(super) from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

/// A value that is to be written, where no place counts.
pub(super) fn put<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}
