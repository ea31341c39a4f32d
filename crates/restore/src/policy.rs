//! What the user decided about checks.

use ovf::signature::Trust;

/// What to do with the papers of a package: its manifest and its signature.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// What to do with the manifest.
    pub manifest: ManifestPolicy,
    /// What to do with the signature.
    pub signature: SignaturePolicy,
    /// Whose signatures are trusted.
    pub trust: Trust,
    /// The id of the point of a backup that is meant; `None` for the newest.
    pub point: Option<String>,
}

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

/// What to do with the signature of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignaturePolicy {
    /// It must be there, fit, and be by somebody who is trusted.
    Require,
    /// If it is there it must fit.
    #[default]
    Check,
    /// It is not looked at.
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
