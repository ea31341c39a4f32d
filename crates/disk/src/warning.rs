//! What was tolerated, as a value.

use std::fmt;

use code::Code;

/// Something of an image that is not as it should be and was tolerated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The published code.
    pub code: Code,
    /// What is odd and what was done about it: a lowercase fragment.
    pub message: String,
    /// The byte of the image that it is about.
    pub offset_bytes: Option<u64>,
    /// The file that it is about, where that is not the image itself.
    pub file: Option<String>,
}

impl Warning {
    /// A defect of the image itself, tolerated (W0610).
    pub(crate) fn defect(offset_bytes: u64, message: impl Into<String>) -> Self {
        Self {
            code: Code::W0610,
            message: message.into(),
            offset_bytes: Some(offset_bytes),
            file: None,
        }
    }

    /// Something that is sound but not carried over (W0608).
    pub(crate) fn oddity(offset_bytes: u64, message: impl Into<String>) -> Self {
        Self {
            code: Code::W0608,
            message: message.into(),
            offset_bytes: Some(offset_bytes),
            file: None,
        }
    }

    /// The same warning, about a file that is not the image itself.
    pub(crate) fn of_file(&self, name: &str) -> Self {
        let file = self.file.clone().or_else(|| Some(crate::error::shown(name)));
        Self { file, ..self.clone() }
    }

    /// A value that had to be interpreted (W0112).
    pub(crate) fn interpreted(message: impl Into<String>) -> Self {
        Self { code: Code::W0112, message: message.into(), offset_bytes: None, file: None }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(at) = self.offset_bytes {
            write!(f, ", at byte {at}")?;
        }
        match (&self.file, self.offset_bytes) {
            (Some(file), Some(_)) => write!(f, " of {file}"),
            (Some(file), None) => write!(f, ", in {file}"),
            (None, _) => Ok(()),
        }
    }
}
