//! Internal snapshots: their names, and the state of the disk when one was taken.

use crate::{
    Error, ReadAt, Result, Warning,
    error::{Kind, shown},
    fields::{be16, be32, be64, buffer_len},
    qcow2::{header::Header, open::front, state::State},
};

/// How many snapshots are named in a message; the others are counted.
const NAMED: usize = 8;

/// The bytes of an entry before its extra data.
const ENTRY_BYTES: u64 = 40;

/// The most extra data of an entry: QEMU's limit.
const MAX_EXTRA_BYTES: u64 = 1024;

/// The longest table: 16 MiB, the limit of this product (QEMU's is 64 MiB).
const MAX_TABLE_BYTES: u64 = 16 << 20;

/// An internal snapshot of a qcow2 image.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its id, unique in the image: a number as text.
    pub id: String,
    /// Its name, as somebody typed it.
    pub name: String,
    /// The virtual size of the disk at that time.
    pub size_bytes: u64,
    /// When it was taken, in seconds since 1970.
    pub date_seconds: u64,
    /// The length of the machine's memory that was saved with it; 0 for a snapshot of the disk.
    pub vm_state_bytes: u64,
}

/// An entry of the snapshot table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) snapshot: Snapshot,
    pub(super) l1_offset_bytes: u64,
    pub(super) l1_entries: u32,
    /// The bytes of the file that it takes.
    pub(super) start_bytes: u64,
    pub(super) end_bytes: u64,
}

#[derive(Debug, thiserror::Error)]
enum SnapshotError {
    #[error(
        "snapshot {number}: its entry of {len_bytes} bytes is not inside the file of {file_bytes}"
    )]
    Outside { number: u32, len_bytes: u64, file_bytes: u64 },
    #[error(
        "snapshot {number}: {found} bytes of extra data are over the limit of {MAX_EXTRA_BYTES}"
    )]
    Extra { number: u32, found: u64 },
    #[error("snapshot {0}: the table is over the limit of {MAX_TABLE_BYTES} bytes")]
    Table(u32),
    #[error("no snapshot is called '{wanted}', there are {known}")]
    Unknown { wanted: String, known: String },
    #[error("the image has no snapshots, '{0}' was asked for")]
    None(String),
    #[error("snapshot '{name}': {leaf}")]
    State { name: String, leaf: super::state::StateError },
}

/// Reads the names of the internal snapshots of a qcow2 image, in the order of its table.
///
/// # Errors
///
/// When the header or the table is damaged, over a limit, or cannot be read.
pub fn snapshots(bytes: &dyn ReadAt) -> Result<Vec<Snapshot>> {
    let (header, _) = front(bytes)?;
    Entries::new(bytes, &header).map(|entry| Ok(entry?.snapshot)).collect()
}

/// Warns that the snapshots of an image stay behind, by their names.
///
/// A damaged table is no reason not to read the active state: what can be read of it is named.
pub(super) fn warning(bytes: &dyn ReadAt, header: &Header) -> Result<Option<Warning>> {
    let (count, start) = header.snapshots();
    if count == 0 {
        return Ok(None);
    }
    let mut names = Vec::new();
    for entry in Entries::new(bytes, header).take(NAMED) {
        match entry {
            Ok(entry) => names.push(quoted(&entry.snapshot)),
            Err(error) if error.kind() == Kind::Io => return Err(error),
            Err(_) => break,
        }
    }
    let all = names.len() == buffer_len(u64::from(count));
    let more = if all { "" } else { ", …" };
    let names = names.join(", ");
    let message = format!("{count} internal snapshots are not carried over ({names}{more})");
    Ok(Some(Warning::oddity(start, message)))
}

/// The state of the disk when a snapshot was taken. An id goes before a name.
pub(super) fn state(bytes: &dyn ReadAt, header: &Header, name_or_id: &str) -> Result<State> {
    let entries = Entries::new(bytes, header).collect::<Result<Vec<_>>>()?;
    let by_id = entries.iter().find(|entry| entry.snapshot.id == name_or_id);
    let by_name = || entries.iter().find(|entry| entry.snapshot.name == name_or_id);
    let entry = by_id.or_else(by_name).ok_or_else(|| unknown(name_or_id, &entries))?;
    let state = entry.state();
    state.check(header).map_err(|leaf| {
        let kind = leaf.kind();
        let name = shown(&entry.snapshot.name);
        Error::new(kind, SnapshotError::State { name, leaf }).at(entry.start_bytes)
    })?;
    Ok(state)
}

fn unknown(wanted: &str, entries: &[Entry]) -> Error {
    let wanted = shown(wanted);
    if entries.is_empty() {
        return Error::new(Kind::Missing, SnapshotError::None(wanted));
    }
    let known: Vec<_> = entries.iter().take(NAMED).map(|entry| quoted(&entry.snapshot)).collect();
    let more = entries.len().saturating_sub(known.len());
    let known = known.join(", ");
    let known = if more == 0 { known } else { format!("{known} and {more} more") };
    Error::new(Kind::Missing, SnapshotError::Unknown { wanted, known })
}

fn quoted(snapshot: &Snapshot) -> String {
    format!("'{}'", shown(&snapshot.name))
}

impl Entry {
    /// The state that it keeps; it is not checked yet.
    pub(super) fn state(&self) -> State {
        State {
            size_bytes: self.snapshot.size_bytes,
            l1_offset_bytes: self.l1_offset_bytes,
            l1_entries: self.l1_entries,
        }
    }
}

/// The entries of the snapshot table, read one at a time; ends behind the first that is damaged.
pub(super) struct Entries<'a> {
    bytes: &'a dyn ReadAt,
    header: &'a Header,
    number: u32,
    at: u64,
    failed: bool,
}

impl<'a> Entries<'a> {
    pub(super) fn new(bytes: &'a dyn ReadAt, header: &'a Header) -> Self {
        Self { bytes, header, number: 0, at: header.snapshots().1, failed: false }
    }

    /// Layout: "Snapshots", the snapshot table entry.
    fn read(&self) -> Result<Entry> {
        let (number, at) = (self.number, self.at);
        let fail = |kind, leaf| Error::new(kind, leaf).at(at);
        let file_bytes = self.bytes.len_bytes();
        let inside = |len_bytes: u64| match at.checked_add(len_bytes) {
            Some(end) if end <= file_bytes => Ok(end),
            _ => {
                let leaf = SnapshotError::Outside { number, len_bytes, file_bytes };
                Err(fail(Kind::Malformed, leaf))
            }
        };
        inside(ENTRY_BYTES)?;
        let mut head = [0; 40];
        self.bytes.fill(&mut head, at)?;
        let id_bytes = u64::from(be16(&head, 12).unwrap_or_default());
        let name_bytes = u64::from(be16(&head, 14).unwrap_or_default());
        let extra_bytes = u64::from(be32(&head, 36).unwrap_or_default());
        if extra_bytes > MAX_EXTRA_BYTES {
            return Err(fail(Kind::Limit, SnapshotError::Extra { number, found: extra_bytes }));
        }
        let behind_head = extra_bytes.saturating_add(id_bytes).saturating_add(name_bytes);
        let end = inside(ENTRY_BYTES.saturating_add(behind_head))?;
        if end.saturating_sub(self.header.snapshots().1) > MAX_TABLE_BYTES {
            return Err(fail(Kind::Limit, SnapshotError::Table(number)));
        }
        let mut tail = vec![0; buffer_len(behind_head)];
        self.bytes.fill(&mut tail, at.saturating_add(ENTRY_BYTES))?;
        let (extra, names) = tail.split_at_checked(buffer_len(extra_bytes)).unwrap_or_default();
        let (id, name) = names.split_at_checked(buffer_len(id_bytes)).unwrap_or_default();
        let small_state = u64::from(be32(&head, 32).unwrap_or_default());
        let snapshot = Snapshot {
            id: String::from_utf8_lossy(id).into_owned(),
            name: String::from_utf8_lossy(name).into_owned(),
            // Old images lack the extra data: their disks could not be resized.
            size_bytes: be64(extra, 8).unwrap_or(self.header.active().size_bytes),
            date_seconds: u64::from(be32(&head, 16).unwrap_or_default()),
            vm_state_bytes: be64(extra, 0).unwrap_or(small_state),
        };
        Ok(Entry {
            snapshot,
            l1_offset_bytes: be64(&head, 0).unwrap_or_default(),
            l1_entries: be32(&head, 8).unwrap_or_default(),
            start_bytes: at,
            end_bytes: end,
        })
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.number >= self.header.snapshots().0 {
            return None;
        }
        let entry = self.read();
        self.failed = entry.is_err();
        if let Ok(entry) = &entry {
            let len_bytes = entry.end_bytes.saturating_sub(self.at);
            self.at = self.at.saturating_add(len_bytes.next_multiple_of(8));
            self.number = self.number.saturating_add(1);
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qcow2::header::tests::{good, put32, put64};

    /// An image with the snapshots 'before' (id 1) and 'after\n' (id 2, half the size).
    fn image() -> Vec<u8> {
        let mut bytes = good();
        bytes.resize(3 * 65536, 0);
        put32(&mut bytes, 60, 2);
        put64(&mut bytes, 64, 0x10000);
        for (at, id, name) in [(0x10000, b'1', b"before\0"), (0x10000 + 64, b'2', b"after\n\0")] {
            put64(&mut bytes, at, 0x20000);
            put32(&mut bytes, at + 8, 2);
            bytes[at + 13] = 1;
            bytes[at + 15] = 6;
            put32(&mut bytes, at + 16, 1_700_000_000);
            put32(&mut bytes, at + 32, 7);
            put32(&mut bytes, at + 36, 16);
            put64(&mut bytes, at + 40, 1 << 20);
            put64(&mut bytes, at + 48, (1 << 30) >> (id - b'1'));
            bytes[at + 56] = id;
            bytes[at + 57..at + 64].copy_from_slice(name);
        }
        bytes
    }

    fn find(bytes: &Vec<u8>, name_or_id: &str) -> Result<State> {
        state(bytes, &Header::parse(bytes).unwrap(), name_or_id)
    }

    #[test]
    fn lists_every_snapshot() {
        let found = snapshots(&image()).unwrap();
        let before = Snapshot {
            id: "1".to_owned(),
            name: "before".to_owned(),
            size_bytes: 1 << 30,
            date_seconds: 1_700_000_000,
            vm_state_bytes: 1 << 20,
        };
        assert_eq!((found.len(), &found[0]), (2, &before));
        assert_eq!((found[1].name.as_str(), found[1].size_bytes), ("after\n", 1 << 29));
        assert_eq!(snapshots(&good()).unwrap(), []);
    }

    #[test]
    fn an_entry_without_extra_data_has_the_size_of_the_disk() {
        let mut bytes = image();
        put32(&mut bytes, 60, 1);
        put32(&mut bytes, 0x10000 + 36, 0);
        let found = snapshots(&bytes).unwrap();
        assert_eq!((found[0].size_bytes, found[0].vm_state_bytes), (1 << 30, 7));
    }

    #[test]
    fn finds_a_state_by_id_or_by_name() {
        let bytes = image();
        let want = State { size_bytes: 1 << 29, l1_offset_bytes: 0x20000, l1_entries: 2 };
        assert_eq!(find(&bytes, "2").unwrap(), want);
        assert_eq!(find(&bytes, "after\n").unwrap(), want);
        for (wanted, want) in [
            ("gone", "no snapshot is called 'gone', there are 'before', 'after\\n'"),
            ("", "no snapshot is called '', there are 'before', 'after\\n'"),
        ] {
            let error = find(&bytes, wanted).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.kind()), (want, Kind::Missing));
        }
        let error = find(&good(), "x").unwrap_err();
        assert_eq!(error.to_string(), "the image has no snapshots, 'x' was asked for");
    }

    #[test]
    fn names_the_snapshot_whose_numbers_are_wrong() {
        let at = 0x10000;
        for (field, value, want) in [
            (
                36,
                1025,
                "snapshot 0: 1025 bytes of extra data are over the limit of 1024, at byte 65536",
            ),
            (
                8,
                1,
                "snapshot 'before': an L1 table of 1 entries, the virtual size needs 2, at byte 65536",
            ),
            (
                4,
                512,
                "snapshot 'before': the L1 table offset 512 is no multiple of the cluster size of 65536, at byte 65536",
            ),
            (
                48,
                1 << 24,
                "snapshot 'before': a virtual size of 72057595111669760 bytes is over the limit of 70368744177664 bytes, at byte 65536",
            ),
        ] {
            let mut bytes = image();
            put32(&mut bytes, at + field, value);
            assert_eq!(find(&bytes, "1").unwrap_err().to_string(), want);
        }
        let mut bytes = image();
        bytes.truncate(at + 64 + 60);
        let want =
            "snapshot 1: its entry of 63 bytes is not inside the file of 65660, at byte 65600";
        assert_eq!(find(&bytes, "1").unwrap_err().to_string(), want);
        for len in 65536..at + 64 + 63 {
            assert!(snapshots(&image()[..len].to_vec()).is_err(), "{len}");
        }
    }

    #[test]
    fn a_table_of_long_names_ends_at_its_limit() {
        let mut bytes = image();
        put32(&mut bytes, 60, 65536);
        bytes.resize(0x10000 + (18 << 20), 0);
        let mut at = 0x10000;
        while at + 131_200 < bytes.len() {
            put32(&mut bytes, at + 12, u32::MAX);
            put32(&mut bytes, at + 36, 0);
            at += 131_112;
        }
        let error = snapshots(&bytes).unwrap_err();
        assert_eq!(error.kind(), Kind::Limit);
        assert!(error.to_string().contains("the table is over the limit of 16777216 bytes"));
    }

    #[test]
    fn names_the_snapshots_that_stay_behind() {
        let mut bytes = image();
        let warn = |bytes: &Vec<u8>| {
            let header = Header::parse(bytes).unwrap();
            warning(bytes, &header).unwrap().unwrap().to_string()
        };
        assert_eq!(
            warn(&bytes),
            "2 internal snapshots are not carried over ('before', 'after\\n'), at byte 65536"
        );
        bytes.truncate(0x10000 + 70);
        assert_eq!(
            warn(&bytes),
            "2 internal snapshots are not carried over ('before', …), at byte 65536"
        );
    }
}
