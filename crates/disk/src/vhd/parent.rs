//! The disk that a differencing one is about.

use super::{header::Header, locator, open_identified};
use crate::{
    Declared, Error, FileName, Format, Image, Kind, ReadAt, Result, Role, format, gate::Opening,
    overlay::Overlay, uuid::Uuid,
};

/// What a differencing disk says of its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parent {
    uuid: Uuid,
    uuid_at: u64,
    names: Vec<FileName>,
}

#[derive(Debug, thiserror::Error)]
enum ParentError {
    #[error("the disk has only what differs from its parent {name}with UUID {uuid}")]
    NotOpened { name: String, uuid: Uuid, source: Error },
    #[error("the parent has {parent_bytes} bytes, its child only {child_bytes}")]
    Larger { parent_bytes: u64, child_bytes: u64 },
}

impl Parent {
    /// Reads the names of the parent and its identity.
    ///
    /// # Errors
    ///
    /// When a name is not inside the file or over the limit.
    pub(super) fn read(bytes: &dyn ReadAt, header: &Header) -> Result<Self> {
        let uuid_at = header.range().start.saturating_add(40);
        Ok(Self { uuid: header.parent_uuid(), uuid_at, names: locator::names(bytes, header)? })
    }

    /// The names under which it may lie, the best first.
    pub(super) fn names(&self) -> &[FileName] {
        &self.names
    }

    /// Opens the parent as the gate allows it, and lays `child` above it.
    ///
    /// # Errors
    ///
    /// Those of the gate and of the parent itself; when it has another UUID, or is larger.
    pub(super) fn below(
        &self,
        child: Box<dyn Image>,
        opening: &Opening<'_>,
    ) -> Result<Box<dyn Image>> {
        let found = opening.below(Role::Parent, &self.names);
        let found = found.map_err(|error| self.not_opened(error))?;
        let Some((bytes, below)) = found else { return Ok(child) };
        let name = below.place().name.clone();
        let parent = format::settle(Declared::Stated(Format::Vhd), || format::find(&*bytes))
            .and_then(|_| open_identified(bytes, &below, Some(self.uuid)))
            .map_err(|error| error.in_file(&name))?;
        let (parent_bytes, child_bytes) = (parent.capacity_bytes(), child.capacity_bytes());
        if parent_bytes > child_bytes {
            return Err(Error::malformed(ParentError::Larger { parent_bytes, child_bytes }));
        }
        Ok(Box::new(Overlay::new(child, parent, &name)))
    }

    /// Says which disk is wanted where a gate has none to give; its other errors stand as they are.
    fn not_opened(&self, source: Error) -> Error {
        let kind = source.kind();
        if !matches!(kind, Kind::Denied | Kind::Missing) {
            return source;
        }
        let name = self.names.first().map(|name| format!("'{name}' ")).unwrap_or_default();
        let leaf = ParentError::NotOpened { name, uuid: self.uuid, source };
        Error::new(kind, leaf).at(self.uuid_at)
    }
}
