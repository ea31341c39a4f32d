//! An export as a disk image: all of it, or what a bitmap calls dirty.

use std::{
    fmt, io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use disk::{Extent, ExtentKind, Extents, Format, Image, Info, ReadAt, Workbench};

use crate::{
    ALLOCATION, Client, DIRTY_BITMAP_PREFIX, Result, Run, Runs, State, clusters::Clusters,
};

/// How far [`Image::extent_at`] looks for the end of an extent.
const LOOK_AHEAD_BYTES: u64 = 64 << 20;

/// How many bytes a copy should ask for at once (ours): so many requests are on their way that the server
/// is not idle while some of them are hashed and written.
const READ_BYTES: u64 = 2 << 20;

/// The disk of a machine as its host exports it.
///
/// Extents are whole clusters of 64 KiB, as a qcow2 writer stores them: one is a hole or zeros only if
/// all of it is.
pub struct NbdImage {
    /// It tells the map.
    client: Arc<Client>,
    bytes: Arc<ExportBytes>,
    shared: Arc<dyn ReadAt>,
    contexts: Vec<String>,
    info: Info,
}

/// How much an incremental read is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dirty {
    /// Bytes that the bitmap calls dirty.
    pub marked_bytes: u64,
    /// Bytes of the clusters around them.
    pub widened_bytes: u64,
    /// How many of those have to be read; the rest are zeros.
    pub data_bytes: u64,
}

impl NbdImage {
    /// The whole disk; what reads as zeros is not read, if the client asked for [`ALLOCATION`].
    #[must_use]
    pub fn full(client: Arc<Client>) -> Self {
        Self::with_contexts(client, Vec::new())
    }

    /// What changed since a checkpoint, by its bitmap: what is not dirty is a hole, what is dirty and
    /// reads as zeros is zeros.
    ///
    /// Zeros are only told from data if the client asked for [`ALLOCATION`], too.
    ///
    /// # Errors
    ///
    /// When the client did not ask for the bitmap.
    pub fn incremental(client: Arc<Client>, bitmap: &str) -> Result<Self> {
        let context = format!("{DIRTY_BITMAP_PREFIX}{bitmap}");
        client.map(&[&context], 0..0)?;
        Ok(Self::with_contexts(client, vec![context]))
    }

    fn with_contexts(client: Arc<Client>, mut contexts: Vec<String>) -> Self {
        let allocation = client.contexts().iter().find(|context| context.name == ALLOCATION);
        contexts.extend(allocation.map(|context| context.name.clone()));
        let capacity_bytes = client.size_bytes();
        let info = Info {
            format: Format::Raw,
            variant: "nbd".to_owned(),
            capacity_bytes,
            file_bytes: capacity_bytes,
            unit_bytes: None,
            references: Vec::new(),
            warnings: Vec::new(),
        };
        let bytes = Arc::new(ExportBytes::over(Arc::clone(&client), Vec::new()));
        Self { client, shared: Arc::clone(&bytes) as _, bytes, contexts, info }
    }

    /// Reads through these connections to the same export, too: a server works on those of one after the
    /// other. They are of use only if the server [has many](Client::has_many).
    #[must_use]
    pub fn with_others(self, others: impl IntoIterator<Item = Arc<Client>>) -> Self {
        let others = others.into_iter().collect();
        let bytes = Arc::new(ExportBytes::over(Arc::clone(&self.client), others));
        Self { shared: Arc::clone(&bytes) as _, bytes, ..self }
    }

    /// Counts what an incremental read is about; of a full one, everything is dirty.
    ///
    /// # Errors
    ///
    /// When the server does not tell its map.
    pub fn dirty(&self) -> Result<Dirty> {
        let mut dirty = Dirty::default();
        let runs = self.runs(0..self.client.size_bytes())?.inspect(|run| {
            if let Ok(run) = run
                && run.state != State::Clean
            {
                dirty.marked_bytes = dirty.marked_bytes.saturating_add(run.len_bytes);
            }
        });
        let (mut widened_bytes, mut data_bytes) = (0_u64, 0_u64);
        for run in Clusters::new(runs, 0, self.client.size_bytes()) {
            let Run { len_bytes, state, .. } = run?;
            if state != State::Clean {
                widened_bytes = widened_bytes.saturating_add(len_bytes);
            }
            if state == State::Data {
                data_bytes = data_bytes.saturating_add(len_bytes);
            }
        }
        Ok(Dirty { widened_bytes, data_bytes, ..dirty })
    }

    fn runs(&self, range: Range<u64>) -> Result<Runs<'_>> {
        let contexts: Vec<&str> = self.contexts.iter().map(String::as_str).collect();
        self.client.map(&contexts, range)
    }

    /// The extents of a range that begins with a cluster.
    fn extents_of(&self, range: Range<u64>) -> Result<impl Iterator<Item = Result<Extent>>> {
        let Range { start, end } = range;
        // What is behind the range is not asked for: the last cluster ends there.
        let clusters = Clusters::new(self.runs(start..end)?, start, end);
        Ok(clusters.map(|run| run.map(|run| extent_of(&run))))
    }
}

fn extent_of(run: &Run) -> Extent {
    let kind = match run.state {
        State::Clean => ExtentKind::Hole,
        State::Zero => ExtentKind::Zero,
        State::Data => ExtentKind::Data { offset_bytes: run.start_bytes },
    };
    Extent::new(run.start_bytes, run.len_bytes, kind)
}

impl fmt::Debug for NbdImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, contexts, .. } = self;
        f.debug_struct("NbdImage")
            .field("client", client)
            .field("contexts", contexts)
            .finish_non_exhaustive()
    }
}

impl Image for NbdImage {
    fn info(&self) -> &Info {
        &self.info
    }

    /// The map is asked for a window at a time; after an error nothing follows.
    fn extents(&self) -> Extents<'_> {
        match self.extents_of(0..self.client.size_bytes()) {
            Ok(extents) => Box::new(extents.map(|extent| extent.map_err(disk::Error::from))),
            Err(error) => Box::new(std::iter::once(Err(error.into()))),
        }
    }

    /// The extent from the start of its cluster on, as far as the map is looked at at once.
    fn extent_at(&self, offset_bytes: u64) -> disk::Result<Extent> {
        let start = offset_bytes.saturating_sub(offset_bytes % disk::CLUSTER_BYTES);
        let end = start.saturating_add(LOOK_AHEAD_BYTES).min(self.client.size_bytes());
        let first = self.extents_of(start..end)?.next();
        Ok(first.unwrap_or_else(|| {
            let message = format!("the map ends before byte {offset_bytes}");
            Err(crate::Error::malformed(message).of_export(self.client.export()))
        })?)
    }

    fn bytes(&self) -> &Arc<dyn ReadAt> {
        &self.shared
    }

    fn read_bytes(&self) -> u64 {
        READ_BYTES
    }

    fn read_extent(&self, extent: &Extent, _: &mut Workbench, out: &mut [u8]) -> disk::Result<()> {
        match extent.kind {
            ExtentKind::Data { offset_bytes } => {
                Ok(self.bytes.next().read_exact_at(out, offset_bytes)?)
            }
            _ => {
                out.fill(0);
                Ok(())
            }
        }
    }

    fn metadata(&self) -> Box<dyn Iterator<Item = (u32, Range<u64>)> + '_> {
        Box::new(std::iter::empty())
    }
}

/// The bytes of an export, through one or more connections.
#[derive(Debug)]
struct ExportBytes {
    first: Arc<Client>,
    others: Vec<Arc<Client>>,
    /// Counts the reads, which take turns.
    reads: AtomicUsize,
}

impl ExportBytes {
    fn over(first: Arc<Client>, others: Vec<Arc<Client>>) -> Self {
        Self { first, others, reads: AtomicUsize::new(0) }
    }

    /// The connection whose turn it is.
    fn next(&self) -> &Client {
        let count = self.others.len().saturating_add(1);
        let turn = self.reads.fetch_add(1, Ordering::Relaxed).checked_rem(count);
        let other = turn.and_then(|turn| self.others.get(turn.checked_sub(1)?));
        other.unwrap_or(&self.first)
    }
}

impl ReadAt for ExportBytes {
    fn len_bytes(&self) -> u64 {
        self.first.size_bytes()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        self.next().read_exact_at(buf, offset_bytes).map_err(io::Error::other)
    }
}
