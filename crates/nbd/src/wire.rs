//! The numbers of the protocol, and its fixed parts as bytes.

use std::io::{self, Read};

/// What a server says first, "NBDMAGIC".
pub(crate) const SERVER_MAGIC: u64 = 0x4e42_444d_4147_4943;
/// What stands before each option, and second in a newstyle greeting, "IHAVEOPT".
pub(crate) const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
/// What stands before each reply to an option.
pub(crate) const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
/// What stands before each request.
pub(crate) const REQUEST_MAGIC: u32 = 0x2560_9513;
/// What stands before a simple reply.
pub(crate) const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
/// What stands before each chunk of a structured reply.
pub(crate) const CHUNK_MAGIC: u32 = 0x668e_33ef;

/// Handshake flag: the server answers options that it does not know.
pub(crate) const FIXED_NEWSTYLE: u16 = 1;

/// The options of a handshake.
pub(crate) mod option {
    pub(crate) const GO: u32 = 7;
    pub(crate) const STRUCTURED_REPLY: u32 = 8;
    pub(crate) const SET_META_CONTEXT: u32 = 10;
}

/// The types of replies to options.
pub(crate) mod option_reply {
    pub(crate) const ACK: u32 = 1;
    pub(crate) const INFO: u32 = 3;
    pub(crate) const META_CONTEXT: u32 = 4;
    /// Every type with this bit is a refusal.
    pub(crate) const REFUSED: u32 = 1 << 31;
    pub(crate) const UNSUPPORTED: u32 = REFUSED | 1;
    pub(crate) const POLICY: u32 = REFUSED | 2;
    pub(crate) const TLS_REQUIRED: u32 = REFUSED | 5;
    pub(crate) const UNKNOWN: u32 = REFUSED | 6;
    pub(crate) const SHUTDOWN: u32 = REFUSED | 7;
    pub(crate) const TOO_BIG: u32 = REFUSED | 9;
}

/// What a server tells of an export.
pub(crate) mod info {
    pub(crate) const EXPORT: u16 = 0;
    pub(crate) const BLOCK_SIZE: u16 = 3;
}

/// The commands of the transmission phase.
pub(crate) mod command {
    pub(crate) const READ: u16 = 0;
    pub(crate) const DISCONNECT: u16 = 2;
    pub(crate) const BLOCK_STATUS: u16 = 7;
}

/// The types of chunks.
pub(crate) mod chunk {
    pub(crate) const NONE: u16 = 0;
    pub(crate) const OFFSET_DATA: u16 = 1;
    pub(crate) const OFFSET_HOLE: u16 = 2;
    pub(crate) const BLOCK_STATUS: u16 = 5;
    /// Every type with this bit is an error.
    pub(crate) const ERROR: u16 = 1 << 15;
}

/// The flag of a reply's last chunk.
const DONE: u16 = 1;

/// One request, without its cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    /// One of [`command`].
    pub(crate) command: u16,
    /// The byte of the export that it begins with.
    pub(crate) offset_bytes: u64,
    /// How many bytes it is about.
    pub(crate) len_bytes: u32,
}

impl Request {
    /// Appends the request as it is sent, without flags ("Request message").
    pub(crate) fn append_to(self, out: &mut Vec<u8>, cookie: u64) {
        out.extend(REQUEST_MAGIC.to_be_bytes());
        out.extend(0_u16.to_be_bytes());
        out.extend(self.command.to_be_bytes());
        out.extend(cookie.to_be_bytes());
        out.extend(self.offset_bytes.to_be_bytes());
        out.extend(self.len_bytes.to_be_bytes());
    }

    /// The byte of the export behind the last one.
    pub(crate) fn end_bytes(self) -> u64 {
        self.offset_bytes.saturating_add(u64::from(self.len_bytes))
    }
}

/// What stands before the payload of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    /// A whole reply without structure; the data of a READ follows when there is no error.
    Simple {
        /// An error number, 0 for none.
        error: u32,
    },
    /// A chunk of a structured reply.
    Chunk {
        /// One of [`chunk`].
        kind: u16,
        /// Whether it is the last one of its reply.
        is_last: bool,
        /// The length of what follows.
        len_bytes: u32,
    },
}

impl Head {
    /// Reads the head of a reply and the cookie of its request; `Err(Ok(magic))` when neither magic
    /// number is there.
    pub(crate) fn read(input: &mut dyn Read) -> Result<(u64, Self), HeadError> {
        match u32_of(input)? {
            SIMPLE_REPLY_MAGIC => {
                let error = u32_of(input)?;
                Ok((u64_of(input)?, Self::Simple { error }))
            }
            CHUNK_MAGIC => {
                let is_last = u16_of(input)? & DONE != 0;
                let kind = u16_of(input)?;
                let cookie = u64_of(input)?;
                Ok((cookie, Self::Chunk { kind, is_last, len_bytes: u32_of(input)? }))
            }
            magic => Err(HeadError::Magic(magic)),
        }
    }
}

/// Why a head cannot be read.
#[derive(Debug)]
pub(crate) enum HeadError {
    /// The socket says so.
    Io(io::Error),
    /// It begins with another number.
    Magic(u32),
}

impl From<io::Error> for HeadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn bytes_of<const N: usize>(input: &mut dyn Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Reads a number; all numbers of the protocol are big endian.
pub(crate) fn u16_of(input: &mut dyn Read) -> io::Result<u16> {
    bytes_of(input).map(u16::from_be_bytes)
}

/// As [`u16_of`], with 32 bits.
pub(crate) fn u32_of(input: &mut dyn Read) -> io::Result<u32> {
    bytes_of(input).map(u32::from_be_bytes)
}

/// As [`u16_of`], with 64 bits.
pub(crate) fn u64_of(input: &mut dyn Read) -> io::Result<u64> {
    bytes_of(input).map(u64::from_be_bytes)
}

/// The name that a system has for an error number of the protocol ("Error values").
pub(crate) fn error_name(number: u32) -> &'static str {
    match number {
        1 => "not permitted",
        5 => "input or output error",
        12 => "no memory",
        22 => "invalid argument",
        28 => "no space",
        75 => "value too large",
        95 => "not supported",
        108 => "the server is shutting down",
        _ => "an error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_28_bytes() {
        let mut out = Vec::new();
        let request = Request { command: command::BLOCK_STATUS, offset_bytes: 0x102, len_bytes: 3 };
        request.append_to(&mut out, 0x0405);
        let want = "25609513 0000 0007 0000000000000405 0000000000000102 00000003";
        let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, want.replace(' ', ""));
        assert_eq!(request.end_bytes(), 0x105);
    }

    #[test]
    fn reads_the_heads_of_both_kinds_of_replies() {
        let chunk = [0x66, 0x8e, 0x33, 0xef, 0, 1, 0x80, 2, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 1, 0];
        let want = Head::Chunk { kind: chunk::ERROR | 2, is_last: true, len_bytes: 256 };
        assert_eq!(Head::read(&mut &chunk[..]).unwrap(), (9, want));
        let simple = [0x67, 0x44, 0x66, 0x98, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 1, 0];
        assert_eq!(Head::read(&mut &simple[..]).unwrap(), (256, Head::Simple { error: 5 }));
        for len in 0..16 {
            assert!(matches!(Head::read(&mut &simple[..len]), Err(HeadError::Io(_))));
        }
        assert!(matches!(Head::read(&mut &[7; 20][..]), Err(HeadError::Magic(0x0707_0707))));
    }
}
