//! The ways in: which kind of source a path is, and the readers of each kind.

mod ova;
mod ova_stream;
mod ovf_dir;
mod vmx_dir;

use std::{fs::File, io::Read, path::Path};

use code::Code;
use ovf::{
    EntryName, Envelope, Manifest,
    manifest::{Algorithm, Hasher, Signature},
};

use crate::{
    Delivery, Error, ManifestPolicy, Source,
    source::{Take, Text},
};

/// The largest manifest or certificate that is held in memory: the limit of this product.
const MAX_TEXT_BYTES: u64 = 1 << 20;

/// The largest descriptor that is held in memory: the limit of this product.
const MAX_DESCRIPTOR_BYTES: u64 = 16 << 20;

/// Opens a path: a folder with one descriptor, a descriptor, a VMX, or an archive.
///
/// # Errors
/// `E01…` for what is no package, `E02…` for a manifest that cannot be read, `E03…` for a descriptor
/// that cannot be read, `E0508` when a file cannot be opened.
pub fn open(path: &Path, manifest: ManifestPolicy) -> Result<Box<dyn Source>, Error> {
    let shown = path.display();
    let metadata = path.metadata().map_err(|source| not_there(path, source))?;
    if metadata.is_dir() {
        return Ok(Box::new(ovf_dir::OvfDir::of_folder(path, manifest)?));
    }
    if !metadata.is_file() {
        return Err(Error::new(Code::E0101, format!("{shown} is no regular file"))
            .fix("an OVA from a pipe is read with: relift … -"));
    }
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("vmx")) {
        return Ok(Box::new(vmx_dir::VmxDir::open(path)?));
    }
    let mut file = File::open(path).map_err(|source| not_there(path, source))?;
    if is_descriptor(path, &mut file)? {
        return Ok(Box::new(ovf_dir::OvfDir::of_descriptor(path, manifest)?));
    }
    Ok(Box::new(ova::Ova::open(path, file, manifest)?))
}

/// Opens an archive that passes once, front to end: the descriptor must come before the disks.
///
/// # Errors
/// As [`open`], and `E0107` when something else than descriptor, manifest and certificate comes
/// first.
pub fn open_stream<'a>(
    reader: Box<dyn Read + Send + 'a>,
    manifest: ManifestPolicy,
) -> Result<Box<dyn Source + 'a>, Error> {
    Ok(Box::new(ova_stream::OvaStream::open(reader, manifest)?))
}

fn not_there(path: &Path, source: std::io::Error) -> Error {
    let missing = source.kind() == std::io::ErrorKind::NotFound;
    let error = Error::io(format!("cannot open {}", path.display()), source);
    if missing { error.fix("check the path") } else { error }
}

/// Whether a file is a descriptor: by its name, else by how it begins.
fn is_descriptor(path: &Path, file: &mut File) -> Result<bool, Error> {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ovf")) {
        return Ok(true);
    }
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ova")) {
        return Ok(false);
    }
    let mut head = [0; 256];
    let count = std::os::unix::fs::FileExt::read_at(file, &mut head, 0)
        .map_err(|source| Error::io(format!("cannot read {}", path.display()), source))?;
    let head = head.get(..count).unwrap_or_default();
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let utf16 = head.starts_with(b"\xff\xfe<\0") || head.starts_with(b"\xfe\xff\0<");
    Ok(utf16
        || text.starts_with(b"<?xml")
        || text.starts_with(b"<Envelope")
        || text.starts_with(b"<ovf:"))
}

/// Reads a small member whole.
fn read_text(name: EntryName, reader: &mut dyn Read, length_bytes: u64) -> Result<Text, Error> {
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

/// Reads the descriptor, with the file's name in what goes wrong.
fn parse_descriptor(text: &Text, package: &str) -> Result<Envelope, Error> {
    Envelope::parse(&text.bytes).map_err(|error| {
        let error = Error::from(error);
        if package == text.name.as_str() { error } else { error.detail("file", text.name.as_str()) }
    })
}

/// Reads the manifest as the policy says; a bad one is dropped where it is only a warning.
fn parse_manifest(
    text: Text,
    policy: ManifestPolicy,
    findings: &mut Vec<ovf::Finding>,
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
            findings.push(ovf::Finding {
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

/// A signature signs a manifest, so there must be one.
fn check_signature(
    certificate: Option<&EntryName>,
    manifest: Option<&Text>,
) -> Result<Signature, Error> {
    match (certificate, manifest) {
        (Some(name), None) => Err(signs_nothing(name.as_str())),
        _ => Ok(Signature::of_certificate(certificate)),
    }
}

/// What is to be said of a signature that nobody verifies yet.
fn untrusted(certificate: &EntryName) -> ovf::Finding {
    ovf::Finding {
        code: Code::W0609,
        message: format!("the signature {certificate} is not verified: the package is untrusted"),
        item: None,
        path: None,
        line: None,
    }
}

/// The error of a signature whose manifest is not there.
fn signs_nothing(name: &str) -> Error {
    Error::new(Code::E0204, format!("{name}: a signature, but no manifest that it signs"))
        .fix("the manifest was removed, or got lost: get the package again")
}

/// Hands over members that can be read at any place, in the order of the source.
fn deliver_whole(
    source: &dyn Source,
    wanted: &dyn Fn(&EntryName) -> bool,
    take: &mut Take<'_>,
) -> Result<(), Error> {
    for name in source.facts().names().iter().filter(|name| wanted(name)) {
        if let Some(bytes) = source.bytes(name)? {
            take(name, Delivery::Whole(bytes, source))?;
        }
    }
    Ok(())
}

/// The digest of bytes in memory.
pub(crate) fn digest_of(bytes: &[u8], algorithm: Algorithm) -> ovf::manifest::Digest {
    let mut hash = Hasher::new(algorithm);
    hash.update(bytes);
    hash.finish()
}
