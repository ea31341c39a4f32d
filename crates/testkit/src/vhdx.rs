//! VHDX disks, made to the layout that \[MS-VHDX\] describes and by no code that reads it.
//!
//! ```text
//! MiB 0: identifier, headers, region tables | 1: log | 2: metadata | 3: BAT | 4: blocks, bitmaps
//! ```

/// A page, and a sector of the log.
const PAGE: usize = 4096;

/// Where the parts of the file are.
const LOG_AT: usize = 1 << 20;
const METADATA_AT: usize = 2 << 20;
const BAT_AT: usize = 3 << 20;

/// The GUID of the entries of a pending log.
pub const VHDX_LOG_GUID: [u8; 16] = [0x10; 16];

/// The bytes that a pending log is to replace.
const STALE: u8 = 0xee;

/// A dynamic VHDX disk of these bytes, with blocks of 1 MiB; blocks of zeros are left out.
#[must_use]
pub fn vhdx(guest: &[u8]) -> Vec<u8> {
    Vhdx::new(guest).build()
}

/// A VHDX disk that is being made. The length of its content is a multiple of its logical sectors.
#[derive(Debug, Clone)]
pub struct Vhdx {
    guest: Vec<u8>,
    block_bytes: usize,
    sector_bytes: usize,
    data_write_guid: [u8; 16],
    parent: Option<Parent>,
    pending: Pending,
}

/// The parent of a disk that is being made.
#[derive(Debug, Clone)]
struct Parent {
    guest: Vec<u8>,
    locator: Vec<(String, String)>,
}

/// Whether the log holds what the file does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pending {
    Nothing,
    Pages,
}

impl Vhdx {
    /// Starts a dynamic disk of these bytes: blocks of 1 MiB, logical sectors of 512 bytes.
    #[must_use]
    pub fn new(guest: &[u8]) -> Self {
        Self {
            guest: guest.to_vec(),
            block_bytes: 1 << 20,
            sector_bytes: 512,
            data_write_guid: [0x20; 16],
            parent: None,
            pending: Pending::Nothing,
        }
    }

    /// Sets the size of a block: a power of two of mebibytes.
    #[must_use]
    pub fn block_mib(mut self, mebibytes: usize) -> Self {
        self.block_bytes = mebibytes << 20;
        self
    }

    /// Sets the size of a logical sector: 512 or 4096.
    #[must_use]
    pub fn sector_bytes(mut self, sector_bytes: usize) -> Self {
        self.sector_bytes = sector_bytes;
        self
    }

    /// Sets what a child calls the disk by.
    #[must_use]
    pub fn data_write_guid(mut self, guid: [u8; 16]) -> Self {
        self.data_write_guid = guid;
        self
    }

    /// Makes the disk a delta above `parent`, found by the keys and values of `locator`.
    ///
    /// Sectors that are the same in both are left to the parent, which is zeros behind its end.
    #[must_use]
    pub fn above(mut self, parent: &[u8], locator: &[(&str, &str)]) -> Self {
        let locator = locator.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let mut guest = parent.to_vec();
        guest.resize(self.guest.len(), 0);
        self.parent = Some(Parent { guest, locator: locator.collect() });
        self
    }

    /// Leaves the first page of the BAT, that of the first stored block and its next page of zeros
    /// in the log alone: the file itself has something else there.
    #[must_use]
    pub fn with_pending_log(mut self) -> Self {
        self.pending = Pending::Pages;
        self
    }

    /// Makes the file.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let mut file = vec![0; BAT_AT];
        put(&mut file, 0, b"vhdxfile");
        self.metadata(&mut file);
        let (bat, blocks) = self.blocks();
        let bat_bytes = (bat.len() * 8).next_multiple_of(1 << 20).max(1 << 20);
        file.extend(bat.iter().flat_map(|entry| entry.to_le_bytes()));
        file.resize(BAT_AT + bat_bytes, 0);
        file.extend(blocks);
        regions(&mut file, bat_bytes);
        let log_guid = match self.pending {
            Pending::Nothing => [0; 16],
            Pending::Pages => {
                leave_in_log(&mut file, BAT_AT + bat_bytes);
                VHDX_LOG_GUID
            }
        };
        for (at, sequence) in [(64 << 10, 1_u64), (128 << 10, 2)] {
            self.header(&mut file[at..at + PAGE], sequence, log_guid);
        }
        file
    }

    fn header(&self, header: &mut [u8], sequence: u64, log_guid: [u8; 16]) {
        put(header, 0, b"head");
        put(header, 8, &sequence.to_le_bytes());
        put(header, 32, &self.data_write_guid);
        put(header, 48, &log_guid);
        put(header, 66, &1_u16.to_le_bytes());
        put(header, 68, &(1_u32 << 20).to_le_bytes());
        put(header, 72, &(LOG_AT as u64).to_le_bytes());
        seal(header);
    }

    fn metadata(&self, file: &mut [u8]) {
        let flags = if self.parent.is_some() { 2 } else { 0 };
        let parameters = [(self.block_bytes as u32).to_le_bytes(), u32::to_le_bytes(flags)];
        let locator = self.parent.as_ref().map(|parent| locator(&parent.locator));
        let items = [
            ("3767a1ca36fa434db3b633f0aa44e76b", Some(parameters.concat())),
            ("2442a52f1bcd7648b2115dbed83bf4b8", Some(self.guest.len().to_le_bytes().to_vec())),
            ("ab12cabee6b2234593efc309e000c746", Some(vec![0x30; 16])),
            ("1dbf41816fa90947ba47f233a8faab5f", Some(word(self.sector_bytes))),
            ("c748a3cd5d4471449cc9e9885251c556", Some(word(4096))),
            ("2d5fd3a80bb34d45abf7d3d84834ab0c", locator),
        ];
        let mut at = 64 << 10;
        let mut count = 0_u16;
        put(file, METADATA_AT, b"metadata");
        for (guid, value) in items {
            let Some(value) = value else { continue };
            let entry = METADATA_AT + 32 + usize::from(count) * 32;
            put(file, entry, &hex(guid));
            put(file, entry + 16, &word(at));
            put(file, entry + 20, &word(value.len()));
            put(file, entry + 24, &word(6));
            put(file, METADATA_AT + at, &value);
            at += value.len().next_multiple_of(8);
            count += 1;
        }
        put(file, METADATA_AT + 10, &count.to_le_bytes());
    }

    /// The entries of the BAT, and everything that is behind it.
    fn blocks(&self) -> (Vec<u64>, Vec<u8>) {
        let chunk = (self.sector_bytes << 23) / self.block_bytes;
        let count = self.guest.len().div_ceil(self.block_bytes);
        let entries = match self.parent {
            None => count + count.saturating_sub(1) / chunk,
            Some(_) => count.div_ceil(chunk) * (chunk + 1),
        };
        let first = (BAT_AT + (entries * 8).next_multiple_of(1 << 20).max(1 << 20)) as u64;
        let mut bat = vec![0; entries];
        let mut behind = Vec::new();
        for (number, block) in self.guest.chunks(self.block_bytes).enumerate() {
            let (state, bits) = self.compare(number, block);
            let entry = number + number / chunk;
            if state < 6 {
                bat[entry] = state;
                continue;
            }
            bat[entry] = first + behind.len() as u64 + state;
            behind.extend_from_slice(block);
            behind.resize(behind.len().next_multiple_of(self.block_bytes), 0);
            if state == 7 {
                let bitmap = (number / chunk + 1) * (chunk + 1) - 1;
                if bat[bitmap] == 0 {
                    bat[bitmap] = first + behind.len() as u64 + 6;
                    behind.resize(behind.len() + (1 << 20), 0);
                }
                let bits_at = (bat[bitmap] - 6 - first) as usize;
                let block_bits = self.block_bytes / self.sector_bytes / 8;
                put(&mut behind, bits_at + number % chunk * block_bits, &bits);
            }
        }
        (bat, behind)
    }

    /// The state of a block, and the bits of its sectors.
    fn compare(&self, number: usize, block: &[u8]) -> (u64, Vec<u8>) {
        let Some(parent) = &self.parent else {
            return (if block.iter().all(|byte| *byte == 0) { 0 } else { 6 }, Vec::new());
        };
        let below = &parent.guest[number * self.block_bytes..][..block.len()];
        let sectors = block.chunks(self.sector_bytes).zip(below.chunks(self.sector_bytes));
        let here: Vec<_> = sectors.map(|(ours, theirs)| ours != theirs).collect();
        let bits = here.chunks(8).map(|bits| {
            bits.iter().enumerate().fold(0, |byte, (bit, here)| byte | u8::from(*here) << bit)
        });
        let state = match (here.iter().any(|here| *here), here.iter().all(|here| *here)) {
            (false, _) => 0,
            (_, true) => 6,
            _ if block.iter().all(|byte| *byte == 0) => 2,
            _ => 7,
        };
        (state, bits.collect())
    }
}

/// Both copies of the region table.
fn regions(file: &mut [u8], bat_bytes: usize) {
    for at in [192 << 10, 256 << 10] {
        let table = &mut file[at..at + (64 << 10)];
        put(table, 0, b"regi");
        put(table, 8, &word(2));
        let regions = [
            ("6677c22d23f600429d64115e9bfd4a08", BAT_AT, bat_bytes),
            ("06a27c8b90479a4bb8fe575f050f886e", METADATA_AT, 1 << 20),
        ];
        for ((guid, start, len), entry) in regions.into_iter().zip([16, 48]) {
            put(table, entry, &hex(guid));
            put(table, entry + 16, &start.to_le_bytes());
            put(table, entry + 24, &word(len));
            put(table, entry + 28, &word(1));
        }
        seal(table);
    }
}

/// The parent locator with these keys and values.
fn locator(pairs: &[(String, String)]) -> Vec<u8> {
    let mut item = hex("b7ef4ab09ed1814ab78925b8e9445913");
    item.extend([0, 0]);
    item.extend((pairs.len() as u16).to_le_bytes());
    let mut texts = Vec::new();
    let texts_at = item.len() + pairs.len() * 12;
    for (key, value) in pairs {
        let [key, value] = [key, value]
            .map(|text| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
        item.extend(word(texts_at + texts.len()));
        item.extend(word(texts_at + texts.len() + key.len()));
        item.extend((key.len() as u16).to_le_bytes());
        item.extend((value.len() as u16).to_le_bytes());
        texts.extend(key);
        texts.extend(value);
    }
    item.extend(texts);
    item
}

/// Moves pages of the file into its log and leaves other bytes in their places.
fn leave_in_log(file: &mut [u8], data_at: usize) {
    let file_bytes = file.len() as u64;
    let mut writes = Vec::new();
    for at in [BAT_AT, data_at, data_at + PAGE] {
        let Some(page) = file.get_mut(at..at + PAGE) else { continue };
        if page.iter().all(|byte| *byte == 0) {
            writes.push(LogWrite::Zeros { at: at as u64, len_bytes: PAGE as u64 });
        } else {
            writes.push(LogWrite::Page { at: at as u64, bytes: page.to_vec() });
        }
        page.fill(STALE);
    }
    let entry = LogEntry { guid: VHDX_LOG_GUID, sequence: 7, tail_bytes: 0, file_bytes };
    put(file, LOG_AT, &entry.build(&writes));
}

/// What an entry of the log does to the file.
#[derive(Debug, Clone)]
pub enum LogWrite {
    /// Writes a page of 4096 bytes.
    Page {
        /// The byte of the file.
        at: u64,
        /// The page.
        bytes: Vec<u8>,
    },
    /// Fills a range with zeros.
    Zeros {
        /// The first byte of the file.
        at: u64,
        /// How many.
        len_bytes: u64,
    },
}

/// The header of an entry of the log.
#[derive(Debug, Clone, Copy)]
pub struct LogEntry {
    /// The GUID of the log.
    pub guid: [u8; 16],
    /// The sequence number.
    pub sequence: u64,
    /// The byte of the log that the oldest entry starts at.
    pub tail_bytes: u32,
    /// The length of the file, flushed and last.
    pub file_bytes: u64,
}

impl LogEntry {
    /// Makes the entry with its descriptors and data sectors.
    #[must_use]
    pub fn build(&self, writes: &[LogWrite]) -> Vec<u8> {
        let mut entry = vec![0; (64 + writes.len() * 32).next_multiple_of(PAGE)];
        let sequence = self.sequence.to_le_bytes();
        for (write, at) in writes.iter().zip((64..).step_by(32)) {
            put(&mut entry, at + 24, &sequence);
            match write {
                LogWrite::Zeros { at: file_at, len_bytes } => {
                    put(&mut entry, at, b"zero");
                    put(&mut entry, at + 8, &len_bytes.to_le_bytes());
                    put(&mut entry, at + 16, &file_at.to_le_bytes());
                }
                LogWrite::Page { at: file_at, bytes } => {
                    put(&mut entry, at, b"desc");
                    put(&mut entry, at + 4, &bytes[PAGE - 4..]);
                    put(&mut entry, at + 8, &bytes[..8]);
                    put(&mut entry, at + 16, &file_at.to_le_bytes());
                    entry.extend_from_slice(b"data");
                    entry.extend_from_slice(&sequence[4..]);
                    entry.extend_from_slice(&bytes[8..PAGE - 4]);
                    entry.extend_from_slice(&sequence[..4]);
                }
            }
        }
        put(&mut entry, 0, b"loge");
        let len_bytes = word(entry.len());
        put(&mut entry, 8, &len_bytes);
        put(&mut entry, 12, &self.tail_bytes.to_le_bytes());
        put(&mut entry, 16, &sequence);
        put(&mut entry, 24, &word(writes.len()));
        put(&mut entry, 32, &self.guid);
        put(&mut entry, 48, &self.file_bytes.to_le_bytes());
        put(&mut entry, 56, &self.file_bytes.to_le_bytes());
        seal(&mut entry);
        entry
    }
}

/// Writes the CRC-32C of the bytes at byte 4, which is zero until then.
fn seal(bytes: &mut [u8]) {
    put(bytes, 4, &[0; 4]);
    let sum = crc32c(bytes);
    put(bytes, 4, &sum.to_le_bytes());
}

/// CRC-32C, eight bits at a time: slow, and independent of what it judges.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut table = [0; 256];
    for (byte, slot) in (0_u32..).zip(&mut table) {
        let step = |sum: u32| (sum >> 1) ^ (POLYNOMIAL * (sum & 1));
        *slot = (0..8).fold(byte, |sum, _| step(sum));
    }
    let next = |sum: u32, byte: &u8| table[usize::from(sum as u8 ^ byte)] ^ (sum >> 8);
    !bytes.iter().fold(!0, next)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn word(value: usize) -> Vec<u8> {
    u32::try_from(value).expect("a small number").to_le_bytes().to_vec()
}

fn hex(digits: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(pair).collect()
}
