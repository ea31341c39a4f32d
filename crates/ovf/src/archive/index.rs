//! All members of an archive at once.

use std::io::{Read, Seek};

use code::Code;

use super::{Input as _, Member, SeekInput, Walk};
use crate::{EntryName, Error, Finding, Kind, quote};

/// The members of an archive that can be read in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The files, in the order of the archive.
    pub members: Vec<Member>,
    /// What was tolerated.
    pub findings: Vec<Finding>,
    /// The length of the archive in bytes.
    pub length_bytes: u64,
}

impl Index {
    /// Reads every header of an archive, and no payload.
    ///
    /// # Errors
    /// Those of [`super::Walk::next_member`].
    pub fn read(file: impl Read + Seek) -> Result<Self, Error> {
        let mut walk = Walk::new(SeekInput::new(file)?);
        let mut members = Vec::new();
        while let Some(member) = walk.next_member()? {
            members.push(member);
        }
        let (input, mut findings) = walk.into_parts();
        let first = members.first().map(|member| &member.name);
        if members.iter().any(|m| is_descriptor(&m.name)) && !first.is_some_and(is_descriptor) {
            let message = "the descriptor is not the first file of the archive";
            findings.push(Finding::new(Code::W0608, message));
        }
        let length_bytes = input.length_bytes().unwrap_or(0);
        Ok(Self { members, findings, length_bytes })
    }

    /// The member of this name.
    #[must_use]
    pub fn member(&self, name: &EntryName) -> Option<&Member> {
        self.members.iter().find(|member| member.name == *name)
    }

    /// The names of all members, in the order of the archive.
    #[must_use]
    pub fn names(&self) -> Vec<EntryName> {
        self.members.iter().map(|member| member.name.clone()).collect()
    }

    /// The one descriptor. Resource forks of macOS (`._*`) are none.
    ///
    /// # Errors
    /// `E0103` when there is none, or several.
    pub fn descriptor(&self) -> Result<&Member, Error> {
        let found: Vec<&Member> =
            self.members.iter().filter(|member| is_descriptor(&member.name)).collect();
        match found.as_slice() {
            [one] => Ok(one),
            [] => {
                let message = format!("no .ovf among the {} files", self.members.len());
                Err(Error::malformed(Code::E0103, message))
            }
            several => {
                let message = format!("{} .ovf files: {}", several.len(), list(several));
                Err(Error::malformed(Code::E0103, message))
            }
        }
    }

    /// The manifest of the descriptor, if there is one.
    ///
    /// # Errors
    /// `E0105` when there are several.
    pub fn manifest(&self) -> Result<Option<&Member>, Error> {
        self.beside("mf")
    }

    /// The certificate of the descriptor, if there is one. It is not verified here.
    ///
    /// # Errors
    /// `E0105` when there are several.
    pub fn certificate(&self) -> Result<Option<&Member>, Error> {
        self.beside("cert")
    }

    /// The one file of an extension. It should have the descriptor's name, but is the one anyway.
    fn beside(&self, extension: &str) -> Result<Option<&Member>, Error> {
        let is_wanted = |m: &&Member| m.name.has_extension(extension) && !is_resource_fork(&m.name);
        let found: Vec<&Member> = self.members.iter().filter(is_wanted).collect();
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            several => {
                let message = format!("{} .{extension} files: {}", several.len(), list(several));
                Err(Error::new(Code::E0105, Kind::Denied, message))
            }
        }
    }
}

fn is_descriptor(name: &EntryName) -> bool {
    name.has_extension("ovf") && !is_resource_fork(name)
}

/// What macOS adds to archives: `._name`, and everything below `__MACOSX`.
fn is_resource_fork(name: &EntryName) -> bool {
    name.base().starts_with("._") || name.folder() == Some("__MACOSX")
}

fn list(members: &[&Member]) -> String {
    let names = members.iter().take(10).map(|m| quote::Plain(m.name.as_str()).to_string());
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::{super::Writer, *};

    fn index(names: &[&str]) -> Index {
        let mut writer = Writer::new(Vec::new(), 0);
        for name in names {
            writer.begin(&EntryName::parse(name).unwrap(), 0).unwrap();
        }
        Index::read(Cursor::new(writer.finish().unwrap())).unwrap()
    }

    #[test]
    fn finds_descriptor_manifest_and_certificate() {
        let index =
            index(&["vm.OVF", "vm.mf", "vm.cert", "disk.vmdk", "._vm.ovf", "__MACOSX/vm.mf"]);
        assert_eq!(index.descriptor().unwrap().name.as_str(), "vm.OVF");
        assert_eq!(index.manifest().unwrap().unwrap().name.as_str(), "vm.mf");
        assert_eq!(index.certificate().unwrap().unwrap().name.as_str(), "vm.cert");
        assert_eq!(index.findings, []);
        let disk = EntryName::parse("disk.vmdk").unwrap();
        assert_eq!(index.member(&disk).unwrap().name, disk);
    }

    #[test]
    fn says_when_the_descriptor_is_not_the_first() {
        let index = index(&["disk.vmdk", "vm.ovf"]);
        assert_eq!(
            index.findings[0].message,
            "the descriptor is not the first file of the archive"
        );
        assert_eq!(index.manifest().unwrap(), None);
    }

    #[test]
    fn refuses_none_and_several_descriptors() {
        for (names, code, want) in [
            (&["disk.vmdk"][..], Code::E0103, "no .ovf among the 1 files"),
            (&["a.ovf", "b.ovf"], Code::E0103, "2 .ovf files: a.ovf, b.ovf"),
        ] {
            let error = index(names).descriptor().unwrap_err();
            assert_eq!((error.code(), error.message()), (code, want));
        }
        let error = index(&["a.mf", "b.mf"]).manifest().unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::E0105, "2 .mf files: a.mf, b.mf"));
    }
}
