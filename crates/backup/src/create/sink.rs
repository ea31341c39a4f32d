//! Where the images of a point go.

use std::path::Path;

use bundle::{Mode, Node, Point, Snapshot, Template};
use disk::{Image, Progress, ReadAt};
use ovf::EntryName;

use super::{Note, base::Reading, template::Footing};
use crate::Result;

/// An image that is to be written.
#[derive(Debug, Clone, Copy)]
pub struct Begun<'a> {
    /// The disk: `vda`.
    pub target: &'a str,
    /// The size of the guest's disk, in bytes.
    pub capacity_bytes: u64,
    /// All of it, or what stands on its image in the point before.
    pub mode: Mode,
    /// The member that all of it stands on: an image that a snapshot keeps.
    pub kept: Option<&'a str>,
    /// The disk of a template that all of it stands on, and which is not in the bundle.
    pub stands_on: Option<&'a Footing>,
}

impl<'a> Begun<'a> {
    /// The image of a disk that is read so.
    pub(super) fn of(reading: &'a Reading) -> Self {
        Self {
            target: &reading.disk.target,
            capacity_bytes: reading.capacity_bytes,
            mode: reading.mode,
            kept: None,
            stands_on: reading.stands_on.as_ref().filter(|_| reading.mode == Mode::Full),
        }
    }

    /// What people are told of it.
    pub(super) fn note(&self) -> Option<Note> {
        self.stands_on.map(|footing| footing.note(self.target))
    }
}

/// An image that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The member that it became.
    pub member: String,
    /// The bytes of the guest that are in it; the rest is zeros, or in the image below.
    pub data_bytes: u64,
}

/// A bundle that gets a point: a new one, or one that is there.
///
/// Dropped before it is published, it leaves nothing of a new bundle, and a bundle that was there as it was.
pub trait Sink: Send {
    /// The points that the bundle has, in their order.
    fn points(&self) -> &[Point];

    /// The snapshots that it tells of.
    fn snapshots(&self) -> &[Snapshot];

    /// The last point.
    fn last(&self) -> Option<&Point> {
        self.points().last()
    }

    /// The template whose disks images of the bundle stand on, those with it that were written last.
    fn template(&self) -> Option<&Template>;

    /// Says that the machine is a template, and restores as one.
    ///
    /// # Errors
    /// The bundle takes no more.
    fn mark_template(&mut self) -> Result<()>;

    /// Writes the definition of the machine, and gives the name of its member. It comes first.
    ///
    /// # Errors
    /// The bundle takes no more.
    fn definition(&mut self, xml: &str, progress: &dyn Progress) -> Result<String>;

    /// Copies an image into a member.
    ///
    /// # Errors
    /// It cannot be read or written, or somebody said stop.
    fn image(
        &mut self,
        begun: &Begun<'_>,
        image: &dyn Image,
        workers: usize,
        progress: &dyn Progress,
    ) -> Result<Written>;

    /// Copies an image that a snapshot keeps into the member that the node names, above the one that it
    /// stands on.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    fn layer(
        &mut self,
        node: &Node,
        image: &dyn Image,
        workers: usize,
        progress: &dyn Progress,
    ) -> Result<Written>;

    /// Writes a member of this name: the definition or the memory of a snapshot.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    fn member(
        &mut self,
        name: &EntryName,
        bytes: &dyn ReadAt,
        progress: &dyn Progress,
    ) -> Result<()>;

    /// Tells of the snapshots that the members are of, each before its children.
    ///
    /// # Errors
    /// The bundle takes no more.
    fn tell_of(&mut self, snapshots: Vec<Snapshot>) -> Result<()>;

    /// Copies a file as it is, unless the bundle has one of that name and length already.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    fn medium(&mut self, file: &Path, progress: &dyn Progress) -> Result<()>;

    /// Writes the manifest with the new point, makes all durable, and gives the length of the bundle in
    /// bytes.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    fn publish(&mut self, point: &Point) -> Result<u64>;

    /// Gives back the room of what was written: it will not be published.
    fn give_up(&mut self);
}
