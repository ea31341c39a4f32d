//! A client of one export.

use std::{
    fmt,
    io::{BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use crate::{
    Error, Kind, Result,
    connection::{Connection, Input, READ_AHEAD_BYTES},
    handshake::{Agreed, Context, Handshake},
    reply::{Descriptor, ReadReply, Rules, StatusReply},
    wire::{Request, command},
};

/// The longest READ (ours): QEMU's server is three times as slow with 2 MiB, and two of these are on
/// their way while a copy asks for one of its batches.
const MAX_READ_BYTES: u32 = 256 << 10;

/// The most READs of one call that are on their way at once (ours).
///
/// So few that those of all threads fit into the buffer of a socket: nobody is held up in sending while
/// a reply waits for them.
const MAX_IN_FLIGHT: usize = 8;

/// The longest BLOCK_STATUS (ours).
pub(crate) const MAX_STATUS_BYTES: u64 = 1 << 30;

/// How a client talks with a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a server may be silent, or not listen.
    pub timeout: Duration,
    /// The contexts of the map that are needed: [`ALLOCATION`](crate::ALLOCATION), and
    /// [`DIRTY_BITMAP_PREFIX`](crate::DIRTY_BITMAP_PREFIX) with a name behind it; each once.
    pub contexts: Vec<String>,
}

impl Default for Options {
    /// Half a minute, and no map.
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), contexts: Vec::new() }
    }
}

/// An open export of a server, read from as many threads as like to.
///
/// It starts no thread. When it is dropped it says goodbye to the server.
pub struct Client {
    connection: Connection,
    export: String,
    agreed: Agreed,
    timeout: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { export, agreed, .. } = self;
        f.debug_struct("Client")
            .field("export", export)
            .field("agreed", agreed)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Opens an export of the server that listens at a unix socket.
    ///
    /// # Errors
    ///
    /// When nobody listens there, or the server has no such export, lacks a context
    /// ([`Kind::NoContext`]), breaks the protocol or is silent for too long.
    pub fn connect(socket: &Path, export: &str, options: &Options) -> Result<Self> {
        let connected = UnixStream::connect(socket).and_then(|stream| {
            stream.set_read_timeout(Some(options.timeout))?;
            stream.set_write_timeout(Some(options.timeout))?;
            Ok((stream.try_clone()?, stream))
        });
        let (input, output) = connected.map_err(|error| {
            let message = format!("cannot connect to the socket {}", socket.display());
            Error::new(Kind::Io, message).caused_by(error).of_export(export)
        })?;
        Self::over(Box::new(input), Box::new(output), export, options)
    }

    /// Opens an export of the server at the other end of a connection.
    ///
    /// Both sides must fail with `WouldBlock` or `TimedOut` by themselves when the server is silent.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn over(
        input: Box<dyn Read + Send>,
        mut output: Box<dyn Write + Send>,
        export: &str,
        options: &Options,
    ) -> Result<Self> {
        let timeout = options.timeout;
        let mut input: Input = BufReader::with_capacity(READ_AHEAD_BYTES, input);
        let handshake = Handshake { input: &mut input, output: &mut *output, timeout };
        let agreed =
            handshake.agree(export, &options.contexts).map_err(|error| error.of_export(export))?;
        let connection = Connection::new(input, output, timeout);
        Ok(Self { connection, export: export.to_owned(), agreed, timeout })
    }

    /// The name of the export.
    #[must_use]
    pub fn export(&self) -> &str {
        &self.export
    }

    /// Whether what is read through other connections to the export is the same.
    #[must_use]
    pub const fn has_many(&self) -> bool {
        self.agreed.has_many
    }

    /// The size of the export; a multiple of 512.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.agreed.size_bytes
    }

    /// Fills `buf` from a byte of the disk on, from any thread.
    ///
    /// It may be asked for any range: requests are widened to what the server's blocks are, and cut
    /// to what it answers at once.
    ///
    /// # Errors
    ///
    /// When the range is not inside the disk, the server cannot read it, breaks the protocol or is
    /// silent for too long. Then `buf` has any content.
    pub fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> Result<()> {
        self.read(buf, offset_bytes).map_err(|error| error.at(offset_bytes).of_export(&self.export))
    }

    fn read(&self, buf: &mut [u8], offset_bytes: u64) -> Result<()> {
        let (len, size_bytes) = (buf.len(), self.agreed.size_bytes);
        let end = offset_bytes.checked_add(len as u64).filter(|end| *end <= size_bytes);
        let end = end.ok_or_else(|| {
            let message = format!("{len} bytes are not inside the disk of {size_bytes} bytes");
            Error::new(Kind::Io, message)
        })?;
        let block = u64::from(self.agreed.min_block_bytes);
        if (offset_bytes | end).is_multiple_of(block) {
            return self.read_blocks(buf, offset_bytes);
        }
        // Inside the disk, whose size is a multiple of the block.
        let skip = offset_bytes.checked_rem(block).unwrap_or_default();
        let start = offset_bytes.saturating_sub(skip);
        let whole_bytes = end.next_multiple_of(block).saturating_sub(start);
        let mut whole = vec![0; usize::try_from(whole_bytes).unwrap_or(usize::MAX)];
        self.read_blocks(&mut whole, start)?;
        let wanted = usize::try_from(skip).ok().and_then(|skip| whole.get(skip..)?.get(..len));
        buf.copy_from_slice(wanted.unwrap_or_default());
        Ok(())
    }

    /// Reads whole blocks, some requests at a time.
    fn read_blocks(&self, buf: &mut [u8], offset_bytes: u64) -> Result<()> {
        let most = MAX_READ_BYTES.min(self.agreed.max_block_bytes);
        let pieces = buf.chunks_mut(usize::try_from(most).unwrap_or(usize::MAX).max(1));
        let mut at = offset_bytes;
        let mut replies: Vec<_> = pieces
            .map(|out| {
                let len_bytes = u32::try_from(out.len()).unwrap_or(u32::MAX);
                let request = Request { command: command::READ, offset_bytes: at, len_bytes };
                at = request.end_bytes();
                ReadReply::new(request, out)
            })
            .collect();
        let rules = self.rules();
        let mut call = self.connection.call();
        let requests: Vec<_> = replies.iter().map(ReadReply::request).enumerate().collect();
        let mut unsent = requests.into_iter();
        loop {
            let room = MAX_IN_FLIGHT.saturating_sub(call.waits_for());
            call.send(unsent.by_ref().take(room))?;
            if call.waits_for() == 0 {
                break;
            }
            call.next(|token, head, input| match replies.get_mut(token) {
                Some(reply) => reply.take(head, input, rules),
                None => Err(Error::malformed("a reply to nothing")),
            })?;
        }
        replies.into_iter().try_for_each(ReadReply::finish)
    }

    /// Asks for the descriptors of each context, in the order of [`contexts`](Self::contexts).
    pub(crate) fn status(&self, offset_bytes: u64, len_bytes: u32) -> Result<Vec<Vec<Descriptor>>> {
        let request = Request { command: command::BLOCK_STATUS, offset_bytes, len_bytes };
        let mut reply = StatusReply::new(request, &self.agreed);
        let rules = self.rules();
        let mut call = self.connection.call();
        call.send(std::iter::once((0, request)))?;
        while call.waits_for() > 0 {
            call.next(|_, head, input| reply.take(head, input, rules))?;
        }
        reply.finish()
    }

    /// The contexts that were agreed on, in the order in which they were asked for.
    pub(crate) fn contexts(&self) -> &[Context] {
        &self.agreed.contexts
    }

    /// What offsets and lengths of the server are multiples of.
    pub(crate) fn min_block_bytes(&self) -> u32 {
        self.agreed.min_block_bytes
    }

    fn rules(&self) -> Rules<'_> {
        Rules { agreed: &self.agreed, timeout: self.timeout }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.disconnect();
    }
}
