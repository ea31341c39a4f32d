//! A point that goes into a bundle, new or not.

use std::{fmt, fs::File, path::Path, sync::Arc};

use bundle::{
    Bundle, Manifest, Mode, Node, Options, Point, Session, Snapshot, Template, TemplateDisk,
};
use code::Code;
use convert::copy::{Settings, copy_image};
use disk::{FileBytes, Image, Progress, ReadAt, WriteAt};
use ovf::EntryName;

use super::{
    sink::{Begun, Sink, Written},
    template::Footing,
};
use crate::{Error, Result};

/// A bundle that gets a point.
pub struct Bundled<'m> {
    /// Gone once it is published.
    session: Option<Session<'m>>,
    /// The file that the bundle is written to.
    file: Arc<dyn WriteAt>,
    /// The name of the machine.
    name: String,
    points: Vec<Point>,
    snapshots: Vec<Snapshot>,
    /// The members that are there, with their lengths.
    members: Vec<(String, u64)>,
    is_incrementable: bool,
    /// The template that the manifest tells of.
    template: Option<Template>,
}

impl fmt::Debug for Bundled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundled").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<'m> Bundled<'m> {
    /// Begins a bundle in an empty file; `manifest` says what is known of it.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn create(file: &'m File, options: Options, manifest: Manifest) -> Result<Self> {
        let (name, is_incrementable) = (manifest.vm.name.clone(), manifest.incrementable);
        let shared = share(file)?;
        let session = Session::create(file, options, manifest);
        let (points, snapshots, members) = (Vec::new(), Vec::new(), Vec::new());
        let (session, file, template) = (Some(session), shared, None);
        Ok(Self { session, file, name, points, snapshots, members, is_incrementable, template })
    }

    /// Goes on with a bundle that was read from `file`, which is locked.
    ///
    /// # Errors
    /// `E0606` when nothing can be added to it, `E0605` when it is damaged.
    pub fn extend(
        bundle: &Bundle,
        file: &'m File,
        options: Options,
        is_incrementable: bool,
    ) -> Result<Self> {
        let mut session = Session::extend(bundle, file, options)?;
        let manifest = session.manifest()?;
        let (name, points) = (manifest.vm.name.clone(), manifest.points.clone());
        let (snapshots, template) = (manifest.snapshots.clone(), manifest.template.clone());
        let members = bundle.members().map(|it| (it.name.to_string(), it.length_bytes)).collect();
        let (session, file) = (Some(session), share(file)?);
        Ok(Self { session, file, name, points, snapshots, members, is_incrementable, template })
    }

    fn session(&mut self) -> Result<&mut Session<'m>> {
        self.session.as_mut().ok_or_else(published)
    }

    /// Tells of the disk of a template that a member stands on.
    fn stand_on(&mut self, footing: &Footing, member: &str) -> Result<()> {
        let template = self.template.get_or_insert_with(|| Template {
            name: footing.template.clone(),
            uuid: Some(footing.uuid.to_string()),
            disks: Vec::new(),
        });
        template.disks.push(TemplateDisk {
            member: member.to_owned(),
            backing: backing(footing),
            path: backing(footing),
            state: footing.state.clone(),
        });
        let template = Some(template.clone());
        self.session()?.manifest()?.template = template;
        Ok(())
    }

    /// Copies an image, and says how many bytes of the guest are in it.
    fn copy(
        &mut self,
        node: Node,
        image: &dyn Image,
        workers: usize,
        progress: &dyn Progress,
    ) -> Result<u64> {
        let file = Arc::clone(&self.file);
        let session = self.session()?;
        let mut target = session.image(node, file)?;
        let summary = copy_image(image, &mut target, Settings { workers }, progress)?;
        session.end(summary.file_bytes, progress)?;
        Ok(summary.data_bytes)
    }

    /// The image of a disk in the last point.
    fn below(&self, target: &str) -> Option<String> {
        Some(self.points.last()?.disk(target)?.member.clone())
    }
}

/// What the header of an image calls the disk of a template: its path, which no member can have as its name.
fn backing(footing: &Footing) -> String {
    footing.path.to_string_lossy().into_owned()
}

fn share(file: &File) -> Result<Arc<dyn WriteAt>> {
    let wrap = |error| Error::coded(Code::E0508, "cannot open the bundle again", error);
    Ok(Arc::new(file.try_clone().map_err(|error: std::io::Error| wrap(error))?))
}

fn published() -> Error {
    Error::usage("the bundle is published already")
}

impl Sink for Bundled<'_> {
    fn points(&self) -> &[Point] {
        &self.points
    }

    fn snapshots(&self) -> &[Snapshot] {
        &self.snapshots
    }

    fn template(&self) -> Option<&Template> {
        self.template.as_ref()
    }

    fn mark_template(&mut self) -> Result<()> {
        self.session()?.manifest()?.is_template = true;
        Ok(())
    }

    fn definition(&mut self, xml: &str, progress: &dyn Progress) -> Result<String> {
        let text = format!("{}-{}.xml", self.session()?.unix_seconds(), self.name);
        let name = bundle::member_name(&text)?;
        self.session()?.add(&name, &xml.as_bytes().to_vec(), progress)?;
        Ok(name.to_string())
    }

    fn image(
        &mut self,
        begun: &Begun<'_>,
        image: &dyn Image,
        workers: usize,
        progress: &dyn Progress,
    ) -> Result<Written> {
        let (ending, backing) = match (begun.mode, begun.kept) {
            (Mode::Full, None) => ("qcow2", begun.stands_on.map(backing)),
            (Mode::Full, Some(kept)) => ("snapshot", Some(kept.to_owned())),
            (Mode::Incremental, _) => ("snapshot", self.below(begun.target)),
        };
        let seconds = self.session()?.unix_seconds();
        let text = format!("{}-{}-{seconds}.{ending}", self.name, begun.target);
        let member = bundle::member_name(&text)?.to_string();
        if let Some(footing) = begun.stands_on {
            self.stand_on(footing, &member)?;
        }
        let node = Node { member: member.clone(), capacity_bytes: begun.capacity_bytes, backing };
        let data_bytes = self.copy(node, image, workers, progress)?;
        Ok(Written { member, data_bytes })
    }

    fn layer(
        &mut self,
        node: &Node,
        image: &dyn Image,
        workers: usize,
        progress: &dyn Progress,
    ) -> Result<Written> {
        let data_bytes = self.copy(node.clone(), image, workers, progress)?;
        Ok(Written { member: node.member.clone(), data_bytes })
    }

    fn member(
        &mut self,
        name: &EntryName,
        bytes: &dyn ReadAt,
        progress: &dyn Progress,
    ) -> Result<()> {
        Ok(self.session()?.add(name, bytes, progress)?)
    }

    fn tell_of(&mut self, snapshots: Vec<Snapshot>) -> Result<()> {
        self.session()?.manifest()?.snapshots.clone_from(&snapshots);
        self.snapshots = snapshots;
        Ok(())
    }

    fn medium(&mut self, file: &Path, progress: &dyn Progress) -> Result<()> {
        let wrap = |error| Error::io("cannot read", file, error);
        let bytes = FileBytes::new(File::open(file).map_err(wrap)?).map_err(wrap)?;
        let base = file.file_name().unwrap_or_default().to_string_lossy();
        let is_named = base.to_ascii_lowercase().ends_with(".iso");
        let name = if is_named { base.into_owned() } else { format!("{base}.iso") };
        let name = bundle::member_name(&name)?;
        let there = self.members.iter().find(|(member, _)| *member == name.as_str());
        match there {
            Some((_, length)) if *length == bytes.len_bytes() => Ok(()),
            _ => Ok(self.session()?.add(&name, &bytes, progress)?),
        }
    }

    fn give_up(&mut self) {
        self.session = None;
    }

    fn publish(&mut self, point: &Point) -> Result<u64> {
        let is_incrementable = self.is_incrementable && point.checkpoint.is_some();
        let mut session = self.session.take().ok_or_else(published)?;
        session.manifest()?.incrementable = is_incrementable;
        session.point(point.clone())?;
        Ok(session.publish()?)
    }
}

#[cfg(test)]
mod tests {
    use bundle::{Form, Vm};
    use disk::Unheard;

    use super::*;

    #[test]
    fn what_is_given_up_takes_no_room() {
        let file = tempfile::tempfile().unwrap();
        let options = Options { form: Form::Tar, level: 3, unix_seconds: 1 };
        let vm = Vm { name: "web".to_owned(), uuid: None };
        let manifest = Manifest { vm, ..Manifest::default() };
        let mut bundled = Bundled::create(&file, options, manifest).unwrap();
        bundled.definition("<domain/>", &Unheard).unwrap();
        assert!(file.metadata().unwrap().len() > 0);
        bundled.give_up();
        assert_eq!(file.metadata().unwrap().len(), 0);
        assert!(bundled.definition("<domain/>", &Unheard).is_err(), "nothing goes in any more");
    }
}
