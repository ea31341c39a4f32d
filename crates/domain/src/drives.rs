//! What a document says of files: those of its drives, and those of its firmware.
//!
//! A [`vm::Machine`] has a place only for drives on files. Who restores or copies a machine needs
//! every drive, whatever it is on, by the name under which [`crate::patch()`] changes it.

use std::{collections::BTreeSet, path::PathBuf};

use code::Code;

use crate::{
    Error, Kind,
    document::{Document, Element, Fault, Shown},
};

/// A drive of a machine, as its `<disk>` element tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// The name by which libvirt and [`crate::Changes`] call it, such as `vda`; no two are alike.
    pub target: String,
    /// What the guest sees.
    pub device: DriveDevice,
    /// The bus in libvirt's words, where the document says it.
    pub bus: Option<String>,
    /// Its number on its controller, where the document says it.
    pub unit: Option<u32>,
    /// Where its bytes are.
    pub source: DriveSource,
    /// The format of those bytes in libvirt's words; `raw` where the document does not say it, for so
    /// libvirt takes them.
    pub format: String,
    /// The images behind it, the nearest first, as far as the document tells them.
    pub chain: Vec<BackingImage>,
    /// Whether the document says that the bytes are encrypted.
    pub is_encrypted: bool,
    /// Whether the guest cannot write to it; it never can to a CD.
    pub is_read_only: bool,
    /// Whether several machines may use it at once.
    pub is_shareable: bool,
    /// Whether what is written to it is dropped when the machine ends.
    pub is_transient: bool,
    /// The serial number that the guest sees.
    pub serial: Option<String>,
}

/// What a guest sees of a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DriveDevice {
    /// A disk.
    Disk,
    /// A CD drive.
    Cdrom,
    /// A floppy drive.
    Floppy,
    /// A SCSI device of the host, whose commands the guest gives itself.
    Lun,
}

/// Where the bytes of a drive are; texts are as they stand in the document, for who uses one to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriveSource {
    /// Nowhere: an empty drive.
    None,
    /// In a file.
    File(PathBuf),
    /// On a block device of the host.
    Block(PathBuf),
    /// On a server.
    Network {
        /// The protocol, such as `rbd`.
        protocol: String,
        /// The name of the image there.
        name: String,
    },
    /// In a volume of a storage pool.
    Volume {
        /// The pool.
        pool: String,
        /// The volume.
        volume: String,
    },
    /// Of another type, such as `nvme` or `vhostuser`.
    Other(String),
}

/// An image that another one is written over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackingImage {
    /// Where its bytes are.
    pub source: DriveSource,
    /// Their format, where the document says it.
    pub format: Option<String>,
}

/// The files that a document names for its firmware.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FirmwareFiles {
    /// The firmware's program.
    pub loader: Option<PathBuf>,
    /// This machine's variables; `None` as well where they are not in a file.
    pub variables: Option<PathBuf>,
    /// What the variables are copied from when they are not there.
    pub template: Option<PathBuf>,
}

impl DriveSource {
    /// The word for it in a document: the `type` of a drive.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::None | Self::File(_) => "file",
            Self::Block(_) => "block",
            Self::Network { .. } => "network",
            Self::Volume { .. } => "volume",
            Self::Other(kind) => kind,
        }
    }

    /// Reads the `<source>` of a drive, a backing image or the firmware's variables.
    pub(crate) fn of(element: &Element<'_>) -> Self {
        let Some(source) = element.first("source") else { return Self::None };
        let value = |name| source.value(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let path = |name| value(name).map(PathBuf::from);
        let found = match element.value("type").unwrap_or("file") {
            "file" => path("file").map(Self::File),
            "block" => path("dev").map(Self::Block),
            "network" => value("protocol").map(|protocol| Self::Network {
                protocol,
                name: value("name").unwrap_or_default(),
            }),
            "volume" => value("volume")
                .map(|volume| Self::Volume { pool: value("pool").unwrap_or_default(), volume }),
            other => Some(Self::Other(other.to_owned())),
        };
        found.unwrap_or(Self::None)
    }
}

/// Lists the drives of a domain XML, in document order.
///
/// # Errors
///
/// Text that is no bounded, sound XML; a drive without a name, with that of another, or of a type
/// that libvirt does not have.
pub fn drives(xml: &[u8]) -> Result<Vec<Drive>, Error> {
    let document = Document::parse(xml)?;
    let mut names = BTreeSet::new();
    let mut drives = Vec::new();
    let elements = document.root.all("devices").flat_map(|devices| devices.all("disk"));
    for element in elements {
        let fail = |message: String| {
            let place = document.place(element);
            Error::from(Fault::new(Code::E0303, Kind::Malformed, message).at(place))
        };
        let drive = drive(element).map_err(fail)?;
        if !names.insert(drive.target.clone()) {
            return Err(fail(format!("a second drive is called {}", Shown(&drive.target))));
        }
        drives.push(drive);
    }
    Ok(drives)
}

fn drive(element: &Element<'_>) -> Result<Drive, String> {
    let target = element.child_value("target", "dev").unwrap_or_default();
    if target.is_empty() {
        return Err("the drive has no name".to_owned());
    }
    let device = match element.value("device").unwrap_or("disk") {
        "disk" => DriveDevice::Disk,
        "cdrom" => DriveDevice::Cdrom,
        "floppy" => DriveDevice::Floppy,
        "lun" => DriveDevice::Lun,
        other => return Err(format!("{} is no type of a drive", Shown(other))),
    };
    Ok(Drive {
        target: target.to_owned(),
        device,
        bus: element.child_value("target", "bus").map(str::to_owned),
        unit: element.child_value("address", "unit").and_then(|unit| unit.parse().ok()),
        source: DriveSource::of(element),
        format: element.child_value("driver", "type").unwrap_or("raw").to_owned(),
        chain: chain(element),
        is_encrypted: is_encrypted(element),
        is_read_only: device == DriveDevice::Cdrom || element.first("readonly").is_some(),
        is_shareable: element.first("shareable").is_some(),
        is_transient: element.first("transient").is_some(),
        serial: element.first("serial").and_then(Element::word).map(str::to_owned),
    })
}

/// Whether a drive's element says that its bytes are encrypted, at either place for it.
pub(crate) fn is_encrypted(drive: &Element<'_>) -> bool {
    drive.first("encryption").is_some() || drive.at(&["source", "encryption"]).is_some()
}

/// The images behind a drive; an empty `<backingStore>` ends them.
fn chain(drive: &Element<'_>) -> Vec<BackingImage> {
    let mut chain = Vec::new();
    let mut at = drive;
    while let Some(next) = at.first("backingStore") {
        let source = DriveSource::of(next);
        if source == DriveSource::None {
            break;
        }
        let format = next.child_value("format", "type").map(str::to_owned);
        chain.push(BackingImage { source, format });
        at = next;
    }
    chain
}

/// Finds the files that a domain XML names for its firmware.
///
/// # Errors
///
/// Text that is no bounded, sound XML.
pub fn firmware_files(xml: &[u8]) -> Result<FirmwareFiles, Error> {
    let document = Document::parse(xml)?;
    let Some(os) = document.root.first("os") else { return Ok(FirmwareFiles::default()) };
    let nvram = os.first("nvram");
    let variables = |nvram: &Element<'_>| match (nvram.value("type"), DriveSource::of(nvram)) {
        (None, _) => nvram.word().map(PathBuf::from),
        (Some(_), DriveSource::File(path)) => Some(path),
        (Some(_), _) => None,
    };
    Ok(FirmwareFiles {
        loader: os.first("loader").and_then(Element::word).map(PathBuf::from),
        variables: nvram.and_then(variables),
        template: nvram.and_then(|nvram| nvram.value("template")).map(PathBuf::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(devices: &str) -> String {
        format!("<domain><name>n</name>\n<devices>{devices}</devices></domain>")
    }

    fn only(disk: &str) -> Drive {
        let drives = drives(document(disk).as_bytes()).expect(disk);
        <[Drive; 1]>::try_from(drives).expect(disk).into_iter().next().expect(disk)
    }

    #[test]
    fn tells_all_of_a_disk_with_a_chain() {
        let drive = only(
            "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
             <source file='/a'/><backingStore type='file'><format type='qcow2'/>\
             <source file='/b'/><backingStore type='block'><format type='raw'/>\
             <source dev='/dev/c'/><backingStore/></backingStore></backingStore>\
             <target dev='vda' bus='scsi'/><address type='drive' unit='3'/><shareable/><serial> S1 </serial></disk>",
        );
        let image = |source, format: &str| BackingImage { source, format: Some(format.to_owned()) };
        assert_eq!(
            drive,
            Drive {
                target: "vda".to_owned(),
                device: DriveDevice::Disk,
                bus: Some("scsi".to_owned()),
                unit: Some(3),
                source: DriveSource::File("/a".into()),
                format: "qcow2".to_owned(),
                chain: vec![
                    image(DriveSource::File("/b".into()), "qcow2"),
                    image(DriveSource::Block("/dev/c".into()), "raw"),
                ],
                is_encrypted: false,
                is_read_only: false,
                is_shareable: true,
                is_transient: false,
                serial: Some("S1".to_owned()),
            }
        );
    }

    #[test]
    fn tells_where_the_bytes_of_a_drive_are() {
        let network = |protocol: &str, name: &str| DriveSource::Network {
            protocol: protocol.to_owned(),
            name: name.to_owned(),
        };
        let volume = DriveSource::Volume { pool: "p".to_owned(), volume: "v".to_owned() };
        for (kind, source, want) in [
            ("file", "<source file='/a'/>", DriveSource::File("/a".into())),
            ("block", "<source dev='/dev/a'/>", DriveSource::Block("/dev/a".into())),
            ("network", "<source protocol='rbd' name='p/i'/>", network("rbd", "p/i")),
            ("network", "<source protocol='nbd'/>", network("nbd", "")),
            ("volume", "<source pool='p' volume='v'/>", volume),
            ("nvme", "<source type='pci'/>", DriveSource::Other("nvme".to_owned())),
            ("file", "", DriveSource::None),
            ("file", "<source startupPolicy='optional'/>", DriveSource::None),
            ("block", "<source file='/a'/>", DriveSource::None),
        ] {
            let drive = only(&format!("<disk type='{kind}'>{source}<target dev='vda'/></disk>"));
            assert_eq!(drive.source, want, "{kind} {source}");
            if want != DriveSource::None {
                assert_eq!(drive.source.kind(), kind);
            }
        }
    }

    #[test]
    fn takes_silence_as_libvirt_does() {
        let drive = only("<disk><source file='/a'/><target dev='hda'/></disk>");
        assert_eq!((drive.device, drive.format.as_str()), (DriveDevice::Disk, "raw"));
        assert_eq!((drive.is_read_only, drive.serial), (false, None));
    }

    #[test]
    fn tells_devices_encryption_and_what_cannot_be_written() {
        for (device, want) in [
            ("cdrom", (DriveDevice::Cdrom, true)),
            ("floppy", (DriveDevice::Floppy, false)),
            ("lun", (DriveDevice::Lun, false)),
        ] {
            let drive = only(&format!("<disk device='{device}'><target dev='sda'/></disk>"));
            assert_eq!((drive.device, drive.is_read_only), want);
        }
        assert!(only("<disk><readonly/><target dev='sda'/></disk>").is_read_only);
        for place in ["<encryption/>", "<source file='/a'><encryption/></source>"] {
            assert!(only(&format!("<disk>{place}<target dev='sda'/></disk>")).is_encrypted);
        }
    }

    #[test]
    fn refuses_drives_that_cannot_be_told_apart() {
        for (disks, want) in [
            ("<disk/>", "the drive has no name (/domain/devices/disk, line 2)"),
            (
                "<disk><target dev=''/></disk>",
                "the drive has no name (/domain/devices/disk, line 2)",
            ),
            (
                "<disk device='tape'><target dev='sda'/></disk>",
                r#""tape" is no type of a drive (/domain/devices/disk, line 2)"#,
            ),
            (
                "<disk><target dev='sda'/></disk>\n<disk><target dev='sda'/></disk>",
                r#"a second drive is called "sda" (/domain/devices/disk[2], line 3)"#,
            ),
        ] {
            assert_eq!(drives(document(disks).as_bytes()).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn finds_the_files_of_the_firmware() {
        let files = |os: &str| {
            let text = format!("<domain><name>n</name>{os}</domain>");
            firmware_files(text.as_bytes()).expect(os)
        };
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(files(""), FirmwareFiles::default());
        assert_eq!(files("<os firmware='efi'/>"), FirmwareFiles::default());
        assert_eq!(
            files("<os><loader type='pflash'>/l</loader><nvram template='/t'> /n </nvram></os>"),
            FirmwareFiles { loader: path("/l"), variables: path("/n"), template: path("/t") }
        );
        let of_type = |kind: &str, source: &str| {
            files(&format!("<os><nvram type='{kind}'><source {source}/></nvram></os>")).variables
        };
        assert_eq!(of_type("file", "file='/n'"), path("/n"));
        assert_eq!(of_type("network", "protocol='iscsi' name='n'"), None);
    }
}
