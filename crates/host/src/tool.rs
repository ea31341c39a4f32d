//! Programs of this machine that a user or libvirt may want: whether they are there, and how old.

use std::{ffi::OsStr, time::Duration};

use crate::program::{Call, CallError, call};

/// How long a program may take to tell its version.
const VERSION_LIMIT: Duration = Duration::from_secs(10);

/// The first line of what a program says of itself with `--version`; `None` where it is not there.
///
/// One that is there but does not say is an empty line.
#[must_use]
pub fn version(program: &str) -> Option<String> {
    let words = [OsStr::new("--version")];
    let program = OsStr::new(program);
    match call(&Call { program, words: &words, input: b"", limit: VERSION_LIMIT }) {
        Err(CallError::Missing) => None,
        Err(_) => Some(String::new()),
        Ok(said) => {
            let text = String::from_utf8_lossy(&said.out).into_owned();
            Some(text.lines().next().unwrap_or_default().trim().to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_a_missing_program_from_a_silent_one() {
        assert_eq!(version("/nonexistent/qemu-img"), None);
        assert!(version("/bin/false").is_some());
    }
}
