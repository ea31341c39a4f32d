//! VMDKs of every kind but streamOptimized: descriptors, and the three sparse extents.

const SECTOR: u64 = 512;

/// The text of a descriptor.
#[derive(Debug, Clone)]
pub struct VmdkDescriptor {
    create_type: String,
    cid: u32,
    parent: Option<(u32, String)>,
    extents: Vec<String>,
}

impl VmdkDescriptor {
    /// A descriptor with the CID 12345678, without parent and extents.
    #[must_use]
    pub fn new(create_type: &str) -> Self {
        let create_type = create_type.to_owned();
        Self { create_type, cid: 0x1234_5678, parent: None, extents: Vec::new() }
    }

    /// Sets the CID.
    #[must_use]
    pub fn cid(self, cid: u32) -> Self {
        Self { cid, ..self }
    }

    /// Makes it the descriptor of a delta.
    #[must_use]
    pub fn parent(self, cid: u32, hint: &str) -> Self {
        Self { parent: Some((cid, hint.to_owned())), ..self }
    }

    /// Adds an extent line: `RW 2048 FLAT "a-flat.vmdk" 0`.
    #[must_use]
    pub fn extent(mut self, line: &str) -> Self {
        self.extents.push(line.to_owned());
        self
    }

    /// The text, as VMware writes it.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { create_type, cid, parent, extents } = self;
        let (parent_id, hint) = match parent {
            Some((cid, hint)) => (*cid, format!("parentFileNameHint=\"{hint}\"\n")),
            None => (u32::MAX, String::new()),
        };
        let extents = extents.join("\n");
        format!(
            "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID={cid:08x}\n\
             parentCID={parent_id:08x}\ncreateType=\"{create_type}\"\n{hint}\n\
             # Extent description\n{extents}\n\n# The Disk Data Base\n#DDB\n\n\
             ddb.adapterType = \"lsilogic\"\n"
        )
    }
}

/// The map of a sparse disk, to be written as any of the three kinds of extents.
#[derive(Debug, Clone)]
pub struct SparseMap {
    capacity_bytes: u64,
    grain_bytes: u64,
    /// The grains that have content or are zeros, by their number; all others are holes.
    grains: Vec<(u64, Grain)>,
}

#[derive(Debug, Clone)]
enum Grain {
    Bytes(Vec<u8>),
    Zero,
}

impl SparseMap {
    /// A disk of holes.
    #[must_use]
    pub fn new(capacity_bytes: u64, grain_bytes: u64) -> Self {
        Self { capacity_bytes, grain_bytes, grains: Vec::new() }
    }

    /// The grains of a disk that are not all zeros; the others are holes.
    #[must_use]
    pub fn of(disk: &[u8], grain_bytes: u64) -> Self {
        let chunk = usize::try_from(grain_bytes).expect("a grain fits in memory");
        let mut map = Self::new(disk.len() as u64, grain_bytes);
        for (index, grain) in (0..).zip(disk.chunks(chunk)) {
            if !disk::is_zero(grain) {
                map = map.grain(index, grain);
            }
        }
        map
    }

    /// Adds a grain; the grains stand in the file in the order in which they are added.
    #[must_use]
    pub fn grain(mut self, index: u64, bytes: &[u8]) -> Self {
        let mut bytes = bytes.to_vec();
        bytes.resize(usize::try_from(self.grain_bytes).expect("a grain fits in memory"), 0);
        self.grains.push((index, Grain::Bytes(bytes)));
        self
    }

    /// Adds a grain of zeros that hides a parent.
    #[must_use]
    pub fn zero(mut self, index: u64) -> Self {
        self.grains.push((index, Grain::Zero));
        self
    }

    /// The grains that have bytes.
    fn stored(&self) -> impl Iterator<Item = &[u8]> {
        self.grains.iter().filter_map(|(_, grain)| match grain {
            Grain::Bytes(bytes) => Some(bytes.as_slice()),
            Grain::Zero => None,
        })
    }

    /// The number of tables that a directory for the capacity lists.
    fn table_count(&self, entries: u64) -> u64 {
        self.capacity_bytes.div_ceil(self.grain_bytes).div_ceil(entries)
    }

    /// All table entries: `place` gives the entry of the n-th grain that is stored.
    fn entries(&self, per_table: u64, zero: u64, place: impl Fn(u64) -> u64) -> Vec<u64> {
        let len = usize::try_from(self.table_count(per_table) * per_table).expect("fits");
        let mut entries = vec![0; len];
        let mut stored = 0..;
        for (index, grain) in &self.grains {
            let entry = match grain {
                Grain::Bytes(_) => place(stored.next().expect("without end")),
                Grain::Zero => zero,
            };
            entries[usize::try_from(*index).expect("fits")] = entry;
        }
        entries
    }

    /// A hosted sparse extent, version 2: its tables in front, twice; a table entry of 1 is zeros.
    ///
    /// An empty `descriptor` is none.
    #[must_use]
    pub fn hosted(&self, descriptor: &str) -> Vec<u8> {
        const TABLE_SECTORS: u64 = 4;
        let tables = self.table_count(512);
        let directory_sectors = (tables * 4).div_ceil(SECTOR);
        let grain_sectors = self.grain_bytes / SECTOR;
        let redundant = 21;
        let directory = redundant + directory_sectors + tables * TABLE_SECTORS;
        let front = directory + directory_sectors + tables * TABLE_SECTORS;
        let overhead = front.next_multiple_of(grain_sectors);
        let descriptor_at = u64::from(!descriptor.is_empty());
        let mut file = File::default();
        file.bytes.extend(b"KDMV");
        file.words32(&[2, 7]);
        file.words64(&[self.capacity_bytes / SECTOR, grain_sectors, descriptor_at, 20]);
        file.words32(&[512]);
        file.words64(&[redundant, directory, overhead]);
        file.bytes.extend(b"\0\n \r\n\0\0");
        file.seek(1);
        file.bytes.extend(descriptor.as_bytes());
        let entries = self.entries(512, 1, |grain| overhead + grain * grain_sectors);
        for start in [redundant, directory] {
            file.seek(start);
            let first = start + directory_sectors;
            file.words32(
                &(0..tables).map(|table| first + table * TABLE_SECTORS).collect::<Vec<_>>(),
            );
            file.seek(first);
            file.words32(&entries);
        }
        file.seek(overhead);
        self.stored().for_each(|grain| file.bytes.extend(grain));
        file.bytes
    }

    /// A COWD extent; it has no grains of zeros. Tables without entries are left out.
    #[must_use]
    pub fn cowd(&self) -> Vec<u8> {
        const TABLE_SECTORS: u64 = 32;
        let tables = self.table_count(4096);
        let directory_sectors = (tables * 4).div_ceil(SECTOR);
        let grain_sectors = self.grain_bytes / SECTOR;
        let first = 4 + directory_sectors;
        let marks = self.entries(4096, 0, |_| 1);
        let used: Vec<_> = marks.chunks(4096).map(|table| table.contains(&1)).collect();
        let grains = first + used.iter().filter(|used| **used).count() as u64 * TABLE_SECTORS;
        let entries = self.entries(4096, 0, |grain| grains + grain * grain_sectors);
        let mut file = File::default();
        file.bytes.extend(b"COWD");
        file.words32(&[1, 3, self.capacity_bytes / SECTOR, grain_sectors, 4, tables]);
        file.seek(4);
        file.words32(&places(&used, |number| first + number * TABLE_SECTORS));
        file.seek(first);
        let kept = entries.chunks(4096).zip(&used).filter(|(_, used)| **used);
        kept.for_each(|(table, _)| file.words32(table));
        self.stored().for_each(|grain| file.bytes.extend(grain));
        file.bytes
    }

    /// An seSparse extent, whose grains must have 4 KiB. Tables without entries are left out.
    #[must_use]
    pub fn sesparse(&self) -> Vec<u8> {
        const TABLE_SECTORS: u64 = 64;
        assert_eq!(self.grain_bytes, 4096, "seSparse has grains of 4 KiB");
        let tables = self.table_count(4096);
        let directory_sectors = (tables * 8).div_ceil(SECTOR);
        let (directory, first) = (128, 128 + directory_sectors);
        // The low 12 bits of the number of a grain stand above its other 48.
        let data = |grain: u64| 3 << 60 | (grain & 0xfff) << 48 | grain >> 12;
        let entries = self.entries(4096, 2 << 60, data);
        let used: Vec<_> =
            entries.chunks(4096).map(|table| table.iter().any(|entry| *entry != 0)).collect();
        let tables_sectors = used.iter().filter(|used| **used).count() as u64 * TABLE_SECTORS;
        let grains = (first + tables_sectors).next_multiple_of(8);
        let mut file = File::default();
        file.words64(&[0xcafe_babe, 0x2_0000_0001, self.capacity_bytes / SECTOR, 8, 64]);
        file.words64(&[0, 0, 0, 0, 0, 1, 1, 2, 2, 4, 60, directory, directory_sectors]);
        file.words64(&[
            first,
            tables_sectors,
            64,
            8,
            72,
            8,
            grains,
            self.stored().count() as u64 * 8,
        ]);
        file.seek(1);
        file.words64(&[0xcafe_cafe, 0, 1, 0]);
        file.seek(directory);
        file.words64(&places(&used, |number| 0x1000_0000 << 32 | number));
        file.seek(first);
        let kept = entries.chunks(4096).zip(&used).filter(|(_, used)| **used);
        kept.for_each(|(table, _)| file.words64(table));
        file.seek(grains);
        self.stored().for_each(|grain| file.bytes.extend(grain));
        file.bytes
    }
}

/// The entries of a directory: `place` of the n-th table that is used, 0 for the others.
fn places(used: &[bool], place: impl Fn(u64) -> u64) -> Vec<u64> {
    let mut numbers = 0..;
    let place = |used: &bool| if *used { numbers.next().map_or(0, &place) } else { 0 };
    used.iter().map(place).collect()
}

/// A file that is being built.
#[derive(Default)]
struct File {
    bytes: Vec<u8>,
}

impl File {
    /// Fills up with zeros to a sector.
    fn seek(&mut self, sector: u64) {
        let at = usize::try_from(sector * SECTOR).expect("fits in memory");
        assert!(at >= self.bytes.len(), "the parts of the file overlap");
        self.bytes.resize(at, 0);
    }

    fn words32(&mut self, words: &[u64]) {
        for word in words {
            self.bytes.extend(u32::try_from(*word).expect("32 bits").to_le_bytes());
        }
    }

    fn words64(&mut self, words: &[u64]) {
        words.iter().for_each(|word| self.bytes.extend(word.to_le_bytes()));
    }
}
