//! A folder with the files of a disk, opened through its gate.

use std::{fs, sync::Arc};

use disk::{Declared, FileBytes, Folder, Format, Image, Result, Unheard, check};

use crate::sample::read_all;

/// A folder of files.
pub(crate) struct Files(tempfile::TempDir);

impl Files {
    pub(crate) fn new(files: &[(&str, &[u8])]) -> Self {
        let files_in = Self(tempfile::tempdir().unwrap());
        for (name, bytes) in files {
            files_in.put(name, bytes);
        }
        files_in
    }

    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.0.path().join(name), bytes).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Opens a VMDK and the files that it names beside it.
    pub(crate) fn open(&self, name: &str) -> Result<Box<dyn Image>> {
        let path = self.0.path().join(name);
        let gate = Folder::of(&path, &[]).unwrap();
        let bytes = FileBytes::new(fs::File::open(&path).unwrap()).unwrap();
        disk::open_behind(&gate, Arc::new(bytes), Declared::Stated(Format::Vmdk))
    }

    /// The guest bytes, which a check finds no fault with and `read_at` reads alike.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        let image = self.open(name).unwrap();
        let disk = read_all(&*image).unwrap();
        let mut again = vec![0xee; disk.len()];
        for (at, part) in (0..).step_by(70_001).zip(again.chunks_mut(70_001)) {
            image.read_at(part, at).unwrap();
        }
        assert!(disk == again, "read_at gives other bytes than the extents");
        assert_eq!(check(&*image, &Unheard).unwrap().faults, []);
        disk
    }

    /// The message of the first error on the way to the guest bytes.
    pub(crate) fn refusal(&self, name: &str) -> String {
        self.open(name).and_then(|image| read_all(&*image)).unwrap_err().to_string()
    }

    pub(crate) fn warnings(&self, name: &str) -> Vec<String> {
        self.open(name).unwrap().warnings().iter().map(ToString::to_string).collect()
    }
}
