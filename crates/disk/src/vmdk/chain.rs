//! A delta and the disks that it stands on.

use std::sync::Arc;

use crate::{
    Error, FileName, Image, Kind, ReadAt, Result, Role,
    error::shown,
    gate::{Below, Opening},
    overlay::Overlay,
    vmdk::{descriptor::Parent, layer::Layer},
};

/// The files that the disks of a chain may have together: the limit of this product. It is the most
/// extents of one disk, and one descriptor for each disk of the longest chain.
const MAX_FILES: usize = 4096 + 256;

/// What is wrong between a delta and its parent.
#[derive(Debug, thiserror::Error)]
enum ChainError {
    #[error("the parent '{name}' has the CID {found:08x}, the delta was made above {wanted:08x}")]
    OtherParent { name: String, found: u32, wanted: u32 },
    #[error("the parent '{name}' has no CID, the delta was made above {wanted:08x}")]
    NoContentId { name: String, wanted: u32 },
    #[error("the parent '{name}' has {found} bytes, the delta above it only {wanted}")]
    LongerParent { name: String, found: u64, wanted: u64 },
    #[error(
        "the disks of the chain down to '{name}' have {found} files, at most {MAX_FILES} are read"
    )]
    Files { name: String, found: usize },
}

/// Opens a disk and all that it stands on, from the top down.
///
/// # Errors
///
/// Those of each layer, and of the gate; when a parent is not the disk that a delta was made above.
pub(super) fn open(bytes: Arc<dyn ReadAt>, opening: &Opening<'_>) -> Result<Box<dyn Image>> {
    let mut top = Layer::open(bytes, opening)?;
    let mut above = Vec::new();
    let mut opening = opening.clone();
    let mut name = String::new();
    let mut files = top.image.files().len();
    while let Some(parent) = top.parent() {
        let found = open_parent(&parent, &opening).map_err(|error| {
            let error = top.place(error);
            if name.is_empty() { error } else { error.in_file(&name) }
        })?;
        let Some((bytes, below)) = found else { break };
        let parent_name = below.place().name.clone();
        let layer = Layer::open(bytes, &below).map_err(|error| error.in_file(&parent_name))?;
        check(&parent, &top, &layer, &parent_name)?;
        files = files.saturating_add(layer.image.files().len());
        if files > MAX_FILES {
            let leaf = ChainError::Files { name: shown(&parent_name), found: files };
            return Err(Error::new(Kind::Limit, leaf));
        }
        above.push((std::mem::replace(&mut top, layer).image, parent_name.clone()));
        (opening, name) = (below, parent_name);
    }
    let bottom = top.image;
    Ok(above
        .into_iter()
        .rev()
        .fold(bottom, |parent, (child, name)| Box::new(Overlay::new(child, parent, &name))))
}

/// Opens the file that the parent of a delta is.
///
/// The hint is often a path of the host where the delta was made, so its last part is tried first.
fn open_parent<'g>(parent: &Parent, opening: &Opening<'g>) -> Result<Option<Below<'g>>> {
    let base = parent.hint.as_ref().map(FileName::base);
    let relative = parent.hint.clone().filter(|hint| !is_absolute(hint.text()));
    let relative = relative.filter(|hint| Some(hint) != base.as_ref());
    let names: Vec<_> = base.into_iter().chain(relative).collect();
    opening.below(Role::Parent, &names).map_err(|error| match error.kind() {
        kind @ (Kind::Denied | Kind::Missing) => parent.refused(kind, Some(error)),
        _ => error,
    })
}

/// Whether a name begins at the root of some host: `/…`, `\…`, `C:…` or a URL.
fn is_absolute(name: &str) -> bool {
    name.starts_with(['/', '\\']) || name.contains(':')
}

/// Checks that the layer is the one that the delta was made above.
fn check(parent: &Parent, child: &Layer, layer: &Layer, name: &str) -> Result<()> {
    let fail = |leaf| Err(Error::malformed(leaf));
    let (name, wanted) = (shown(name), parent.content_id);
    match layer.content_id() {
        None => return fail(ChainError::NoContentId { name, wanted }),
        Some(found) if found != wanted => {
            return fail(ChainError::OtherParent { name, found, wanted });
        }
        Some(_) => {}
    }
    let (found, wanted) = (layer.image.capacity_bytes(), child.image.capacity_bytes());
    if found > wanted {
        return fail(ChainError::LongerParent { name, found, wanted });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_any_host_is_absolute() {
        for name in ["/vmfs/volumes/x/a.vmdk", "\\\\server\\a.vmdk", "C:\\a.vmdk", "nfs://h/a"] {
            assert!(is_absolute(name), "{name}");
        }
        for name in ["a.vmdk", "../base/a.vmdk", "sub\\a.vmdk", ""] {
            assert!(!is_absolute(name), "{name}");
        }
    }
}
