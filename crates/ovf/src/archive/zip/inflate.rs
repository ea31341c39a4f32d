//! A deflated member, as it is unpacked.

use std::{
    fmt,
    io::{self, Read},
};

use code::Code;
use flate2::{Crc, read::DeflateDecoder};

use super::{super::Member, Method};
use crate::{EntryName, Error};

/// The bytes of a deflated member, front to end. Length and CRC are compared at the end.
pub struct Inflate<R> {
    decoder: DeflateDecoder<R>,
    name: EntryName,
    crc: Crc,
    wanted_crc: u32,
    /// Unpacked bytes that are still due.
    due_bytes: u64,
}

impl<R: Read> Inflate<R> {
    /// Takes the packed bytes of a member; `None` for a member that is stored as it is.
    pub fn new(packed: R, member: &Member, method: Method) -> Option<Self> {
        let Method::Deflated { crc: wanted_crc, .. } = method else { return None };
        Some(Self {
            decoder: DeflateDecoder::new(packed),
            name: member.name.clone(),
            crc: Crc::new(),
            wanted_crc,
            due_bytes: member.length_bytes,
        })
    }

    fn damaged(&self, what: &str) -> Error {
        let message = format!("{} is damaged in the ZIP archive: {what}", self.name);
        Error::malformed(Code::E0102, message)
    }

    fn unpack(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidData
            | io::ErrorKind::UnexpectedEof => {
                io::Error::other(self.damaged("it is no deflate stream").caused_by(error))
            }
            _ => error,
        })
    }

    /// Checks that the stream ends where it should, and with what it should.
    fn check_end(&mut self) -> io::Result<()> {
        if self.unpack(&mut [0])? != 0 {
            return Err(io::Error::other(self.damaged("it is longer than the directory says")));
        }
        let found = self.crc.sum();
        if found != self.wanted_crc {
            let what = format!("its CRC-32 is {found:08x}, {:08x} is due", self.wanted_crc);
            return Err(io::Error::other(self.damaged(&what)));
        }
        Ok(())
    }
}

impl<R: Read> Read for Inflate<R> {
    /// Reads on.
    ///
    /// # Errors
    /// What reading gives; one whose source is an `E0102` when the member is damaged.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.due_bytes).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..most).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let count = self.unpack(buffer)?;
        if count == 0 {
            let what = format!("{} bytes are missing", self.due_bytes);
            return Err(io::Error::other(self.damaged(&what)));
        }
        self.crc.update(buffer.get(..count).unwrap_or_default());
        self.due_bytes = self.due_bytes.saturating_sub(count as u64);
        if self.due_bytes == 0 {
            self.check_end()?;
        }
        Ok(count)
    }
}

impl<R> fmt::Debug for Inflate<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflate").field("name", &self.name).finish_non_exhaustive()
    }
}
