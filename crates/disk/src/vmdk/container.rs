//! The three kinds of sparse extents, told by their magic.

use std::sync::Arc;

use crate::{
    Image, ReadAt, Result,
    vmdk::{cowd, header, reader::Reader, sesparse},
};

/// A file that has grains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    /// Hosted sparse or streamOptimized: `KDMV`.
    Hosted,
    /// The redo log of VMFS 3 to 5: `COWD`.
    Cowd,
    /// The delta of VMFS 6.
    SeSparse,
}

impl Container {
    /// Tells by the first bytes which kind a file is; `None` when it has no grains.
    pub(super) fn of(bytes: &dyn ReadAt) -> Result<Option<Self>> {
        let mut head = [0; 8];
        if bytes.len_bytes() < head.len() as u64 {
            return Ok(None);
        }
        bytes.fill(&mut head, 0)?;
        Ok(match head {
            _ if head.starts_with(header::MAGIC) => Some(Self::Hosted),
            _ if head.starts_with(cowd::MAGIC) => Some(Self::Cowd),
            _ if u64::from_le_bytes(head) == sesparse::MAGIC => Some(Self::SeSparse),
            _ => None,
        })
    }

    /// Opens the file as a part of a disk: its own grains, whatever its descriptor says of others.
    pub(super) fn open(self, bytes: Arc<dyn ReadAt>) -> Result<Box<dyn Image>> {
        match self {
            Self::Hosted => Ok(Box::new(Reader::part(bytes)?)),
            Self::Cowd => Ok(Box::new(cowd::open(bytes)?)),
            Self::SeSparse => Ok(Box::new(sesparse::open(bytes)?)),
        }
    }

    /// Opens a file that no descriptor named: of an ESX delta it is not known what it stands on.
    pub(super) fn open_alone(self, bytes: Arc<dyn ReadAt>) -> Result<Box<dyn Image>> {
        match self {
            Self::Hosted => Ok(Box::new(Reader::open(bytes)?)),
            Self::Cowd => Ok(Box::new(cowd::open(bytes)?.alone())),
            Self::SeSparse => Ok(Box::new(sesparse::open(bytes)?.alone())),
        }
    }
}
