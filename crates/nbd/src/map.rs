//! The map of a disk: which bytes read as zeros, and which changed.

use std::{collections::VecDeque, ops::Range};

use crate::{
    Client, Error, Kind, Result, client::MAX_STATUS_BYTES, error::quoted, reply::Descriptor,
};

/// The context that tells what is allocated and what reads as zeros.
pub const ALLOCATION: &str = "base:allocation";

/// What the context of a dirty bitmap begins with; the bitmap's name is behind it.
pub const DIRTY_BITMAP_PREFIX: &str = "qemu:dirty-bitmap:";

/// The flag of [`ALLOCATION`] for what reads as zeros ("`base:` metadata context").
///
/// The other one, for what is not allocated, is no promise of zeros and not looked at.
const READS_AS_ZEROS: u32 = 2;

/// The flag of a dirty bitmap for what changed (QEMU, `docs/interop/nbd.txt`).
const IS_DIRTY: u32 = 1;

/// A run of the disk whose bytes have one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The byte of the disk that it begins with.
    pub start_bytes: u64,
    /// How many bytes it has; never 0.
    pub len_bytes: u64,
    /// What the contexts say of it.
    pub state: State,
}

impl Run {
    /// The byte of the disk behind the last one.
    #[must_use]
    pub fn end_bytes(&self) -> u64 {
        self.start_bytes.saturating_add(self.len_bytes)
    }

    /// Appends `next` when it continues this run.
    pub(crate) fn join(&mut self, next: &Self) -> bool {
        let joins = self.state == next.state && self.end_bytes() == next.start_bytes;
        if joins {
            self.len_bytes = self.len_bytes.saturating_add(next.len_bytes);
        }
        joins
    }
}

/// What the contexts that were asked say of a byte, taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// No bitmap that was asked calls it dirty.
    Clean,
    /// It reads as zeros.
    Zero,
    /// It has to be read.
    Data,
}

/// What a context is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    IsZero,
    IsDirty,
}

impl Client {
    /// Asks for the map of a range, a window at a time, as far as the iterator is taken.
    ///
    /// With [`ALLOCATION`] alone a run is [`Zero`](State::Zero) or [`Data`](State::Data); with a bitmap
    /// alone [`Clean`](State::Clean) or `Data`; with both, what is dirty is `Zero` or `Data`. Runs come
    /// in the order of the disk, without gaps, and two in a row have two states. After an error
    /// nothing follows.
    ///
    /// # Errors
    ///
    /// When one of the contexts was not asked for in [`Options`](crate::Options) or is unknown here,
    /// and when the range is not inside the disk or not aligned to the server's blocks.
    pub fn map(&self, contexts: &[&str], range: Range<u64>) -> Result<Runs<'_>> {
        let asked: Result<Vec<_>> = contexts.iter().map(|name| self.question(name)).collect();
        let asked = asked.map_err(|error| error.of_export(self.export()))?;
        let block = u64::from(self.min_block_bytes());
        if range.end > self.size_bytes() || !(range.start | range.end).is_multiple_of(block) {
            let (Range { start, end }, size) = (range, self.size_bytes());
            let message =
                format!("a map of {start}..{end}, the disk has {size} bytes in blocks of {block}");
            return Err(Error::new(Kind::Io, message).of_export(self.export()));
        }
        let lists = asked.iter().map(|_| VecDeque::new()).collect();
        Ok(Runs { client: self, asked, lists, at: range.start, end: range.end, held: None })
    }

    fn question(&self, name: &str) -> Result<(usize, Question)> {
        let place = self.contexts().iter().position(|context| context.name == name);
        let question = match name {
            ALLOCATION => Some(Question::IsZero),
            name => name.starts_with(DIRTY_BITMAP_PREFIX).then_some(Question::IsDirty),
        };
        place.zip(question).ok_or_else(|| {
            let message = format!("the context {} was not agreed on", quoted(name));
            Error::new(Kind::NoContext, message)
        })
    }
}

/// The map of a range, from [`Client::map`].
#[derive(Debug)]
pub struct Runs<'c> {
    client: &'c Client,
    /// The places of the contexts among those that were agreed on.
    asked: Vec<(usize, Question)>,
    /// For each of them what is left of the last reply from `at` on.
    lists: Vec<VecDeque<Descriptor>>,
    at: u64,
    end: u64,
    /// A run that may go on.
    held: Option<Run>,
}

impl Runs<'_> {
    /// The next bytes for which each context has one descriptor.
    fn step(&mut self) -> Result<Run> {
        if self.lists.iter().any(VecDeque::is_empty) {
            self.ask()?;
        }
        let rest = self.end.saturating_sub(self.at);
        let fronts = self.lists.iter().filter_map(VecDeque::front);
        let shortest = fronts.map(|front| u64::from(front.len_bytes)).min();
        let len_bytes = shortest.unwrap_or(rest).min(rest);
        let run = Run { start_bytes: self.at, len_bytes, state: self.state() };
        for list in &mut self.lists {
            let Some(front) = list.front_mut() else { continue };
            let used = u32::try_from(len_bytes).unwrap_or(u32::MAX);
            front.len_bytes = front.len_bytes.saturating_sub(used);
            if front.len_bytes == 0 {
                list.pop_front();
            }
        }
        self.at = run.end_bytes();
        Ok(run)
    }

    /// What the first descriptors of all contexts say together.
    fn state(&self) -> State {
        let (mut is_zero, mut has_bitmap, mut is_dirty) = (false, false, false);
        for ((_, question), list) in self.asked.iter().zip(&self.lists) {
            let flags = list.front().map_or(0, |front| front.flags);
            match question {
                Question::IsZero => is_zero |= flags & READS_AS_ZEROS != 0,
                Question::IsDirty => {
                    has_bitmap = true;
                    is_dirty |= flags & IS_DIRTY != 0;
                }
            }
        }
        match (has_bitmap && !is_dirty, is_zero) {
            (true, _) => State::Clean,
            (false, true) => State::Zero,
            (false, false) => State::Data,
        }
    }

    /// Asks for the next window; a server may tell less of it, for each context another length.
    fn ask(&mut self) -> Result<()> {
        let len_bytes = self.end.saturating_sub(self.at).min(MAX_STATUS_BYTES);
        let len_bytes = u32::try_from(len_bytes).unwrap_or(u32::MAX);
        let told = self.client.status(self.at, len_bytes)?;
        for ((place, _), list) in self.asked.iter().zip(&mut self.lists) {
            let descriptors = told.get(*place).map(Vec::as_slice).unwrap_or_default();
            let rest = self.client.size_bytes().saturating_sub(self.at);
            judge(descriptors, Window { len_bytes, rest, block: self.client.min_block_bytes() })
                .map_err(|error| error.at(self.at))?;
            list.clear();
            list.extend(descriptors);
        }
        Ok(())
    }
}

/// What descriptors have to fit into.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// What was asked for.
    len_bytes: u32,
    /// What is left of the disk.
    rest: u64,
    /// What each length is a multiple of.
    block: u32,
}

/// Refuses descriptors that make no progress, begin behind what was asked for, or end behind the disk.
///
/// Only the last one may go on behind what was asked for ("`NBD_REPLY_TYPE_BLOCK_STATUS`").
fn judge(descriptors: &[Descriptor], window: Window) -> Result<()> {
    let mut at = 0_u64;
    for Descriptor { len_bytes, .. } in descriptors {
        if *len_bytes == 0 || !len_bytes.is_multiple_of(window.block) {
            let block = window.block;
            return Err(Error::malformed(format!(
                "a descriptor of {len_bytes} bytes is no multiple of {block}"
            )));
        }
        let end = at.saturating_add(u64::from(*len_bytes));
        if at >= u64::from(window.len_bytes) || end > window.rest {
            let Window { len_bytes: asked, rest, .. } = window;
            return Err(Error::malformed(format!(
                "descriptors up to byte {end}, {asked} bytes were asked for and {rest} are left"
            )));
        }
        at = end;
    }
    if at == 0 {
        return Err(Error::malformed("a map without descriptors"));
    }
    Ok(())
}

impl Iterator for Runs<'_> {
    type Item = Result<Run>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.end {
            match self.step() {
                Ok(run) => {
                    if !self.held.as_mut().is_some_and(|held| held.join(&run))
                        && let Some(whole) = self.held.replace(run)
                    {
                        return Some(Ok(whole));
                    }
                }
                Err(error) => {
                    self.at = self.end;
                    self.held = None;
                    return Some(Err(error.of_export(self.client.export())));
                }
            }
        }
        self.held.take().map(Ok)
    }
}
