//! Files that are added to a line at a time and outlive a crash: journals and histories.
//!
//! ```text
//! whole line \n whole line \n torn            read: the torn one is handed over, the reader passes over it
//! whole line \n whole line \n torn \n next \n   added to: the torn one is ended first
//! ```

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    sync::{Mutex, PoisonError},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

/// The longest line that is read: the limit of this product.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// The largest file that is read: the limit of this product.
const MAX_BYTES: u64 = 1 << 30;

/// A file of lines that this process alone adds to, until it is dropped.
#[derive(Debug)]
pub struct Lines(Mutex<File>);

impl Lines {
    /// Opens or begins a file.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another process has it; the file cannot be opened.
    pub fn hold(path: &Path) -> io::Result<Self> {
        Self::open(path, FlockOperation::NonBlockingLockExclusive)
    }

    /// Adds a line and makes it durable.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn write(&self, line: &[u8]) -> io::Result<()> {
        let text = [line, b"\n"].concat();
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&text).and_then(|()| file.sync_data())
    }

    fn open(path: &Path, operation: FlockOperation) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).open(path)?;
        flock(&file, operation)?;
        end_last_line(&mut file)?;
        // The file's own name has to outlive a crash, too.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all())?;
        Ok(Self(Mutex::new(file)))
    }
}

/// Adds a line to a file that others add to as well, and makes it durable; waits for them for as long as
/// they need for a line.
///
/// # Errors
/// The file cannot be opened, the disk is full or fails.
pub fn append(path: &Path, line: &[u8]) -> io::Result<()> {
    Lines::open(path, FlockOperation::LockExclusive)?.write(line)
}

/// Whether a process holds a file; no file is held by nobody.
///
/// # Errors
/// The file cannot be opened.
pub fn is_held(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    // Shared, so that those who ask do not take each other for one who holds it.
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Hands over each line of a file; one that a crash cut short, or that is longer than 1 MiB, comes as
/// parts that mean nothing. No file is an empty one.
///
/// # Errors
/// The file cannot be read, or has more than 1 GiB.
pub fn read(path: &Path, told: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let length = file.metadata()?.len();
    if length > MAX_BYTES {
        let text = format!("it has {length} bytes, and {MAX_BYTES} are allowed");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    let (mut reader, mut text) = (BufReader::new(file), Vec::new());
    loop {
        text.clear();
        if (&mut reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut text)? == 0 {
            return Ok(());
        }
        told(&text);
    }
}

/// Ends a line that a crash cut short, so that the next one stands alone.
fn end_last_line(file: &mut File) -> io::Result<()> {
    if file.metadata()?.len() == 0 {
        return Ok(());
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(path: &Path) -> Vec<String> {
        let mut lines = Vec::new();
        read(path, &mut |line| lines.push(String::from_utf8_lossy(line).trim_end().to_owned()))
            .unwrap();
        lines
    }

    #[test]
    fn a_line_that_was_cut_is_ended_before_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        assert_eq!(all(&path), [""; 0]);
        append(&path, b"one").unwrap();
        File::options().append(true).open(&path).unwrap().write_all(b"tw").unwrap();
        append(&path, b"three").unwrap();
        assert_eq!(all(&path), ["one", "tw", "three"]);
    }

    #[test]
    fn a_file_that_is_held_is_refused_to_others_and_waited_for_by_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        let held = Lines::hold(&path).unwrap();
        assert_eq!(Lines::hold(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(is_held(&path).unwrap() && !is_held(&folder.path().join("none")).unwrap());
        std::thread::scope(|threads| {
            threads.spawn(|| append(&path, b"two"));
            held.write(b"one").unwrap();
            drop(held);
        });
        assert!(!is_held(&path).unwrap());
        assert_eq!(all(&path), ["one", "two"]);
    }
}
