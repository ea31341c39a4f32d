//! One compressed grain: its record in the file, checked and inflated.

use crate::{
    Error, Result,
    fields::{buffer_len, le32, le64},
    workbench::{InflateError, Inflater},
};

/// The bytes before the zlib stream of a grain: its first sector (u64) and the length (u32).
pub(super) const RECORD_HEADER_BYTES: u64 = 12;

/// Which grain it is, for the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct GrainPlace {
    /// The number of the grain in the disk.
    pub(super) index: u64,
    /// The byte of the file that its record starts at.
    pub(super) offset_bytes: u64,
    /// What a whole grain has.
    pub(super) grain_bytes: u64,
}

/// What is wrong with a grain.
#[derive(Debug, thiserror::Error)]
pub(super) enum GrainError {
    #[error("grain {0}: its record is cut")]
    Cut(u64),
    #[error("grain {index}: its header names sector {found}, not {wanted}")]
    OtherGrain { index: u64, found: u64, wanted: u64 },
    #[error(
        "grain {index}: its stream has {len} bytes, up to the next grain or the end are {room}"
    )]
    NoRoom { index: u64, len: u64, room: u64 },
    #[error("grain {index}: its stream has {len} bytes, at most {max} are allowed")]
    TooLong { index: u64, len: u64, max: u64 },
    #[error("grain {0}: {1}")]
    Inflate(u64, InflateError),
}

impl GrainPlace {
    /// An error about this grain, at its place.
    pub(super) fn error(&self, leaf: GrainError) -> Error {
        Error::malformed(leaf).at(self.offset_bytes)
    }

    /// The first sector of the grain in the disk.
    fn first_sector(&self) -> u64 {
        self.index.saturating_mul(self.grain_bytes / super::header::SECTOR_BYTES)
    }

    /// The zlib stream in a record that may be longer than the grain needs.
    pub(super) fn stream<'a>(&self, record: &'a [u8]) -> Result<&'a [u8]> {
        let (found, len) =
            record_header(record).ok_or_else(|| self.error(GrainError::Cut(self.index)))?;
        let (index, wanted) = (self.index, self.first_sector());
        if found != wanted {
            return Err(self.error(GrainError::OtherGrain { index, found, wanted }));
        }
        let room = (record.len() as u64).saturating_sub(RECORD_HEADER_BYTES);
        let stream = record.get(buffer_len(RECORD_HEADER_BYTES)..);
        stream
            .and_then(|stream| stream.get(..buffer_len(len)))
            .ok_or_else(|| self.error(GrainError::NoRoom { index, len, room }))
    }

    /// Inflates the stream into `out`, which has the grain's length in the disk.
    ///
    /// The last grain of a disk may be short there, and stored short or at full length: it is
    /// inflated into `grain` first.
    pub(crate) fn inflate(
        &self,
        stream: &[u8],
        inflater: &mut Inflater,
        grain: &mut Vec<u8>,
        out: &mut [u8],
    ) -> Result<()> {
        let fail = |leaf| self.error(GrainError::Inflate(self.index, leaf));
        let wanted = out.len();
        if wanted as u64 == self.grain_bytes {
            return match inflater.zlib(stream, out).map_err(fail)? {
                found if found == wanted => Ok(()),
                found => Err(fail(InflateError::Length { found, wanted })),
            };
        }
        grain.resize(buffer_len(self.grain_bytes), 0);
        let found = inflater.zlib(stream, grain).map_err(fail)?;
        match grain.get(..wanted) {
            Some(front) if found == wanted || found == grain.len() => {
                out.copy_from_slice(front);
                Ok(())
            }
            _ => Err(fail(InflateError::Length { found, wanted })),
        }
    }
}

/// The first sector of the grain and the length of its stream.
pub(super) fn record_header(record: &[u8]) -> Option<(u64, u64)> {
    Some((le64(record, 0)?, u64::from(le32(record, 8)?)))
}
