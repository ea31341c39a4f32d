//! A bundle that is written, member by member.

use std::sync::Arc;

use blake3::Hasher;
use disk::{Progress, ReadAt, WriteAt};
use ovf::EntryName;

use crate::{
    Error, Form, Growing, Manifest, Medium, MemberDigest, Result,
    frames::{Frames, Packer},
    medium::Anchored,
    tar,
};

/// How much is read and written at once.
pub(crate) const STEP_BYTES: usize = 4 << 20;

/// How compressed bundles are packed when nothing else is said: level 3 is 2 % smaller and takes 1.6 times
/// as long (2 GiB of qcow2, two thirds of it compressible).
pub const DEFAULT_LEVEL: i32 = 1;

/// How a bundle is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How it is stored.
    pub form: Form,
    /// The level of zstd, up to 22, below 0 the faster ones; of no effect on a plain archive.
    pub level: i32,
    /// The time of each member, in seconds since 1970.
    pub unix_seconds: u64,
}

/// Writes the members of a bundle one after the other; the same input gives the same bytes.
///
/// The file is not synced: what is not complete has another name, or is behind the end of an archive that
/// is.
#[derive(Debug)]
pub struct Writer<'a> {
    out: Out<'a>,
    unix_seconds: u64,
    open: Option<Open>,
    written: Vec<MemberDigest>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The length of the file in bytes.
    pub file_bytes: u64,
    /// Every member, without the manifest.
    pub members: Vec<MemberDigest>,
}

/// Where the archive goes.
enum Out<'a> {
    Plain { medium: Anchored<'a>, position: u64 },
    Packed(Packer<'a>),
}

impl std::fmt::Debug for Out<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain { position, .. } => write!(f, "Plain(at byte {position})"),
            Self::Packed(packer) => packer.fmt(f),
        }
    }
}

impl Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Plain { medium, position } => {
                medium.write_all_at(bytes, *position)?;
                *position = position.saturating_add(bytes.len() as u64);
                Ok(())
            }
            Self::Packed(packer) => packer.write(bytes),
        }
    }
}

/// The member that is being written.
#[derive(Debug)]
struct Open {
    name: EntryName,
    length_bytes: u64,
    due_bytes: u64,
    hasher: Box<Hasher>,
}

impl<'a> Writer<'a> {
    /// Begins a bundle at the start of an empty file.
    pub fn new(medium: &'a dyn Medium, options: Options) -> Self {
        match options.form {
            Form::Tar => Self::plain(medium.into(), 0, options.unix_seconds),
            Form::TarZst => {
                let packer = Packer::new(medium.into(), Frames::default(), options.level);
                Self::packed(packer, options.unix_seconds)
            }
        }
    }

    /// Goes on at a byte of a plain archive.
    pub(crate) fn plain(medium: Anchored<'a>, position: u64, unix_seconds: u64) -> Self {
        Self::to(Out::Plain { medium, position }, unix_seconds)
    }

    /// Goes on behind the frames of a compressed one.
    pub(crate) fn packed(packer: Packer<'a>, unix_seconds: u64) -> Self {
        Self::to(Out::Packed(packer), unix_seconds)
    }

    fn to(out: Out<'a>, unix_seconds: u64) -> Self {
        Self { out, unix_seconds, open: None, written: Vec::new() }
    }

    /// Begins a member of exactly this length.
    ///
    /// # Errors
    /// When the member before is not complete, the name is too long, or writing fails.
    pub fn begin(&mut self, name: &EntryName, length_bytes: u64) -> Result<()> {
        self.end_member()?;
        if let Out::Packed(packer) = &mut self.out {
            // So that a member is read without unpacking the one before.
            packer.cut()?;
        }
        if tar::blocks_bytes(length_bytes).is_none() {
            let message = format!("a member of {length_bytes} bytes");
            return Err(Error::limit(message).in_member(name.as_str()));
        }
        self.out.write(&tar::header(name, length_bytes, self.unix_seconds)?)?;
        if let Out::Packed(packer) = &mut self.out {
            // So that the members are found without unpacking what they hold.
            packer.cut()?;
        }
        let hasher = Box::new(Hasher::new());
        let name = name.clone();
        self.open = Some(Open { name, length_bytes, due_bytes: length_bytes, hasher });
        Ok(())
    }

    /// Writes bytes of the current member.
    ///
    /// # Errors
    /// When there are more than its length, or writing fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(open) = &mut self.open else {
            return Err(Error::limit("bytes that belong to no member"));
        };
        let Some(due) = open.due_bytes.checked_sub(bytes.len() as u64) else {
            let message = format!("{} bytes more, {} are due", bytes.len(), open.due_bytes);
            return Err(Error::limit(message).in_member(open.name.as_str()));
        };
        open.hasher.update(bytes);
        open.due_bytes = due;
        self.out.write(bytes)
    }

    /// Writes a whole member.
    ///
    /// # Errors
    /// As [`begin`](Self::begin), when reading fails, or when `progress` says stop.
    pub fn add(
        &mut self,
        name: &EntryName,
        bytes: &dyn ReadAt,
        progress: &dyn Progress,
    ) -> Result<()> {
        let range = 0..bytes.len_bytes();
        self.begin(name, range.end)?;
        let done = match (&mut self.out, &mut self.open) {
            (Out::Packed(packer), Some(open)) => {
                let hasher = &mut open.hasher;
                let read = packer.read(bytes, range, progress, |step| {
                    hasher.update(step);
                });
                read.map(|()| open.due_bytes = 0)
            }
            _ => for_each_step(bytes, range, progress, |step| self.write(step)),
        };
        done.map_err(|error| error.in_member(name.as_str()))
    }

    /// Begins a member whose length is told at its end; `file` is the one that the bundle is written to.
    ///
    /// Nothing else may be written before [`end_growing`](Self::end_growing).
    ///
    /// # Errors
    /// When the member before is not complete, or writing fails.
    pub fn begin_growing(
        &mut self,
        name: &EntryName,
        file: Arc<dyn WriteAt>,
    ) -> Result<Arc<Growing>> {
        self.end_member()?;
        let (name, seconds) = (name.clone(), self.unix_seconds);
        Ok(Arc::new(match &mut self.out {
            Out::Plain { position, .. } => Growing::plain(file, *position, name, seconds),
            Out::Packed(packer) => {
                Growing::packed((file, packer.pause()?), packer.level(), name, seconds)
            }
        }))
    }

    /// Ends a member that was begun by [`begin_growing`](Self::begin_growing), at its length.
    ///
    /// # Errors
    /// When bytes of a compressed member were not written, writing or reading back fails, or `progress`
    /// says stop.
    pub fn end_growing(
        &mut self,
        member: &Growing,
        length_bytes: u64,
        progress: &dyn Progress,
    ) -> Result<()> {
        let name = member.name.as_str();
        let grown = member.finish(length_bytes, progress).map_err(|error| error.in_member(name))?;
        match &mut self.out {
            Out::Plain { position, .. } => {
                *position = position.saturating_add(tar::BLOCK).saturating_add(length_bytes);
            }
            Out::Packed(packer) => packer.adopt(&grown.frames)?,
        }
        self.out.write(tar::END.get(..tar::padding_len(length_bytes)).unwrap_or_default())?;
        let (name, blake3) = (name.to_owned(), grown.blake3);
        self.written.push(MemberDigest { name, length_bytes, blake3 });
        Ok(())
    }

    /// The members that are complete, in order.
    ///
    /// # Errors
    /// When the last one is not.
    pub fn written(&mut self) -> Result<&[MemberDigest]> {
        self.end_member()?;
        Ok(&self.written)
    }

    /// Writes the manifest, if one is given, and ends the archive.
    ///
    /// Its list of members is that of the caller: in a new bundle, of [`written`](Self::written).
    ///
    /// # Errors
    /// When the last member is not complete, or writing fails.
    pub fn finish(mut self, manifest: Option<&Manifest>) -> Result<Written> {
        self.end_member()?;
        let members = std::mem::take(&mut self.written);
        if let Some(manifest) = manifest {
            let bytes = manifest.to_bytes()?;
            let name = format!("{}-manifest.json", manifest.created_unix_seconds);
            self.begin(&EntryName::parse(&name)?, bytes.len() as u64)?;
            self.write(&bytes)?;
            self.end_member()?;
        }
        let file_bytes = match self.out {
            Out::Plain { medium, position } => {
                medium.write_all_at(&tar::END, position)?;
                position.saturating_add(tar::END_BYTES)
            }
            Out::Packed(packer) => packer.finish()?,
        };
        Ok(Written { file_bytes, members })
    }

    fn end_member(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let Open { name, length_bytes, due_bytes, hasher } = open;
        if due_bytes > 0 {
            let message = format!("{due_bytes} of {length_bytes} bytes were not written");
            return Err(Error::limit(message).in_member(name.as_str()));
        }
        let padding = tar::END.get(..tar::padding_len(length_bytes)).unwrap_or_default();
        self.out.write(padding)?;
        let blake3 = hasher.finalize().to_hex().to_string();
        self.written.push(MemberDigest { name: name.to_string(), length_bytes, blake3 });
        Ok(())
    }
}

/// Reads a range front to end, in steps that several frames can be unpacked for at once.
pub(crate) fn for_each_step(
    bytes: &dyn ReadAt,
    range: std::ops::Range<u64>,
    progress: &dyn Progress,
    mut act: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let most = (STEP_BYTES as u64).saturating_mul(4).min(range.end.saturating_sub(range.start));
    let mut buffer = vec![0; usize::try_from(most).unwrap_or(STEP_BYTES)];
    let mut at = range.start;
    while at < range.end {
        if progress.stopped() {
            return Err(Error::stopped());
        }
        let left = usize::try_from(range.end.saturating_sub(at)).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        let step = buffer.get_mut(..count).unwrap_or_default();
        bytes.read_exact_at(step, at)?;
        act(step)?;
        progress.advance(count as u64);
        at = at.saturating_add(count as u64);
    }
    Ok(())
}
