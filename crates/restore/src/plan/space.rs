//! Room on the target.

use host::FolderFacts;
use vm::ByteSize;

use super::{FileRole, MachinePlan};
use crate::{Facts, ImageFacts, PackedImage};

/// What a streamOptimized image is guessed to grow by, in tenths (measured on appliances: 2.5).
const GROWTH_TENTHS: u64 = 25;

/// What the target needs and has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Space {
    /// Bytes that the run will write, a guess.
    pub needed_bytes: u64,
    /// Bytes that it will write at least.
    pub least_bytes: u64,
    /// Bytes when every disk is full.
    pub full_bytes: u64,
    /// Bytes that are free.
    pub free_bytes: u64,
}

impl Space {
    /// Says that there is not enough room, where that is certain before the first byte.
    #[must_use]
    pub fn shortage(&self) -> Option<String> {
        (self.least_bytes > self.free_bytes).then(|| {
            format!(
                "at least {} bytes are needed, {} are free ({} of {})",
                self.least_bytes,
                self.free_bytes,
                ByteSize(self.free_bytes),
                ByteSize(self.least_bytes)
            )
        })
    }
}

/// Adds up the images of all machines.
pub(super) fn of(
    facts: &Facts,
    images: &[ImageFacts],
    machines: &[MachinePlan],
    folder: &FolderFacts,
) -> Space {
    let mut space = Space { free_bytes: folder.free_bytes, ..Space::default() };
    for file in machines.iter().flat_map(|machine| &machine.files) {
        let member = file.member();
        let members = file.image.iter().flat_map(PackedImage::members);
        let packed =
            members.filter_map(|name| facts.member(name)).map(|member| member.length_bytes);
        let packed: u64 = packed.sum();
        let info = images
            .iter()
            .find(|image| Some(&image.name) == member)
            .and_then(|image| image.info.as_ref().ok());
        let is_packed = info.is_some_and(|info| info.variant == "streamOptimized");
        let (full, needed, least) = match &file.role {
            FileRole::Medium | FileRole::Kept | FileRole::Node(_) | FileRole::Merged(_) => {
                (packed, packed, packed)
            }
            FileRole::Made(made) => {
                let length = made.bytes().len() as u64;
                (length, length, length)
            }
            FileRole::Disk { stated_bytes, .. } => {
                let full = stated_bytes.unwrap_or(packed);
                let grown = packed.saturating_mul(GROWTH_TENTHS) / 10;
                // Zeros are not written, so only compressed grains promise that something is.
                let least = if is_packed { packed / 10 * 9 } else { 0 };
                (full, if is_packed { grown.min(full) } else { packed.min(full) }, least.min(full))
            }
        };
        space.full_bytes = space.full_bytes.saturating_add(full);
        space.needed_bytes = space.needed_bytes.saturating_add(needed);
        space.least_bytes = space.least_bytes.saturating_add(least);
    }
    space
}
