//! The images of a backup: each becomes a file of its own, standing on what it stood on.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bundle::Node;
use convert::{Row, copy::TargetOptions};
use disk::{Declared, Format};
use domain::Drive;
use ovf::EntryName;
use vm::{ByteSize, DiskFormat, DiskId};

use super::{
    Draft, Inputs,
    drives::{Moved as _, path_of},
    place::Places,
};
use crate::{
    PackedImage,
    plan::{FilePlan, FileRole, NodeFile},
};

/// Where the images of a backup go, by their members.
pub(super) struct Images<'a> {
    inputs: &'a Inputs<'a>,
    placed: BTreeMap<String, PathBuf>,
    disks: u16,
}

impl<'a> Images<'a> {
    pub(super) const fn new(inputs: &'a Inputs<'a>) -> Self {
        Self { inputs, placed: BTreeMap::new(), disks: 0 }
    }

    /// Where an image goes.
    pub(super) fn path(&self, member: &str) -> Option<&Path> {
        self.placed.get(member).map(PathBuf::as_path)
    }

    /// Plans the image of a drive and those that it stands on, the lowest first.
    pub(super) fn restore(
        &mut self,
        node: &Node,
        drive: &Drive,
        row: Row,
        (places, draft): (&mut Places<'_>, &mut Draft),
    ) -> Row {
        places.when_full(node.capacity_bytes);
        let chain = self.chain(node);
        let above = std::iter::once(&drive.source).chain(drive.chain.iter().map(|it| &it.source));
        let mut originals: Vec<Option<&Path>> = above.map(path_of).collect();
        originals.resize(chain.len(), None);
        let mut notes = Vec::new();
        for (node, original) in chain.iter().zip(&originals).rev() {
            notes.extend(self.image(node, *original, places, draft));
        }
        let disk = DiskId(self.disks);
        self.disks = self.disks.saturating_add(1);
        let Some(path) = self.path(&node.member).map(Path::to_owned) else { return row };
        draft.changes.images.insert(drive.target.clone(), path.clone());
        let format = self.inputs.format();
        draft.changes.formats.insert(drive.target.clone(), format);
        if let Some(file) = draft.files.iter_mut().find(|file| file.to == path)
            && let FileRole::Disk { disk: number, .. } = &mut file.role
        {
            *number = disk;
        }
        let to = path.display().to_string();
        let row = notes.into_iter().fold(Row { to, ..row }.changed_if(&drive.source), Row::note);
        match chain.len() {
            1 => row.because(format!("{}, restored", ByteSize(node.capacity_bytes))),
            more => {
                let size = ByteSize(node.capacity_bytes);
                row.because(format!("{size}, restored with {} images that it stands on", more - 1))
            }
        }
    }

    /// Plans what no drive of the current machine uses: the images of its snapshots.
    pub(super) fn rest(&mut self, places: &mut Places<'_>, draft: &mut Draft) {
        let Some(backup) = &self.inputs.native.backup else { return };
        if !self.inputs.keeps_chains() {
            return;
        }
        for node in &backup.nodes {
            if self.placed.contains_key(&node.member) || self.is_of_ignored(node) {
                continue;
            }
            let notes = self.image(node, None, places, draft);
            let to = self.path(&node.member).map(|path| path.display().to_string());
            let item = format!("image.{}", node.member);
            let row = Row::kept(&item, "image", &node.member, to.unwrap_or_default())
                .because("no disk uses it now: a snapshot does");
            draft.rows.push(notes.into_iter().fold(row, Row::note));
        }
    }

    /// Whether an image belongs to a disk that was left out.
    fn is_of_ignored(&self, node: &Node) -> bool {
        let bottom = |node: &Node| self.chain(node).last().map(|node| node.member.clone());
        let drives = self.inputs.definition.drives.iter().enumerate();
        let mut ignored = drives
            .filter(|(number, drive)| self.inputs.is_ignored(&format!("disk{number}"), drive));
        let backup = self.inputs.native.backup.as_ref();
        ignored.any(|(_, drive)| {
            let top = backup.and_then(|backup| backup.image_of(drive));
            top.is_some_and(|top| bottom(top) == bottom(node))
        })
    }

    fn image(
        &mut self,
        node: &Node,
        original: Option<&Path>,
        places: &mut Places<'_>,
        draft: &mut Draft,
    ) -> Option<convert::Note> {
        if self.placed.contains_key(&node.member) {
            return None;
        }
        let Ok(name) = EntryName::parse(&node.member) else { return None };
        let length = self.inputs.facts.member(&name).map_or(0, |member| member.length_bytes);
        let placed = places.place(original, &self.name(node), length);
        self.placed.insert(node.member.clone(), placed.path.clone());
        let image = Some(PackedImage::plain(name, Declared::Stated(Format::Qcow2)));
        let role = if self.inputs.keeps_chains() {
            let backing = node.backing.as_ref().and_then(|below| self.placed.get(below));
            let backing = backing.map(|below| shortest(below, &placed.path));
            FileRole::Node(NodeFile { capacity_bytes: node.capacity_bytes, backing })
        } else {
            let stated_bytes = Some(node.capacity_bytes);
            FileRole::Disk { disk: DiskId(0), stated_bytes, output: self.inputs.choices.output }
        };
        draft.files.push(FilePlan { image, href: None, to: placed.path, role });
        placed.note
    }

    /// The image and those below it; only itself where chains are made one image.
    fn chain(&self, node: &Node) -> Vec<Node> {
        let mut chain = vec![node.clone()];
        let Some(backup) = self.inputs.native.backup.as_ref() else { return chain };
        while self.inputs.keeps_chains()
            && let Some(below) = chain.last().and_then(|top| backup.node(top.backing.as_ref()?))
        {
            chain.push(below.clone());
        }
        chain
    }

    /// What a file is called: as the member, with the ending of its new format.
    fn name(&self, node: &Node) -> String {
        if self.inputs.keeps_chains() {
            return node.member.clone();
        }
        let stem = node.member.rsplit_once('.').map_or(node.member.as_str(), |(stem, _)| stem);
        format!("{stem}.{}", self.inputs.format().as_str())
    }
}

impl Inputs<'_> {
    /// Whether images stay as they are, one a file; else each disk becomes one image.
    pub(super) fn keeps_chains(&self) -> bool {
        self.choices.output == TargetOptions::default()
    }

    fn format(&self) -> DiskFormat {
        self.choices.output.format()
    }

    /// Whether the user leaves a disk out, by its item or its name.
    pub(super) fn is_ignored(&self, item: &str, drive: &Drive) -> bool {
        let names = [item.to_owned(), format!("disk:{}", drive.target)];
        self.choices.hardware.ignore.iter().any(|text| names.contains(text))
    }
}

/// A name that leads from one file to another: the bare name where they lie side by side, so that they
/// can be moved together.
fn shortest(below: &Path, above: &Path) -> String {
    let beside = below.file_name().filter(|_| below.parent() == above.parent());
    beside.map_or_else(|| below.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// The capacity of the disk that a file holds.
pub(super) fn capacity(files: &[FilePlan], path: &Path) -> Option<u64> {
    match &files.iter().find(|file| file.to == path)?.role {
        FileRole::Node(node) => Some(node.capacity_bytes),
        FileRole::Disk { stated_bytes, .. } => *stated_bytes,
        FileRole::Made(_) | FileRole::Medium | FileRole::Kept => None,
    }
}
