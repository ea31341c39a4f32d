//! Which items of a batch are this run's alone.
//!
//! The journal of each part lies beside the batch file, and whoever works on the part has it locked. So
//! the journals tell which parts are being worked on, and two runs whose parts have items in common
//! keep off each other; parts without such items run side by side. Each locks its own before it looks at
//! the others': of two that begin at once, one or both find the other, never none. That holds as far as
//! locks of the file system are seen: on several machines, where it hands them on (NFS 4 does).

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use batch::{Journal, Kind, Line, Shard};

use super::{journal_path, journals, part_of};
use crate::{failure::Result, session::Session};

/// What a run keeps locked besides the journal that it writes.
#[derive(Debug)]
pub(super) struct Claim {
    _usual: Option<Journal>,
}

impl Claim {
    /// Takes the items of a part, whose journal `written` is locked already, or says who has some of
    /// them.
    ///
    /// A journal elsewhere is not seen by other runs, so that the usual one is locked as well. Where
    /// that cannot be written, nobody is kept away, and that is said.
    pub(super) fn take(
        (file, shard): (&Path, Option<Shard>),
        (written, owner): (&Path, &Line),
        session: &Session,
    ) -> Result<Self> {
        let usual = journal_path(file, shard);
        let lock = if identity(&usual).is_some_and(|it| Some(it) == identity(written)) {
            None
        } else {
            match Journal::open(&usual, owner) {
                Ok(journal) => Some(journal),
                Err(error) if error.kind() == Kind::Io => {
                    let text = "other runs of this batch are not kept from its items";
                    session.show.say(&format!("{text}: {error}"));
                    None
                }
                Err(error) => return Err(error.into()),
            }
        };
        let own = [identity(&usual), identity(written)];
        let others: Vec<PathBuf> = journals(file)?
            .into_iter()
            .filter(|path| part_of(file, path).is_some_and(|part| part.overlaps(shard.into())))
            .filter(|path| !own.contains(&identity(path)))
            .collect();
        for other in &others {
            batch::check_unused(other)?;
        }
        Ok(Self { _usual: lock })
    }
}

/// What tells a file from others, whatever it is called.
fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}
