//! The members of a file, whichever form it has.

use std::{
    io::{self, Read},
    sync::Arc,
};

use disk::{ReadAt, Slice};
use ovf::{
    EntryName, Finding,
    archive::{Input, Rules, Walk},
};

use crate::{
    Error, Kind, Result, Role,
    frames::{self, Unpacked},
    tar::{self, BLOCK},
};

/// How a bundle is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// A plain tar archive.
    Tar,
    /// The same in zstd frames.
    TarZst,
}

impl Form {
    /// The ending of its file name, without the first dot.
    #[must_use]
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::TarZst => "tar.zst",
        }
    }
}

/// The most members of a bundle (ours); a chain of 1000 increments of ten disks has fewer.
const MAX_MEMBERS: usize = 65_536;
/// The rules of the walk: each append leaves one more pad behind.
const RULES: Rules = Rules { max_members: MAX_MEMBERS, repeated_name: Some(tar::PAD_NAME) };

/// One file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: EntryName,
    /// What it is.
    pub role: Role,
    /// Where its bytes begin in the archive, unpacked.
    pub offset_bytes: u64,
    /// How many bytes it has.
    pub length_bytes: u64,
}

impl Member {
    /// The byte of the archive behind the member and its padding.
    pub(crate) fn end_bytes(&self) -> u64 {
        let end = self.offset_bytes.saturating_add(self.length_bytes);
        end.checked_next_multiple_of(BLOCK).unwrap_or(end)
    }
}

/// An archive whose headers were read.
pub(crate) struct Archive {
    pub(crate) form: Form,
    /// The file as it lies there.
    file: Arc<dyn ReadAt>,
    /// The archive, unpacked.
    pub(crate) plain: Arc<dyn ReadAt>,
    /// The frames of a compressed one.
    pub(crate) unpacked: Option<Arc<Unpacked>>,
    /// Whether a seek table said where the frames are.
    pub(crate) by_table: bool,
    /// Every file, pads too, in the order of the archive.
    pub(crate) members: Vec<Member>,
    /// The byte of the archive behind the last member: the first end block, if there is one.
    pub(crate) end_bytes: u64,
    pub(crate) findings: Vec<Finding>,
}

impl Archive {
    /// Reads the headers of an archive.
    pub(crate) fn open(file: Arc<dyn ReadAt>) -> Result<Self> {
        let mut head = [0; 4];
        let count = usize::try_from(file.len_bytes()).unwrap_or(4).min(4);
        file.read_exact_at(head.get_mut(..count).unwrap_or_default(), 0)?;
        let is_skippable = matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18]);
        if head != frames::MAGIC && !is_skippable {
            let plain = Arc::clone(&file);
            return Self::of_plain(Form::Tar, file, plain, None);
        }
        let found = frames::find(&*file)?;
        let unpacked = Arc::new(Unpacked::new(Arc::clone(&file), found.frames));
        let plain: Arc<dyn ReadAt> = Arc::clone(&unpacked) as Arc<dyn ReadAt>;
        let archive = Self::of_plain(Form::TarZst, file, plain, Some(unpacked))?;
        Ok(Self { by_table: found.by_table, ..archive })
    }

    fn of_plain(
        form: Form,
        file: Arc<dyn ReadAt>,
        plain: Arc<dyn ReadAt>,
        unpacked: Option<Arc<Unpacked>>,
    ) -> Result<Self> {
        let walked = match walk(&*plain, None) {
            Err(error) => match torn_at(&*plain, &error)? {
                Some(torn) => walk(&*plain, Some(torn))?,
                None => return Err(error),
            },
            Ok(walked) => walked,
        };
        let Walked { members, end_bytes, findings } = walked;
        Ok(Self { form, file, plain, unpacked, by_table: false, members, end_bytes, findings })
    }

    /// The file as it lies there.
    pub(crate) fn file(&self) -> &dyn ReadAt {
        &*self.file
    }

    /// The bytes of a member, read where they lie.
    pub(crate) fn bytes(&self, member: &Member) -> Result<Arc<dyn ReadAt>> {
        let slice = Slice::new(Arc::clone(&self.plain), member.offset_bytes, member.length_bytes)?;
        Ok(Arc::new(slice))
    }
}

/// What a walk found.
struct Walked {
    members: Vec<Member>,
    end_bytes: u64,
    findings: Vec<Finding>,
}

fn walk(plain: &dyn ReadAt, torn: Option<u64>) -> Result<Walked> {
    let mut walk = Walk::with_rules(At { plain, position: 0, torn }, RULES);
    let mut members = Vec::new();
    while let Some(found) = walk.next_member()? {
        let role = Role::of(&found.name);
        let ovf::archive::Member { name, offset_bytes, length_bytes } = found;
        members.push(Member { name, role, offset_bytes, length_bytes });
    }
    let end_bytes = walk.end_bytes().unwrap_or_else(|| plain.len_bytes());
    Ok(Walked { members, end_bytes, findings: walk.into_parts().1 })
}

/// Where a walk failed on the header of an append of which only a part arrived: nothing was published.
fn torn_at(plain: &dyn ReadAt, error: &Error) -> Result<Option<u64>> {
    let Some(offset) = error.offset_bytes().filter(|_| error.kind() == Kind::Malformed) else {
        return Ok(None);
    };
    if offset.saturating_add(tar::END_BYTES) > plain.len_bytes() {
        return Ok(None);
    }
    let mut blocks = [0; 1024];
    plain.read_exact_at(&mut blocks, offset)?;
    let (first, second) = blocks.split_at(tar::BLOCK_LEN);
    let is_torn = first.first_chunk().is_some_and(tar::is_torn_pad);
    Ok((is_torn && second.iter().all(|byte| *byte == 0)).then_some(offset))
}

/// The archive as an input of the walk; one block of it may be read as zeros.
struct At<'a> {
    plain: &'a dyn ReadAt,
    position: u64,
    torn: Option<u64>,
}

impl Read for At<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.plain.len_bytes().saturating_sub(self.position);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
        let Some(out) = out.get_mut(..count) else { return Ok(0) };
        self.plain.read_exact_at(out, self.position)?;
        if let Some(torn) = self.torn {
            for (byte, at) in out.iter_mut().zip(self.position..) {
                if (torn..torn.saturating_add(BLOCK)).contains(&at) {
                    *byte = 0;
                }
            }
        }
        self.position = self.position.saturating_add(count as u64);
        Ok(count)
    }
}

impl Input for At<'_> {
    fn skip(&mut self, bytes: u64) -> io::Result<u64> {
        let there = bytes.min(self.plain.len_bytes().saturating_sub(self.position));
        self.position = self.position.saturating_add(there);
        Ok(there)
    }

    fn length_bytes(&self) -> Option<u64> {
        Some(self.plain.len_bytes())
    }
}
