//! What the user decided about checks.

/// What to do with the manifest of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ManifestPolicy {
    /// It must be there and match.
    Require,
    /// If it is there it must match.
    #[default]
    Check,
    /// A mismatch is a warning.
    Warn,
    /// It is not read.
    Skip,
}

/// What to check of each written disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VerifyOutput {
    /// Nothing.
    None,
    /// Sizes, header, tables.
    #[default]
    Quick,
    /// Read back and compare with the source.
    Full,
}
