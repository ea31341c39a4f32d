//! The manifest of a package: which bytes its files must have.
//!
//! ```text
//!  .mf bytes --parse--> Manifest {entries} --expected(name)--> Entry
//!                                      member bytes --Hasher--> digest --check--> ok or E0203
//!                       check_complete(members, used) --> ok or E0205
//! ```
//!
//! A name of a line is compared with the names of members, and never opened. The algorithm is what
//! the line says.

mod algorithm;
mod parse;
mod verify;
mod writer;

use std::collections::HashMap;

pub use algorithm::{Algorithm, Digest, Hasher};
pub(crate) use parse::hex;
pub use writer::write;

use crate::{EntryName, Finding, href};

/// One line of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name as written.
    pub name: String,
    /// The digest of the file's stored bytes.
    pub digest: Digest,
    /// The line, counted from 1.
    pub line: u64,
}

/// What a manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// The entries, in the order of the lines.
    pub entries: Vec<Entry>,
    /// What was tolerated.
    pub findings: Vec<Finding>,
    /// The position of each entry by every spelling of its name.
    positions: HashMap<String, usize>,
}

impl Manifest {
    /// The entry of a member: by its name, or by that inside its folder.
    ///
    /// The name of a line may be percent-encoded, begin with `./`, or be composed otherwise (NFC).
    #[must_use]
    pub fn expected(&self, name: &EntryName) -> Option<&Entry> {
        let position = [name.as_str(), name.base()]
            .into_iter()
            .find_map(|spelling| self.positions.get(&href::normal(spelling)))?;
        self.entries.get(*position)
    }

    /// The strongest algorithm that any line uses.
    #[must_use]
    pub fn strongest(&self) -> Option<Algorithm> {
        self.entries.iter().map(|entry| entry.digest.algorithm()).max()
    }
}

impl Entry {
    /// The name as it is compared: without `./`, in normal form.
    fn plain_name(&self) -> String {
        href::normal(self.name.trim_start_matches("./"))
    }

    /// The same, percent-decoded.
    fn decoded_name(&self) -> String {
        href::normal(href::decoded(&self.name).trim_start_matches("./"))
    }
}
