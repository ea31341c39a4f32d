//! `References` and `DiskSection`: the files of the package, and the disks made of them.

use std::collections::HashSet;

use code::Code;

use super::{Origin, reader::Reader};
use crate::{
    Error, quote,
    xml::{Element, Space},
};

/// The most disks a descriptor may describe (ours; the largest real one has 32).
const MAX_DISKS: usize = 1024;
/// The most files a descriptor may reference (ours).
const MAX_FILES: usize = 256;

/// How a file is stored (`ovf:compression`, DSP0243 7.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Compression {
    /// As it is: the attribute is absent or `identity`.
    #[default]
    Identity,
    /// `gzip`.
    Gzip,
    /// A word that is not read; a used file of this kind is refused.
    Unknown(String),
}

/// The format of a disk image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageFormat {
    /// VMware's, of any variant.
    Vmdk,
    /// Virtual PC's.
    Vhd,
    /// Hyper-V's.
    Vhdx,
    /// VirtualBox's.
    Vdi,
    /// QEMU's.
    Qcow2,
    /// No format: the bytes of the disk.
    Raw,
}

impl ImageFormat {
    /// The word used in JSON and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vmdk => "vmdk",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vdi => "vdi",
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }
}

impl ImageFormat {
    /// Reads the URI of `ovf:format`. The standard leaves them to vendors, so a word decides.
    fn of_uri(uri: &str) -> Option<Self> {
        let uri = uri.to_ascii_lowercase();
        let has = |word: &str| uri.contains(word);
        // Microsoft's link for VHD, and the page that oVirt names for raw disks, say no word.
        match () {
            () if has("vmdk") => Some(Self::Vmdk),
            () if has("vhdx") => Some(Self::Vhdx),
            () if has("vhd") || has("linkid=137171") => Some(Self::Vhd),
            () if has("vdi") => Some(Self::Vdi),
            () if has("qcow") => Some(Self::Qcow2),
            () if has("wiki/byte") || has("raw") => Some(Self::Raw),
            () => None,
        }
    }

    fn of_ovirt(volume_format: &str) -> Option<Self> {
        match volume_format.to_ascii_uppercase().as_str() {
            "COW" => Some(Self::Qcow2),
            "RAW" => Some(Self::Raw),
            _ => None,
        }
    }
}

/// One `File` of `References`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// `ovf:id`; empty when it is absent.
    pub id: String,
    /// `ovf:href` as written; a name to resolve with [`crate::resolve_href`], never a path.
    pub href: Option<String>,
    /// `ovf:size` in bytes, if it is a number below 2^63. A hint: the archive decides.
    pub size_bytes: Option<u64>,
    /// `ovf:chunkSize` in bytes: the file is cut into `href.000000000` … `href.00000000n`.
    pub chunk_bytes: Option<u64>,
    /// `ovf:compression`.
    pub compression: Compression,
    /// Where it stands.
    pub origin: Origin,
}

/// One `Disk` of `DiskSection`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// `ovf:diskId`; empty when it is absent.
    pub id: String,
    /// `ovf:fileRef`; `None` is an empty disk.
    pub file_ref: Option<String>,
    /// `ovf:capacity` as written: a number, or `${property}`.
    pub capacity: Option<String>,
    /// `ovf:capacityAllocationUnits`; absent is bytes.
    pub capacity_units: Option<String>,
    /// `ovf:populatedSize` in bytes, if it is a number.
    pub populated_bytes: Option<u64>,
    /// `ovf:format`: a URI.
    pub format_uri: Option<String>,
    /// The format that is stated: by oVirt's `volume-format`, else by the URI; `None` when there is
    /// none, or one that is not known.
    pub format: Option<ImageFormat>,
    /// `ovf:parentRef`: the disk this one is a difference to.
    pub parent_ref: Option<String>,
    /// oVirt's `disk-interface`, such as `VirtIO_SCSI`.
    pub ovirt_interface: Option<String>,
    /// `vbox:uuid`: what VirtualBox's own description calls the image.
    pub vbox_uuid: Option<String>,
    /// Where it stands.
    pub origin: Origin,
}

/// Reads the files of `References` behind those that were read before.
pub(super) fn read_files(
    section: &Element,
    files: &mut Vec<File>,
    reader: &mut Reader,
) -> Result<(), Error> {
    let count = section.all("File").count().saturating_add(files.len());
    if count > MAX_FILES {
        let message = format!("{count} files are referenced, at most {MAX_FILES} are allowed");
        return Err(Error::limit(Code::E0106, message));
    }
    files.extend(section.all("File").map(|element| File::read(element, reader)));
    Ok(())
}

/// Reads the disks of a `DiskSection` behind those that were read before.
pub(super) fn read_disks(
    section: &Element,
    disks: &mut Vec<Disk>,
    reader: &mut Reader,
) -> Result<(), Error> {
    let count = section.all("Disk").count().saturating_add(disks.len());
    if count > MAX_DISKS {
        let message = format!("{count} disks are described, at most {MAX_DISKS} are allowed");
        return Err(Error::limit(Code::E0106, message));
    }
    disks.extend(section.all("Disk").map(|element| Disk::read(element, reader)));
    Ok(())
}

impl File {
    fn read(element: &Element, reader: &mut Reader) -> Self {
        let id = element.filled("id").unwrap_or_default();
        let path = format!("/References/File[{}]", quote::Plain(&id));
        let origin = Origin { line: element.line, path };
        if id.is_empty() {
            reader.note(Code::W0610, "a file without an id", &origin);
        }
        // A name may begin or end with a blank, so this is not trimmed.
        let href = element.attribute("href").filter(|href| !href.is_empty()).map(str::to_owned);
        if href.is_none() {
            reader.note(Code::W0610, "a file without a href", &origin);
        }
        let compression = match element.filled("compression").as_deref() {
            None | Some("identity") => Compression::Identity,
            Some("gzip") => Compression::Gzip,
            Some(other) => Compression::Unknown(other.to_owned()),
        };
        Self {
            href,
            size_bytes: reader.number(element, "size", &origin),
            chunk_bytes: reader.number(element, "chunkSize", &origin),
            compression,
            id,
            origin,
        }
    }
}

impl Disk {
    fn read(element: &Element, reader: &mut Reader) -> Self {
        let id = element.filled("diskId").unwrap_or_default();
        let path = format!("/DiskSection/Disk[{}]", quote::Plain(&id));
        let origin = Origin { line: element.line, path };
        if id.is_empty() {
            reader.note(Code::W0610, "a disk without an id", &origin);
        }
        let volume_format = element.filled("volume-format");
        let format_uri = element.filled("format");
        let stated = volume_format.as_deref().and_then(ImageFormat::of_ovirt);
        let mut disk = Self {
            file_ref: element.filled("fileRef"),
            capacity: element.filled("capacity"),
            capacity_units: element.filled("capacityAllocationUnits"),
            populated_bytes: element
                .filled("populatedSize")
                .and_then(|_| reader.number(element, "populatedSize", &origin)),
            format: stated.or_else(|| format_uri.as_deref().and_then(ImageFormat::of_uri)),
            format_uri,
            parent_ref: element.filled("parentRef"),
            ovirt_interface: element.filled("disk-interface"),
            vbox_uuid: element
                .attribute_in(&Space::Vbox, "uuid")
                .map(|uuid| uuid.trim().to_owned()),
            id,
            origin,
        };
        // oVirt states whole GiB in `ovf:size`.
        if disk.capacity.is_none() && volume_format.is_some() {
            disk.capacity = element.filled("size");
            disk.capacity_units = Some("byte * 2^30".to_owned());
        }
        disk.note_format(reader);
        disk
    }

    /// Whether it was written in the oVirt dialect.
    pub(super) fn is_ovirt(element: &Element) -> bool {
        element.attribute("volume-format").is_some()
            || element.attribute("disk-interface").is_some()
    }

    fn note_format(&self, reader: &mut Reader) {
        if let (Some(uri), None) = (&self.format_uri, self.format) {
            let message = format!("the disk format {} is not known", quote::Quoted(uri));
            reader.note(Code::W0610, message, &self.origin);
        }
    }
}

/// Notes what does not hold together, whether it is used or not: an id that occurs twice, a
/// reference to nothing. A used one is an error of the selection.
pub(super) fn note_references(files: &[File], disks: &[Disk], reader: &mut Reader) {
    let mut file_ids = HashSet::new();
    for file in files {
        if !file_ids.insert(file.id.as_str()) && !file.id.is_empty() {
            let message = format!("an earlier file has the id {}", quote::Quoted(&file.id));
            reader.note(Code::W0610, message, &file.origin);
        }
    }
    // oVirt refers to a file by its href.
    file_ids.extend(files.iter().filter_map(|file| file.href.as_deref()));
    let all_disks: HashSet<&str> = disks.iter().map(|disk| disk.id.as_str()).collect();
    let mut disk_ids = HashSet::new();
    for disk in disks {
        let mut note = |what: &str, id: &str| {
            let message = format!("{what} {}", quote::Quoted(id));
            reader.note(Code::W0610, message, &disk.origin);
        };
        if !disk_ids.insert(disk.id.as_str()) && !disk.id.is_empty() {
            note("an earlier disk has the id", &disk.id);
        }
        if let Some(file) = disk.file_ref.as_deref().filter(|file| !file_ids.contains(file)) {
            note("no file has the id", file);
        }
        if let Some(parent) = disk.parent_ref.as_deref().filter(|p| !all_disks.contains(p)) {
            note("no disk has the id", parent);
        }
    }
}
