//! A member that is written before its length is known, from many threads at once.
//!
//! ```text
//! .tar      header (last) | the member's window of the file, any byte at any time    hashed when whole
//! .tar.zst  header, head (last, stored) | chunks -> hash, pack (whoever fills one) -> frames in order
//! ```
//!
//! Nothing is stored in between: in a compressed bundle the header and the first cluster of a member,
//! which are known last, are frames that are not compressed, so that the room they need is known first.

mod chunks;
mod hashed;
mod window;

use std::{fmt, io, ops::Range, sync::Arc};

use disk::{Order, Progress, ReadAt, WriteAt};
use ovf::EntryName;

use crate::{Result, tar};

use chunks::Chunks;
use window::Window;

/// A member of a bundle that is written as a file is.
///
/// In a plain bundle its bytes come in any order, in a compressed one front to end
/// ([`Order::FrontToEnd`]). [`Writer::end_growing`](crate::Writer::end_growing) makes it a member.
pub struct Growing {
    pub(crate) name: EntryName,
    unix_seconds: u64,
    place: Place,
}

/// How its bytes are stored.
enum Place {
    Plain(Window),
    Packed(Chunks),
}

/// What a member has become.
pub(crate) struct Grown {
    pub(crate) blake3: String,
    /// The frames of a compressed bundle that it lies in: packed and plain bytes.
    pub(crate) frames: Vec<(u64, u64)>,
}

impl Growing {
    /// A member whose header is to lie at `at` of a plain archive.
    pub(crate) fn plain(file: Arc<dyn WriteAt>, at: u64, name: EntryName, seconds: u64) -> Self {
        let place = Place::Plain(Window::new(file, at));
        Self { name, unix_seconds: seconds, place }
    }

    /// A member whose first frame is to lie at `at` of a compressed archive.
    pub(crate) fn packed(
        (file, at): (Arc<dyn WriteAt>, u64),
        level: i32,
        name: EntryName,
        seconds: u64,
    ) -> Self {
        Self { name, unix_seconds: seconds, place: Place::Packed(Chunks::new(file, at, level)) }
    }

    /// Writes what is left, the header last.
    pub(crate) fn finish(&self, length_bytes: u64, progress: &dyn Progress) -> Result<Grown> {
        let header = tar::header(&self.name, length_bytes, self.unix_seconds)?;
        match &self.place {
            Place::Plain(window) => window.finish(length_bytes, &header, progress),
            Place::Packed(chunks) => chunks.finish(length_bytes, &header),
        }
    }
}

impl fmt::Debug for Growing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Growing({})", self.name)
    }
}

impl WriteAt for Growing {
    fn write_all_at(&self, buf: &[u8], offset_bytes: u64) -> io::Result<()> {
        match &self.place {
            Place::Plain(window) => window.write(buf, offset_bytes),
            Place::Packed(chunks) => chunks.write(buf, offset_bytes),
        }
    }

    /// Reads back what was written; of a compressed bundle nothing can be.
    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        match &self.place {
            Place::Plain(window) => window.read(buf, offset_bytes),
            Place::Packed(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Does nothing: the length is told at the end.
    fn set_len_bytes(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn order(&self) -> Order {
        match &self.place {
            Place::Plain(_) => Order::AnyPlace,
            Place::Packed(_) => Order::FrontToEnd,
        }
    }

    fn copy_from(&self, source: &dyn ReadAt, range: Range<u64>, offset_bytes: u64) -> u64 {
        match &self.place {
            Place::Plain(window) => window.copy_from(source, range, offset_bytes),
            Place::Packed(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use disk::Unheard;

    use super::*;
    use crate::{Form, Writer, fake::Memory, sample};

    /// Writes a member in pieces that overtake one another, the first cluster last, then a small one.
    fn grown(form: Form, content: &[u8]) -> (Vec<u8>, String) {
        let medium = Arc::new(Memory::default());
        let mut writer = Writer::new(&*medium, sample::options(form));
        let growing = writer.begin_growing(&sample::name("a.iso"), Arc::clone(&medium) as _);
        let growing = growing.unwrap();
        let (head, rest) = content.split_at(content.len().min(65536));
        let mut pieces: Vec<(u64, &[u8])> =
            (65536..).step_by(100_000).zip(rest.chunks(100_000)).collect();
        for pair in pieces.chunks_mut(2) {
            pair.reverse();
        }
        for (at, piece) in pieces {
            growing.write_all_at(piece, at).unwrap();
        }
        growing.write_all_at(head, 0).unwrap();
        writer.end_growing(&growing, content.len() as u64, &Unheard).unwrap();
        writer.add(&sample::name("b.iso"), &vec![7; 9], &Unheard).unwrap();
        let digest = writer.written().unwrap()[0].blake3.clone();
        writer.finish(None).unwrap();
        (medium.bytes(), digest)
    }

    #[test]
    fn it_is_a_member_like_any_other_whatever_its_length() {
        let content = testkit::content(9 << 20);
        for form in [Form::Tar, Form::TarZst] {
            for len in [0, 1, 511, 65535, 65536, 65537, 4 << 20, (4 << 20) + 1, 9 << 20] {
                let content = &content[..len];
                let (bytes, digest) = grown(form, content);
                assert_eq!(digest, blake3::hash(content).to_hex().as_str(), "{form:?} {len}");
                let plain = match form {
                    Form::Tar => bytes.clone(),
                    Form::TarZst => zstd::decode_all(bytes.as_slice()).unwrap(),
                };
                let other = sample::foreign(
                    Form::Tar,
                    &[("a.iso", content.to_vec()), ("b.iso", vec![7; 9])],
                );
                assert!(plain == other, "{form:?} {len}");
            }
        }
    }

    #[test]
    fn a_byte_that_was_not_written_is_told() {
        for (missing, want) in [
            (0..65536, "a.iso: 65536 of 65536 bytes at byte 0 were not written"),
            (65636..65637, "a.iso: 1 of 200 bytes at byte 65536 were not written"),
        ] {
            let medium = Arc::new(Memory::default());
            let mut writer = Writer::new(&*medium, sample::options(Form::TarZst));
            let name = sample::name("a.iso");
            let growing = writer.begin_growing(&name, Arc::clone(&medium) as _).unwrap();
            for part in [0..missing.start, missing.end..65736] {
                growing.write_all_at(&vec![1; part.len()], part.start as u64).unwrap();
            }
            let error = writer.end_growing(&growing, 65736, &Unheard).unwrap_err();
            assert_eq!(error.to_string(), want);
        }
    }

    #[test]
    fn the_frames_are_those_that_the_table_lists() {
        let content = testkit::content(9 << 20);
        let (bytes, _) = grown(Form::TarZst, &content);
        let bundle = sample::open(bytes);
        let member = bundle.member("a.iso").unwrap();
        let mut found = vec![0; content.len()];
        bundle.bytes(member).unwrap().read_exact_at(&mut found, 0).unwrap();
        assert!(found == content);
    }
}
