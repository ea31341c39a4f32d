//! One disk of a chain: its image, and what its descriptor says.

use std::sync::Arc;

use crate::{
    Error, Image, Kind, ReadAt, Result,
    fields::buffer_len,
    format,
    gate::Opening,
    vmdk::{
        composite,
        container::Container,
        descriptor::{Descriptor, Parent},
        reader::{Embedded, Reader},
    },
};

/// The largest descriptor that is a file of its own: 1 MiB, the limit of this product.
const MAX_DESCRIPTOR_BYTES: u64 = 1 << 20;

/// A disk of a chain, without the disks that it stands on.
pub(super) struct Layer {
    pub(super) image: Box<dyn Image>,
    said: Said,
}

/// What is known of a disk beside its content.
enum Said {
    /// The descriptor is a file of its own.
    Alone(Descriptor),
    /// The descriptor stands in the extent.
    Embedded(Embedded),
    /// There is none.
    Nothing,
}

#[derive(Debug, thiserror::Error)]
enum LayerError {
    #[error("the file is neither a VMDK descriptor nor a sparse extent of one")]
    NoDescriptor,
    #[error("a descriptor of {0} bytes is over the limit of {MAX_DESCRIPTOR_BYTES}")]
    TooLong(u64),
}

impl Layer {
    /// Opens a disk and, as far as the gate allows it, the extents that its descriptor names.
    pub(super) fn open(bytes: Arc<dyn ReadAt>, opening: &Opening<'_>) -> Result<Self> {
        let Some(container) = Container::of(&*bytes)? else {
            let descriptor = read_descriptor(&*bytes)?;
            let image = composite::open(bytes, &descriptor, opening)?;
            return Ok(Self { image, said: Said::Alone(descriptor) });
        };
        if container != Container::Hosted {
            return Ok(Self { image: container.open_alone(bytes)?, said: Said::Nothing });
        }
        let (reader, embedded) = Reader::with_descriptor(bytes)?;
        if let Some(embedded) = &embedded {
            embedded.check(Descriptor::refuse_other_extents)?;
        }
        let said = embedded.map_or(Said::Nothing, Said::Embedded);
        Ok(Self { image: Box::new(reader), said })
    }

    fn descriptor(&self) -> Option<&Descriptor> {
        match &self.said {
            Said::Alone(descriptor) => Some(descriptor),
            Said::Embedded(embedded) => Some(&embedded.descriptor),
            Said::Nothing => None,
        }
    }

    /// The disk that this one stands on, if it is a delta.
    pub(super) fn parent(&self) -> Option<Parent> {
        self.descriptor()?.parent()
    }

    /// The content id by which a delta knows this disk.
    pub(super) fn content_id(&self) -> Option<u32> {
        self.descriptor()?.content_id
    }

    /// An error about what the descriptor says, with the byte that it stands at.
    pub(super) fn place(&self, error: Error) -> Error {
        match &self.said {
            Said::Embedded(embedded) => error.at(embedded.offset_bytes),
            Said::Alone(_) | Said::Nothing => error,
        }
    }
}

/// Reads a descriptor that is a file of its own; an encrypted disk is refused.
fn read_descriptor(bytes: &dyn ReadAt) -> Result<Descriptor> {
    let len_bytes = bytes.len_bytes();
    let mut text = vec![0; buffer_len(len_bytes.min(MAX_DESCRIPTOR_BYTES))];
    bytes.fill(&mut text, 0)?;
    if format::front_magic(&text) != Some(crate::Format::Vmdk) {
        return Err(Error::malformed(LayerError::NoDescriptor));
    }
    if len_bytes > MAX_DESCRIPTOR_BYTES {
        return Err(Error::new(Kind::Limit, LayerError::TooLong(len_bytes)));
    }
    let descriptor = Descriptor::parse(&text)?;
    descriptor.refuse_encrypted()?;
    Ok(descriptor)
}
