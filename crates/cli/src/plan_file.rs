//! Plan files: a plan as a text that people review and edit, and that is replayed.
//!
//! ```text
//! Plan --write--> PLAN.toml --read--> source path, Flags of [choices], restore::Pinned
//!                 (schema 1)
//! ```
//!
//! The text and its version live here, in the shell, as the JSON documents do: half of it is flags,
//! which nothing below the shell has heard of, and so no other crate needs serde or TOML. What a
//! value of it means for a plan is [`restore::plan::Pinned`], a plain value.

mod document;
mod flags;
mod read;
mod write;

use std::path::{Path, PathBuf};

use restore::plan::{Pinned, Said};

pub(crate) use flags::{Flags, Recorded, command_line, typed, value};
pub(crate) use write::{Origin, write};

use crate::failure::{Failure, Result};

/// Reads the text of a plan file, and nothing that it names.
///
/// # Errors
/// Why it is none, with the line.
pub fn check(text: &str) -> std::result::Result<(), String> {
    let read = read::text(Path::new("PLAN.toml"), text);
    read.map(drop).map_err(|failure| failure.message)
}

/// A plan file that was read.
#[derive(Debug)]
pub(crate) struct PlanFile {
    /// Where it is, as the user typed it.
    pub(crate) path: PathBuf,
    /// The source, as `plan` takes it.
    pub(crate) source: PathBuf,
    /// The target, as `--to` takes it.
    pub(crate) target: Option<Said<String>>,
    /// The flags of `[choices]`.
    pub(crate) flags: Flags,
    /// The same, to be written again.
    pub(crate) recorded: Recorded,
    /// What the machines shall be.
    pub(crate) pinned: Pinned,
    /// Where each key of `[choices]` stands.
    lines: Vec<(String, usize)>,
}

impl PlanFile {
    /// Reads the plan file of this name; `None` where the name is not one of a plan file.
    pub(crate) fn of(path: &Path) -> Option<Result<Self>> {
        let ending = path.extension()?;
        ending.eq_ignore_ascii_case("toml").then(|| read::file(path))
    }

    /// Refuses flags typed beside the file that choose what the file says: a plan that was reviewed is
    /// not changed by a slip, and which of the two was meant nobody can know.
    pub(crate) fn refuse_typed(&self, typed: &Recorded) -> Result<()> {
        let Some(key) = typed.keys().next() else { return Ok(()) };
        let flag = format!("--{}", key.replace('_', "-"));
        let path = self.path.display();
        let failure = Failure::usage(format!("{flag} is for a package, and {path} is a plan file"));
        let line = self.lines.iter().find(|(there, _)| there == key).map(|(_, line)| line);
        Err(failure.tip(match (flags::of_machines(key), line) {
            (Some(place), _) => format!("edit {place} in {path}"),
            (None, Some(line)) => format!("edit line {line} of {path}: {key}"),
            (None, None) => format!("write it into {path}, below [choices]: {key} = …"),
        }))
    }

    /// The target: the one of the file, else what was typed; two that differ are refused.
    pub(crate) fn target<'a>(&'a self, typed: Option<&'a str>) -> Result<Option<&'a str>> {
        match (&self.target, typed) {
            (Some(said), Some(typed)) if said.value != typed => {
                let (line, path) = (said.line, self.path.display());
                let text = format!("--to {typed} is not the target of {path}");
                Err(Failure::usage(text).tip(format!("edit line {line} of {path}: target")))
            }
            (said, typed) => Ok(said.as_ref().map(|said| said.value.as_str()).or(typed)),
        }
    }
}
