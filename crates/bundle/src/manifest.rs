//! What relift writes down beside the disks: digests, the chain, the tree of snapshots, the source.
//!
//! ```text
//! {"format": 1, "blake3": "digest of the text of body", "body": { … }}
//! ```
//!
//! The digest is over the bytes of the body as they stand, so that a changed bit in the manifest itself is
//! found, too. Fields may be added within a format; a reader passes over what it does not know.

use std::collections::BTreeMap;

use code::Code;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Error, ImageState, Kind, Point, Result, point};

/// The most bytes of a manifest (ours; that of 65,536 members has 10 MiB).
pub(crate) const MAX_MANIFEST_BYTES: u64 = 64 << 20;
/// The format that is written and read.
const FORMAT: u32 = 1;

/// What a bundle says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The program that wrote it, with its version.
    pub tool: String,
    /// When, in seconds since 1970.
    pub created_unix_seconds: u64,
    /// The machine.
    pub vm: Vm,
    /// How the guest was when its disks were read; `None` for a machine that never ran.
    pub consistency: Option<String>,
    /// Where the machine came from, when it was not made here.
    pub source_facts: Option<SourceFacts>,
    /// The disk images, each before those that stand on it.
    pub nodes: Vec<Node>,
    /// The snapshots, each before its children.
    pub snapshots: Vec<Snapshot>,
    /// Every member but manifests, with its digest.
    pub members: Vec<MemberDigest>,
    /// Members that are still there and no longer belong to the backup.
    pub deleted: Vec<String>,
    /// Whether the machine is a template that others are cloned from.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_template: bool,
    /// What the machine is a thin clone of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
    /// The moments that can be restored, oldest first; none in a backup that is one moment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<Point>,
    /// Whether the host keeps what a further increment needs.
    #[serde(default, skip_serializing_if = "is_false")]
    pub incrementable: bool,
    /// Whether nothing deletes it before the protection is taken off.
    #[serde(default, skip_serializing_if = "is_false")]
    pub protected: bool,
    /// What somebody wrote on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Words that somebody sorts backups by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// The machine that a thin clone stands on; its disks are in no backup of the clone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: Option<String>,
    /// Those of its disks that images of the bundle stand on.
    pub disks: Vec<TemplateDisk>,
}

impl Template {
    /// The disk that an image stands on, where it is one of the template.
    #[must_use]
    pub fn disk_below(&self, node: &Node) -> Option<&TemplateDisk> {
        self.disks
            .iter()
            .find(|disk| disk.member == node.member && Some(&disk.backing) == node.backing.as_ref())
    }
}

/// A disk of a template, as it was when the clone was backed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateDisk {
    /// The member that stands on it.
    pub member: String,
    /// What the header of that member calls it.
    pub backing: String,
    /// Where it was on the host.
    pub path: String,
    /// Which state of it the member stands on.
    #[serde(flatten)]
    pub state: ImageState,
}

/// The machine of a bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vm {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: Option<String>,
}

/// An appliance that a bundle was made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFacts {
    /// `ova`, `ovf` or `vmx`.
    pub kind: String,
    /// SHA-256 of the descriptor, in hexadecimal.
    pub descriptor_sha256: String,
    /// What the appliance's own manifest said of each file.
    pub manifest: Vec<SourceDigest>,
    /// The product that made it, as far as the descriptor says.
    pub producer: Option<String>,
}

/// One line of an appliance's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceDigest {
    /// The file.
    pub file: String,
    /// `sha1`, `sha256` or `sha512`.
    pub algorithm: String,
    /// The digest, in hexadecimal.
    pub digest: String,
}

/// One disk image of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The member that has it.
    pub member: String,
    /// The size of the guest's disk.
    pub capacity_bytes: u64,
    /// The member that it stands on.
    pub backing: Option<String>,
}

/// A state of the machine that can be gone back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// The snapshot that was current when it was taken.
    pub parent: Option<String>,
    /// When, in seconds since 1970.
    pub created_unix_seconds: u64,
    /// The member with the machine as it was then.
    pub config: String,
    /// The images that hold the disks as they were then.
    pub nodes: Vec<String>,
    /// Which of them each disk was on: `vda` and a member. Where it does not say, names of files do.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub disks: BTreeMap<String, String>,
    /// The member with the memory.
    pub memory: Option<String>,
}

/// What a member holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberDigest {
    /// Its name.
    pub name: String,
    /// How many bytes it has.
    pub length_bytes: u64,
    /// BLAKE3 of its bytes, in hexadecimal.
    pub blake3: String,
}

/// Called by serde, which hands over references.
const fn is_false(value: &bool) -> bool {
    !*value
}

/// The document around the body.
#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    format: u32,
    blake3: String,
    #[serde(borrow)]
    body: &'a RawValue,
}

impl Manifest {
    /// Writes the document.
    ///
    /// # Errors
    /// `E0106` and `E0605` when it would not be read again: too long, or points that are none.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        point::check_bounds(self)?;
        let unwritten = |error: serde_json::Error| {
            Error::new(Code::E0605, Kind::Malformed, "the manifest cannot be written")
                .caused_by(error)
        };
        let body = serde_json::to_string_pretty(self).map_err(unwritten)?;
        let blake3 = digest_of(body.as_bytes());
        let body = RawValue::from_string(body).map_err(unwritten)?;
        let sealed = Sealed { format: FORMAT, blake3, body: &body };
        let mut bytes = serde_json::to_vec(&sealed).map_err(unwritten)?;
        bytes.push(b'\n');
        check_length(bytes.len() as u64)?;
        Ok(bytes)
    }

    /// Reads a document, and compares it with its own digest.
    ///
    /// # Errors
    /// `E0605` when it is no manifest of this format or was changed, `E0106` when it is too long or
    /// something in it is.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        check_length(bytes.len() as u64)?;
        let malformed = |error: serde_json::Error| {
            Error::new(Code::E0605, Kind::Malformed, "the manifest cannot be read").caused_by(error)
        };
        let sealed: Sealed<'_> = serde_json::from_slice(bytes).map_err(malformed)?;
        if sealed.format != FORMAT {
            let message = format!("a manifest of format {}, {FORMAT} is read", sealed.format);
            return Err(Error::new(Code::E0605, Kind::Unsupported, message));
        }
        let body = sealed.body.get();
        let found = digest_of(body.as_bytes());
        if found != sealed.blake3 {
            let due = crate::error::shown(&sealed.blake3);
            return Err(Error::damaged(format!(
                "the manifest has the BLAKE3 digest {found}, it says {due}"
            )));
        }
        let manifest: Self = serde_json::from_str(body).map_err(malformed)?;
        point::check_bounds(&manifest)?;
        Ok(manifest)
    }

    /// The digest of a member.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&MemberDigest> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The point of this id.
    #[must_use]
    pub fn point(&self, id: &str) -> Option<&Point> {
        self.points.iter().find(|point| point.id == id)
    }
}

/// BLAKE3 in hexadecimal.
fn digest_of(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

pub(crate) fn check_length(length_bytes: u64) -> Result<()> {
    if length_bytes > MAX_MANIFEST_BYTES {
        return Err(Error::limit(format!(
            "a manifest of {length_bytes} bytes, at most {MAX_MANIFEST_BYTES} are allowed"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            tool: "relift 1".to_owned(),
            created_unix_seconds: 1_700_000_000,
            vm: Vm { name: "web \"01\"".to_owned(), uuid: None },
            members: vec![MemberDigest {
                name: "a.qcow2".to_owned(),
                length_bytes: 3,
                blake3: digest_of(b"abc"),
            }],
            ..Manifest::default()
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let manifest = manifest();
        let bytes = manifest.to_bytes().unwrap();
        assert_eq!(Manifest::parse(&bytes).unwrap(), manifest);
        assert_eq!(manifest.to_bytes().unwrap(), bytes);
        assert_eq!(manifest.member("a.qcow2").map(|member| member.length_bytes), Some(3));
    }

    #[test]
    fn what_is_said_of_templates_is_an_addition_that_an_older_manifest_does_not_have() {
        let plain = String::from_utf8(manifest().to_bytes().unwrap()).unwrap();
        assert!(!plain.contains("template"), "{plain}");
        let state =
            ImageState { capacity_bytes: 7, length_bytes: 9, fingerprint: digest_of(b"head") };
        let clone = Manifest {
            is_template: true,
            template: Some(Template {
                name: "golden".to_owned(),
                uuid: None,
                disks: vec![TemplateDisk {
                    member: "a.qcow2".to_owned(),
                    backing: "/pool/golden.qcow2".to_owned(),
                    path: "/pool/golden.qcow2".to_owned(),
                    state,
                }],
            }),
            ..manifest()
        };
        assert_eq!(Manifest::parse(&clone.to_bytes().unwrap()).unwrap(), clone);
    }

    #[test]
    fn every_changed_bit_is_found() {
        let bytes = manifest().to_bytes().unwrap();
        for at in 0..bytes.len() - 1 {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[at] ^= 1 << bit;
                assert!(Manifest::parse(&other).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn another_format_and_a_changed_body_are_named() {
        let text = String::from_utf8(manifest().to_bytes().unwrap()).unwrap();
        let error = Manifest::parse(text.replacen(":1,", ":2,", 1).as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "a manifest of format 2, 1 is read");
        let error = Manifest::parse(text.replace("relift", "relive").as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with("the manifest has the BLAKE3 digest "), "{error}");
        let error = Manifest::parse(b"[]").unwrap_err();
        assert_eq!(error.to_string(), "the manifest cannot be read");
    }
}
