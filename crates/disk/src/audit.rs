//! What a format keeps book of beside the guest's bytes, and whether the book is right.

use crate::{Error, Warning};

/// Something that [`Image::audit`](crate::Image::audit) found.
#[derive(Debug)]
pub enum Finding {
    /// The image is damaged there.
    Fault(Error),
    /// It is odd, and every byte can be read all the same.
    Oddity(Warning),
}

impl Finding {
    /// The same, about a file that is not the image itself.
    pub(crate) fn of_file(self, name: &str) -> Self {
        match self {
            Self::Fault(error) => Self::Fault(error.in_file(name)),
            Self::Oddity(warning) => Self::Oddity(warning.of_file(name)),
        }
    }
}
