//! Records that stand before a member and say more of it: GNU long names and pax.

use code::Code;

use crate::{Error, Kind, Place};

/// The longest record that is read, in bytes (ours; the `tar` crate would read 8 MiB).
pub(super) const MAX_RECORD_BYTES: u64 = 64 << 10;

/// What the records before a member say of it.
#[derive(Debug, Default)]
pub(super) struct Extension {
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
    long_link: bool,
}

/// The keys of a pax record that matter.
#[derive(Debug, Default, PartialEq, Eq)]
struct Pax {
    path: Option<Vec<u8>>,
    length_bytes: Option<u64>,
}

impl Extension {
    /// Whether nothing stands before the member.
    pub(super) const fn is_empty(&self) -> bool {
        self.pax.is_none() && self.long_name.is_none() && !self.long_link
    }

    /// The name that replaces the one of the header.
    pub(super) fn name(&self) -> Option<&[u8]> {
        let pax = self.pax.as_ref().and_then(|pax| pax.path.as_deref());
        pax.or(self.long_name.as_deref())
    }

    /// The length that pax states.
    pub(super) fn length_bytes(&self) -> Option<u64> {
        self.pax.as_ref().and_then(|pax| pax.length_bytes)
    }

    /// Takes a pax record.
    pub(super) fn add_pax(&mut self, record: &[u8], offset: u64) -> Result<(), Error> {
        if self.pax.is_some() {
            return Err(bad("two pax records for one tar entry", offset));
        }
        self.pax = Some(Pax::parse(record, offset)?);
        self.check_mix(offset)
    }

    /// Takes a long name.
    pub(super) fn add_long_name(&mut self, record: &[u8], offset: u64) -> Result<(), Error> {
        if self.long_name.is_some() {
            return Err(bad("two long names for one tar entry", offset));
        }
        let end = record.iter().position(|byte| *byte == 0).unwrap_or(record.len());
        self.long_name = record.get(..end).map(<[u8]>::to_vec);
        self.check_mix(offset)
    }

    /// Takes the target of a link, which says nothing of a file.
    pub(super) fn add_long_link(&mut self, offset: u64) -> Result<(), Error> {
        self.long_link = true;
        self.check_mix(offset)
    }

    /// No writer mixes them, and two readings of one member are one too many.
    fn check_mix(&self, offset: u64) -> Result<(), Error> {
        if self.pax.is_some() && (self.long_name.is_some() || self.long_link) {
            return Err(bad("pax and GNU records for one tar entry", offset));
        }
        Ok(())
    }
}

/// Checks a pax record for all members: none of them may be renamed or resized by it.
pub(super) fn check_global(record: &[u8], offset: u64) -> Result<(), Error> {
    if Pax::parse(record, offset)? == Pax::default() {
        Ok(())
    } else {
        Err(bad("a global pax record sets a name or a size", offset))
    }
}

impl Pax {
    /// Reads `length key=value\n` records (POSIX.1-2001, pax).
    fn parse(record: &[u8], offset: u64) -> Result<Self, Error> {
        let malformed = || bad("a pax record is malformed", offset);
        let mut pax = Self::default();
        let mut rest = record;
        // Some writers fill the record up with NULs.
        while rest.first().is_some_and(|byte| *byte != 0) {
            let blank = rest.iter().position(|byte| *byte == b' ').ok_or_else(malformed)?;
            let (digits, _) = rest.split_at_checked(blank).ok_or_else(malformed)?;
            let length: usize = decimal(digits)
                .and_then(|length| usize::try_from(length).ok())
                .ok_or_else(malformed)?;
            let (line, after) = rest.split_at_checked(length).ok_or_else(malformed)?;
            let pair = line.get(blank.saturating_add(1)..).ok_or_else(malformed)?;
            let pair = pair.strip_suffix(b"\n").ok_or_else(malformed)?;
            let equals = pair.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
            let (key, value) = pair.split_at_checked(equals).ok_or_else(malformed)?;
            pax.set(key, value.get(1..).unwrap_or_default(), offset)?;
            rest = after;
        }
        Ok(pax)
    }

    fn set(&mut self, key: &[u8], value: &[u8], offset: u64) -> Result<(), Error> {
        let is_new = match key {
            b"path" => self.path.replace(value.to_vec()).is_none(),
            b"size" => {
                let size = decimal(value).ok_or_else(|| bad("a pax size is no number", offset))?;
                self.length_bytes.replace(size).is_none()
            }
            key if key.starts_with(b"GNU.sparse.") => {
                let message = "a tar entry is a sparse file, only regular files are allowed";
                return Err(
                    Error::new(Code::E0105, Kind::Denied, message).at(Place::Offset(offset))
                );
            }
            _ => true,
        };
        if is_new { Ok(()) } else { Err(bad("a pax record states one key twice", offset)) }
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn bad(message: &str, offset: u64) -> Error {
    Error::malformed(Code::E0101, message).at(Place::Offset(offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_path_and_size_of_a_pax_record() {
        let pax = Pax::parse(b"17 path=a/b.vmdk\n9 size=7\n11 mtime=1\n\0\0", 0).unwrap();
        assert_eq!(pax, Pax { path: Some(b"a/b.vmdk".to_vec()), length_bytes: Some(7) });
    }

    #[test]
    fn refuses_malformed_pax_records() {
        for (record, want) in [
            (&b"x"[..], "a pax record is malformed (at byte 9)"),
            (b"5 a=b", "a pax record is malformed (at byte 9)"),
            (b"99 a=b\n", "a pax record is malformed (at byte 9)"),
            (b"2 a=b\n", "a pax record is malformed (at byte 9)"),
            (b"5 ab\n", "a pax record is malformed (at byte 9)"),
            (b"99999999999999999999999 a=b\n", "a pax record is malformed (at byte 9)"),
            (b"10 size=-1\n", "a pax record is malformed (at byte 9)"),
            (b"11 size=-1\n", "a pax size is no number (at byte 9)"),
            (b"9 size=1\n9 size=2\n", "a pax record states one key twice (at byte 9)"),
            (b"24 GNU.sparse.realsize=1\n", "a pax record is malformed (at byte 9)"),
            (
                b"25 GNU.sparse.realsize=1\n",
                "a tar entry is a sparse file, only regular files are allowed (at byte 9)",
            ),
        ] {
            assert_eq!(Pax::parse(record, 9).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn refuses_pax_and_gnu_records_for_one_member() {
        let mut extension = Extension::default();
        extension.add_long_name(b"name\0", 0).unwrap();
        assert_eq!(extension.name(), Some(&b"name"[..]));
        let error = extension.add_pax(b"9 size=1\n", 512).unwrap_err();
        assert_eq!(error.to_string(), "pax and GNU records for one tar entry (at byte 512)");
    }
}
