//! The ways in: which kind of source a path is, and the readers of each kind.

mod folder;
mod ova;
mod ova_stream;
mod ovf_dir;
mod papers;
mod vmx_dir;

use std::{fs::File, io::Read, path::Path};

use code::Code;
use ovf::{
    EntryName,
    manifest::{Algorithm, Hasher},
};

use crate::{Delivery, Error, Policy, Source, source::Take};

pub use papers::check_signature;

/// Opens a path: a folder with one descriptor, a descriptor, a VMX, or an archive.
///
/// # Errors
/// `E01…` for what is no package, `E02…` for a manifest that cannot be read, `E03…` for a descriptor
/// that cannot be read, `E0508` when a file cannot be opened.
pub fn open(path: &Path, policy: &Policy) -> Result<Box<dyn Source>, Error> {
    let shown = path.display();
    let metadata = path.metadata().map_err(|source| not_there(path, source))?;
    if metadata.is_dir() {
        return Ok(Box::new(ovf_dir::OvfDir::of_folder(path, policy)?));
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
        return Ok(Box::new(ovf_dir::OvfDir::of_descriptor(path, policy)?));
    }
    Ok(Box::new(ova::Ova::open(path, file, policy)?))
}

/// Opens an archive that passes once, front to end: the descriptor must come before the disks.
///
/// # Errors
/// As [`open`], and `E0107` when something else than descriptor, manifest and certificate comes
/// first.
pub fn open_stream<'a>(
    reader: Box<dyn Read + Send + 'a>,
    policy: &Policy,
) -> Result<Box<dyn Source + 'a>, Error> {
    Ok(Box::new(ova_stream::OvaStream::open(reader, policy)?))
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
