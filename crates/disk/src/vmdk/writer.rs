//! A streamOptimized VMDK that is written front to end.
//!
//! ```text
//! header | descriptor | padding | grains, each table behind its grains | directory | footer | end
//! ```
//!
//! It is the layout that VMware's own tools write: version 3, a marker in front of each table, the
//! directory named by the footer alone. OVF Tool refuses the one of `qemu-img`, which has its tables in
//! front and no footer.

use std::io::Write;

use crate::{
    Encoder, Error, Result,
    error::{Failure, Kind, MAX_CAPACITY_BYTES, shown},
    fields::buffer_len,
    vmdk::{
        header::{
            DIRECTORY_AT_END, FLAG_COMPRESSED, FLAG_MARKERS, FLAG_NEWLINE_TEST, MAGIC,
            NEWLINE_TEST, SECTOR_BYTES, SECTOR_LEN, TABLE_ENTRIES, TABLE_LEN, TABLE_SECTORS,
        },
        map::Table,
    },
    zero::is_zero,
};

/// The sectors of a grain, as VMware writes them.
const GRAIN_SECTORS: u64 = 128;

/// The bytes of a grain: 64 KiB.
const GRAIN_BYTES: u64 = GRAIN_SECTORS * SECTOR_BYTES;

/// The sector of the descriptor.
const DESCRIPTOR_SECTOR: u64 = 1;

/// The sectors that are kept for the descriptor, so that it can be edited in place.
const DESCRIPTOR_SECTORS: u64 = 20;

/// The first sector of a grain.
const OVERHEAD_SECTORS: u64 = 128;

/// The sectors of a grain that does not compress, with the headers of its record and its stream.
const STORED_GRAIN_SECTORS: u64 = GRAIN_SECTORS + 1;

/// The sectors of the directory's marker, the footer's marker, the footer and the end-of-stream marker.
const END_SECTORS: u64 = 4;

/// The usual level of libdeflate for grains (measured, 1.6 GB of a Linux system: level 1 is 4 % larger and
/// takes 0.7 of the processor's time, level 6 is 3 % smaller and takes 1.4).
const GRAIN_LEVEL: i32 = 3;

/// How a streamOptimized VMDK is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOptions {
    /// The size of the guest's disk; rounded up to a multiple of 512.
    pub capacity_bytes: u64,
    /// The name that the descriptor gives to its own extent.
    pub name: String,
    /// The content id. The caller chooses it, so that the same input gives the same bytes.
    pub cid: u32,
    /// The disk controller that the descriptor names.
    pub adapter: Adapter,
    /// The virtual hardware version that the descriptor names.
    pub hardware_version: u32,
    /// The version of the VMware Tools in the guest, if the descriptor is to name one.
    pub tools_version: Option<u32>,
    /// How hard grains are compressed, 1 to [`Encoder::MAX_DEFLATE_LEVEL`].
    pub level: i32,
}

impl StreamOptions {
    /// A disk as VMware exports it: LSI Logic, hardware version 13.
    #[must_use]
    pub fn new(capacity_bytes: u64, name: &str, cid: u32) -> Self {
        Self {
            capacity_bytes,
            name: name.to_owned(),
            cid,
            adapter: Adapter::LsiLogic,
            hardware_version: 13,
            tools_version: None,
            level: GRAIN_LEVEL,
        }
    }
}

/// The disk controllers that a descriptor can name (`ddb.adapterType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adapter {
    /// IDE.
    Ide,
    /// SCSI, BusLogic.
    BusLogic,
    /// SCSI, LSI Logic; also written for every other SCSI, SATA and NVMe controller.
    LsiLogic,
}

impl Adapter {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ide => "ide",
            Self::BusLogic => "buslogic",
            Self::LsiLogic => "lsilogic",
        }
    }

    /// Heads and sectors of the geometry that VMware gives to a disk of at least 1 GiB.
    const fn geometry(self) -> (u64, u64) {
        match self {
            Self::Ide => (16, 63),
            Self::BusLogic | Self::LsiLogic => (255, 63),
        }
    }
}

/// A streamOptimized VMDK that is being written, grain by grain in guest order.
///
/// A grain is several small writes: `W` should gather them.
pub struct StreamWriter<W> {
    output: W,
    /// The sector that the next byte of the output belongs to.
    sector: u64,
    capacity_bytes: u64,
    encoder: Encoder,
    /// A whole grain and its stream, where the writer compresses it itself.
    grain: Vec<u8>,
    stream: Vec<u8>,
    /// The table of the grains that are written now, and its number.
    table: Box<Table>,
    table_number: u64,
    /// The sector of each table, 0 for one without grains.
    directory: Vec<u32>,
    /// The least number that the next grain may have.
    next_grain: u64,
}

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("a disk of no size cannot be written as a VMDK")]
    Empty,
    #[error("the file name '{0}' has a quote or a control character, or is over 255 bytes")]
    Name(String),
    #[error("grain {found} comes behind grain {next}")]
    Order { found: u64, next: u64 },
    #[error("grain {0} is outside a disk of {1} bytes")]
    Outside(u64, u64),
    #[error("grain {index} has {found} bytes, it needs {wanted}")]
    Length { index: u64, found: usize, wanted: u64 },
    #[error("sector {0} of the file is behind what a grain table can name")]
    TooFar(u64),
    #[error("grain {index} has a stream of {found} bytes, 1..={max} are allowed")]
    Stream { index: u64, found: usize, max: usize },
}

impl<W> std::fmt::Debug for StreamWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StreamWriter({} bytes, sector {})", self.capacity_bytes, self.sector)
    }
}

impl<W: Write> StreamWriter<W> {
    /// Writes the header and the descriptor.
    ///
    /// # Errors
    ///
    /// When the capacity is 0 or over [`MAX_CAPACITY_BYTES`], the name has a quote or a control
    /// character, or the output cannot be written.
    pub fn create(output: W, options: &StreamOptions) -> Result<Self> {
        let capacity_bytes = options.capacity_bytes;
        if capacity_bytes == 0 {
            return Err(Error::new(Kind::Limit, WriteError::Empty));
        }
        if capacity_bytes > MAX_CAPACITY_BYTES {
            return Err(Error::new(Kind::Limit, Failure::Capacity(capacity_bytes)));
        }
        let name = &options.name;
        if name.len() > 255 || name.contains(|c: char| c == '"' || c.is_control()) {
            return Err(Error::malformed(WriteError::Name(shown(name))));
        }
        let capacity_bytes = capacity_bytes.next_multiple_of(SECTOR_BYTES);
        let tables = capacity_bytes.div_ceil(GRAIN_BYTES).div_ceil(TABLE_ENTRIES);
        let mut writer = Self {
            output,
            sector: 0,
            capacity_bytes,
            encoder: Encoder::for_grains(options.level)?,
            grain: Vec::new(),
            stream: Vec::new(),
            table: Box::new([0; TABLE_LEN]),
            table_number: 0,
            directory: vec![0; buffer_len(tables)],
            next_grain: 0,
        };
        writer.put(&header(capacity_bytes, DIRECTORY_AT_END))?;
        let mut front = descriptor(options, capacity_bytes).into_bytes();
        let front_sectors = OVERHEAD_SECTORS.saturating_sub(DESCRIPTOR_SECTOR);
        front.resize(buffer_len(front_sectors.saturating_mul(SECTOR_BYTES)), 0);
        writer.put(&front)?;
        Ok(writer)
    }

    /// The size of the guest's disk, as the header says it.
    #[must_use]
    pub const fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    /// Writes one grain of 64 KiB: number `index`, greater than the one before. A grain of zeros is
    /// left out. The last grain of a disk may be short; it is stored at full length, which every reader
    /// takes.
    ///
    /// # Errors
    ///
    /// When the index does not grow or is behind the capacity, `grain` has the wrong length, or the
    /// output cannot be written.
    pub fn write_grain(&mut self, index: u64, grain: &[u8]) -> Result<()> {
        let wanted = self.expect_grain(index)?;
        if grain.len() as u64 != wanted {
            return Err(Error::malformed(WriteError::Length { index, found: grain.len(), wanted }));
        }
        if is_zero(grain) {
            self.next_grain = index.saturating_add(1);
            return Ok(());
        }
        self.grain.clear();
        self.grain.extend_from_slice(grain);
        self.grain.resize(buffer_len(GRAIN_BYTES), 0);
        let mut stream = std::mem::take(&mut self.stream);
        stream.clear();
        self.encoder.encode(&self.grain, &mut stream)?;
        let written = self.write_stream(index, &stream);
        self.stream = stream;
        written
    }

    /// Writes one grain that an [`Encoder`] [for grains](Encoder::for_grains) has compressed: number
    /// `index`, greater than the one before. The stream must inflate to 64 KiB, also that of a short last
    /// grain; that is not looked at.
    ///
    /// # Errors
    ///
    /// When the index does not grow or is behind the capacity, the stream is empty or over
    /// [`Encoder::MAX_GRAIN_STREAM_BYTES`], or the output cannot be written.
    pub fn write_stream(&mut self, index: u64, stream: &[u8]) -> Result<()> {
        self.expect_grain(index)?;
        let (found, max) = (stream.len(), Encoder::MAX_GRAIN_STREAM_BYTES);
        if found == 0 || found > max {
            return Err(Error::malformed(WriteError::Stream { index, found, max }));
        }
        self.next_grain = index.saturating_add(1);
        if index / TABLE_ENTRIES != self.table_number {
            self.write_table()?;
            self.table_number = index / TABLE_ENTRIES;
        }
        let sector = self.table_sector()?;
        let slot = usize::try_from(index % TABLE_ENTRIES).ok();
        if let Some(entry) = slot.and_then(|slot| self.table.get_mut(slot)) {
            *entry = sector;
        }
        self.write_record(index, stream)
    }

    /// Writes the tables, the footer and the end-of-stream marker, and gives the output back.
    ///
    /// # Errors
    ///
    /// When the output cannot be written.
    pub fn finish(mut self) -> Result<W> {
        self.write_end()?;
        Ok(self.output)
    }

    /// As [`finish`](Self::finish), but gives the length of the file.
    ///
    /// # Errors
    ///
    /// When the output cannot be written.
    pub fn finish_len_bytes(mut self) -> Result<u64> {
        self.write_end()?;
        Ok(self.sector.saturating_mul(SECTOR_BYTES))
    }

    /// Writes what follows the last grain.
    fn write_end(&mut self) -> Result<()> {
        self.write_table()?;
        let mut directory: Vec<u8> =
            self.directory.iter().flat_map(|at| at.to_le_bytes()).collect();
        directory.resize(directory.len().next_multiple_of(SECTOR_LEN), 0);
        self.put(&marker(directory.len() as u64 / SECTOR_BYTES, 2))?;
        let directory_sector = self.sector;
        self.put(&directory)?;
        self.put(&marker(1, 3))?;
        self.put(&header(self.capacity_bytes, directory_sector))?;
        self.put(&[0; SECTOR_LEN])?;
        self.output.flush()?;
        Ok(())
    }

    /// Checks that a grain is not behind and inside the disk, and gives its length.
    fn expect_grain(&self, index: u64) -> Result<u64> {
        if index < self.next_grain {
            let leaf = WriteError::Order { found: index, next: self.next_grain };
            return Err(Error::malformed(leaf));
        }
        let start_bytes = index.saturating_mul(GRAIN_BYTES);
        match self.capacity_bytes.saturating_sub(start_bytes).min(GRAIN_BYTES) {
            0 => Err(Error::malformed(WriteError::Outside(index, self.capacity_bytes))),
            len_bytes => Ok(len_bytes),
        }
    }

    /// Writes the record of a grain: its first sector, the length of its stream, the stream, and zeros up
    /// to a whole sector.
    fn write_record(&mut self, index: u64, stream: &[u8]) -> Result<()> {
        let start = index.saturating_mul(GRAIN_SECTORS).to_le_bytes();
        let len = u32::try_from(stream.len()).unwrap_or(u32::MAX).to_le_bytes();
        self.output.write_all(&start)?;
        self.output.write_all(&len)?;
        self.output.write_all(stream)?;
        let used = start.len().saturating_add(len.len()).saturating_add(stream.len());
        let whole = used.next_multiple_of(SECTOR_LEN);
        let padding = [0; SECTOR_LEN];
        let padding = padding.get(..whole.saturating_sub(used)).unwrap_or_default();
        self.output.write_all(padding)?;
        self.sector = self.sector.saturating_add(whole as u64 / SECTOR_BYTES);
        Ok(())
    }

    /// Writes the current table, if it has a grain, and starts the next.
    fn write_table(&mut self) -> Result<()> {
        if self.table.iter().all(|entry| *entry == 0) {
            return Ok(());
        }
        self.put(&marker(TABLE_SECTORS, 1))?;
        let sector = self.table_sector()?;
        if let Some(entry) = self.directory.get_mut(buffer_len(self.table_number)) {
            *entry = sector;
        }
        let raw: Vec<u8> = self.table.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        self.put(&raw)?;
        self.table.fill(0);
        Ok(())
    }

    /// The current sector as a grain table names it.
    fn table_sector(&self) -> Result<u32> {
        u32::try_from(self.sector)
            .map_err(|_| Error::new(Kind::Limit, WriteError::TooFar(self.sector)))
    }

    /// Writes whole sectors.
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.write_all(bytes)?;
        self.sector = self.sector.saturating_add(bytes.len() as u64 / SECTOR_BYTES);
        Ok(())
    }
}

/// The length of a streamOptimized VMDK when no grain of the disk compresses.
#[must_use]
pub fn allocated_bytes(capacity_bytes: u64) -> u64 {
    let grains = capacity_bytes.div_ceil(GRAIN_BYTES);
    let tables = grains.div_ceil(TABLE_ENTRIES);
    let directory = tables.saturating_mul(4).div_ceil(SECTOR_BYTES);
    let sectors = grains
        .saturating_mul(STORED_GRAIN_SECTORS)
        .saturating_add(tables.saturating_mul(TABLE_SECTORS.saturating_add(1)))
        .saturating_add(directory)
        .saturating_add(OVERHEAD_SECTORS)
        .saturating_add(END_SECTORS);
    sectors.saturating_mul(SECTOR_BYTES)
}

/// A header, or a footer, which is a header that knows where the directory is.
fn header(capacity_bytes: u64, directory_sector: u64) -> [u8; SECTOR_LEN] {
    let flags = FLAG_NEWLINE_TEST | FLAG_COMPRESSED | FLAG_MARKERS;
    let fields = [
        MAGIC.to_vec(),
        3_u32.to_le_bytes().to_vec(),
        flags.to_le_bytes().to_vec(),
        (capacity_bytes / SECTOR_BYTES).to_le_bytes().to_vec(),
        GRAIN_SECTORS.to_le_bytes().to_vec(),
        DESCRIPTOR_SECTOR.to_le_bytes().to_vec(),
        DESCRIPTOR_SECTORS.to_le_bytes().to_vec(),
        512_u32.to_le_bytes().to_vec(), // entries of a grain table
        0_u64.to_le_bytes().to_vec(),   // redundant directory: none
        directory_sector.to_le_bytes().to_vec(),
        OVERHEAD_SECTORS.to_le_bytes().to_vec(),
        vec![0], // closed cleanly
        NEWLINE_TEST.to_vec(),
        1_u16.to_le_bytes().to_vec(), // deflate
    ];
    sector(&fields.concat())
}

/// A marker: how many sectors follow, and of what.
fn marker(sectors: u64, kind: u32) -> [u8; SECTOR_LEN] {
    sector(&[&sectors.to_le_bytes()[..], &[0; 4], &kind.to_le_bytes()].concat())
}

/// A sector that begins with `bytes`.
fn sector(bytes: &[u8]) -> [u8; SECTOR_LEN] {
    let mut sector = [0; SECTOR_LEN];
    for (to, from) in sector.iter_mut().zip(bytes) {
        *to = *from;
    }
    sector
}

fn descriptor(options: &StreamOptions, capacity_bytes: u64) -> String {
    let StreamOptions { name, cid, adapter, hardware_version, .. } = options;
    let sectors = capacity_bytes / SECTOR_BYTES;
    let (heads, track) = adapter.geometry();
    let cylinders = sectors.checked_div(heads.saturating_mul(track)).unwrap_or_default().max(1);
    let adapter = adapter.as_str();
    let tools = options.tools_version.map(|version| format!("ddb.toolsVersion = \"{version}\"\n"));
    let tools = tools.unwrap_or_default();
    format!(
        "# Disk DescriptorFile\nversion=1\nCID={cid:08x}\nparentCID=ffffffff\n\
         createType=\"streamOptimized\"\n\n# Extent description\nRDONLY {sectors} SPARSE \"{name}\"\n\n\
         # The Disk Data Base\n#DDB\n\nddb.adapterType = \"{adapter}\"\n\
         ddb.geometry.cylinders = \"{cylinders}\"\nddb.geometry.heads = \"{heads}\"\n\
         ddb.geometry.sectors = \"{track}\"\n{tools}ddb.virtualHWVersion = \"{hardware_version}\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmdk::{descriptor::Descriptor, header::Header};

    fn options() -> StreamOptions {
        StreamOptions::new(100_000, "disk.vmdk", 0xfeed)
    }

    #[test]
    fn writes_what_its_own_parsers_read() {
        let writer = StreamWriter::create(Vec::new(), &options()).unwrap();
        let file = writer.finish().unwrap();
        let header = Header::parse(&file, 0).unwrap();
        assert_eq!(header.capacity_bytes(), 100_352);
        let footer = Header::parse(&file[file.len() - 1024..], 0).unwrap();
        assert_eq!(header.differs(&footer), None);
        assert!(footer.directory_sector().is_some());
        let descriptor = Descriptor::parse(&file[512..21 * 512]).unwrap();
        assert_eq!(descriptor.content_id, Some(0xfeed));
        assert_eq!(descriptor.extents[0].sectors, 196);
        assert_eq!(descriptor.parent(), None);
    }

    #[test]
    fn the_descriptor_says_what_the_options_say() {
        let mut options = options();
        options.adapter = Adapter::Ide;
        options.tools_version = Some(2_147_483_647);
        let want = "# Disk DescriptorFile\nversion=1\nCID=0000feed\nparentCID=ffffffff\n\
            createType=\"streamOptimized\"\n\n# Extent description\nRDONLY 2097152 SPARSE \"disk.vmdk\"\n\n\
            # The Disk Data Base\n#DDB\n\nddb.adapterType = \"ide\"\n\
            ddb.geometry.cylinders = \"2080\"\nddb.geometry.heads = \"16\"\n\
            ddb.geometry.sectors = \"63\"\nddb.toolsVersion = \"2147483647\"\n\
            ddb.virtualHWVersion = \"13\"\n";
        assert_eq!(descriptor(&options, 1 << 30), want);
    }

    /// The markers of a file and the sectors they are at, from the first grain on; a grain is 0 with its
    /// number, any other marker its type and its sectors.
    fn markers(file: &[u8]) -> Vec<(usize, u32, u64)> {
        let mut found = Vec::new();
        let mut sector = 128;
        while sector * SECTOR_LEN < file.len() {
            let at = &file[sector * SECTOR_LEN..][..16];
            let value = u64::from_le_bytes(at[..8].try_into().unwrap());
            let size = u32::from_le_bytes(at[8..12].try_into().unwrap()) as usize;
            let kind = u32::from_le_bytes(at[12..].try_into().unwrap());
            if size > 0 {
                found.push((sector, 0, value / GRAIN_SECTORS));
                sector += (size + 12).div_ceil(SECTOR_LEN);
            } else {
                found.push((sector, kind, value));
                sector += 1 + value as usize;
            }
        }
        found
    }

    #[test]
    fn each_table_stands_behind_its_grains_and_the_footer_names_the_directory() {
        let mut options = options();
        options.capacity_bytes = 2 << 40;
        let mut writer = StreamWriter::create(Vec::new(), &options).unwrap();
        let last = (2 << 40) / GRAIN_BYTES - 1;
        for index in [3, 511, 512, last] {
            writer.write_grain(index, &vec![9; 65_536]).unwrap();
        }
        let file = writer.finish().unwrap();
        let found = markers(&file);
        assert_eq!(
            found,
            [
                (128, 0, 3),
                (129, 0, 511),
                (130, 1, 4),
                (135, 0, 512),
                (136, 1, 4),
                (141, 0, last),
                (142, 1, 4),
                (147, 2, 512),
                (660, 3, 1),
                (662, 0, 0),
            ]
        );
        let entry = |sector: usize, slot: usize| {
            let at = sector * SECTOR_LEN + slot * 4;
            u32::from_le_bytes(file[at..at + 4].try_into().unwrap())
        };
        assert_eq!([entry(131, 2), entry(131, 3), entry(131, 511)], [0, 128, 129]);
        assert_eq!([entry(148, 0), entry(148, 1), entry(148, 2)], [131, 137, 0]);
        assert_eq!([entry(148, 65_535), entry(143, 511)], [143, 141]);
        let field = |sector: usize, at: usize| {
            u64::from_le_bytes(file[sector * SECTOR_LEN + at..][..8].try_into().unwrap())
        };
        assert_eq!((field(0, 56), field(661, 56)), (u64::MAX, 148));
        assert_eq!(field(0, 4), 3 | 0x3_0001 << 32, "version 3, markers, deflate, newline test");
        assert_eq!(file.len(), 663 * SECTOR_LEN);
    }

    #[test]
    fn the_length_of_a_disk_that_does_not_compress_is_known_before() {
        for grains in [1, 511, 512, 513, 65_537] {
            let mut options = options();
            options.capacity_bytes = grains * GRAIN_BYTES;
            let mut writer = StreamWriter::create(std::io::sink(), &options).unwrap();
            for index in 0..grains {
                writer.write_stream(index, &[1; 65_557]).unwrap();
            }
            let len_bytes = writer.finish_len_bytes().unwrap();
            assert_eq!(len_bytes, allocated_bytes(grains * GRAIN_BYTES), "{grains} grains");
        }
    }

    #[test]
    fn a_stream_is_neither_empty_nor_longer_than_a_grain_can_be() {
        let mut writer = StreamWriter::create(Vec::new(), &options()).unwrap();
        for len in [0, 66_561] {
            let error = writer.write_stream(0, &vec![1; len]).unwrap_err();
            let want = format!("grain 0 has a stream of {len} bytes, 1..=66560 are allowed");
            assert_eq!(error.to_string(), want);
        }
        writer.write_stream(0, &[1; 66_560]).unwrap();
        let error = writer.write_grain(1, &[1; 512]).unwrap_err();
        assert_eq!(error.to_string(), "grain 1 has 512 bytes, it needs 34816");
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let create = |change: &dyn Fn(&mut StreamOptions)| {
            let mut options = options();
            change(&mut options);
            StreamWriter::create(Vec::new(), &options).unwrap_err().to_string()
        };
        assert_eq!(
            create(&|options| options.capacity_bytes = 0),
            "a disk of no size cannot be written as a VMDK"
        );
        assert!(create(&|options| options.capacity_bytes = u64::MAX).contains("over the limit"));
        assert_eq!(
            create(&|options| options.name = "a\"b\n".to_owned()),
            "the file name 'a\\\"b\\n' has a quote or a control character, or is over 255 bytes"
        );
        let mut writer = StreamWriter::create(Vec::new(), &options()).unwrap();
        writer.write_grain(1, &[1; 34_816]).unwrap();
        for (index, len, want) in [
            (1, 34_816, "grain 1 comes behind grain 2"),
            (2, 65_536, "grain 2 is outside a disk of 100352 bytes"),
        ] {
            let error = writer.write_grain(index, &vec![1; len]).unwrap_err();
            assert_eq!(error.to_string(), want);
        }
    }
}
