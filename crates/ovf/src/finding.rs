//! What was tolerated, and said.

use code::Code;

/// One oddity that was read past: nothing is dropped in silence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The published code, such as [`Code::W0610`] for a tolerated defect.
    ///
    /// An `E` code, such as [`Code::E0305`] for a required section that is not read, does not stop
    /// the reading, but must block a plan.
    pub code: Code,
    /// What was found and what was made of it: a lowercase fragment, escaped for printing.
    pub message: String,
    /// The item it belongs to, by its name or its instance id.
    pub item: Option<String>,
    /// The path of the element, such as `/VirtualSystem[demo]/VirtualHardwareSection/Item[5]`.
    pub path: Option<String>,
    /// The line in the descriptor or the manifest, counted from 1.
    pub line: Option<u64>,
}

impl Finding {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), item: None, path: None, line: None }
    }

    pub(crate) fn at_line(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }
}
