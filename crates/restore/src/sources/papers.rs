//! The small files of a package that say what the others are: descriptor, manifest, certificate.

use std::io::Read;

use code::Code;
use ovf::{EntryName, Envelope, Finding, Manifest, Signature, signature::Signed};

use crate::{Error, Facts, ManifestPolicy, Policy, SignaturePolicy, source::Text};

/// The largest manifest or certificate that is held in memory: the limit of this product.
const MAX_TEXT_BYTES: u64 = 1 << 20;

/// The largest descriptor that is held in memory: the limit of this product.
const MAX_DESCRIPTOR_BYTES: u64 = 16 << 20;

/// The papers of a package, as they are stored.
pub(super) struct Papers {
    pub(super) descriptor: Text,
    pub(super) manifest: Option<Text>,
    pub(super) certificate: Option<Text>,
}

/// The same, read and judged.
pub(super) struct Judged {
    pub(super) descriptor: Text,
    pub(super) envelope: Envelope,
    pub(super) manifest: Option<(Text, Manifest)>,
    pub(super) certificate: Option<Text>,
    pub(super) signature: Signature,
    /// The message bundles that the envelope was read with.
    pub(super) bundles: Vec<Text>,
    pub(super) findings: Vec<Finding>,
}

/// Finds and reads a small file of the package by its href.
pub(super) type SmallFile<'a> = dyn Fn(&str) -> Result<Text, Error> + 'a;

impl Papers {
    /// Reads and judges them; `package` is what the package is called in messages, `small` reads the
    /// message bundles.
    pub(super) fn judge(
        self,
        package: &str,
        policy: &Policy,
        small: &SmallFile<'_>,
    ) -> Result<Judged, Error> {
        let Self { descriptor, manifest, certificate } = self;
        let (envelope, bundles) = parse_descriptor(&descriptor, package, small)?;
        let signature = match &certificate {
            Some(certificate) => {
                signature(certificate, manifest.as_ref(), &descriptor.name, policy)
            }
            None => Signature::Unsigned,
        };
        let mut findings: Vec<Finding> = signature.finding().into_iter().collect();
        let manifest = match manifest {
            Some(text) => parse_manifest(text, policy.manifest, &mut findings)?,
            None => None,
        };
        Ok(Judged { descriptor, envelope, manifest, certificate, signature, bundles, findings })
    }
}

/// Reads a small member whole.
pub(super) fn read_text(
    name: EntryName,
    reader: &mut dyn Read,
    length_bytes: u64,
) -> Result<Text, Error> {
    let is_descriptor = name.has_extension("ovf");
    let max_bytes = if is_descriptor { MAX_DESCRIPTOR_BYTES } else { MAX_TEXT_BYTES };
    if length_bytes > max_bytes {
        let code = if is_descriptor { Code::E0301 } else { Code::E0106 };
        let text = format!("{name} has {length_bytes} bytes, at most {max_bytes} are allowed");
        return Err(Error::new(code, text));
    }
    let mut bytes = Vec::new();
    reader
        .take(length_bytes)
        .read_to_end(&mut bytes)
        .map_err(|source| Error::io(format!("cannot read {name}"), source))?;
    Ok(Text { name, bytes })
}

/// Reads the descriptor with its message bundles, with the file's name in what goes wrong.
fn parse_descriptor(
    text: &Text,
    package: &str,
    small: &SmallFile<'_>,
) -> Result<(Envelope, Vec<Text>), Error> {
    let mut bundles: Vec<Text> = Vec::new();
    let mut files = |href: &str| {
        let bundle = small(href).map_err(|error| error.to_string())?;
        let bytes = bundle.bytes.clone();
        if bundles.iter().all(|known| known.name != bundle.name) {
            bundles.push(bundle);
        }
        Ok(bytes)
    };
    let envelope = Envelope::parse_with(&text.bytes, &mut files).map_err(|error| {
        let error = Error::from(error);
        if package == text.name.as_str() { error } else { error.detail("file", text.name.as_str()) }
    })?;
    Ok((envelope, bundles))
}

/// Reads the manifest as the policy says; a bad one is dropped where it is only a warning.
pub(super) fn parse_manifest(
    text: Text,
    policy: ManifestPolicy,
    findings: &mut Vec<Finding>,
) -> Result<Option<(Text, Manifest)>, Error> {
    if policy == ManifestPolicy::Skip {
        return Ok(None);
    }
    match Manifest::parse(&text.bytes) {
        Ok(manifest) => {
            findings.extend(manifest.findings.iter().cloned());
            Ok(Some((text, manifest)))
        }
        Err(error) if policy == ManifestPolicy::Warn => {
            findings.push(Finding {
                code: Code::W0608,
                message: format!("the manifest is not used: {error}"),
                item: Some(text.name.to_string()),
                path: None,
                line: None,
            });
            Ok(None)
        }
        Err(error) => Err(Error::from(error)
            .detail("file", text.name.as_str())
            .fix("ask the vendor for a sound package, or go on at your own risk: --manifest warn")),
    }
}

/// Judges a signature. A manifest whose digests do not bind proves nothing, so then nobody is trusted.
pub(super) fn signature(
    certificate: &Text,
    manifest: Option<&Text>,
    descriptor: &EntryName,
    policy: &Policy,
) -> Signature {
    if policy.signature == SignaturePolicy::Skip {
        return Signature::not_verified();
    }
    let Some(manifest) = manifest else { return Signature::of_nothing() };
    let signed = Signed { manifest_name: &manifest.name, manifest: &manifest.bytes, descriptor };
    let unbound = match policy.manifest {
        ManifestPolicy::Require | ManifestPolicy::Check => None,
        ManifestPolicy::Warn => Some("the digests that it signs do not bind (--manifest warn)"),
        ManifestPolicy::Skip => Some("the digests that it signs are not read (--manifest skip)"),
    };
    Signature::verify(&certificate.bytes, &signed, &policy.trust).unless(unbound)
}

/// Checks that the signature is one that the policy takes. What is still to come on a pipe is checked
/// when it has passed.
///
/// # Errors
/// `E0204`.
pub fn check_signature(facts: &Facts, policy: SignaturePolicy) -> Result<(), Error> {
    let refused = |text: String| Error::new(Code::E0204, text).detail("package", &facts.name);
    let required = policy == SignaturePolicy::Require;
    match &facts.signature {
        Signature::Invalid(reason) => Err(refused(format!("the signature is invalid: {reason}"))
            .fix("get the package from its maker again, and do not use this one")),
        Signature::Unsigned if required && facts.is_complete => {
            Err(refused("the package is not signed".to_owned())
                .fix("ask the vendor for a signed package, or leave --signature require out"))
        }
        Signature::Untrusted(reasons) if required => {
            Err(refused(format!("the signature is untrusted: {}", reasons.join("; ")))
                .fix("name the certificate of the signer, or of its issuer: --trust FILE.pem"))
        }
        _ => Ok(()),
    }
}
