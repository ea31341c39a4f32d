//! Whole packages: an OVA in memory, or a folder.

use std::{fs, io::Write as _, path::Path};

use ovf::{
    EntryName,
    archive::Writer,
    manifest::{self, Algorithm, Digest, Hasher},
};

use crate::{Descriptor, Signer, ZipMethod, content, stream_optimized, zip};

/// A package of one machine with its disks.
#[derive(Debug, Clone)]
pub struct Package {
    name: String,
    members: Vec<(String, Vec<u8>)>,
    manifest: Option<Algorithm>,
    manifest_last: bool,
    listed: Option<Vec<String>>,
}

impl Package {
    /// A package of a descriptor.
    #[must_use]
    pub fn new(name: &str, descriptor: &Descriptor) -> Self {
        Self::of_text(name, &descriptor.xml())
    }

    /// A package of a descriptor that a test wrote itself.
    #[must_use]
    pub fn of_text(name: &str, xml: &str) -> Self {
        let members = vec![(format!("{name}.ovf"), xml.as_bytes().to_vec())];
        Self { name: name.to_owned(), members, manifest: None, manifest_last: false, listed: None }
    }

    /// A package of a Debian machine with one disk of this capacity, `NAME-disk1.vmdk`, on LSI Logic
    /// beside an AHCI controller with a CD drive, and one VmxNet3 card on `VM Network`.
    #[must_use]
    pub fn small(name: &str, capacity_bytes: u64) -> Self {
        let file = format!("{name}-disk1.vmdk");
        let descriptor = Descriptor::new(name, "debian10_64Guest")
            .controller("3", "6", "lsilogic", "0")
            .controller("4", "20", "vmware.sata.ahci", "0")
            .disk(&file, capacity_bytes, "3", "0")
            .cdrom("4", "0")
            .nic("VmxNet3", "VM Network");
        let disk = stream_optimized(&content(capacity_bytes), &file);
        Self::new(name, &descriptor).member(&file, disk).manifest(Algorithm::Sha256)
    }

    /// Adds a file.
    #[must_use]
    pub fn member(mut self, name: &str, bytes: Vec<u8>) -> Self {
        self.members.push((name.to_owned(), bytes));
        self
    }

    /// Writes a manifest behind the descriptor.
    #[must_use]
    pub const fn manifest(mut self, algorithm: Algorithm) -> Self {
        self.manifest = Some(algorithm);
        self
    }

    /// Writes the manifest behind everything else.
    #[must_use]
    pub const fn manifest_last(mut self) -> Self {
        self.manifest_last = true;
        self
    }

    /// Lists these files in the manifest, whether they are there or not, and no others.
    #[must_use]
    pub fn manifest_of(mut self, names: &[&str]) -> Self {
        self.listed = Some(names.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    /// Signs the manifest, in a file beside it; `chain` are further certificates.
    #[must_use]
    pub fn signed_by(&self, signer: &Signer, label: &str, chain: &[&Signer]) -> Self {
        let mut members = self.all();
        let manifest = format!("{}.mf", self.name);
        let at = members.iter().position(|(name, _)| *name == manifest).expect("a manifest");
        let certificate = signer.sign(label, &manifest, &members[at].1, chain);
        members.insert(at + 1, (format!("{}.cert", self.name), certificate.into_bytes()));
        Self { members, manifest: None, ..self.clone() }
    }

    /// The bytes of a file.
    #[must_use]
    pub fn bytes(&self, name: &str) -> &[u8] {
        let found = self.members.iter().find(|(there, _)| there == name);
        &found.expect("a member of that name").1
    }

    /// The same package without one of its files; the manifest goes on listing it.
    #[must_use]
    pub fn ova_without(&self, name: &str) -> Vec<u8> {
        let members = self.all().into_iter().filter(|(there, _)| there != name);
        tar(&members.collect::<Vec<_>>())
    }

    /// The package as an archive.
    #[must_use]
    pub fn ova(&self) -> Vec<u8> {
        tar(&self.all())
    }

    /// The package as an archive whose disk was changed after the manifest was made.
    #[must_use]
    pub fn ova_with_another(&self, name: &str, bytes: &[u8]) -> Vec<u8> {
        let mut members = self.all();
        for member in members.iter_mut().filter(|(there, _)| there == name) {
            member.1 = bytes.to_vec();
        }
        tar(&members)
    }

    /// The package as a ZIP archive.
    #[must_use]
    pub fn zip(&self, method: ZipMethod) -> Vec<u8> {
        let members = self.all();
        let members: Vec<(&str, &[u8])> =
            members.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        zip(&members, method)
    }

    /// The package as files in a folder.
    pub fn write_to(&self, folder: &Path) {
        for (name, bytes) in self.all() {
            let path = folder.join(name);
            let parent = path.parent().expect("the folder is above it");
            fs::create_dir_all(parent).expect("the test's own folder takes folders");
            fs::write(path, bytes).expect("the test's own folder takes writes");
        }
    }

    /// Every member in its place, the manifest included.
    fn all(&self) -> Vec<(String, Vec<u8>)> {
        let mut members = self.members.clone();
        if let Some(algorithm) = self.manifest {
            let there = members.iter().map(|(name, _)| name.clone()).collect();
            let listed: Vec<String> = self.listed.clone().unwrap_or(there);
            let bytes_of = |name: &str| members.iter().find(|(there, _)| there == name);
            let digest_of = |name: &String| {
                digest(bytes_of(name).map_or(b"", |(_, bytes)| bytes.as_slice()), algorithm)
            };
            let entries: Vec<(EntryName, Digest)> =
                listed.iter().map(|name| (entry(name), digest_of(name))).collect();
            let text = (format!("{}.mf", self.name), manifest::write(&entries).into_bytes());
            let at = if self.manifest_last { members.len() } else { 1 };
            members.insert(at, text);
        }
        members
    }
}

fn entry(name: &str) -> EntryName {
    EntryName::parse(name).expect("a sound name")
}

fn digest(bytes: &[u8], algorithm: Algorithm) -> Digest {
    let mut hash = Hasher::new(algorithm);
    hash.update(bytes);
    hash.finish()
}

fn tar(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), 0);
    for (name, bytes) in members {
        writer.begin(&entry(name), bytes.len() as u64).expect("memory takes every write");
        writer.write_all(bytes).expect("memory takes every write");
    }
    writer.finish().expect("memory takes every write")
}
