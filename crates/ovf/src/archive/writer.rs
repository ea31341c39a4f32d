//! Writing an OVA.

use std::io::{self, Write};

use code::Code;
use tar::{EntryType, Header};

use super::block::{BLOCK, BLOCK_BYTES};
use crate::{EntryName, Error, Kind, quote};

/// A block of zeros: padding, and one half of the end.
const ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

/// Writes an archive whose bytes depend on its names, lengths and contents only.
///
/// Headers are ustar (POSIX.1-1988) with owner 0, mode 0644 and one given time; a length of 8 GiB
/// and more is base-256, as GNU tar writes it.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    mtime_seconds: u64,
    /// The length of the current member.
    length_bytes: u64,
    /// Bytes of the current member that are still due.
    due_bytes: u64,
}

impl<W: Write> Writer<W> {
    /// Begins an archive; every member gets this time, in seconds since 1970.
    pub const fn new(out: W, mtime_seconds: u64) -> Self {
        Self { out, mtime_seconds, length_bytes: 0, due_bytes: 0 }
    }

    /// Begins a member of exactly this length.
    ///
    /// # Errors
    /// `E0508` when writing fails or the member before is not complete, `E0106` for a name that no
    /// ustar header can hold.
    pub fn begin(&mut self, name: &EntryName, length_bytes: u64) -> Result<(), Error> {
        self.end_member()?;
        let mut header = Header::new_ustar();
        header.set_path(name.as_str()).map_err(|error| {
            let quoted = quote::Quoted(name.as_str());
            let message = format!("the name {quoted} is too long for a tar header");
            Error::limit(Code::E0106, message).caused_by(error)
        })?;
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.mtime_seconds);
        header.set_size(length_bytes);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.length_bytes = length_bytes;
        self.due_bytes = length_bytes;
        Ok(())
    }

    /// Ends the archive with its two zero blocks and gives the output back.
    ///
    /// # Errors
    /// `E0508` when writing fails or the last member is not complete.
    pub fn finish(mut self) -> Result<W, Error> {
        self.end_member()?;
        self.out.write_all(&ZEROS)?;
        self.out.write_all(&ZEROS)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn end_member(&mut self) -> Result<(), Error> {
        if self.due_bytes > 0 {
            let message = format!(
                "{} of {} bytes of a tar entry were not written",
                self.due_bytes, self.length_bytes
            );
            return Err(Error::new(Code::E0508, Kind::Io, message));
        }
        let filled = self.length_bytes.checked_rem(BLOCK).unwrap_or(0);
        let padding = if filled == 0 { 0 } else { BLOCK.saturating_sub(filled) };
        let padding = usize::try_from(padding).unwrap_or(0);
        self.out.write_all(ZEROS.get(..padding).unwrap_or_default())?;
        self.length_bytes = 0;
        Ok(())
    }
}

impl<W: Write> Write for Writer<W> {
    /// Writes bytes of the current member; more than its length is an error.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let wanted = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if wanted > self.due_bytes {
            let message = format!("{wanted} bytes for a tar entry, {} are due", self.due_bytes);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let count = self.out.write(bytes)?;
        let written = u64::try_from(count).unwrap_or(u64::MAX);
        self.due_bytes = self.due_bytes.saturating_sub(written);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::{super::Index, *};

    fn name(text: &str) -> EntryName {
        EntryName::parse(text).unwrap()
    }

    #[test]
    fn writes_the_same_bytes_every_time() {
        let write = || {
            let mut writer = Writer::new(Vec::new(), 0);
            writer.begin(&name("a.ovf"), 3).unwrap();
            writer.write_all(b"abc").unwrap();
            writer.begin(&name("empty"), 0).unwrap();
            writer.finish().unwrap()
        };
        let bytes = write();
        assert_eq!(bytes, write());
        assert_eq!(bytes.len(), 512 + 512 + 512 + 1024);
        assert_eq!(&bytes[100..108], b"0000644\0");
        assert_eq!(&bytes[257..263], b"ustar\0");
    }

    #[test]
    fn a_length_that_octal_cannot_hold_is_base_256() {
        let mut writer = Writer::new(Vec::new(), 0);
        writer.begin(&name("disk"), 9 << 30).unwrap();
        assert_eq!(writer.out[124..136], [0x80, 0, 0, 0, 0, 0, 0, 2, 0x40, 0, 0, 0]);
    }

    #[test]
    fn refuses_too_much_too_little_and_a_name_that_does_not_fit() {
        let mut writer = Writer::new(Vec::new(), 0);
        writer.begin(&name("a"), 2).unwrap();
        let error = writer.write_all(b"abc").unwrap_err();
        assert_eq!(error.to_string(), "3 bytes for a tar entry, 2 are due");
        writer.write_all(b"a").unwrap();
        let error = writer.begin(&name("b"), 0).unwrap_err();
        assert_eq!(error.to_string(), "1 of 2 bytes of a tar entry were not written");
        let error = Writer::new(Vec::new(), 0).begin(&name(&"n".repeat(150)), 0).unwrap_err();
        assert!(error.message().ends_with("is too long for a tar header"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            files in prop::collection::btree_map("[a-z]{1,8}(\\.[a-z]{1,4})?", prop::collection::vec(any::<u8>(), 0..1500), 1..6)
        ) {
            let mut writer = Writer::new(Vec::new(), 7);
            for (text, payload) in &files {
                writer.begin(&name(text), payload.len() as u64).unwrap();
                writer.write_all(payload).unwrap();
            }
            let bytes = writer.finish().unwrap();
            let index = Index::read(Cursor::new(&bytes)).unwrap();
            prop_assert_eq!(index.length_bytes, bytes.len() as u64);
            prop_assert_eq!(index.members.len(), files.len());
            for (member, (text, payload)) in index.members.iter().zip(&files) {
                let start = usize::try_from(member.offset_bytes).unwrap();
                prop_assert_eq!(member.name.as_str(), text.as_str());
                prop_assert_eq!(&bytes[start..start + payload.len()], payload.as_slice());
            }
        }
    }
}
