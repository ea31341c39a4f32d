//! An NBD server for one export: honest, or as a test wants it.

use std::{
    io::{self, Read, Write},
    ops::Range,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::Arc,
    thread,
};

const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
const READ: u16 = 0;
const DISCONNECT: u16 = 2;
const BLOCK_STATUS: u16 = 7;

/// An export and what its server can do.
#[derive(Debug, Clone)]
pub struct NbdExport {
    name: String,
    content: Vec<u8>,
    contexts: Vec<(String, Vec<(u32, u32)>)>,
    blocks: Option<[u32; 3]>,
    is_structured: bool,
}

/// A request of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NbdRequest {
    /// 0 for READ, 7 for BLOCK_STATUS.
    pub command: u16,
    /// What the client calls it.
    pub cookie: u64,
    /// The byte it begins with.
    pub offset: u64,
    /// How many bytes it is about.
    pub len: u32,
    /// The contexts that the client asked for, each as a bit: context n is bit n.
    pub contexts: u32,
}

impl NbdRequest {
    /// The bytes that it is about.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + u64::from(self.len)
    }

    /// The last chunk of a reply: no content.
    #[must_use]
    pub fn done(&self) -> Vec<u8> {
        nbd_chunk(self.cookie, 0, 1, &[])
    }

    /// A chunk of data, not the last one.
    #[must_use]
    pub fn data(&self, offset: u64, data: &[u8]) -> Vec<u8> {
        nbd_chunk(self.cookie, 1, 0, &[&offset.to_be_bytes(), data].concat())
    }

    /// A chunk of zeros, not the last one.
    #[must_use]
    pub fn hole(&self, offset: u64, len: u32) -> Vec<u8> {
        nbd_chunk(self.cookie, 2, 0, &[&offset.to_be_bytes()[..], &len.to_be_bytes()].concat())
    }

    /// The last chunk of a reply: an error with a text.
    #[must_use]
    pub fn error(&self, number: u32, text: &str) -> Vec<u8> {
        let len = u16::try_from(text.len()).expect("a short text");
        let payload = [&number.to_be_bytes()[..], &len.to_be_bytes(), text.as_bytes()].concat();
        nbd_chunk(self.cookie, 0x8001, 1, &payload)
    }

    /// A chunk of descriptors, not the last one.
    #[must_use]
    pub fn status(&self, context: u32, descriptors: &[(u32, u32)]) -> Vec<u8> {
        let mut payload = context.to_be_bytes().to_vec();
        for (len, flags) in descriptors {
            payload.extend([len.to_be_bytes(), flags.to_be_bytes()].concat());
        }
        nbd_chunk(self.cookie, 5, 0, &payload)
    }
}

/// A chunk of a structured reply; flag 1 is that of the last one.
#[must_use]
pub fn nbd_chunk(cookie: u64, kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("a short payload");
    let mut bytes = 0x668e_33ef_u32.to_be_bytes().to_vec();
    bytes.extend([flags.to_be_bytes(), kind.to_be_bytes()].concat());
    bytes.extend(cookie.to_be_bytes());
    bytes.extend(len.to_be_bytes());
    bytes.extend(payload);
    bytes
}

impl NbdExport {
    /// An export with this content, whose server has structured replies and no contexts.
    #[must_use]
    pub fn new(name: &str, content: Vec<u8>) -> Self {
        let (name, contexts) = (name.to_owned(), Vec::new());
        Self { name, content, contexts, blocks: None, is_structured: true }
    }

    /// Adds a context: runs of lengths and flags that fill the export.
    #[must_use]
    pub fn context(mut self, name: &str, runs: &[(u32, u32)]) -> Self {
        self.contexts.push((name.to_owned(), runs.to_vec()));
        self
    }

    /// Tells minimum, preferred and maximum block.
    #[must_use]
    pub fn blocks(mut self, blocks: [u32; 3]) -> Self {
        self.blocks = Some(blocks);
        self
    }

    /// Takes the structured replies away.
    #[must_use]
    pub fn simple(mut self) -> Self {
        self.is_structured = false;
        self
    }

    /// The right answer: for a READ data and zeros in turn, for a BLOCK_STATUS all contexts whole.
    ///
    /// # Panics
    ///
    /// When the request is none of these, or not inside the export.
    #[must_use]
    pub fn answer(&self, request: &NbdRequest) -> Vec<u8> {
        let range = request.range();
        let content = |range: Range<u64>| {
            let [start, end] =
                [range.start, range.end].map(|at| usize::try_from(at).expect("small"));
            &self.content[start..end]
        };
        match request.command {
            READ if self.is_structured => {
                let mut bytes = Vec::new();
                for start in range.clone().step_by(4096) {
                    let part = content(start..range.end.min(start + 4096));
                    bytes.extend(if part.iter().any(|byte| *byte != 0) {
                        request.data(start, part)
                    } else {
                        request.hole(start, u32::try_from(part.len()).expect("small"))
                    });
                }
                bytes.extend(request.done());
                bytes
            }
            READ => {
                let head = [0x6744_6698_u32.to_be_bytes(), [0; 4]].concat();
                [&head, &request.cookie.to_be_bytes()[..], content(range)].concat()
            }
            BLOCK_STATUS => {
                let is_asked = |id: &u32| request.contexts & 1 << id != 0;
                let contexts = (1..).zip(&self.contexts).filter(|(id, _)| is_asked(id));
                let mut bytes: Vec<u8> = contexts
                    .flat_map(|(id, (_, runs))| request.status(id, &clipped(runs, &range)))
                    .collect();
                bytes.extend(request.done());
                bytes
            }
            other => panic!("a request with command {other}"),
        }
    }

    /// Serves one client: the handshake, and then what `answer` gives for each request, until it gives
    /// nothing or the client goes.
    ///
    /// # Errors
    ///
    /// Those of the connection.
    pub fn serve(
        &self,
        mut stream: impl Read + Write,
        mut answer: impl FnMut(&NbdRequest) -> Option<Vec<u8>>,
    ) -> io::Result<()> {
        let contexts = self.shake_hands(&mut stream)?;
        Self::converse(&mut stream, contexts, &mut answer)
    }

    /// Answers requests until there is no answer, or the client goes.
    fn converse(
        stream: &mut (impl Read + Write),
        contexts: u32,
        mut answer: impl FnMut(&NbdRequest) -> Option<Vec<u8>>,
    ) -> io::Result<()> {
        loop {
            let _magic_and_flags = take::<6>(stream)?;
            let request = NbdRequest {
                command: u16::from_be_bytes(take(stream)?),
                cookie: u64::from_be_bytes(take(stream)?),
                offset: u64::from_be_bytes(take(stream)?),
                len: u32::from_be_bytes(take(stream)?),
                contexts,
            };
            if request.command == DISCONNECT {
                return Ok(());
            }
            match answer(&request) {
                Some(bytes) => stream.write_all(&bytes)?,
                None => return Ok(()),
            }
        }
    }

    /// Serves one client honestly, and gives all that it was told.
    ///
    /// # Panics
    ///
    /// When there is no socket pair, or the client panics.
    pub fn recorded(&self, client: impl FnOnce(UnixStream)) -> Vec<u8> {
        let (ours, stream) = UnixStream::pair().expect("a pair");
        let mut recorder = Recorder { stream, told: Vec::new() };
        thread::scope(|scope| {
            let server = scope.spawn(move || {
                // The client may go when it likes.
                let _gone = self.serve(&mut recorder, |request| Some(self.answer(request)));
                recorder.told
            });
            client(ours);
            server.join().expect("an honest server")
        })
    }

    /// Serves every client that comes to a socket, honestly, until the test's process ends.
    ///
    /// # Panics
    ///
    /// When there can be no socket of that name.
    pub fn listen(self, socket: &Path) {
        Self::listen_all(vec![self], socket);
    }

    /// Serves several exports at one socket, as [`listen`](Self::listen) does one.
    ///
    /// # Panics
    ///
    /// When there can be no socket of that name.
    pub fn listen_all(exports: Vec<Self>, socket: &Path) {
        let listener = UnixListener::bind(socket).expect("a new socket");
        let exports: Arc<[Self]> = exports.into();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let exports = Arc::clone(&exports);
                // The client may go when it likes.
                thread::spawn(move || {
                    let (export, contexts) = Self::agree(&exports, &mut stream)?;
                    Self::converse(&mut stream, contexts, |request| Some(export.answer(request)))
                });
            }
        });
    }

    /// Agrees with the client, and says on which contexts.
    fn shake_hands(&self, stream: &mut (impl Read + Write)) -> io::Result<u32> {
        Ok(Self::agree(std::slice::from_ref(self), stream)?.1)
    }

    /// Agrees with the client on one of several exports and its contexts.
    fn agree<'e>(
        exports: &'e [Self],
        stream: &mut (impl Read + Write),
    ) -> io::Result<(&'e Self, u32)> {
        stream.write_all(b"NBDMAGICIHAVEOPT\x00\x03")?;
        let _client_flags = take::<4>(stream)?;
        let mut contexts = 0;
        loop {
            if u64::from_be_bytes(take(stream)?) != OPTION_MAGIC {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let option = u32::from_be_bytes(take(stream)?);
            let mut data = vec![0; u32::from_be_bytes(take(stream)?) as usize];
            stream.read_exact(&mut data)?;
            let mut reply = |kind: u32, data: &[u8]| {
                let mut bytes = 0x0003_e889_0455_65a9_u64.to_be_bytes().to_vec();
                let len = u32::try_from(data.len()).expect("short");
                bytes
                    .extend([option.to_be_bytes(), kind.to_be_bytes(), len.to_be_bytes()].concat());
                bytes.extend(data);
                stream.write_all(&bytes)
            };
            let is_named =
                |it: &&Self| data.get(4..).is_some_and(|name| name.starts_with(it.name.as_bytes()));
            match (option, exports.iter().find(is_named)) {
                (8, _) if exports.iter().all(|it| it.is_structured) => reply(1, &[])?,
                (10 | 7, None) => reply(1 << 31 | 6, b"no such export")?,
                (10, Some(export)) => {
                    for (id, (name, _)) in (1_u32..).zip(&export.contexts) {
                        if contains(&data, name.as_bytes()) {
                            contexts |= 1 << id;
                            reply(4, &[&id.to_be_bytes(), name.as_bytes()].concat())?;
                        }
                    }
                    reply(1, &[])?;
                }
                (7, Some(export)) => {
                    let size = (export.content.len() as u64).to_be_bytes();
                    reply(3, &[&[0, 0], &size[..], &[1, 3]].concat())?;
                    if let Some(blocks) = export.blocks {
                        reply(3, &[&[0, 3], &blocks.map(u32::to_be_bytes).concat()[..]].concat())?;
                    }
                    reply(1, &[])?;
                    return Ok((export, contexts));
                }
                _ => reply(1 << 31 | 1, b"")?,
            }
        }
    }
}

/// A connection that keeps what is written to it.
struct Recorder {
    stream: UnixStream,
    told: Vec<u8>,
}

impl Read for Recorder {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buf)
    }
}

impl Write for Recorder {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.told.extend(buf);
        self.stream.write_all(buf).map(|()| buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// The part of runs that lies in a range.
fn clipped(runs: &[(u32, u32)], range: &Range<u64>) -> Vec<(u32, u32)> {
    let mut at = 0;
    let mut inside = Vec::new();
    for (len, flags) in runs {
        let (start, end) = (range.start.max(at), range.end.min(at + u64::from(*len)));
        at += u64::from(*len);
        if start < end {
            inside.push((u32::try_from(end - start).expect("small"), *flags));
        }
    }
    inside
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn take<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}
