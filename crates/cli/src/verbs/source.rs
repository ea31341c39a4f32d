//! Opening what the user typed as SRC.

use std::path::Path;

use restore::{Named, Policy, Source};

use crate::{failure::Result, session::Session, stdin::Stdin};

/// Opens a package: `-` is an archive on standard input, everything else a path.
pub(super) fn open<'a>(
    path: &Path,
    policy: &Policy,
    session: &'a Session,
) -> Result<Box<dyn Source + 'a>> {
    if is_stdin(path) {
        let reader = Box::new(Stdin::open(&session.stop)?);
        return Ok(restore::open_stream(Named::stdin(), reader, policy)?);
    }
    Ok(restore::open(path, policy)?)
}

/// Lets a pipe pass to its end, so that every member is known; nothing is read of the others.
pub(super) fn pass(source: &mut dyn Source) -> Result<()> {
    if source.facts().is_complete {
        return Ok(());
    }
    Ok(source.deliver(&|_| false, &mut |_, _| Ok(()))?)
}

/// Whether the path stands for standard input.
fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}
