//! A ZIP archive: its directory is read, its members where they lie.
//!
//! ```text
//! end record (at the end) --> directory --> Entry {name, sizes, CRC, where} --> local header --> data
//! ```

mod directory;
mod fields;
mod inflate;

use std::{
    collections::HashSet,
    io::{Read, Seek, SeekFrom},
};

use code::Code;

use super::{Index, MAX_MEMBERS, Member, walk};
use crate::{Error, Finding, Kind, Place, quote};
use directory::{Directory, Entry};
use fields::Fields as _;

pub use inflate::Inflate;

/// What a member's own header begins with.
const LOCAL_MAGIC: &[u8] = b"PK\x03\x04";
/// The length of a member's own header without the name.
const LOCAL_BYTES: usize = 30;
/// The most that deflate makes of a byte.
const MAX_RATIO: u64 = 1032;

/// The members of a ZIP archive.
#[derive(Debug, Clone)]
pub struct Zip {
    /// The members: where their stored bytes begin, and how long they are when they are unpacked.
    pub index: Index,
    /// How each of them is stored.
    pub methods: Vec<Method>,
}

/// How a member is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As it is.
    Stored,
    /// By deflate.
    Deflated {
        /// How many bytes are stored.
        packed_bytes: u64,
        /// CRC-32 of the unpacked bytes.
        crc: u32,
    },
}

impl Zip {
    /// Tells by the first bytes.
    #[must_use]
    pub fn is_one(head: &[u8]) -> bool {
        head.starts_with(LOCAL_MAGIC) || head.starts_with(b"PK\x05\x06")
    }

    /// Reads the directory and the header of every member, and no payload.
    ///
    /// # Errors
    /// `E0101` for what is no ZIP archive or is not read (encrypted, another method), `E0102` for one
    /// that ends too early, `E0105` for an unsafe name, a link or a duplicate, `E0106` over a limit.
    pub fn read(mut file: impl Read + Seek) -> Result<Self, Error> {
        let directory = Directory::find(&mut file)?;
        let mut reading = Reading::default();
        for entry in directory.entries(&mut file)? {
            reading.enter(&mut file, &entry, directory.start)?;
        }
        reading.refuse_overlaps()?;
        let message = "the package is a ZIP archive, an OVA is a tar archive";
        reading.findings.insert(0, Finding::new(Code::W0608, message));
        let Reading { members, methods, findings, .. } = reading;
        let index = Index { members, findings, length_bytes: directory.file_bytes };
        Ok(Self { index, methods })
    }
}

/// The members that were read so far.
#[derive(Default)]
struct Reading {
    members: Vec<Member>,
    methods: Vec<Method>,
    findings: Vec<Finding>,
    names: HashSet<String>,
    folded: HashSet<String>,
    /// Where each member begins with its header, and where it ends.
    ranges: Vec<(u64, u64)>,
}

impl Reading {
    fn enter(
        &mut self,
        file: &mut (impl Read + Seek),
        entry: &Entry,
        end: u64,
    ) -> Result<(), Error> {
        let at = Place::Offset(entry.header_offset);
        if entry.is_folder() {
            walk::name_of(
                entry.name.strip_suffix(b"/").unwrap_or(&entry.name),
                entry.header_offset,
            )?;
            return Ok(());
        }
        let name = walk::name_of(&entry.name, entry.header_offset)?;
        let quoted = quote::Quoted(name.as_str());
        if entry.is_special() {
            let message = format!("{quoted} is a link or a special file");
            return Err(Error::new(Code::E0105, Kind::Denied, message).at(at));
        }
        if !self.names.insert(name.as_str().to_owned()) {
            let message = format!("two members have the name {quoted}");
            return Err(Error::new(Code::E0105, Kind::Denied, message).at(at));
        }
        if !self.folded.insert(name.as_str().to_lowercase()) {
            let message = format!("the name {quoted} differs from another in case only");
            self.findings.push(Finding::new(Code::W0608, message));
        }
        if self.members.len() == MAX_MEMBERS {
            let message = format!("more than {MAX_MEMBERS} files in the archive");
            return Err(Error::limit(Code::E0106, message).at(at));
        }
        let method = entry.method(&quoted.to_string()).map_err(|error| error.at(at))?;
        let offset_bytes = data_offset(file, entry)?;
        let data_end =
            offset_bytes.checked_add(entry.packed_bytes).filter(|data_end| *data_end <= end);
        let Some(data_end) = data_end else {
            let message = format!(
                "{quoted} has {} bytes from byte {offset_bytes} on, and the directory begins at byte {end}",
                entry.packed_bytes
            );
            return Err(Error::malformed(Code::E0102, message));
        };
        self.ranges.push((entry.header_offset, data_end));
        self.members.push(Member { name, offset_bytes, length_bytes: entry.unpacked_bytes });
        self.methods.push(method);
        Ok(())
    }

    /// Members that share bytes are how a small archive unpacks to a huge one.
    fn refuse_overlaps(&mut self) -> Result<(), Error> {
        self.ranges.sort_unstable();
        let mut pairs = self.ranges.iter().zip(self.ranges.iter().skip(1));
        match pairs.find(|((_, end), (start, _))| start < end) {
            None => Ok(()),
            Some((_, (start, _))) => {
                let message = "two members of the ZIP archive share bytes";
                Err(Error::malformed(Code::E0101, message).at(Place::Offset(*start)))
            }
        }
    }
}

impl Entry {
    fn method(&self, quoted: &str) -> Result<Method, Error> {
        let unsupported =
            |message: String| Err(Error::new(Code::E0101, Kind::Unsupported, message));
        if self.is_encrypted() {
            return unsupported(format!("{quoted} is encrypted in the ZIP archive"));
        }
        match self.method {
            0 if self.packed_bytes != self.unpacked_bytes => Err(Error::malformed(
                Code::E0101,
                format!(
                    "{quoted} is stored in {} bytes, and said to have {}",
                    self.packed_bytes, self.unpacked_bytes
                ),
            )),
            0 => Ok(Method::Stored),
            8 if self.unpacked_bytes > self.packed_bytes.saturating_mul(MAX_RATIO) => {
                let message = format!(
                    "{quoted} is said to unpack {} bytes to {}, deflate cannot do that",
                    self.packed_bytes, self.unpacked_bytes
                );
                Err(Error::limit(Code::E0106, message))
            }
            8 => Ok(Method::Deflated { packed_bytes: self.packed_bytes, crc: self.crc }),
            other => unsupported(format!(
                "{quoted} is packed by the method {other}, only 0 (stored) and 8 (deflate) are read"
            ))
            .map_err(|error: Error| error.with_hint("unzip it first and take the .ovf inside")),
        }
    }
}

/// Where the bytes of a member begin, as its own header says, which must agree with the directory.
fn data_offset(file: &mut (impl Read + Seek), entry: &Entry) -> Result<u64, Error> {
    let at = Place::Offset(entry.header_offset);
    let disagrees = |what: &str| {
        let shown = String::from_utf8_lossy(&entry.name);
        let message = format!("the header of {} has another {what}", quote::Quoted(&shown));
        Error::malformed(Code::E0101, message).at(at.clone())
    };
    let mut header = Vec::new();
    file.seek(SeekFrom::Start(entry.header_offset))?;
    let wanted = LOCAL_BYTES.saturating_add(entry.name.len());
    file.by_ref().take(wanted as u64).read_to_end(&mut header)?;
    if !header.starts_with(LOCAL_MAGIC) {
        return Err(disagrees("beginning"));
    }
    let fields = header.le16(8).zip(header.le16(26)).zip(header.le16(28));
    let Some(((method, name_bytes), extra_bytes)) = fields else {
        return Err(disagrees("length"));
    };
    if method != entry.method {
        return Err(disagrees("method"));
    }
    let name_end = LOCAL_BYTES.saturating_add(usize::from(name_bytes));
    if header.get(LOCAL_BYTES..name_end) != Some(&*entry.name) {
        return Err(disagrees("name"));
    }
    let head_bytes = (name_end as u64).saturating_add(u64::from(extra_bytes));
    Ok(entry.header_offset.saturating_add(head_bytes))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use super::*;

    /// A member to be, with what a test may spoil.
    struct Made {
        name: &'static str,
        packed: Vec<u8>,
        unpacked: u32,
        crc: u32,
        method: u16,
        flags: u16,
        mode: u32,
        local_name: Option<&'static str>,
    }

    fn made(name: &'static str, bytes: &[u8]) -> Made {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        Made {
            name,
            packed: bytes.to_vec(),
            unpacked: bytes.len() as u32,
            crc: crc.sum(),
            method: 0,
            flags: 0,
            mode: 0o100_644,
            local_name: None,
        }
    }

    fn deflated(name: &'static str, bytes: &[u8]) -> Made {
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        Made { packed: encoder.finish().unwrap(), method: 8, ..made(name, bytes) }
    }

    fn zip(members: &[Made]) -> Vec<u8> {
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        for one in members {
            let offset = out.len() as u32;
            let local = one.local_name.unwrap_or(one.name);
            let mut common = [one.flags, one.method, 0, 0].map(u16::to_le_bytes).concat();
            let sizes = [one.crc, one.packed.len() as u32, one.unpacked];
            common.extend(sizes.map(u32::to_le_bytes).concat());
            out.extend(b"PK\x03\x04\x14\0");
            out.extend(&common);
            out.extend([local.len() as u16, 0].map(u16::to_le_bytes).concat());
            out.extend(local.as_bytes());
            out.extend(&one.packed);
            directory.extend(b"PK\x01\x02\x14\x03\x14\0");
            directory.extend(&common);
            directory.extend([one.name.len() as u16, 0, 0, 0, 0].map(u16::to_le_bytes).concat());
            directory.extend([one.mode << 16, offset].map(u32::to_le_bytes).concat());
            directory.extend(one.name.as_bytes());
        }
        let start = out.len() as u32;
        let count = members.len() as u16;
        out.extend(&directory);
        out.extend(b"PK\x05\x06");
        out.extend([0, 0, count, count].map(u16::to_le_bytes).concat());
        out.extend([directory.len() as u32, start].map(u32::to_le_bytes).concat());
        out.extend([0, 0]);
        out
    }

    fn read(bytes: &[u8]) -> Result<Zip, Error> {
        Zip::read(Cursor::new(bytes))
    }

    fn refusal(members: &[Made]) -> String {
        let error = read(&zip(members)).unwrap_err();
        format!("{} {error}", error.code().as_str())
    }

    /// The bytes of a member.
    fn unpacked(bytes: &[u8], number: usize) -> std::io::Result<Vec<u8>> {
        let zip = read(bytes).unwrap();
        let (member, method) = (&zip.index.members[number], zip.methods[number]);
        let from = usize::try_from(member.offset_bytes).unwrap();
        let mut out = Vec::new();
        match Inflate::new(&bytes[from..], member, method) {
            Some(mut inflate) => inflate.read_to_end(&mut out)?,
            None => (&bytes[from..]).take(member.length_bytes).read_to_end(&mut out)?,
        };
        Ok(out)
    }

    #[test]
    fn reads_stored_and_deflated_members_where_they_lie() {
        let text = b"some text ".repeat(900);
        let folder = Made { mode: 0o040_755, ..made("sub/", b"") };
        let bytes = zip(&[made("vm.ovf", b"<Envelope/>"), folder, deflated("sub/d.vmdk", &text)]);
        let zip = read(&bytes).unwrap();
        assert!(Zip::is_one(&bytes));
        let names: Vec<String> =
            zip.index.members.iter().map(|member| member.name.to_string()).collect();
        assert_eq!(names, ["vm.ovf", "sub/d.vmdk"]);
        assert_eq!(zip.index.members[1].length_bytes, 9000);
        assert_eq!(zip.methods[0], Method::Stored);
        assert_eq!(unpacked(&bytes, 0).unwrap(), b"<Envelope/>");
        assert_eq!(unpacked(&bytes, 1).unwrap(), text);
    }

    #[test]
    fn a_comment_and_bytes_that_look_like_an_end_do_not_confuse() {
        let mut bytes = zip(&[made("a", b"PK\x05\x06 is no end")]);
        let at = bytes.len() - 2;
        bytes.splice(at.., [5, 0]);
        bytes.extend(b"hello");
        assert_eq!(unpacked(&bytes, 0).unwrap(), b"PK\x05\x06 is no end");
    }

    #[test]
    fn numbers_of_large_archives_stand_in_records_of_their_own() {
        let mut bytes = zip(&[made("a", b"content")]);
        let end = bytes.len() - END;
        let entry = bytes.len() - END - 47;
        // The entry: sizes and offset move to an extra field.
        bytes[entry + 20..entry + 28].fill(0xff);
        bytes[entry + 42..entry + 46].fill(0xff);
        bytes[entry + 30] = 28;
        let field = [&[1, 0, 24, 0][..], &[7_u64, 7, 0].map(u64::to_le_bytes).concat()].concat();
        bytes.splice(end..end, field);
        // The end: behind its large form and what points there.
        let end = bytes.len() - END;
        let large = [
            &b"PK\x06\x06"[..],
            &[0; 28],
            &[1, 75, entry as u64].map(u64::to_le_bytes).concat(),
            b"PK\x06\x07",
            &[0; 4],
            &(end as u64).to_le_bytes(),
            &[0; 4],
        ]
        .concat();
        bytes.splice(end..end, large);
        let end = bytes.len() - END;
        bytes[end + 8..end + 20].fill(0xff);
        assert_eq!(unpacked(&bytes, 0).unwrap(), b"content");
    }

    const END: usize = 22;

    #[test]
    fn refuses_what_is_unsafe_or_not_read() {
        let a = || made("a", b"x");
        for (members, want) in [
            (vec![a(), a()], "E0105 two members have the name 'a' (at byte 32)"),
            (
                vec![Made { mode: 0o120_777, ..a() }],
                "E0105 'a' is a link or a special file (at byte 0)",
            ),
            (
                vec![Made { flags: 1, ..a() }],
                "E0101 'a' is encrypted in the ZIP archive (at byte 0)",
            ),
            (
                vec![Made { method: 14, ..a() }],
                "E0101 'a' is packed by the method 14, only 0 (stored) and 8 (deflate) are read \
                 (at byte 0)",
            ),
            (
                vec![Made { unpacked: 2, ..a() }],
                "E0101 'a' is stored in 1 bytes, and said to have 2 (at byte 0)",
            ),
            (
                vec![Made { unpacked: 1_000_000, ..deflated("a", b"x") }],
                "E0106 'a' is said to unpack 3 bytes to 1000000, deflate cannot do that (at byte 0)",
            ),
            (
                vec![Made { local_name: Some("b"), ..a() }],
                "E0101 the header of 'a' has another name (at byte 0)",
            ),
        ] {
            assert_eq!(refusal(&members), want);
        }
        for name in ["../a", "/a", "a\\b", "", "a/../b/"] {
            assert!(refusal(&[made(name, b"x")]).starts_with("E0105 "), "{name}");
        }
    }

    #[test]
    fn refuses_members_that_share_bytes() {
        // Two entries, one member of their name each: the second begins inside the first.
        let inner = zip(&[made("b", b"y")]);
        let mut bytes = zip(&[made("a", &inner[..32]), made("b", b"y")]);
        let entry = bytes.len() - END - 47;
        bytes[entry + 42..entry + 46].copy_from_slice(&31_u32.to_le_bytes());
        let error = read(&bytes).unwrap_err();
        assert_eq!(error.to_string(), "two members of the ZIP archive share bytes (at byte 31)");
    }

    #[test]
    fn every_cut_is_refused_and_none_panics() {
        let bytes = zip(&[made("vm.ovf", b"<Envelope/>"), deflated("d.vmdk", &[7; 500])]);
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{length}");
        }
        for at in 0..bytes.len() {
            let mut spoiled = bytes.clone();
            spoiled[at] ^= 0xff;
            drop(read(&spoiled));
        }
    }

    #[test]
    fn a_damaged_member_is_told_when_it_is_read() {
        let good = deflated("d", &[7; 500]);
        for (member, want) in [
            (Made { crc: 1, ..deflated("d", &[7; 500]) }, "its CRC-32 is "),
            (Made { unpacked: 499, ..deflated("d", &[7; 500]) }, "it is longer than the directory"),
            (Made { unpacked: 501, ..deflated("d", &[7; 500]) }, "1 bytes are missing"),
            (Made { packed: vec![0xff; good.packed.len()], ..good }, "it is no deflate stream"),
        ] {
            let error = unpacked(&zip(&[member]), 0).unwrap_err().to_string();
            let want = format!("d is damaged in the ZIP archive: {want}");
            assert!(error.starts_with(&want), "{error}");
        }
    }
}
