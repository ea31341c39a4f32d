//! The way back: a folder with a domain and its images becomes an OVA or an OVF folder.
//!
//! ```text
//! domain.xml -> vm::Machine -> OVF items     images -> streamOptimized VMDK --hashed--> its place
//!                                            descriptor and manifest last, in the room kept for them
//! ```
//!
//! Each disk passes once, and nothing is stored in between.

mod images;
mod sink;

use std::{
    fs,
    path::{Path, PathBuf},
};

use code::Code;
use convert::{
    Reader, Row,
    copy::{self, Copied},
};
use disk::vmdk::StreamOptions;
use host::Host;
use ovf::{
    EntryName, Finding,
    manifest::{self, Algorithm, Digest, Hasher},
    writer::{Disk, Document, File},
};
use vm::Machine;

use crate::{Error, Step, Watch, plan::DOMAIN_XML, undo::Undo};

use images::{Content, Piece};
use sink::Sink;

/// The most bytes of a domain XML: far more than libvirt writes.
const MAX_DOMAIN_BYTES: u64 = 4 << 20;

/// What the user chose.
#[derive(Debug, Clone, Copy)]
pub struct ExportChoices {
    /// Who shall read it.
    pub reader: Reader,
    /// The algorithm of the manifest.
    pub digest: Algorithm,
    /// How hard grains are compressed, 1 to 12; the usual level where nobody says.
    pub level: Option<i32>,
}

/// How an export is carried out.
#[derive(Clone, Copy)]
pub struct Export<'a> {
    /// The door to the target.
    pub host: &'a dyn Host,
    /// Who hears of it.
    pub watch: &'a dyn Watch,
    /// Worker threads.
    pub workers: usize,
    /// Leave unfinished files behind.
    pub keep_partial: bool,
}

impl std::fmt::Debug for Export<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Export").field("workers", &self.workers).finish_non_exhaustive()
    }
}

/// Where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Package {
    /// One file.
    Ova(PathBuf),
    /// A folder with the files beside one another; it may be there already.
    Folder(PathBuf),
}

/// What was made.
#[derive(Debug)]
pub struct Exported {
    /// The machine's name.
    pub name: String,
    /// What became of each item.
    pub rows: Vec<Row>,
    /// What the domain says that no machine of ours has.
    pub findings: Vec<Finding>,
    /// The members, in their order.
    pub members: Vec<Member>,
    /// What stands on the disk: the OVA, or each member.
    pub paths: Vec<PathBuf>,
}

/// One member of the package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: EntryName,
    /// Its length.
    pub length_bytes: u64,
    /// Guest bytes of a disk.
    pub capacity_bytes: Option<u64>,
    /// Its digest; the manifest has none.
    pub digest: Option<Digest>,
}

/// Exports the machine of a folder.
///
/// # Errors
/// `E0604` where no domain can be read, `E0104`, `E0105` for an image that is not in the folder, those
/// of the images, `E0509` where the output exists, and those of writing. Nothing is left behind then.
pub fn export(
    folder: &Path,
    package: &Package,
    choices: &ExportChoices,
    with: &Export<'_>,
) -> Result<Exported, Error> {
    let (mut machine, findings) = read(folder)?;
    refuse_what_is_left_out(&findings)?;
    images::measure(folder, &mut machine)?;
    let described = convert::to_ovf(&machine, choices.reader);
    let slug = convert::slug(&machine.name);
    let pieces = images::open(folder, &machine, &described.images, &slug)?;
    let names = Names::of(&slug)?;
    let mut undo = Undo::new(with.host, None, with.keep_partial);
    let draft = Draft { described: &described, pieces: &pieces, names: &names, choices };
    let reserved = draft.reserved()?;
    let mut sink = Sink::create(package, &names, reserved, with.host, &mut undo)?;
    let mut written = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        with.watch.begin(Step::Convert {
            number,
            of: pieces.len(),
            to: Path::new(piece.name.as_str()),
            total_bytes: Some(piece.bytes()),
        });
        written.push(write_piece(piece, &mut sink, choices, with, &mut undo)?);
    }
    with.watch.begin(Step::Publish);
    let descriptor = draft.descriptor(&written, reserved.descriptor_bytes)?;
    let head = Member {
        name: names.descriptor.clone(),
        length_bytes: descriptor.len() as u64,
        capacity_bytes: None,
        digest: Some(hash(descriptor.as_bytes(), choices.digest)),
    };
    let listed: Vec<Member> = std::iter::once(head).chain(written).collect();
    let manifest = manifest_text(&listed);
    let paths = sink.finish(&descriptor, &manifest, &mut undo)?;
    undo.forget();
    let manifest = Member {
        name: names.manifest,
        length_bytes: manifest.len() as u64,
        capacity_bytes: None,
        digest: None,
    };
    let mut members = listed;
    members.insert(1, manifest);
    Ok(Exported { name: machine.name, rows: described.rows, findings, members, paths })
}

/// The names of the small members.
struct Names {
    descriptor: EntryName,
    manifest: EntryName,
}

impl Names {
    fn of(slug: &str) -> Result<Self, Error> {
        let parse = |ending: &str| EntryName::parse(&format!("{slug}.{ending}"));
        Ok(Self { descriptor: parse("ovf")?, manifest: parse("mf")? })
    }
}

/// The room that is kept in front of the images.
#[derive(Debug, Clone, Copy)]
struct Reserved {
    descriptor_bytes: usize,
    manifest_bytes: usize,
}

/// What descriptor and manifest are made of.
struct Draft<'a> {
    described: &'a convert::Exported,
    pieces: &'a [Piece],
    names: &'a Names,
    choices: &'a ExportChoices,
}

impl Draft<'_> {
    /// The room for the longest descriptor that can come of it, and for the manifest.
    fn reserved(&self) -> Result<Reserved, Error> {
        let longest = |piece: &Piece| Member {
            name: piece.name.clone(),
            length_bytes: u64::MAX,
            capacity_bytes: Some(u64::MAX),
            digest: Some(hash(b"", self.choices.digest)),
        };
        let mut members: Vec<Member> = self.pieces.iter().map(longest).collect();
        let descriptor_bytes = self.document(&members).write()?.len();
        let digest = Some(hash(b"", self.choices.digest));
        let name = self.names.descriptor.clone();
        members.insert(0, Member { name, length_bytes: 0, capacity_bytes: None, digest });
        Ok(Reserved { descriptor_bytes, manifest_bytes: manifest_text(&members).len() })
    }

    /// The descriptor, filled up with line ends to the room that was kept for it.
    fn descriptor(&self, written: &[Member], length: usize) -> Result<String, Error> {
        let mut text = self.document(written).write()?;
        let missing = length.saturating_sub(text.len());
        text.push_str(&"\n".repeat(missing));
        Ok(text)
    }

    /// The descriptor of members, which are in the order of the pieces.
    fn document(&self, members: &[Member]) -> Document {
        let mut disks = Vec::new();
        let mut files = Vec::new();
        for (piece, member) in self.pieces.iter().zip(members) {
            let file_id = match &piece.content {
                Content::Disk { .. } => format!("file-{}", piece.id),
                Content::Medium(_) => piece.id.clone(),
            };
            if let Content::Disk { image, .. } = &piece.content {
                disks.push(Disk {
                    id: piece.id.clone(),
                    file_id: file_id.clone(),
                    capacity_bytes: image.capacity_bytes(),
                    populated_bytes: member.capacity_bytes.unwrap_or_default(),
                });
            }
            files.push(File {
                id: file_id,
                href: piece.name.to_string(),
                size_bytes: member.length_bytes,
            });
        }
        Document {
            files,
            disks,
            networks: self.described.networks.clone(),
            system: self.described.system.clone(),
        }
    }
}

/// Reads the one domain of a folder.
fn read(folder: &Path) -> Result<(Machine, Vec<Finding>), Error> {
    let path = folder.join(DOMAIN_XML);
    let shown = path.display();
    let wrap = |source| Error::new(Code::E0604, format!("cannot read {shown}")).caused_by(source);
    let metadata = fs::metadata(&path).map_err(|source| {
        wrap(source).fix("give the folder that relift convert wrote: it holds domain.xml")
    })?;
    if !metadata.is_file() || metadata.len() > MAX_DOMAIN_BYTES {
        let text = format!(
            "{shown} has {} bytes, a domain has at most {MAX_DOMAIN_BYTES}",
            metadata.len()
        );
        return Err(Error::new(Code::E0604, text));
    }
    let bytes = fs::read(&path).map_err(wrap)?;
    let read = domain::read(&bytes).map_err(|error| {
        Error::new(error.code(), error.to_string()).detail("file", shown.to_string())
    })?;
    let findings = read.findings.into_iter().map(|finding| Finding {
        code: finding.code,
        message: finding.message,
        item: None,
        path: Some(finding.path),
        line: Some(finding.line),
    });
    Ok((read.machine, findings.collect()))
}

/// A domain whose disks are not all read makes no copy of its machine.
fn refuse_what_is_left_out(findings: &[Finding]) -> Result<(), Error> {
    let Some(grave) = findings.iter().find(|finding| finding.code == Code::E0305) else {
        return Ok(());
    };
    Err(Error::new(grave.code, &grave.message)
        .detail("element", grave.path.clone().unwrap_or_default())
        .fix("take the element out of domain.xml, or put the disk into the folder as a file"))
}

/// Writes one image to its place, and hashes what is written.
fn write_piece(
    piece: &Piece,
    sink: &mut Sink<'_>,
    choices: &ExportChoices,
    with: &Export<'_>,
    undo: &mut Undo<'_>,
) -> Result<Member, Error> {
    let mut to = Hashed {
        out: sink.begin(&piece.name, with.host, undo)?,
        hash: Hasher::new(choices.digest),
    };
    let (length_bytes, capacity_bytes) = match &piece.content {
        Content::Disk { image, cid } => {
            let mut options = StreamOptions::new(image.capacity_bytes(), piece.name.as_str(), *cid);
            options.level = choices.level.unwrap_or(options.level);
            let settings = copy::Settings { workers: with.workers };
            let Copied { data_bytes, file_bytes, .. } =
                copy::write_stream_optimized(&**image, &mut to, &options, settings, with.watch)?;
            (file_bytes, Some(data_bytes))
        }
        Content::Medium(bytes) => (images::copy(&**bytes, &mut to, &piece.name, with.watch)?, None),
    };
    let digest = Some(to.hash.finish());
    sink.end(&piece.name, length_bytes)?;
    Ok(Member { name: piece.name.clone(), length_bytes, capacity_bytes, digest })
}

/// Hashes what is written.
struct Hashed<W> {
    out: W,
    hash: Hasher,
}

impl<W: std::io::Write> std::io::Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

fn manifest_text(members: &[Member]) -> String {
    let entries: Vec<(EntryName, Digest)> = members
        .iter()
        .filter_map(|member| Some((member.name.clone(), member.digest.clone()?)))
        .collect();
    manifest::write(&entries)
}

fn hash(bytes: &[u8], algorithm: Algorithm) -> Digest {
    let mut hash = Hasher::new(algorithm);
    hash.update(bytes);
    hash.finish()
}
