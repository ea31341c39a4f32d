//! `BATCH.toml`: the one file of a batch that people review and edit.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use toml::Value;

use crate::{Error, ItemId, Result};

/// The version of the schema.
pub const SCHEMA: u32 = 1;

/// The largest batch file that is read: the limit of this product.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// The most items of a batch: the limit of this product.
const MAX_ITEMS: usize = 100_000;

/// Flags by their names, `_` for `-`, with their values.
pub type Choices = BTreeMap<String, Value>;

/// A batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The name of the batch, which its journals have too.
    pub name: String,
    /// Where machines go, as `--to` says it; with `dir:PATH` each item has the folder `PATH/ID`.
    pub target: String,
    /// Flags for every item.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub choices: Choices,
    /// The items, in the order of the list or of their paths.
    #[serde(default, rename = "item")]
    pub items: Vec<Item>,
}

/// One appliance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// What journals and shards know it by.
    pub id: String,
    /// The package.
    pub source: PathBuf,
    /// What tells whether the package is the one that was inspected; empty where it could not be.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// Length and time of the package when it was inspected: while they are the same, so is the
    /// package. Empty where they say too little.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stamp: String,
    /// Length of the package.
    #[serde(default)]
    pub source_bytes: u64,
    /// The room that its disks are expected to need.
    #[serde(default)]
    pub needed_bytes: u64,
    /// The machines in it, for people: never read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub machines: Vec<String>,
    /// The networks that it names, for people: never read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// What its plan warns of, for people: never read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Why it would not be converted as it stands, for people: never read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blockers: Vec<String>,
    /// Flags of this item alone; they win over those of the batch.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub choices: Choices,
}

impl Batch {
    /// Reads a batch file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is no batch file of this schema, or two items have one id.
    pub fn read(path: &Path) -> Result<Self> {
        let wrap = |error| Error::io("cannot read the batch file", path, error);
        let length = fs::metadata(path).map_err(wrap)?.len();
        if length > MAX_FILE_BYTES {
            let path = path.display();
            return Err(Error::usage(format!(
                "{path} has {length} bytes, and {MAX_FILE_BYTES} are allowed"
            )));
        }
        let text = fs::read_to_string(path).map_err(wrap)?;
        Self::parse(&text).map_err(|error| Error::usage(format!("{}: {error}", path.display())))
    }

    /// Reads the text of a batch file.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn parse(text: &str) -> Result<Self> {
        let batch: Self =
            toml::from_str(text).map_err(|error| Error::usage(error.to_string().trim_end()))?;
        if batch.schema != SCHEMA {
            let found = batch.schema;
            return Err(Error::usage(format!(
                "schema {found} is unknown: this is schema {SCHEMA}"
            )));
        }
        if batch.items.len() > MAX_ITEMS {
            let count = batch.items.len();
            return Err(Error::usage(format!("{count} items, and {MAX_ITEMS} are allowed")));
        }
        let mut ids = BTreeSet::new();
        for item in &batch.items {
            if !ids.insert(item.id()?) {
                return Err(Error::usage(format!("two items have the id {}", item.id)));
            }
        }
        Ok(batch)
    }

    /// The text of the file.
    ///
    /// # Errors
    ///
    /// When a value has no form in TOML.
    pub fn text(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Error::usage(error.to_string()))
    }

    /// The flags of an item: its own, and of the batch those that it has not.
    #[must_use]
    pub fn choices_of(&self, item: &Item) -> Choices {
        let mut choices = self.choices.clone();
        choices.extend(item.choices.clone());
        choices
    }

    /// What tells whether an item would be made in the same way as now: 64 hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self, item: &Item) -> String {
        let said = (&self.target, &item.source, self.choices_of(item));
        let text = serde_json::to_vec(&said).unwrap_or_default();
        Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
            // Writing to a String does not fail.
            let _written = write!(hex, "{byte:02x}");
            hex
        })
    }
}

impl Item {
    /// The id, as what it is.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn id(&self) -> Result<ItemId> {
        self.id.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"schema = 1
name = "weekend"
target = "dir:/srv/vm"

[choices]
net = ["default"]

[[item]]
id = "web-01"
source = "/in/web-01.ova"
digest = "sha256:aa"
source_bytes = 10
needed_bytes = 20
warnings = ["W0102 nic 0: network card model changed"]

[item.choices]
net = ["br0"]

[[item]]
id = "db-01"
source = "/in/db-01.ova"
source_bytes = 0
needed_bytes = 0
"#;

    #[test]
    fn what_is_written_is_read_again() {
        let batch = Batch::parse(TEXT).unwrap();
        assert_eq!(batch.text().unwrap(), TEXT);
        assert_eq!(batch.choices_of(&batch.items[0])["net"].to_string(), r#"["br0"]"#);
        assert_eq!(batch.choices_of(&batch.items[1])["net"].to_string(), r#"["default"]"#);
    }

    #[test]
    fn an_item_is_made_in_another_way_when_a_flag_its_source_or_the_target_is_another() {
        let batch = Batch::parse(TEXT).unwrap();
        let of = |text: &str| {
            let batch = Batch::parse(text).unwrap();
            batch.fingerprint(&batch.items[1])
        };
        let as_it_is = batch.fingerprint(&batch.items[1]);
        for (from, to) in [
            (r#"["default"]"#, r#"["br1"]"#),
            ("/in/db-01.ova", "/in/db-02.ova"),
            ("dir:/srv/vm", "libvirt"),
        ] {
            assert_ne!(of(&TEXT.replace(from, to)), as_it_is, "{to}");
        }
        for (from, to) in [("W0102 nic 0", "W0102 nic 1"), ("weekend", "monday"), ("br0", "br9")] {
            assert_eq!(of(&TEXT.replace(from, to)), as_it_is, "{to}");
        }
    }

    #[test]
    fn what_no_batch_can_be_is_refused() {
        for (from, to, told) in [
            ("schema = 1", "schema = 2", "schema 2 is unknown: this is schema 1"),
            ("\"db-01\"", "\"web-01\"", "two items have the id web-01"),
            ("\"db-01\"", "\"../x\"", "'../x' is no id: letters, digits"),
            ("needed_bytes = 20", "nedded = 20", "unknown field `nedded`"),
        ] {
            let error = Batch::parse(&TEXT.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
