//! The walk over the headers.

use std::{
    collections::HashSet,
    io::{self, Read},
};

use code::Code;

use super::{
    Input,
    block::{self, BLOCK, BLOCK_BYTES, Block, Entry},
    extension::{self, Extension, MAX_RECORD_BYTES},
    guess,
};
use crate::{EntryName, Error, Finding, Kind, Place, quote};

/// The most members an archive may have (ours; an appliance has a handful).
pub const MAX_MEMBERS: usize = 1000;
/// The most headers for each member allowed, those of folders and long names included (ours).
const MAX_HEADERS_A_MEMBER: usize = 4;
/// How many bytes behind the end are looked at (ours; tar fills up to 10 KiB with zeros).
const TAIL_BYTES: u64 = 64 << 10;

/// One file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: EntryName,
    /// Where its bytes begin, from the start of the archive.
    pub offset_bytes: u64,
    /// How many bytes it has.
    pub length_bytes: u64,
}

/// Walks an archive once, from header to header.
///
/// After [`Walk::next_member`] the walk itself reads the bytes of that member ([`Read`]); what is
/// left of them is passed over by the next call.
#[derive(Debug)]
pub struct Walk<I> {
    input: I,
    findings: Vec<Finding>,
    /// Bytes of the archive that were passed.
    position: u64,
    /// The current member.
    current: Option<Member>,
    /// Bytes of the current payload that were not read.
    remaining: u64,
    headers: usize,
    members: usize,
    names: HashSet<String>,
    folded: HashSet<String>,
    is_over: bool,
    rules: Rules,
    end_bytes: Option<u64>,
}

/// What differs between the archives that are walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The most members.
    pub max_members: usize,
    /// The one name that several members may have.
    pub repeated_name: Option<&'static str>,
}

impl Rules {
    /// The rules of an OVA.
    pub const APPLIANCE: Self = Self { max_members: MAX_MEMBERS, repeated_name: None };
}

/// What stands at a member's boundary.
enum Boundary {
    Header(Box<[u8; BLOCK_BYTES]>),
    End,
}

impl<I: Input> Walk<I> {
    /// Begins a walk at the start of an appliance.
    pub fn new(input: I) -> Self {
        Self::with_rules(input, Rules::APPLIANCE)
    }

    /// Begins a walk at the start of another archive.
    pub fn with_rules(input: I, rules: Rules) -> Self {
        Self {
            rules,
            end_bytes: None,
            input,
            findings: Vec::new(),
            position: 0,
            current: None,
            remaining: 0,
            headers: 0,
            members: 0,
            names: HashSet::new(),
            folded: HashSet::new(),
            is_over: false,
        }
    }

    /// Goes to the next file; `None` at the end of the archive.
    ///
    /// Folders are passed over. After an error the walk is at its end.
    ///
    /// # Errors
    /// `E0101` for what is not a tar, `E0102` for an archive that ends too early, `E0105` for an
    /// unsafe name, a link, a special file or a duplicate, `E0106` over a limit, `E0508` when
    /// reading fails.
    pub fn next_member(&mut self) -> Result<Option<Member>, Error> {
        if self.is_over {
            return Ok(None);
        }
        let member = self.advance();
        self.is_over = !matches!(member, Ok(Some(_)));
        member
    }

    /// What was tolerated so far.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The byte behind the last member and its padding, where the end blocks begin or are missing;
    /// `None` before the walk has come there.
    pub fn end_bytes(&self) -> Option<u64> {
        self.end_bytes
    }

    /// Gives the input and the findings back.
    pub fn into_parts(self) -> (I, Vec<Finding>) {
        (self.input, self.findings)
    }

    fn advance(&mut self) -> Result<Option<Member>, Error> {
        self.leave_member()?;
        let mut extension = Extension::default();
        loop {
            let offset = self.position;
            let bytes = match self.boundary()? {
                Boundary::Header(bytes) => bytes,
                Boundary::End if extension.is_empty() => {
                    self.end_bytes = Some(offset);
                    return Ok(None);
                }
                Boundary::End => {
                    let message = "the archive ends after a long name, before its tar entry";
                    return Err(Error::malformed(Code::E0102, message).at(Place::Offset(offset)));
                }
            };
            let block = Block::parse(&bytes, offset)?;
            self.count_header(offset)?;
            match block.entry {
                Entry::File => return self.enter_member(&block, &extension, offset).map(Some),
                Entry::Folder => {
                    self.pass_folder(&block, &extension, offset)?;
                    extension = Extension::default();
                }
                Entry::Pax => extension.add_pax(&self.record(&block)?, offset)?,
                Entry::GlobalPax => extension::check_global(&self.record(&block)?, offset)?,
                Entry::LongName => extension.add_long_name(&self.record(&block)?, offset)?,
                Entry::LongLink => {
                    self.record(&block)?;
                    extension.add_long_link(offset)?;
                }
            }
        }
    }

    fn count_header(&mut self, offset: u64) -> Result<(), Error> {
        self.headers = self.headers.saturating_add(1);
        let max_headers = self.rules.max_members.saturating_mul(MAX_HEADERS_A_MEMBER);
        if self.headers > max_headers {
            let message = format!("more than {max_headers} tar headers");
            return Err(Error::limit(Code::E0106, message).at(Place::Offset(offset)));
        }
        Ok(())
    }

    /// Passes over what is left of the current payload, and its padding.
    fn leave_member(&mut self) -> Result<(), Error> {
        let Some(member) = self.current.take() else { return Ok(()) };
        let rest = self.remaining;
        let skipped = self.skip(rest)?;
        if skipped < rest {
            let there = member.length_bytes.saturating_sub(rest).saturating_add(skipped);
            return Err(self.truncated(&member, there));
        }
        self.remaining = 0;
        self.skip_padding(member.length_bytes)
    }

    fn skip_padding(&mut self, length_bytes: u64) -> Result<(), Error> {
        let padding = padding_of(length_bytes);
        if self.skip(padding)? < padding {
            self.note("the last tar entry is not filled up to a whole block");
        }
        Ok(())
    }

    fn skip(&mut self, bytes: u64) -> Result<u64, Error> {
        let skipped = self.input.skip(bytes)?;
        self.position = self.position.saturating_add(skipped);
        Ok(skipped)
    }

    /// Reads the block at a member's boundary and understands the end of the archive.
    fn boundary(&mut self) -> Result<Boundary, Error> {
        let is_first = self.position == 0;
        let bytes = match self.block(is_first)? {
            Some(bytes) => bytes,
            None if is_first => return Err(guess::not_a_tar(&[])),
            None => {
                self.note("the archive has no end blocks");
                return Ok(Boundary::End);
            }
        };
        if is_first && bytes.iter().any(|byte| *byte != 0) && !block::is_header(&bytes) {
            return Err(guess::not_a_tar(bytes.as_slice()));
        }
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(Boundary::Header(bytes));
        }
        let offset = self.position;
        match self.block(false)? {
            None => self.note("the archive has one end block, two are due"),
            Some(second) if second.iter().all(|byte| *byte == 0) => self.note_tail()?,
            Some(second) if block::is_header(&second) => {
                self.note(&format!("a zero block stands before the tar header at byte {offset}"));
                return Ok(Boundary::Header(second));
            }
            Some(_) => self.note("bytes stand behind the end of the archive and are not read"),
        }
        if self.members == 0 && is_first {
            return Err(guess::not_a_tar(bytes.as_slice()));
        }
        Ok(Boundary::End)
    }

    /// Reads a block; `None` at the end of the input.
    fn block(&mut self, is_first: bool) -> Result<Option<Box<[u8; BLOCK_BYTES]>>, Error> {
        let offset = self.position;
        let mut bytes = Vec::with_capacity(BLOCK_BYTES);
        self.input.by_ref().take(BLOCK).read_to_end(&mut bytes)?;
        self.position = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(BLOCK));
        if bytes.is_empty() {
            return Ok(None);
        }
        let count = bytes.len();
        match <[u8; BLOCK_BYTES]>::try_from(bytes) {
            Ok(block) => Ok(Some(Box::new(block))),
            Err(short) if is_first => Err(guess::not_a_tar(&short)),
            Err(short) if short.iter().all(|byte| *byte == 0) => Ok(None),
            Err(_) => {
                let message = format!("a tar header of {count} bytes, {BLOCK_BYTES} are due");
                Err(Error::malformed(Code::E0102, message).at(Place::Offset(offset)))
            }
        }
    }

    /// Looks at what follows the end blocks, as far as it is worth.
    fn note_tail(&mut self) -> Result<(), Error> {
        let mut tail = Vec::new();
        self.input.by_ref().take(TAIL_BYTES).read_to_end(&mut tail)?;
        if tail.iter().any(|byte| *byte != 0) {
            self.note("bytes stand behind the end of the archive and are not read");
        }
        Ok(())
    }

    /// Reads the payload of an extension.
    fn record(&mut self, block: &Block) -> Result<Vec<u8>, Error> {
        let offset = self.position;
        let length = block.length_bytes;
        if length > MAX_RECORD_BYTES {
            let message =
                format!("a long name of {length} bytes, at most {MAX_RECORD_BYTES} are allowed");
            return Err(Error::limit(Code::E0106, message).at(Place::Offset(offset)));
        }
        let mut record = Vec::new();
        self.input.by_ref().take(length).read_to_end(&mut record)?;
        let count = u64::try_from(record.len()).unwrap_or(u64::MAX);
        self.position = offset.saturating_add(count);
        if count < length {
            let message = format!("a long name of {count} bytes, {length} are due");
            return Err(Error::malformed(Code::E0102, message).at(Place::Offset(offset)));
        }
        self.skip_padding(length)?;
        Ok(record)
    }

    fn pass_folder(
        &mut self,
        block: &Block,
        extension: &Extension,
        offset: u64,
    ) -> Result<(), Error> {
        let raw = extension.name().unwrap_or(&block.name);
        // The folder of the archive itself has no name of an entry.
        if !matches!(raw, b"." | b"./") {
            name_of(raw, offset)?;
        }
        // Whether bytes follow that belong to a folder, no two programs agree: what one reads as the next
        // member, another one passes over.
        let length = block.length_with(extension.length_bytes(), offset)?;
        if length > 0 {
            let shown = String::from_utf8_lossy(raw);
            let message =
                format!("the folder {} has {length} bytes, 0 are due", quote::Quoted(&shown));
            return Err(Error::malformed(Code::E0101, message).at(Place::Offset(offset)));
        }
        Ok(())
    }

    fn enter_member(
        &mut self,
        block: &Block,
        extension: &Extension,
        offset: u64,
    ) -> Result<Member, Error> {
        let name = name_of(extension.name().unwrap_or(&block.name), offset)?;
        let length_bytes = block.length_with(extension.length_bytes(), offset)?;
        self.members = self.members.saturating_add(1);
        if self.members > self.rules.max_members {
            let message = format!("more than {} files in the archive", self.rules.max_members);
            return Err(Error::limit(Code::E0106, message).at(Place::Offset(offset)));
        }
        self.note_name(&name, offset)?;
        let member = Member { name, offset_bytes: self.position, length_bytes };
        if let Some(total) = self.input.length_bytes() {
            let there = total.saturating_sub(self.position);
            if there < length_bytes {
                return Err(self.truncated(&member, there));
            }
        }
        self.remaining = length_bytes;
        self.current = Some(member.clone());
        Ok(member)
    }

    fn note_name(&mut self, name: &EntryName, offset: u64) -> Result<(), Error> {
        if self.rules.repeated_name == Some(name.as_str()) {
            return Ok(());
        }
        if !self.names.insert(name.as_str().to_owned()) {
            let message = format!("two tar entries have the name {}", quote::Quoted(name.as_str()));
            return Err(Error::new(Code::E0105, Kind::Denied, message).at(Place::Offset(offset)));
        }
        if !self.folded.insert(name.as_str().to_lowercase()) {
            let quoted = quote::Quoted(name.as_str());
            self.note(&format!("the name {quoted} differs from another in case only"));
        }
        if name.as_str().starts_with('-') || name.as_str().contains([',', ':']) {
            let quoted = quote::Quoted(name.as_str());
            self.note(&format!("the name {quoted} looks like an option or an address"));
        }
        Ok(())
    }

    fn note(&mut self, message: &str) {
        self.findings.push(Finding::new(Code::W0608, message));
    }

    fn truncated(&self, member: &Member, there: u64) -> Error {
        let total = self.input.length_bytes().unwrap_or(self.position);
        let message = format!(
            "the tar entry {} should be {} bytes but only {} are there (file is {} bytes)",
            quote::Plain(member.name.as_str()),
            Grouped(member.length_bytes),
            Grouped(there),
            Grouped(total)
        );
        Error::malformed(Code::E0102, message)
    }
}

impl<I: Input> Read for Walk<I> {
    /// Reads the bytes of the current member; 0 at its end.
    ///
    /// # Errors
    /// An unexpected end, whose source is the `E0102`, when the archive ends inside the member.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..wanted).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let count = self.input.read(buffer)?;
        if count == 0
            && let Some(member) = &self.current
        {
            let there = member.length_bytes.saturating_sub(self.remaining);
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                self.truncated(member, there),
            ));
        }
        let passed = u64::try_from(count).unwrap_or(u64::MAX);
        self.remaining = self.remaining.saturating_sub(passed);
        self.position = self.position.saturating_add(passed);
        Ok(count)
    }
}

/// The name of a member; what is no UTF-8 is refused.
pub(super) fn name_of(raw: &[u8], offset: u64) -> Result<EntryName, Error> {
    let text = std::str::from_utf8(raw).map_err(|error| {
        let shown = String::from_utf8_lossy(raw);
        let message = format!("the name {} is not UTF-8", quote::Quoted(&shown));
        Error::new(Code::E0105, Kind::Denied, message).at(Place::Offset(offset)).caused_by(error)
    })?;
    EntryName::parse(text).map_err(|error| error.at(Place::Offset(offset)))
}

fn padding_of(length_bytes: u64) -> u64 {
    length_bytes.checked_next_multiple_of(BLOCK).map_or(0, |end| end.saturating_sub(length_bytes))
}

/// A number with its digits in groups of three, as people read it.
struct Grouped(u64);

impl std::fmt::Display for Grouped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = self.0.to_string();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && digits.len().saturating_sub(at).is_multiple_of(3) {
                f.write_str(" ")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tar::{EntryType, Header};

    use super::{
        super::{SeekInput, StreamInput},
        *,
    };

    /// A header with a right checksum; `change` spoils it before the sum is made.
    fn header(name: &str, length: u64, change: impl FnOnce(&mut Header)) -> Vec<u8> {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(EntryType::Regular);
        header.set_size(length);
        change(&mut header);
        header.set_cksum();
        header.as_bytes().to_vec()
    }

    fn padded(payload: &[u8]) -> Vec<u8> {
        let mut bytes = payload.to_vec();
        bytes.resize(payload.len().next_multiple_of(512), 0);
        bytes
    }

    fn typed(name: &str, kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u64::try_from(payload.len()).unwrap();
        let mut bytes = header(name, length, |h| h.set_entry_type(EntryType::new(kind)));
        bytes.extend(padded(payload));
        bytes
    }

    fn file(name: &str, payload: &[u8]) -> Vec<u8> {
        typed(name, b'0', payload)
    }

    fn pax(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut record = String::new();
        for (key, value) in pairs {
            let rest = format!(" {key}={value}\n");
            let digits = (1..6).find(|d| (rest.len() + d).to_string().len() == *d).unwrap();
            record.push_str(&(rest.len() + digits).to_string());
            record.push_str(&rest);
        }
        typed("pax", b'x', record.as_bytes())
    }

    fn end() -> Vec<u8> {
        vec![0; 1024]
    }

    fn good() -> Vec<u8> {
        [file("vm.ovf", b"<x/>"), file("d/disk.vmdk", &[7; 700]), end()].concat()
    }

    /// The names and lengths, with the messages of the findings.
    type Walked = (Vec<(String, u64)>, Vec<String>);

    /// Walks the bytes as a file and as a stream, which must agree.
    #[expect(clippy::panic_in_result_fn, reason = "a test helper that asserts")]
    fn walk(bytes: &[u8]) -> Result<Walked, Error> {
        #[expect(clippy::panic_in_result_fn, reason = "a test helper that asserts")]
        fn run<I: Input>(input: I) -> Result<Walked, Error> {
            let mut walk = Walk::new(input);
            let mut found = Vec::new();
            while let Some(member) = walk.next_member()? {
                found.push((member.name.to_string(), member.length_bytes));
            }
            assert!(walk.next_member()?.is_none(), "the end stays the end");
            let messages = walk.findings().iter().map(|f| f.message.clone()).collect();
            Ok((found, messages))
        }
        let seeking = run(SeekInput::new(Cursor::new(bytes)).unwrap());
        let streaming = run(StreamInput::new(bytes));
        match (&seeking, &streaming) {
            (Ok(a), Ok(b)) => assert_eq!(a, b),
            (Err(a), Err(b)) => assert_eq!(a.code(), b.code()),
            _ => panic!("{seeking:?} is not {streaming:?}"),
        }
        seeking
    }

    fn names(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
        let (found, findings) = walk(bytes).unwrap();
        (found.into_iter().map(|(name, _)| name).collect(), findings)
    }

    fn refusal(bytes: &[u8]) -> (Code, String) {
        let error = walk(bytes).unwrap_err();
        (error.code(), error.message().to_owned())
    }

    #[test]
    fn finds_every_file_and_reads_it_in_place() {
        let bytes = good();
        let mut walk = Walk::new(StreamInput::new(bytes.as_slice()));
        let first = walk.next_member().unwrap().unwrap();
        assert_eq!((first.offset_bytes, first.length_bytes), (512, 4));
        let mut text = String::new();
        walk.read_to_string(&mut text).unwrap();
        assert_eq!(text, "<x/>");
        let second = walk.next_member().unwrap().unwrap();
        assert_eq!(second.name.as_str(), "d/disk.vmdk");
        walk.read_exact(&mut [0; 10]).unwrap();
        assert!(walk.next_member().unwrap().is_none());
        assert_eq!(walk.findings(), []);
    }

    #[test]
    fn reads_long_names_and_great_sizes_of_every_writer() {
        let long = format!("{}.vmdk", "n".repeat(150));
        let gnu = typed("././@LongLink", b'L', format!("{long}\0").as_bytes());
        let bytes = [gnu, file("cut", b"1"), end()].concat();
        assert_eq!(names(&bytes).0, [long.as_str()]);
        let mut by_pax = header("cut", 0, |_| ());
        by_pax.extend(padded(b"12345"));
        let bytes =
            [pax(&[("path", &long), ("size", "5"), ("mtime", "1.5")]), by_pax, end()].concat();
        assert_eq!(walk(&bytes).unwrap().0, [(long, 5)]);
    }

    #[test]
    fn a_size_above_8_gib_is_base_256() {
        let great = 9_u64 << 30;
        let bytes = header("disk.vmdk", great, |_| ());
        let (code, message) = refusal(&bytes);
        assert_eq!(code, Code::E0102);
        assert_eq!(
            message,
            "the tar entry disk.vmdk should be 9 663 676 416 bytes but only 0 are there \
             (file is 512 bytes)"
        );
    }

    #[test]
    fn passes_over_folders_and_tolerates_what_real_writers_do() {
        let folder = typed("./d/", b'5', b"");
        let itself = typed("./", b'5', b"");
        assert_eq!(names(&[itself, folder, good()].concat()).0, ["vm.ovf", "d/disk.vmdk"]);

        for (bytes, want) in [
            ([file("a", b"1")].concat(), "the archive has no end blocks"),
            (
                [file("a", b"1"), vec![0; 512]].concat(),
                "the archive has one end block, two are due",
            ),
            (
                [file("a", b"1"), end(), file("b", b"2")].concat(),
                "bytes stand behind the end of the archive and are not read",
            ),
            (
                [file("--help", b"1"), end()].concat(),
                "the name '--help' looks like an option or an address",
            ),
            (
                [file("a", b"1"), file("A", b"1"), end()].concat(),
                "the name 'A' differs from another in case only",
            ),
        ] {
            assert_eq!(names(&bytes).1, [want]);
        }
        let holed = [file("a", b"1"), vec![0; 512], file("b", b"2"), end()].concat();
        let (found, findings) = names(&holed);
        assert_eq!(found, ["a", "b"]);
        assert_eq!(findings, ["a zero block stands before the tar header at byte 1536"]);
    }

    #[test]
    fn refuses_links_special_files_and_unsafe_names() {
        for (bytes, want) in [
            (
                typed("l", b'2', b""),
                "the tar entry l is a symbolic link, only regular files are allowed",
            ),
            (
                typed("l", b'1', b""),
                "the tar entry l is a hard link, only regular files are allowed",
            ),
            (
                typed("c", b'3', b""),
                "the tar entry c is a character device, only regular files are allowed",
            ),
            (
                typed("p", b'6', b""),
                "the tar entry p is a named pipe, only regular files are allowed",
            ),
            (
                typed("s", b'S', b""),
                "the tar entry s is a sparse file, only regular files are allowed",
            ),
            (
                typed("z", b'Z', b""),
                "the tar entry z is of the type 'Z', only regular files are allowed",
            ),
            (file("../x", b""), "the name '../x' climbs out of the package"),
            (typed("../d/", b'5', b""), "the name '../d/' climbs out of the package"),
            (file("/dev/shm/x", b""), "the name '/dev/shm/x' is an absolute path"),
            (
                [pax(&[("path", "../x")]), file("a", b"")].concat(),
                "the name '../x' climbs out of the package",
            ),
            ([file("a", b""), file("./a", b"")].concat(), "two tar entries have the name 'a'"),
        ] {
            assert_eq!(refusal(&[bytes, end()].concat()), (Code::E0105, want.to_owned()));
        }
    }

    #[test]
    fn refuses_headers_that_lie() {
        let negative = header("n", 0, |h| {
            h.as_old_mut().size = [255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 254, 0];
        });
        let garbage = header("n", 0, |h| h.as_old_mut().size = *b"00zz9999999\0");
        let mut wrong_sum = header("n", 0, |_| ());
        wrong_sum[0] = b'm';
        let two_sizes = [pax(&[("size", "9")]), file("n", b"12345")].concat();
        let mixed = [pax(&[("size", "1")]), typed("L", b'L', b"x\0"), file("n", b"1")].concat();
        let size = "the size of the tar entry n is no number in 0..=9223372036854775296";
        for (bytes, want) in [
            (negative, size),
            (garbage, size),
            (wrong_sum, "the checksum of a tar header is 2124, but it states 2125"),
            (two_sizes, "a tar entry has two sizes, 5 and 9 bytes"),
            (
                [typed("d/", b'5', &[7; 512]), file("b", b"2")].concat(),
                "the folder 'd/' has 512 bytes, 0 are due",
            ),
            (typed("d/", b'0', b"1"), "the folder 'd/' has 1 bytes, 0 are due"),
            (
                [pax(&[("size", "512")]), typed("d/", b'5', b"")].concat(),
                "the folder 'd/' has 512 bytes, 0 are due",
            ),
            (mixed, "pax and GNU records for one tar entry"),
        ] {
            let bytes = [file("a", b"1"), bytes, end()].concat();
            let (code, message) = refusal(&bytes);
            assert_eq!((code, message.as_str()), (Code::E0101, want));
        }
    }

    #[test]
    fn stops_at_every_limit() {
        let bomb = header("././@LongLink", 64 << 30, |h| h.set_entry_type(EntryType::GNULongName));
        let want = "a long name of 68719476736 bytes, at most 65536 are allowed";
        assert_eq!(refusal(&[bomb, end()].concat()), (Code::E0106, want.to_owned()));
        let many: Vec<u8> = (0..1001).flat_map(|n| header(&format!("m{n}"), 0, |_| ())).collect();
        assert_eq!(
            refusal(&[many, end()].concat()),
            (Code::E0106, "more than 1000 files in the archive".to_owned())
        );
        let folders: Vec<u8> =
            (0..4001).flat_map(|n| typed(&format!("d{n}/"), b'5', b"")).collect();
        assert_eq!(
            refusal(&[folders, end()].concat()),
            (Code::E0106, "more than 4000 tar headers".to_owned())
        );
    }

    #[test]
    fn cut_inside_a_member_it_says_how_much_is_there() {
        let bytes = good();
        for length in 1..bytes.len() {
            let cut = &bytes[..length];
            match length {
                1..512 => assert_eq!(refusal(cut).0, Code::E0101, "{length}"),
                512..516 | 1025..1536 | 1536..2236 => {
                    assert_eq!(refusal(cut).0, Code::E0102, "{length}");
                }
                // Whole members: only the padding or the end blocks are missing.
                _ => assert!(!names(cut).1.is_empty() || length == bytes.len(), "{length}"),
            }
        }
        let (_, message) = refusal(&bytes[..1600]);
        assert_eq!(
            message,
            "the tar entry d/disk.vmdk should be 700 bytes but only 64 are there \
             (file is 1 600 bytes)"
        );
    }

    #[test]
    fn a_stream_that_ends_inside_a_member_fails_while_it_is_read() {
        let bytes = &good()[..1600];
        let mut walk = Walk::new(StreamInput::new(bytes));
        walk.next_member().unwrap();
        walk.next_member().unwrap();
        let error = walk.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(error.to_string().ends_with("only 64 are there (file is 1 600 bytes)"), "{error}");
    }

    #[test]
    fn groups_digits_as_people_read_them() {
        for (number, want) in [(0, "0"), (999, "999"), (1000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(Grouped(number).to_string(), want);
        }
    }
}
