//! Everything in an image that refers to clusters of its file.

use std::ops::Range;

use crate::{
    Error, Progress,
    error::shown,
    fields::{be16, be32, be64, buffer_len},
    qcow2::{
        entry::{ClusterError, Entry, FileLengths},
        header::COPIED,
        l1::OFFSET_MASK,
        reader::Reader,
        snapshots::Entries,
        state::{MAX_L1_ENTRIES, State, StateError},
    },
};

/// The part of a table of offsets that is read at once.
const WINDOW_BYTES: u64 = 64 << 10;

/// The bytes of tables that are read for one audit: 32 GiB, the limit of this product.
///
/// The L2 tables of 64 TiB in clusters of 64 KiB have 8 GiB; without a limit a small file with many
/// snapshots that share their tables could ask for any number.
const MAX_READ_BYTES: u64 = 32 << 30;

/// The damaged references after which a walk ends: the limit of this product.
const MAX_DAMAGED: u32 = 10_000;

/// The bits of an entry of the refcount table that are the offset of a block.
const BLOCK_MASK: u64 = !0x1ff;

/// The bytes of an entry of the bitmap directory before its extra data.
const BITMAP_ENTRY_BYTES: u64 = 24;

/// Takes what a walk finds.
pub(super) trait Sink {
    /// Takes the bytes of the file that something refers to.
    fn refer(&mut self, bytes: Range<u64>);

    /// Takes the first byte of a cluster whose entry says that no other reference to it exists.
    fn own(&mut self, start: u64);

    /// Takes a reference that is damaged.
    fn fault(&mut self, error: Error);
}

/// An entry of the refcount table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    pub(super) number: u64,
    entry: u64,
    /// The first byte of the block, unless none can be there.
    pub(super) offset_bytes: Option<u64>,
}

/// Why a walk ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// There are more tables than are read, or more damage than is told.
    Exhausted,
    /// The file cannot be read, or the caller wants no more.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

#[derive(Debug, thiserror::Error)]
enum ReferenceError {
    #[error("{owner}an L1 table of {entries} entries at byte {offset} is not inside the file")]
    L1 { owner: String, entries: u32, offset: u64 },
    #[error("{owner}{leaf}")]
    State { owner: String, leaf: StateError },
    #[error("{owner}L1 entry {number} is {entry:#018x}: no table can be there")]
    L2 { owner: String, number: u64, entry: u64 },
    #[error("{owner}{leaf}")]
    Cluster { owner: String, leaf: ClusterError },
    #[error("bitmap {0}: its entry is not inside the directory, or the directory not in the file")]
    Bitmap(u32),
    #[error(
        "bitmap {number}: a table of {entries} entries at byte {offset} is not inside the file"
    )]
    BitmapTable { number: u32, entries: u32, offset: u64 },
    #[error("refcount table entry {number} is {entry:#018x}: no block can be there")]
    Block { number: u64, entry: u64 },
}

/// An L2 table of a state.
struct Table<'a> {
    number: u64,
    offset_bytes: u64,
    /// Whose it is, as messages begin.
    owner: &'a str,
    /// Whether the guest would write to it.
    is_active: bool,
    /// The clusters of the disk, from the first on, whose faults its extents tell of.
    told: u64,
}

/// A walk through an image, as often as its reader needs it.
pub(super) struct Walk<'a> {
    reader: &'a Reader,
    progress: &'a dyn Progress,
    /// The bytes that may still be read.
    rest_bytes: u64,
    /// The damaged references that were met.
    damaged: u32,
}

impl<'a> Walk<'a> {
    pub(super) fn new(reader: &'a Reader, progress: &'a dyn Progress) -> Self {
        Self { reader, progress, rest_bytes: MAX_READ_BYTES, damaged: 0 }
    }

    /// Finds every reference once: header, all states, bitmaps, refcounts.
    pub(super) fn references(&mut self, sink: &mut dyn Sink) -> Result<(), Stop> {
        let Reader { header, bytes, extensions, .. } = self.reader;
        sink.refer(0..header.cluster_bytes());
        self.state(header.active(), "", sink)?;
        let mut table_end = header.snapshots().1;
        for entry in Entries::new(&**bytes, header) {
            match entry {
                Ok(entry) => {
                    table_end = entry.end_bytes;
                    let owner = format!("snapshot '{}': ", shown(&entry.snapshot.name));
                    self.state(&entry.state(), &owner, sink)?;
                }
                Err(error) if error.kind() == crate::Kind::Io => return Err(error.into()),
                Err(error) => self.fault(error, sink)?,
            }
        }
        sink.refer(header.snapshots().1..table_end);
        if let (Some(bitmaps), true) = (extensions.bitmaps, header.has_bitmaps()) {
            let end = bitmaps.offset_bytes.saturating_add(bitmaps.len_bytes);
            sink.refer(bitmaps.offset_bytes..end);
            self.bitmaps(bitmaps.count, bitmaps.offset_bytes..end, sink)?;
        }
        let (start, len_bytes) = header.refcount_table();
        sink.refer(start..start.saturating_add(len_bytes));
        self.blocks(0..len_bytes / 8, &mut |walk, Block { number, entry, offset_bytes }| {
            match offset_bytes {
                Some(at) => sink.refer(at..at.saturating_add(header.cluster_bytes())),
                None => {
                    let leaf = ReferenceError::Block { number, entry };
                    let at = start.saturating_add(number.saturating_mul(8));
                    walk.fault(Error::malformed(leaf).at(at), sink)?;
                }
            }
            Ok(())
        })
    }

    /// The references of one state: its L1 table, the L2 tables, and what they name.
    fn state(&mut self, state: &State, owner: &str, sink: &mut dyn Sink) -> Result<(), Stop> {
        let Reader { header, bytes, .. } = self.reader;
        let (start, entries) = (state.l1_offset_bytes, state.l1_entries);
        let len_bytes = u64::from(entries).saturating_mul(8);
        let end = start.saturating_add(len_bytes);
        let cluster_bytes = header.cluster_bytes();
        if !start.is_multiple_of(cluster_bytes) {
            let leaf = StateError::L1Unaligned { offset: start, cluster_bytes };
            let leaf = ReferenceError::State { owner: owner.to_owned(), leaf };
            return self.fault(Error::malformed(leaf).at(start), sink);
        }
        // A table at the end of a file need not be padded, and need not be read behind its size.
        let is_read = *state == self.reader.state;
        if !is_read && end > bytes.len_bytes() || u64::from(entries) > MAX_L1_ENTRIES {
            let leaf = ReferenceError::L1 { owner: owner.to_owned(), entries, offset: start };
            return self.fault(Error::malformed(leaf).at(start), sink);
        }
        let is_active = state == header.active();
        let told = if is_read { state.size_bytes.div_ceil(cluster_bytes) } else { 0 };
        sink.refer(start..end);
        self.words(start..end, &mut |walk, number, entry| {
            let offset_bytes = entry & OFFSET_MASK;
            let table = offset_bytes..offset_bytes.saturating_add(cluster_bytes);
            if offset_bytes == 0 {
                return Ok(());
            }
            if table.end > bytes.len_bytes() || !offset_bytes.is_multiple_of(cluster_bytes) {
                let leaf = ReferenceError::L2 { owner: owner.to_owned(), number, entry };
                let at = start.saturating_add(number.saturating_mul(8));
                return walk.fault(Error::malformed(leaf).at(at), sink);
            }
            sink.refer(table);
            if is_active && entry & COPIED != 0 {
                sink.own(offset_bytes);
            }
            walk.clusters(&Table { number, offset_bytes, owner, is_active, told }, sink)
        })
    }

    /// The references of one L2 table. Faults of the disk that is read are told by its extents;
    /// those of another, or behind the end of the disk, are told here.
    fn clusters(&mut self, table: &Table<'_>, sink: &mut dyn Sink) -> Result<(), Stop> {
        let Table { number, offset_bytes, owner, is_active, told } = *table;
        let header = &self.reader.header;
        let mut raw = vec![0; buffer_len(header.cluster_bytes())];
        self.fill(&mut raw, offset_bytes)?;
        let image_bytes = self.reader.bytes.len_bytes();
        // How long a data file is matters to the extents alone.
        let data_bytes = if header.has_data_file() { u64::MAX } else { image_bytes };
        let files = FileLengths { image_bytes, data_bytes };
        for slot in 0..header.l2_entries() {
            let entry = Entry::read(&raw, slot, header);
            let index = number.saturating_mul(header.l2_entries()).saturating_add(slot);
            if index >= told
                && let Err(leaf) = entry.decode(header, index, files)
            {
                let at = offset_bytes.saturating_add(slot.saturating_mul(header.entry_bytes()));
                let leaf = ReferenceError::Cluster { owner: owner.to_owned(), leaf };
                self.fault(Error::malformed(leaf).at(at), sink)?;
                continue;
            }
            let Some(bytes) = entry.image_bytes(header) else { continue };
            if is_active && entry.is_copied() {
                sink.own(bytes.start);
            }
            sink.refer(bytes);
        }
        Ok(())
    }

    /// The references of the bitmap directory in `directory`.
    ///
    /// Layout: "Bitmap directory", "Bitmap table".
    fn bitmaps(
        &mut self,
        count: u32,
        directory: Range<u64>,
        sink: &mut dyn Sink,
    ) -> Result<(), Stop> {
        let file_bytes = self.reader.bytes.len_bytes();
        let mut at = directory.start;
        for number in 0..count {
            let end = at.saturating_add(BITMAP_ENTRY_BYTES);
            if end > directory.end.min(file_bytes) {
                let leaf = ReferenceError::Bitmap(number);
                return self.fault(Error::malformed(leaf).at(at), sink);
            }
            let mut entry = [0; 24];
            self.fill(&mut entry, at)?;
            let offset = be64(&entry, 0).unwrap_or_default();
            let entries = be32(&entry, 8).unwrap_or_default();
            let table_end = offset.saturating_add(u64::from(entries).saturating_mul(8));
            if table_end > file_bytes {
                let leaf = ReferenceError::BitmapTable { number, entries, offset };
                self.fault(Error::malformed(leaf).at(at), sink)?;
            } else {
                sink.refer(offset..table_end);
                let cluster_bytes = self.reader.header.cluster_bytes();
                self.words(offset..table_end, &mut |_, _, word| {
                    let start = word & OFFSET_MASK;
                    if start != 0 {
                        sink.refer(start..start.saturating_add(cluster_bytes));
                    }
                    Ok(())
                })?;
            }
            let name_bytes = u64::from(be16(&entry, 18).unwrap_or_default());
            let extra_bytes = u64::from(be32(&entry, 20).unwrap_or_default());
            let span = BITMAP_ENTRY_BYTES.saturating_add(name_bytes).saturating_add(extra_bytes);
            at = at.saturating_add(span.next_multiple_of(8));
        }
        Ok(())
    }

    /// Gives each refcount block in a range of the refcount table; those that do not exist are left
    /// out.
    pub(super) fn blocks(
        &mut self,
        numbers: Range<u64>,
        each: &mut dyn FnMut(&mut Self, Block) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let header = &self.reader.header;
        let file_bytes = self.reader.bytes.len_bytes();
        let (start, len_bytes) = header.refcount_table();
        let last = numbers.end.min(len_bytes / 8);
        let byte = |number: u64| start.saturating_add(number.saturating_mul(8));
        self.words(byte(numbers.start)..byte(last), &mut |walk, number, entry| {
            let offset = entry & BLOCK_MASK;
            let sound = offset.is_multiple_of(header.cluster_bytes()) && offset < file_bytes;
            let number = numbers.start.saturating_add(number);
            let offset_bytes = (sound && entry == offset).then_some(offset);
            if entry == 0 { Ok(()) } else { each(walk, Block { number, entry, offset_bytes }) }
        })
    }

    /// Gives each word of a table with its number, a window at a time.
    fn words(
        &mut self,
        table: Range<u64>,
        each: &mut dyn FnMut(&mut Self, u64, u64) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let mut window = Vec::new();
        let mut at = table.start;
        let mut number = 0_u64;
        while at < table.end {
            let part = table.end.saturating_sub(at).min(WINDOW_BYTES);
            window.resize(buffer_len(part), 0);
            self.fill(&mut window, at)?;
            for word in window.chunks_exact(8).filter_map(|raw| be64(raw, 0)) {
                each(self, number, word)?;
                number = number.saturating_add(1);
            }
            at = at.saturating_add(part);
        }
        Ok(())
    }

    fn fault(&mut self, error: Error, sink: &mut dyn Sink) -> Result<(), Stop> {
        sink.fault(error);
        self.damaged = self.damaged.saturating_add(1);
        if self.damaged < MAX_DAMAGED { Ok(()) } else { Err(Stop::Exhausted) }
    }

    /// Reads, as far as the file goes; behind its end there are zeros.
    pub(super) fn fill(&mut self, buf: &mut [u8], at: u64) -> Result<(), Stop> {
        if self.progress.stopped() {
            return Err(Error::stopped().into());
        }
        let wanted = u64::try_from(buf.len()).unwrap_or(u64::MAX);
        self.rest_bytes = self.rest_bytes.checked_sub(wanted).ok_or(Stop::Exhausted)?;
        let bytes = &self.reader.bytes;
        bytes.fill_padded(buf, at, bytes.len_bytes())?;
        Ok(())
    }
}
