//! The frames of a zstd stream, one after the other.

use std::io::{self, BufRead, Chain, Cursor, Read};

use code::Code;
use zstd::stream::read::Decoder;

use crate::Error;

/// The largest window (ours), as a power of two: `zstd --ultra -22` has 27.
const MAX_WINDOW_LOG: u32 = 27;

/// The most frames in a row that hold nothing (ours): writers leave one, and a flood of them would be
/// read without an end in sight.
const MAX_EMPTY_FRAMES: u32 = 16;

/// The bytes that tell what a frame is.
const MAGIC_BYTES: usize = 4;

/// What the frames of a stream hold.
///
/// They are told apart here and not by the library, which passes over any number of empty ones.
pub(super) struct Frames<R: BufRead> {
    state: State<R>,
    /// How many frames in a row held nothing.
    empty: u32,
}

/// Where in a stream the reading is.
enum State<R: BufRead> {
    Between(R),
    Inside { frame: Box<Decoder<'static, Chain<Cursor<[u8; MAGIC_BYTES]>, R>>>, is_empty: bool },
    Over,
}

impl<R: BufRead> Frames<R> {
    pub(super) const fn new(reader: R) -> Self {
        Self { state: State::Between(reader), empty: 0 }
    }

    /// Begins the next frame that is not to be skipped.
    fn begin(&mut self, mut reader: R) -> io::Result<State<R>> {
        loop {
            if reader.fill_buf()?.is_empty() {
                return Ok(State::Over);
            }
            let mut magic = [0; MAGIC_BYTES];
            reader.read_exact(&mut magic)?;
            if !is_skippable(magic) {
                let whole = Cursor::new(magic).chain(reader);
                let mut frame = Decoder::with_buffer(whole)?.single_frame();
                frame.window_log_max(MAX_WINDOW_LOG)?;
                return Ok(State::Inside { frame: Box::new(frame), is_empty: true });
            }
            self.count_empty()?;
            let mut length = [0; 4];
            reader.read_exact(&mut length)?;
            let length = u64::from(u32::from_le_bytes(length));
            if io::copy(&mut reader.by_ref().take(length), &mut io::sink())? < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn count_empty(&mut self) -> io::Result<()> {
        self.empty = self.empty.saturating_add(1);
        if self.empty > MAX_EMPTY_FRAMES {
            let message = format!("more than {MAX_EMPTY_FRAMES} empty zstd frames in a row");
            return Err(io::Error::other(Error::limit(Code::E0106, message)));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            self.state = match std::mem::replace(&mut self.state, State::Over) {
                State::Over => return Ok(0),
                State::Between(reader) => self.begin(reader)?,
                State::Inside { mut frame, is_empty } => match frame.read(buffer)? {
                    0 => {
                        if is_empty {
                            self.count_empty()?;
                        }
                        State::Between(frame.finish().into_inner().1)
                    }
                    count => {
                        self.empty = 0;
                        self.state = State::Inside { frame, is_empty: false };
                        return Ok(count);
                    }
                },
            };
        }
    }
}

/// Whether a frame is one that readers skip (RFC 8878, 3.1.2).
const fn is_skippable(magic: [u8; MAGIC_BYTES]) -> bool {
    u32::from_le_bytes(magic) & 0xffff_fff0 == 0x184d_2a50
}

#[cfg(test)]
mod tests {
    use super::*;

    const SKIPPED: [u8; 11] = *b"\x5e\x2a\x4d\x18\x03\0\0\0abc";

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Frames::new(bytes).read_to_end(&mut out)?;
        Ok(out)
    }

    fn frame(content: &[u8]) -> Vec<u8> {
        zstd::bulk::compress(content, 1).unwrap()
    }

    #[test]
    fn reads_every_frame_and_passes_over_a_few_that_hold_nothing() {
        let some = frame(&[7; 100_000]);
        for between in [Vec::new(), SKIPPED.to_vec(), frame(b""), SKIPPED.repeat(16)] {
            let bytes = [some.as_slice(), &between, &some, &between].concat();
            assert_eq!(read(&bytes).unwrap(), [7; 200_000]);
        }
        assert_eq!(read(&some.repeat(100)).unwrap().len(), 10_000_000);
    }

    #[test]
    fn a_flood_of_frames_that_hold_nothing_is_stopped() {
        for empty in [SKIPPED.to_vec(), frame(b"")] {
            let error = read(&[frame(b"x"), empty.repeat(17)].concat()).unwrap_err();
            let found: &Error = error.get_ref().unwrap().downcast_ref().unwrap();
            assert_eq!(found.code(), Code::E0106);
            assert_eq!(found.message(), "more than 16 empty zstd frames in a row");
        }
    }

    #[test]
    fn what_is_cut_or_no_frame_is_refused() {
        let bytes = [frame(b"content"), SKIPPED.to_vec(), frame(b"more")].concat();
        let whole = frame(b"content").len();
        for length in 1..bytes.len() {
            let is_boundary = length == whole || length == whole + SKIPPED.len();
            assert_eq!(read(&bytes[..length]).is_ok(), is_boundary, "{length}");
        }
        assert!(read(&[bytes.as_slice(), b"behind"].concat()).is_err());
        // A dictionary, and a window of 2^31 bytes.
        assert!(read(&[0x28, 0xb5, 0x2f, 0xfd, 0x21, 1, 1, 7, 0, 0]).is_err());
        assert!(read(&[0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 1, 0, 0]).is_err());
        assert!(read(&[0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3, 1, 0, 0]).is_ok());
    }
}
