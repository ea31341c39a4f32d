//! The header extensions, between the header and the end of cluster 0.

use crate::{
    Error, FileName, Result,
    fields::{be32, be64, buffer_len},
    qcow2::header::Header,
};

/// The extension that says which format the backing file has.
pub(super) const BACKING_FORMAT: u32 = 0xe279_2aca;

/// The extension that holds the name of an external data file.
const DATA_FILE: u32 = 0x4441_5441;

/// The extension that says where persistent bitmaps are.
const BITMAPS: u32 = 0x2385_2875;

/// The number of bitmaps that QEMU allows.
const MAX_BITMAPS: u32 = 65535;

/// What the extensions say; those that matter to no reader are skipped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Extensions {
    /// The format of the backing file, in QEMU's words.
    pub(super) backing_format: Option<String>,
    /// The name of the external data file.
    pub(super) data_file: Option<FileName>,
    /// Where the persistent bitmaps are.
    pub(super) bitmaps: Option<Bitmaps>,
}

/// The directory of persistent bitmaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bitmaps {
    /// The number of its entries, at most 65535.
    pub(super) count: u32,
    /// The first byte of the directory.
    pub(super) offset_bytes: u64,
    /// The length of the directory.
    pub(super) len_bytes: u64,
}

#[derive(Debug, thiserror::Error)]
enum ExtensionError {
    #[error("header extension {kind:#010x} of {len} bytes is not inside cluster 0")]
    Outside { kind: u32, len: u32 },
    #[error("the bitmaps extension has {0} bytes, not 24")]
    BitmapsLength(u32),
    #[error("{0} bitmaps are over the limit of {MAX_BITMAPS}")]
    Bitmaps(u32),
    #[error("an external data file is named, and incompatible feature bit 2 is not set")]
    DataFile,
}

impl Extensions {
    /// Reads the extensions of cluster 0.
    pub(super) fn parse(header: &Header, cluster: &[u8]) -> Result<Self> {
        let mut found = Self::default();
        for entry in entries(header, cluster)? {
            let fail = |leaf| Error::malformed(leaf).at(entry.at_bytes);
            found.take(entry.kind, entry.data, header).map_err(fail)?;
        }
        Ok(found)
    }

    fn take(
        &mut self,
        kind: u32,
        data: &[u8],
        header: &Header,
    ) -> std::result::Result<(), ExtensionError> {
        let text = String::from_utf8_lossy(data);
        match kind {
            BACKING_FORMAT => self.backing_format = Some(text.into_owned()),
            DATA_FILE if header.has_data_file() => {
                self.data_file = Some(FileName::decoded(&text, data));
            }
            DATA_FILE => return Err(ExtensionError::DataFile),
            BITMAPS => self.bitmaps = Some(Bitmaps::parse(data)?),
            _ => {}
        }
        Ok(())
    }
}

/// An extension as it stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'c> {
    /// What it is.
    pub(super) kind: u32,
    /// What it holds.
    pub(super) data: &'c [u8],
    at_bytes: u64,
}

impl Entry<'_> {
    /// Where the next one begins.
    pub(super) fn end_bytes(&self) -> u64 {
        let len = u64::try_from(self.data.len()).unwrap_or(u64::MAX);
        let padded = len.checked_next_multiple_of(8).unwrap_or(u64::MAX);
        self.at_bytes.saturating_add(8).saturating_add(padded)
    }
}

/// Lists the extensions of cluster 0; they end where the name of a backing file begins.
pub(super) fn entries<'c>(header: &Header, cluster: &'c [u8]) -> Result<Vec<Entry<'c>>> {
    let mut entries = Vec::new();
    let mut at_bytes = header.header_bytes();
    let end = header.extensions_end_bytes();
    let area = cluster.get(..buffer_len(end)).unwrap_or(cluster);
    loop {
        let rest = area.get(buffer_len(at_bytes)..).unwrap_or_default();
        let (Some(kind), Some(len)) = (be32(rest, 0), be32(rest, 4)) else { break };
        if kind == 0 {
            break;
        }
        let data = buffer_len(u64::from(len)).checked_add(8).and_then(|end| rest.get(8..end));
        let outside = || Error::malformed(ExtensionError::Outside { kind, len }).at(at_bytes);
        let entry = Entry { kind, data: data.ok_or_else(outside)?, at_bytes };
        at_bytes = entry.end_bytes();
        entries.push(entry);
    }
    Ok(entries)
}

impl Bitmaps {
    /// Layout: "Bitmaps extension".
    fn parse(data: &[u8]) -> std::result::Result<Self, ExtensionError> {
        let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let (Some(count), Some(len_bytes), Some(offset_bytes), 24) =
            (be32(data, 0), be64(data, 8), be64(data, 16), len)
        else {
            return Err(ExtensionError::BitmapsLength(len));
        };
        if count > MAX_BITMAPS {
            return Err(ExtensionError::Bitmaps(count));
        }
        Ok(Self { count, offset_bytes, len_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qcow2::header::tests::{good, put32, put64};

    fn parse(bytes: &[u8]) -> Result<Extensions> {
        Extensions::parse(&Header::parse(bytes).unwrap(), bytes)
    }

    /// Feature names (skipped), bitmaps, backing format.
    fn extended() -> Vec<u8> {
        let mut b = good();
        put32(&mut b, 112, 0x6803_f857);
        put32(&mut b, 116, 3);
        put32(&mut b, 128, BITMAPS);
        put32(&mut b, 132, 24);
        put32(&mut b, 136, 2);
        put64(&mut b, 144, 64);
        put64(&mut b, 152, 0x50000);
        put32(&mut b, 160, BACKING_FORMAT);
        put32(&mut b, 164, 3);
        b[168..171].copy_from_slice(b"raw");
        b
    }

    #[test]
    fn reads_those_that_matter_and_skips_the_others() {
        let found = parse(&extended()).unwrap();
        let bitmaps = Bitmaps { count: 2, offset_bytes: 0x50000, len_bytes: 64 };
        assert_eq!(found.bitmaps, Some(bitmaps));
        assert_eq!((found.backing_format.as_deref(), &found.data_file), (Some("raw"), &None));
        assert_eq!(parse(&good()).unwrap(), Extensions::default());
    }

    #[test]
    fn names_a_data_file_only_where_the_feature_bit_says_so() {
        let mut b = extended();
        put32(&mut b, 176, DATA_FILE);
        put32(&mut b, 180, 4);
        b[184..188].copy_from_slice(b"d.\xffw");
        let want = "an external data file is named, and incompatible feature bit 2 is not set, at byte 176";
        assert_eq!(parse(&b).unwrap_err().to_string(), want);
        put32(&mut b, 76, 4);
        let name = parse(&b).unwrap().data_file.unwrap();
        assert_eq!((name.text(), name.raw()), ("d.\u{fffd}w", Some(&b"d.\xffw"[..])));
    }

    #[test]
    fn names_the_extension_that_is_wrong() {
        for (at, value, want) in [
            (
                132,
                u32::MAX,
                "header extension 0x23852875 of 4294967295 bytes is not inside cluster 0, at byte 128",
            ),
            (132, 16, "the bitmaps extension has 16 bytes, not 24, at byte 128"),
            (136, 65536, "65536 bitmaps are over the limit of 65535, at byte 128"),
            (
                164,
                65536 - 168 + 1,
                "header extension 0xe2792aca of 65369 bytes is not inside cluster 0, at byte 160",
            ),
        ] {
            let mut b = extended();
            put32(&mut b, at, value);
            assert_eq!(parse(&b).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn end_where_the_name_of_the_backing_file_begins() {
        let mut b = extended();
        put64(&mut b, 8, 171);
        put32(&mut b, 16, 4);
        put32(&mut b, 171, 0xffff_ffff);
        assert_eq!(parse(&b).unwrap().backing_format.as_deref(), Some("raw"));
        put64(&mut b, 8, 170);
        assert!(parse(&b).unwrap_err().to_string().contains("not inside cluster 0"));
    }

    #[test]
    fn cut_anywhere_they_are_refused_or_end_there() {
        let b = extended();
        let header = Header::parse(&b).unwrap();
        for len in 0..200 {
            if let Ok(found) = Extensions::parse(&header, &b[..len]) {
                assert!(found.bitmaps.is_none() || len >= 160, "{len}");
            }
        }
    }
}
