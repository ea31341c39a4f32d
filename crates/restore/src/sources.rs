//! The ways in: which kind of source a path is, and the readers of each kind.

mod bundle;
mod folder;
mod on_file;
mod ova;
mod ova_stream;
mod ovf_dir;
mod papers;
mod vmx_dir;
mod xml;
mod zip;

pub use bundle::is_backup;

use std::{
    fs::File,
    io::{Read, Seek as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use code::Code;
use disk::{FileBytes, ReadAt};
use ovf::{
    EntryName,
    archive::{Compression, zip::Zip},
    manifest::{Algorithm, Hasher},
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use crate::{Delivery, Error, Policy, Source, packed::FrontToEnd, source::Take};
use folder::Folder;
use on_file::OnFile;

pub use papers::check_signature;

/// The first bytes that tell what an archive is.
const HEAD_BYTES: u64 = 8;

/// What a source is called, and where it lies.
#[derive(Debug, Clone)]
pub struct Named {
    /// As the user typed it.
    pub name: String,
    /// The folder that it lies in, if it lies in one.
    pub folder: Option<PathBuf>,
}

impl Named {
    /// An archive on standard input.
    #[must_use]
    pub fn stdin() -> Self {
        Self { name: "-".to_owned(), folder: None }
    }

    /// As messages call it.
    fn shown(&self) -> &str {
        if self.name == "-" { "standard input" } else { &self.name }
    }
}

/// Tells the file of `FILE@POINT` from the id of the point: where there is no file of the whole name, but
/// one of the name before the last `@`.
#[must_use]
pub fn split_point(path: &Path) -> (&Path, Option<&str>) {
    if path.symlink_metadata().is_ok() {
        return (path, None);
    }
    let parts = path.to_str().and_then(|text| text.rsplit_once('@'));
    match parts.filter(|(file, point)| !point.contains('/') && Path::new(file).is_file()) {
        Some((file, point)) => (Path::new(file), Some(point)),
        None => (path, None),
    }
}

/// Opens a path: a folder with one descriptor or one VMX, a descriptor, a VMX, or an archive; of a backup
/// the point that the policy or `FILE@POINT` names.
///
/// # Errors
/// `E0505` for a point that the source has not; `E01…` for what is no package, `E02…` for a manifest that cannot be read, `E03…` for a descriptor
/// that cannot be read, `E0508` when a file cannot be opened.
pub fn open(path: &Path, policy: &Policy) -> Result<Box<dyn Source>, Error> {
    let (path, point) = split_point(path);
    let point = point.map(str::to_owned).or_else(|| policy.point.clone());
    let policy = Policy { point, ..policy.clone() };
    let source = open_kind(path, &policy)?;
    match &policy.point {
        Some(point) if !has_point(&*source, point) => {
            let text = format!("{} is no backup, and has no point {point}", path.display());
            Err(Error::new(Code::E0505, text))
        }
        _ => Ok(source),
    }
}

/// Whether the point is the one that was opened.
fn has_point(source: &dyn Source, id: &str) -> bool {
    let native = source.facts().description.native();
    let point = native.and_then(|native| native.backup.as_ref()?.point.as_ref());
    point.is_some_and(|point| point.id == id)
}

fn open_kind(path: &Path, policy: &Policy) -> Result<Box<dyn Source>, Error> {
    let shown = path.display();
    let mut file = open_at_once(path).map_err(|source| not_there(path, source))?;
    let metadata = file.metadata().map_err(|source| not_there(path, source))?;
    if metadata.is_dir() {
        return open_folder(path, policy);
    }
    if !metadata.is_file() {
        return Err(Error::new(Code::E0101, format!("{shown} is no regular file"))
            .fix("an OVA from a pipe is read with: relift … -"));
    }
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("vmx")) {
        return Ok(Box::new(vmx_dir::VmxDir::open(path)?));
    }
    if is_definition(path, &file)? {
        return Ok(Box::new(xml::DomainFile::open(path, &file)?));
    }
    if is_descriptor(path, &mut file)? {
        return Ok(Box::new(ovf_dir::OvfDir::of_descriptor(path, policy)?));
    }
    let named = Named { name: shown.to_string(), folder: path.parent().map(Path::to_owned) };
    let wrap = |source| Error::io(format!("cannot read {shown}"), source);
    let again = file.try_clone().map_err(wrap)?;
    let bytes: Arc<dyn ReadAt> = Arc::new(FileBytes::new(again).map_err(wrap)?);
    let source = open_archive(named, file, &bytes, policy)?;
    Ok(Box::new(OnFile { source, bytes }))
}

/// Opens a file without waiting: a pipe that nobody writes to would be waited for without end.
fn open_at_once(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => Ok(file.into()),
        // A socket has no content: what it is, is told as of everything else that is no file.
        Err(Errno::NXIO) => rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map(File::from)
            .map_err(Into::into),
        Err(errno) => Err(errno.into()),
    }
}

/// Opens an archive; `bytes` are those of `file`.
fn open_archive(
    named: Named,
    mut file: File,
    bytes: &Arc<dyn ReadAt>,
    policy: &Policy,
) -> Result<Box<dyn Source>, Error> {
    let wrap = |source| Error::io(format!("cannot read {}", named.name), source);
    let packed = Compression::of(&head(&file).map_err(wrap)?);
    if packed.is_none_or(|packed| packed == Compression::Zstd)
        && let Some(backup) = bundle::open(&named, bytes, policy)?
    {
        // Nobody deletes or changes it while it is read. Who writes it now keeps others from deleting it,
        // and that it changed is found at the end.
        let _is_pinned = ::bundle::pin(&file).is_ok();
        return Ok(Box::new(backup));
    }
    if packed.is_some() {
        // Both handles are one file with one position, which the other left behind somewhere.
        file.rewind().map_err(wrap)?;
        return Ok(Box::new(ova_stream::OvaStream::open(named, Box::new(file), policy)?));
    }
    open_bytes(named, Arc::clone(bytes), policy)
}

/// Opens the one descriptor of a folder, or, where there is none, the one VMX.
fn open_folder(path: &Path, policy: &Policy) -> Result<Box<dyn Source>, Error> {
    let folder = Folder::open(path)?;
    let names = folder.names()?;
    let of = |ending: &str| -> Vec<&EntryName> {
        let wanted = |name: &&EntryName| {
            // macOS leaves `._a.ovf` beside `a.ovf` on foreign file systems.
            name.has_extension(ending) && !name.base().starts_with("._")
        };
        names.iter().filter(wanted).collect()
    };
    let (descriptors, machines) = (of("ovf"), of("vmx"));
    let (found, is_vmx) = match (descriptors.as_slice(), machines.as_slice()) {
        ([one], _) => (one, false),
        ([], [one]) => (one, true),
        ([], []) => return Err(no_descriptor(path, &of("ova"))),
        ([], several) => return Err(several_of(path, "vmx", several)),
        (several, _) => return Err(several_of(path, "ovf", several)),
    };
    // Nobody typed this name, so it is opened as the package's other names are.
    let Some(text) = folder.text((*found).clone())? else {
        return Err(Error::new(Code::E0105, format!("{found} is no regular file")));
    };
    let shown = path.display().to_string();
    let opened = folder::Typed { path: path.to_owned(), folder, text };
    Ok(if is_vmx {
        Box::new(vmx_dir::VmxDir::read(shown, opened)?)
    } else {
        Box::new(ovf_dir::OvfDir::read(shown, opened, policy)?)
    })
}

fn no_descriptor(path: &Path, archives: &[&EntryName]) -> Error {
    let shown = path.display();
    let error = Error::new(Code::E0103, format!("no .ovf and no .vmx is in the folder {shown}"));
    match archives {
        [] => error.fix("point relift at the .ovf, the .vmx or the .ova itself"),
        archives => error
            .detail("found", listed(archives))
            .fix("an .ova is a package of its own: point relift at it"),
    }
}

fn several_of(path: &Path, ending: &str, found: &[&EntryName]) -> Error {
    let text = format!("{} .{ending} files are in the folder {}", found.len(), path.display());
    Error::new(Code::E0103, text).detail("found", listed(found)).fix("point relift at one of them")
}

fn listed(names: &[&EntryName]) -> String {
    names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Opens an archive that can be read at any place, wherever its bytes are.
///
/// # Errors
/// As [`open`].
pub fn open_bytes<'a>(
    named: Named,
    bytes: Arc<dyn ReadAt>,
    policy: &Policy,
) -> Result<Box<dyn Source + 'a>, Error> {
    let mut head = Vec::new();
    FrontToEnd::new(&*bytes)
        .take(HEAD_BYTES)
        .read_to_end(&mut head)
        .map_err(|source| Error::io(format!("cannot read {}", named.name), source))?;
    if Compression::of(&head).is_some() {
        let reader = Box::new(FrontToEnd::shared(bytes));
        return Ok(Box::new(ova_stream::OvaStream::open(named, reader, policy)?));
    }
    if Zip::is_one(&head) {
        return Ok(Box::new(zip::Zip::open(named, bytes, policy)?));
    }
    Ok(Box::new(ova::Ova::open(named, bytes, policy)?))
}

/// Opens an archive that passes once, front to end: the descriptor must come before the disks. One
/// that is packed with gzip, xz or zstd is unpacked as it passes.
///
/// # Errors
/// As [`open`], and `E0107` when something else than descriptor, manifest and certificate comes
/// first.
pub fn open_stream<'a>(
    named: Named,
    reader: Box<dyn Read + Send + 'a>,
    policy: &Policy,
) -> Result<Box<dyn Source + 'a>, Error> {
    Ok(Box::new(ova_stream::OvaStream::open(named, reader, policy)?))
}

fn head(file: &File) -> std::io::Result<Vec<u8>> {
    let mut head = [0; HEAD_BYTES as usize];
    let count = std::os::unix::fs::FileExt::read_at(file, &mut head, 0)?;
    Ok(head.get(..count).unwrap_or_default().to_vec())
}

fn not_there(path: &Path, source: std::io::Error) -> Error {
    let missing = source.kind() == std::io::ErrorKind::NotFound;
    let error = Error::io(format!("cannot open {}", path.display()), source);
    if missing { error.fix("check the path") } else { error }
}

/// How much is read of a file to tell whether it is a definition: a comment may stand in front.
const DEFINITION_HEAD_BYTES: usize = 4096;

/// Whether a file is a libvirt domain XML, by its root.
fn is_definition(path: &Path, file: &File) -> Result<bool, Error> {
    let mut head = [0; DEFINITION_HEAD_BYTES];
    let count = std::os::unix::fs::FileExt::read_at(file, &mut head, 0)
        .map_err(|source| Error::io(format!("cannot read {}", path.display()), source))?;
    Ok(xml::is_one(head.get(..count).unwrap_or_default()))
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
