//! The file identifier and the two headers, of which one is current.

use std::ops::Range;

use crate::{
    Error, ReadAt, Result, Warning,
    fields::{le16, le32, le64},
    vhdx::{
        MIB,
        checksum::{self, Unsound},
        guid::Guid,
    },
};

/// The identifier at byte 0.
const IDENTIFIER: &[u8; 8] = b"vhdxfile";

/// The part of the file that holds identifier, headers and region tables ([MS-VHDX] 2.2).
pub(super) const HEADER_SECTION_BYTES: u64 = MIB;

/// Where the two headers are.
const HEADERS_AT: [u64; 2] = [64 << 10, 128 << 10];

/// The bytes of a header.
const HEADER_BYTES: usize = 4096;

/// What is used of the current header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    sequence: u64,
    /// Changes when the disk's content does: what a child calls its parent by.
    data_write_guid: Guid,
    log_guid: Guid,
    log: Range<u64>,
}

#[derive(Debug, thiserror::Error)]
enum HeaderError {
    #[error("a file of {0} bytes is cut: its header section alone has {HEADER_SECTION_BYTES}")]
    Cut(u64),
    #[error("the file identifier is not vhdxfile")]
    Identifier,
    #[error("neither header can be used; the first: {0}; the second: {1}")]
    Neither(Unsound, Unsound),
    #[error("both headers have the sequence number {0}, and they differ")]
    Twins(u64),
    #[error("VHDX version {0} is not 1")]
    Version(u16),
    #[error("the log is not empty, and its version {0} is not 0")]
    LogVersion(u16),
    #[error(
        "a log of {len} bytes at byte {at}: both are multiples of {MIB}, and it starts at {MIB} at least"
    )]
    LogPlace { at: u64, len: u32 },
}

impl Header {
    /// Reads both headers and takes the sound one with the higher sequence number.
    pub(super) fn read(bytes: &dyn ReadAt) -> Result<(Self, Option<Warning>)> {
        let file_bytes = bytes.len_bytes();
        if file_bytes < HEADER_SECTION_BYTES {
            return Err(Error::malformed(HeaderError::Cut(file_bytes)));
        }
        let mut identifier = [0; IDENTIFIER.len()];
        bytes.fill(&mut identifier, 0)?;
        if &identifier != IDENTIFIER {
            return Err(Error::malformed(HeaderError::Identifier).at(0));
        }
        let [mut first, mut second] = [[0; HEADER_BYTES]; 2];
        let [first_at, second_at] = HEADERS_AT;
        bytes.fill(&mut first, first_at)?;
        bytes.fill(&mut second, second_at)?;
        let sound = |copy: &[u8]| checksum::verify(copy, "head");
        let unused = |at, why| {
            Some(Warning::defect(at, format!("a header is not sound, the other is used: {why}")))
        };
        match (sound(&first), sound(&second)) {
            (Ok(()), Ok(())) => {
                let (one, two) = (sequence(&first), sequence(&second));
                if one == two && first != second {
                    return Err(Error::malformed(HeaderError::Twins(one)).at(first_at));
                }
                let current = if two > one { (&second, second_at) } else { (&first, first_at) };
                Ok((Self::parse(current.0, current.1)?, None))
            }
            (Ok(()), Err(why)) => Ok((Self::parse(&first, first_at)?, unused(second_at, why))),
            (Err(why), Ok(())) => Ok((Self::parse(&second, second_at)?, unused(first_at, why))),
            (Err(one), Err(two)) => {
                Err(Error::malformed(HeaderError::Neither(one, two)).at(first_at))
            }
        }
    }

    /// Layout: [MS-VHDX] 2.2.2, "Headers".
    fn parse(copy: &[u8; HEADER_BYTES], at: u64) -> Result<Self> {
        let word = |at| le16(copy, at).unwrap_or_default();
        let guid = |at| Guid::at(copy, at).unwrap_or(Guid::NIL);
        let (log_version, version) = (word(64), word(66));
        if version != 1 {
            return Err(Error::unsupported(HeaderError::Version(version)).at(at.saturating_add(66)));
        }
        let log_guid = guid(48);
        if log_guid != Guid::NIL && log_version != 0 {
            let leaf = HeaderError::LogVersion(log_version);
            return Err(Error::unsupported(leaf).at(at.saturating_add(64)));
        }
        let len = le32(copy, 68).unwrap_or_default();
        let log_at = le64(copy, 72).unwrap_or_default();
        let len_bytes = u64::from(len);
        let aligned = len_bytes.is_multiple_of(MIB) && log_at.is_multiple_of(MIB);
        let placed = len == 0 || log_at >= HEADER_SECTION_BYTES;
        let end = log_at.checked_add(len_bytes).filter(|_| aligned && placed);
        let end = end.ok_or_else(|| {
            Error::malformed(HeaderError::LogPlace { at: log_at, len }).at(at.saturating_add(68))
        })?;
        let log = log_at..end;
        Ok(Self { sequence: sequence(copy), data_write_guid: guid(32), log_guid, log })
    }

    /// What a child calls this disk by.
    pub(super) fn data_write_guid(&self) -> Guid {
        self.data_write_guid
    }

    /// The GUID that the entries of the log must have; `None` when the log is empty.
    pub(super) fn log_guid(&self) -> Option<Guid> {
        (self.log_guid != Guid::NIL).then_some(self.log_guid)
    }

    /// Where the log is. It need not lie inside the file when it is empty.
    pub(super) fn log(&self) -> Range<u64> {
        self.log.clone()
    }
}

/// The sequence number of a header.
fn sequence(copy: &[u8]) -> u64 {
    le64(copy, 8).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    /// Two headers with the sequence numbers 1 and 2.
    fn good() -> Vec<u8> {
        let mut file = vec![0; 1 << 20];
        file[..8].copy_from_slice(IDENTIFIER);
        for (sequence, at) in [(1_u64, 64 << 10), (2, 128 << 10)] {
            file[at..at + 4].copy_from_slice(b"head");
            file[at + 8..at + 16].copy_from_slice(&sequence.to_le_bytes());
            file[at + 32..at + 48].fill(7);
            file[at + 66] = 1;
            file[at + 68..at + 72].copy_from_slice(&(2_u32 << 20).to_le_bytes());
            file[at + 72..at + 80].copy_from_slice(&(1_u64 << 20).to_le_bytes());
            seal(&mut file, at);
        }
        file
    }

    fn seal(file: &mut [u8], at: usize) {
        let sum = checksum::without_field(&file[at..at + HEADER_BYTES]);
        file[at + 4..at + 8].copy_from_slice(&sum.to_le_bytes());
    }

    fn read(file: &[u8]) -> Result<(Header, Option<Warning>)> {
        Header::read(&file.to_vec())
    }

    #[test]
    fn the_header_with_the_higher_sequence_number_is_current() {
        let (header, warning) = read(&good()).unwrap();
        assert_eq!((header.sequence, warning), (2, None));
        assert_eq!((header.log_guid(), header.log()), (None, 1 << 20..3 << 20));
        assert_eq!(header.data_write_guid().to_string(), "07070707-0707-0707-0707-070707070707");
    }

    #[test]
    fn one_sound_header_is_enough_and_is_told() {
        let mut file = good();
        file[131_072 + 100] = 1;
        let (header, warning) = read(&file).unwrap();
        assert_eq!(header.sequence, 1);
        let warning = warning.unwrap().to_string();
        let start = "a header is not sound, the other is used: its CRC-32C is 0x";
        assert!(warning.starts_with(start) && warning.ends_with(", at byte 131072"), "{warning}");
        let mut file = good();
        file[65_536] = 0;
        let (header, warning) = read(&file).unwrap();
        let want =
            "a header is not sound, the other is used: its signature is not head, at byte 65536";
        assert_eq!((header.sequence, warning.unwrap().to_string().as_str()), (2, want));
    }

    #[test]
    fn refuses_two_headers_that_contradict_each_other() {
        let mut file = good();
        file[131_072 + 8] = 1;
        seal(&mut file, 131_072);
        let mut twins = file.clone();
        assert_eq!(read(&file).unwrap().0.sequence, 1);
        twins[131_072 + 100] = 1;
        seal(&mut twins, 131_072);
        let want = "both headers have the sequence number 1, and they differ, at byte 65536";
        assert_eq!(read(&twins).unwrap_err().to_string(), want);
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        for (field, bytes, kind, want) in [
            (66, &[2_u8][..], Kind::Unsupported, "VHDX version 2 is not 1, at byte 131138"),
            (
                68,
                &[1],
                Kind::Malformed,
                "a log of 2097153 bytes at byte 1048576: both are multiples of 1048576, and it starts at 1048576 at least, at byte 131140",
            ),
            (
                72,
                &[0; 8],
                Kind::Malformed,
                "a log of 2097152 bytes at byte 0: both are multiples of 1048576, and it starts at 1048576 at least, at byte 131140",
            ),
            (
                74,
                &[0xf0, 0xff, 0xff, 0xff, 0xff, 0xff],
                Kind::Malformed,
                "a log of 2097152 bytes at byte 18446744073708503040: both are multiples of 1048576, and it starts at 1048576 at least, at byte 131140",
            ),
            (
                48,
                &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3],
                Kind::Unsupported,
                "the log is not empty, and its version 3 is not 0, at byte 131136",
            ),
        ] {
            let mut file = good();
            let at = 131_072 + field;
            file[at..at + bytes.len()].copy_from_slice(bytes);
            seal(&mut file, 131_072);
            let error = read(&file).unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (kind, want));
        }
        let mut file = good();
        file[0] = 0;
        let error = read(&file).unwrap_err();
        assert_eq!(error.to_string(), "the file identifier is not vhdxfile, at byte 0");
    }

    #[test]
    fn refuses_a_file_without_a_sound_header_and_one_that_is_cut() {
        let mut file = good();
        file[65_536] = 0;
        file[131_072] = 0;
        let want = "neither header can be used; the first: its signature is not head; the second: its signature is not head, at byte 65536";
        assert_eq!(read(&file).unwrap_err().to_string(), want);
        let good = good();
        for len in [0, 1, 8, 65_536, 65_600, 135_167, 135_168, (1 << 20) - 1] {
            let want =
                format!("a file of {len} bytes is cut: its header section alone has 1048576");
            assert_eq!(read(&good[..len]).unwrap_err().to_string(), want);
        }
    }
}
