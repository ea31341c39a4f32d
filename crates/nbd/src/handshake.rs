//! The handshake: fixed newstyle, structured replies, contexts, GO.

use std::{
    io::{self, Read, Write},
    time::Duration,
};

use disk::MAX_CAPACITY_BYTES;

use crate::{
    Error, Kind, Result,
    error::{quoted, says},
    wire::{
        FIXED_NEWSTYLE, OPTION_MAGIC, OPTION_REPLY_MAGIC, SERVER_MAGIC, info, option, option_reply,
        u16_of, u32_of, u64_of,
    },
};

/// The longest name or text of the protocol ("Values": strings).
const MAX_STRING_BYTES: usize = 4096;

/// The most bytes of one reply to an option: a number or two, and one text.
const MAX_OPTION_REPLY_BYTES: u32 = 8192;

/// The most replies to one option before its last one (ours): GO has four kinds of information, and
/// no machine has this many contexts that were asked for.
const MAX_OPTION_REPLIES: usize = 64;

/// The largest minimum block size ("Block size constraints").
const MAX_MIN_BLOCK_BYTES: u32 = 64 << 10;

/// The largest request where a server names no limit ("Block size constraints").
const DEFAULT_MAX_BLOCK_BYTES: u32 = 32 << 20;

/// The unit of every disk, and what requests are aligned to where a server says nothing.
const SECTOR_BYTES: u32 = 512;

/// The transmission flag of an export that is the same to all its connections ("Transmission flags":
/// `NBD_FLAG_CAN_MULTI_CONN`).
const CAN_MULTI_CONN: u16 = 1 << 8;

/// What a client and a server agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// The size of the export; a multiple of 512 and of the minimum block.
    pub(crate) size_bytes: u64,
    /// What offsets and lengths of requests are multiples of; a power of two up to 64 KiB.
    pub(crate) min_block_bytes: u32,
    /// The longest READ; a multiple of the minimum block, not 0.
    pub(crate) max_block_bytes: u32,
    /// Whether other connections see the same content.
    pub(crate) has_many: bool,
    /// Whether replies have chunks.
    pub(crate) is_structured: bool,
    /// The contexts that were asked for, in their order.
    pub(crate) contexts: Vec<Context>,
}

/// A context of BLOCK_STATUS that was agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Context {
    /// Its name, as `base:allocation`.
    pub(crate) name: String,
    /// What replies call it.
    pub(crate) id: u32,
}

/// Both ends of a connection, before there are requests.
pub(crate) struct Handshake<'a> {
    pub(crate) input: &'a mut dyn Read,
    pub(crate) output: &'a mut dyn Write,
    pub(crate) timeout: Duration,
}

/// One reply to an option.
struct OptionReply {
    kind: u32,
    data: Vec<u8>,
}

impl Handshake<'_> {
    /// Agrees with the server on an export and on contexts; each of them is needed.
    pub(crate) fn agree(mut self, export: &str, contexts: &[String]) -> Result<Agreed> {
        for (what, name) in
            contexts.iter().map(|name| ("context", name.as_str())).chain([("export", export)])
        {
            if name.len() > MAX_STRING_BYTES {
                let len = name.len();
                return Err(Error::new(
                    Kind::Limit,
                    format!(
                        "the name of the {what} has {len} bytes, at most {MAX_STRING_BYTES} are allowed"
                    ),
                ));
            }
        }
        self.greet()?;
        let is_structured = self.ask_for_structure()?;
        if !is_structured && !contexts.is_empty() {
            return Err(Error::new(
                Kind::Unsupported,
                "the server has no structured replies, so it tells no map of the disk",
            ));
        }
        let contexts = self.ask_for_contexts(export, contexts)?;
        let mut agreed = self.go(export)?;
        agreed.is_structured = is_structured;
        agreed.contexts = contexts;
        Ok(agreed)
    }

    /// Reads the greeting and answers it ("Fixed newstyle negotiation").
    fn greet(&mut self) -> Result<()> {
        let (magic, style) = (self.number(u64_of)?, self.number(u64_of)?);
        if magic != SERVER_MAGIC {
            return Err(Error::malformed(format!(
                "the server begins with {magic:#018x}, an NBD server with {SERVER_MAGIC:#018x}"
            )));
        }
        let flags = if style == OPTION_MAGIC { self.number(u16_of)? } else { 0 };
        if flags & FIXED_NEWSTYLE == 0 {
            return Err(Error::new(
                Kind::Unsupported,
                "the server speaks no fixed newstyle of the NBD protocol",
            ));
        }
        self.send(&u32::from(FIXED_NEWSTYLE).to_be_bytes())
    }

    fn ask_for_structure(&mut self) -> Result<bool> {
        self.send_option(option::STRUCTURED_REPLY, &[])?;
        let reply = self.option_reply(option::STRUCTURED_REPLY)?;
        match reply.kind {
            option_reply::ACK => Ok(true),
            kind if kind & option_reply::REFUSED != 0 => Ok(false),
            kind => Err(unexpected(kind, "structured replies")),
        }
    }

    fn ask_for_contexts(&mut self, export: &str, names: &[String]) -> Result<Vec<Context>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut data = Vec::new();
        append_string(&mut data, export);
        data.extend(len_of(names.len()).to_be_bytes());
        names.iter().for_each(|name| append_string(&mut data, name));
        self.send_option(option::SET_META_CONTEXT, &data)?;
        let mut given: Vec<Context> = Vec::new();
        for _ in 0..MAX_OPTION_REPLIES {
            let OptionReply { kind, data } = self.option_reply(option::SET_META_CONTEXT)?;
            match kind {
                option_reply::ACK => return in_order(names, &given),
                option_reply::META_CONTEXT => given.push(context_of(&data)?),
                kind if kind & option_reply::REFUSED != 0 => {
                    return Err(refused(kind, &data, "a map of the disk"));
                }
                kind => return Err(unexpected(kind, "contexts")),
            }
        }
        Err(too_many("contexts"))
    }

    fn go(&mut self, export: &str) -> Result<Agreed> {
        let mut data = Vec::new();
        append_string(&mut data, export);
        data.extend(1_u16.to_be_bytes());
        data.extend(info::BLOCK_SIZE.to_be_bytes());
        self.send_option(option::GO, &data)?;
        let (mut size_bytes, mut blocks, mut flags) = (None, None, 0);
        for _ in 0..MAX_OPTION_REPLIES {
            let OptionReply { kind, data } = self.option_reply(option::GO)?;
            let mut data = &data[..];
            match kind {
                option_reply::ACK => {
                    let has_many = flags & CAN_MULTI_CONN != 0;
                    return Ok(Agreed { has_many, ..settle(size_bytes, blocks)? });
                }
                option_reply::INFO => match u16_of(&mut data).map_err(short)? {
                    info::EXPORT => {
                        size_bytes = Some(u64_of(&mut data).map_err(short)?);
                        flags = u16_of(&mut data).map_err(short)?;
                    }
                    info::BLOCK_SIZE => {
                        let min = u32_of(&mut data).map_err(short)?;
                        let _preferred = u32_of(&mut data).map_err(short)?;
                        blocks = Some((min, u32_of(&mut data).map_err(short)?));
                    }
                    // Names and descriptions, and what later versions tell ("NBD_OPT_GO").
                    _ => {}
                },
                kind if kind & option_reply::REFUSED != 0 => {
                    return Err(refused(kind, data, "the export"));
                }
                kind => return Err(unexpected(kind, "the export")),
            }
        }
        Err(too_many("the export"))
    }

    fn number<T>(&mut self, read: fn(&mut dyn Read) -> io::Result<T>) -> Result<T> {
        read(self.input).map_err(|error| Error::of_socket(error, self.timeout))
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let sent = self.output.write_all(bytes).and_then(|()| self.output.flush());
        sent.map_err(|error| Error::of_socket(error, self.timeout))
    }

    fn send_option(&mut self, option: u32, data: &[u8]) -> Result<()> {
        let mut bytes = Vec::new();
        bytes.extend(OPTION_MAGIC.to_be_bytes());
        bytes.extend(option.to_be_bytes());
        bytes.extend(len_of(data.len()).to_be_bytes());
        bytes.extend(data);
        self.send(&bytes)
    }

    fn option_reply(&mut self, option: u32) -> Result<OptionReply> {
        let (magic, to) = (self.number(u64_of)?, self.number(u32_of)?);
        if magic != OPTION_REPLY_MAGIC {
            return Err(Error::malformed(format!(
                "a reply to an option begins with {magic:#018x}, not with {OPTION_REPLY_MAGIC:#018x}"
            )));
        }
        if to != option {
            return Err(Error::malformed(format!(
                "a reply to option {to}, option {option} was sent"
            )));
        }
        let (kind, len_bytes) = (self.number(u32_of)?, self.number(u32_of)?);
        if len_bytes > MAX_OPTION_REPLY_BYTES {
            return Err(Error::malformed(format!(
                "a reply to option {option} of {len_bytes} bytes, at most {MAX_OPTION_REPLY_BYTES} are allowed"
            )));
        }
        let mut data = vec![0; usize::try_from(len_bytes).unwrap_or(usize::MAX)];
        let read = self.input.read_exact(&mut data);
        read.map_err(|error| Error::of_socket(error, self.timeout))?;
        Ok(OptionReply { kind, data })
    }
}

/// Judges what a server told of an export.
fn settle(size_bytes: Option<u64>, blocks: Option<(u32, u32)>) -> Result<Agreed> {
    let size_bytes = size_bytes
        .ok_or_else(|| Error::malformed("the server does not tell the size of the export"))?;
    if size_bytes > MAX_CAPACITY_BYTES {
        return Err(Error::new(
            Kind::Limit,
            format!("a size of {size_bytes} bytes is over the limit of {MAX_CAPACITY_BYTES} bytes"),
        ));
    }
    let (min, max) = blocks.unwrap_or((SECTOR_BYTES, DEFAULT_MAX_BLOCK_BYTES));
    if !min.is_power_of_two() || min > MAX_MIN_BLOCK_BYTES {
        return Err(Error::malformed(format!(
            "a minimum block of {min} bytes is not a power of two in 1..={MAX_MIN_BLOCK_BYTES}"
        )));
    }
    let unit = min.max(SECTOR_BYTES);
    if max < unit {
        return Err(Error::malformed(format!("a maximum block of {max} bytes is under {unit}")));
    }
    if !size_bytes.is_multiple_of(u64::from(unit)) {
        return Err(Error::new(
            Kind::Unsupported,
            format!("a size of {size_bytes} bytes is no multiple of {unit}"),
        ));
    }
    // A power of two: what is behind the last multiple of it are the lower bits.
    let max_block_bytes = max & !min.saturating_sub(1);
    Ok(Agreed {
        size_bytes,
        min_block_bytes: min,
        max_block_bytes,
        has_many: false,
        is_structured: false,
        contexts: Vec::new(),
    })
}

/// The contexts in the order in which they were asked for.
fn in_order(names: &[String], given: &[Context]) -> Result<Vec<Context>> {
    for (number, context) in given.iter().enumerate() {
        let is_again = given
            .iter()
            .take(number)
            .any(|other| other.id == context.id || other.name == context.name);
        if is_again || !names.contains(&context.name) {
            let name = quoted(&context.name);
            return Err(Error::malformed(format!(
                "the server gives a context {name} that was not asked for, or gives it twice"
            )));
        }
    }
    let find = |name: &String| given.iter().find(|context| context.name == *name).cloned();
    names
        .iter()
        .map(|name| {
            find(name).ok_or_else(|| {
                let message = format!("the server has no context {}", quoted(name));
                Error::new(Kind::NoContext, message)
            })
        })
        .collect()
}

fn context_of(mut data: &[u8]) -> Result<Context> {
    let id = u32_of(&mut data).map_err(short)?;
    let name = String::from_utf8_lossy(data).into_owned();
    Ok(Context { name, id })
}

/// Says why a server does not give what it was asked for.
fn refused(kind: u32, text: &[u8], what: &str) -> Error {
    let (error_kind, why) = match kind {
        option_reply::UNSUPPORTED => (Kind::Unsupported, "it does not know how".to_owned()),
        option_reply::POLICY => (Kind::Denied, "it is not allowed".to_owned()),
        option_reply::TLS_REQUIRED => (Kind::Denied, "it asks for TLS".to_owned()),
        option_reply::UNKNOWN => (Kind::Missing, "there is no export of that name".to_owned()),
        option_reply::SHUTDOWN => (Kind::Io, "it is shutting down".to_owned()),
        option_reply::TOO_BIG => (Kind::Limit, "the request is too big for it".to_owned()),
        other => (Kind::Io, format!("refusal {}", other & !option_reply::REFUSED)),
    };
    let says = says(text);
    Error::new(error_kind, format!("the server does not give {what}: {why}{says}"))
}

fn unexpected(kind: u32, what: &str) -> Error {
    Error::malformed(format!("a reply of type {kind} to the option for {what}"))
}

fn too_many(what: &str) -> Error {
    Error::malformed(format!("over {MAX_OPTION_REPLIES} replies to the option for {what}"))
}

/// A reply to an option that ends too early.
fn short(_: io::Error) -> Error {
    Error::malformed("a reply to an option ends too early")
}

fn append_string(out: &mut Vec<u8>, text: &str) {
    out.extend(len_of(text.len()).to_be_bytes());
    out.extend(text.as_bytes());
}

/// A length as the protocol writes it; what is sent is bounded far below.
fn len_of(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use code::Code;

    use super::*;

    const GREETING: &[u8] = b"NBDMAGICIHAVEOPT\x00\x03";
    const BITMAP: &str = "qemu:dirty-bitmap:cp1";

    fn reply(option: u32, kind: u32, data: &[u8]) -> Vec<u8> {
        let numbers = [option, kind, u32::try_from(data.len()).unwrap()].map(u32::to_be_bytes);
        [&OPTION_REPLY_MAGIC.to_be_bytes()[..], &numbers.concat(), data].concat()
    }

    fn structured() -> Vec<u8> {
        [GREETING, &reply(option::STRUCTURED_REPLY, option_reply::ACK, b"")].concat()
    }

    fn context(id: u32, name: &str) -> Vec<u8> {
        let data = [&id.to_be_bytes(), name.as_bytes()].concat();
        reply(option::SET_META_CONTEXT, option_reply::META_CONTEXT, &data)
    }

    fn size(bytes: u64) -> Vec<u8> {
        export(bytes, 3)
    }

    fn export(bytes: u64, flags: u16) -> Vec<u8> {
        let numbers = [&bytes.to_be_bytes()[..], &flags.to_be_bytes()].concat();
        let data = [&info::EXPORT.to_be_bytes()[..], &numbers].concat();
        reply(option::GO, option_reply::INFO, &data)
    }

    fn blocks(min: u32, max: u32) -> Vec<u8> {
        let sizes = [min, 4096, max].map(u32::to_be_bytes).concat();
        let data = [&info::BLOCK_SIZE.to_be_bytes()[..], &sizes].concat();
        reply(option::GO, option_reply::INFO, &data)
    }

    fn acked(option: u32) -> Vec<u8> {
        reply(option, option_reply::ACK, b"")
    }

    /// What a client makes of a server that says this.
    fn agree(server: &[&[u8]], contexts: &[&str]) -> Result<Agreed> {
        let contexts: Vec<_> = contexts.iter().map(|&name| name.to_owned()).collect();
        let bytes = server.concat();
        let (mut input, mut output) = (&bytes[..], Vec::new());
        let timeout = Duration::from_secs(1);
        let handshake = Handshake { input: &mut input, output: &mut output, timeout };
        handshake.agree("vda", &contexts)
    }

    fn refusal(server: &[&[u8]], contexts: &[&str]) -> (Kind, String) {
        let error = agree(server, contexts).unwrap_err();
        (error.kind(), error.to_string())
    }

    #[test]
    fn other_connections_are_of_use_only_where_the_server_says_so() {
        for (flags, has_many) in [(3, false), (3 | CAN_MULTI_CONN, true)] {
            let server = [&structured()[..], &export(1 << 20, flags), &acked(option::GO)];
            assert_eq!(agree(&server, &[]).unwrap().has_many, has_many);
        }
    }

    #[test]
    fn contexts_are_in_the_order_in_which_they_were_asked_for() {
        let whole = [
            &structured()[..],
            &context(7, "base:allocation"),
            &context(3, BITMAP),
            &acked(option::SET_META_CONTEXT),
            &reply(option::GO, option_reply::INFO, b"\x00\x02a disk"),
            &size(1 << 20),
            &blocks(4096, 1_000_000),
            &acked(option::GO),
        ];
        let agreed = agree(&whole, &[BITMAP, "base:allocation"]).unwrap();
        let contexts: Vec<_> = agreed.contexts.iter().map(|c| (c.id, c.name.as_str())).collect();
        assert_eq!(contexts, [(3, BITMAP), (7, "base:allocation")]);
        assert_eq!((agreed.size_bytes, agreed.is_structured), (1 << 20, true));
        assert_eq!((agreed.min_block_bytes, agreed.max_block_bytes), (4096, 999_424));
        let whole = whole.concat();
        for len in 0..whole.len() {
            let (kind, told) = refusal(&[&whole[..len]], &[BITMAP, "base:allocation"]);
            assert_eq!((kind, told.as_str()), (Kind::Io, "the server closed the connection"));
        }
    }

    #[test]
    fn a_server_without_structure_and_block_sizes_is_read_without_a_map() {
        let unknown = reply(option::STRUCTURED_REPLY, option_reply::UNSUPPORTED, b"");
        let server = [GREETING, &unknown, &size(512), &acked(option::GO)];
        let agreed = agree(&server, &[]).unwrap();
        assert_eq!((agreed.min_block_bytes, agreed.max_block_bytes), (512, 32 << 20));
        assert!(!agreed.is_structured);
        let want = "the server has no structured replies, so it tells no map of the disk";
        assert_eq!(refusal(&server, &[BITMAP]), (Kind::Unsupported, want.to_owned()));
    }

    #[test]
    fn refuses_who_is_no_server_of_the_protocol() {
        let no_magic =
            "the server begins with 0x5353482d322e302d, an NBD server with 0x4e42444d41474943";
        let old = "the server speaks no fixed newstyle of the NBD protocol";
        for (server, want) in [
            (&b"SSH-2.0-OpenSSH_9.2p1"[..], (Kind::Malformed, no_magic)),
            (b"NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53", (Kind::Unsupported, old)),
            (b"NBDMAGICIHAVEOPT\x00\x02", (Kind::Unsupported, old)),
        ] {
            assert_eq!(refusal(&[server], &[]), (want.0, want.1.to_owned()));
        }
    }

    #[test]
    fn refuses_replies_that_fit_no_option() {
        let other = acked(option::GO);
        let long =
            [&other[..8], &option::STRUCTURED_REPLY.to_be_bytes(), &[0, 0, 0, 1, 0, 0, 32, 1]];
        for (bytes, want) in [
            (other.clone(), "a reply to option 7, option 8 was sent"),
            (long.concat(), "a reply to option 8 of 8193 bytes, at most 8192 are allowed"),
            (
                vec![7; 20],
                "a reply to an option begins with 0x0707070707070707, not with \
                           0x0003e889045565a9",
            ),
            (reply(8, 3, b""), "a reply of type 3 to the option for structured replies"),
        ] {
            assert_eq!(refusal(&[GREETING, &bytes], &[]).1, want);
        }
        let ends = "a reply to an option ends too early";
        for data in [&b""[..], b"\x00", b"\x00\x00\x01", b"\x00\x03\x00\x00\x10\x00\x00"] {
            let server = [&structured()[..], &reply(option::GO, option_reply::INFO, data)];
            assert_eq!(refusal(&server, &[]), (Kind::Malformed, ends.to_owned()));
        }
        let endless = size(512).repeat(64);
        let want = "over 64 replies to the option for the export";
        assert_eq!(refusal(&[&structured(), &endless], &[]).1, want);
        let endless: Vec<_> = (0..64).flat_map(|id| context(id, &id.to_string())).collect();
        let want = "over 64 replies to the option for contexts";
        assert_eq!(refusal(&[&structured(), &endless], &[BITMAP]).1, want);
    }

    #[test]
    fn says_which_context_is_missing_or_was_not_asked_for() {
        let (allocation, ack) = (context(1, "base:allocation"), acked(option::SET_META_CONTEXT));
        let asked = ["base:allocation", BITMAP];
        let told = |replies: &[&[u8]]| refusal(&[&structured(), &replies.concat(), &ack], &asked);
        let missing = "the server has no context \"qemu:dirty-bitmap:cp1\"".to_owned();
        assert_eq!(told(&[&allocation]), (Kind::NoContext, missing));
        for (second, name) in [
            (context(2, "base:allocation"), "base:allocation"),
            (context(1, BITMAP), BITMAP),
            (context(2, "qemu:allocation-depth"), "qemu:allocation-depth"),
        ] {
            let want = format!(
                "the server gives a context \"{name}\" that was not asked for, or gives it twice"
            );
            assert_eq!(told(&[&allocation, &second]), (Kind::Malformed, want));
        }
    }

    #[test]
    fn says_why_there_is_no_export() {
        let go = option::GO;
        for (kind, text, want, code) in [
            (option_reply::UNKNOWN, "", "there is no export of that name", Code::E0505),
            (option_reply::POLICY, "", "it is not allowed", Code::E0502),
            (option_reply::TLS_REQUIRED, "", "it asks for TLS", Code::E0502),
            (option_reply::UNSUPPORTED, "", "it does not know how", Code::E0701),
            (
                option_reply::SHUTDOWN,
                "\u{7}bye ",
                "it is shutting down (it says \"\\u{7}bye\")",
                Code::E0508,
            ),
            (option_reply::REFUSED | 99, "", "refusal 99", Code::E0508),
        ] {
            let server = [&structured()[..], &reply(go, kind, text.as_bytes())];
            let error = agree(&server, &[]).unwrap_err();
            let want = format!("the server does not give the export: {want}");
            assert_eq!((error.to_string(), error.code()), (want, code));
        }
    }

    #[test]
    fn refuses_sizes_that_do_not_hold_together() {
        for (infos, want) in [
            (vec![], "the server does not tell the size of the export"),
            (
                vec![size((64 << 40) + 512)],
                "a size of 70368744178176 bytes is over the limit of 70368744177664 bytes",
            ),
            (vec![size(513)], "a size of 513 bytes is no multiple of 512"),
            (vec![size(512), blocks(4096, 4096)], "a size of 512 bytes is no multiple of 4096"),
            (
                vec![size(512), blocks(0, 4096)],
                "a minimum block of 0 bytes is not a power of two in 1..=65536",
            ),
            (
                vec![size(512), blocks(1536, 4096)],
                "a minimum block of 1536 bytes is not a power of two in 1..=65536",
            ),
            (
                vec![size(512), blocks(1 << 17, 1 << 20)],
                "a minimum block of 131072 bytes is not a power of two in 1..=65536",
            ),
            (vec![size(512), blocks(1, 511)], "a maximum block of 511 bytes is under 512"),
        ] {
            let server = [&structured()[..], &infos.concat(), &acked(option::GO)];
            assert_eq!(refusal(&server, &[]).1, want);
        }
        let name = "n".repeat(4097);
        let want = "the name of the context has 4097 bytes, at most 4096 are allowed".to_owned();
        assert_eq!(refusal(&[], &[&name]), (Kind::Limit, want));
    }
}
