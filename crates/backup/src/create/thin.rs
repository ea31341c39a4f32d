//! The disk of a thin clone without what it has in common with its template.
//!
//! ```text
//! off      own layers: every cluster that one of them has  \
//!                                                            > Own clusters --> Thin: those of the whole disk,
//! running  export and template: clusters that differ       /                    holes where the template shows
//! ```
//!
//! Why a running machine's export is compared with the template: it shows the chain as one disk. QEMU could
//! tell how deep each cluster lies (`qemu:allocation-depth`), but the export of a backup job does not offer
//! that, and its top is a temporary image anyway. The image that the guest writes to cannot be asked, since
//! it changes while it is read. The template does not change, so what differs from it is known to the byte,
//! whatever the layers between are. The price is that all data of both is read; what is in common is not
//! written.

use std::{
    iter::Peekable,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use disk::{CLUSTER_BYTES, Extent, ExtentKind, Extents, Image, Info, Progress, ReadAt, Workbench};

use crate::{Error, Kind, Result};

/// The largest disk that is read so (ours): 16 MiB tell of its clusters.
pub(super) const MAX_THIN_BYTES: u64 = 8 << 40;
/// How many clusters are compared at once.
const WINDOW_CLUSTERS: u64 = 64;
/// The most threads that compare, so that memory does not grow with the host.
const MAX_WORKERS: usize = 16;
/// The clusters that a word tells of.
const WORD_BITS: u64 = 64;

/// The clusters of a disk that are not its template's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Own {
    capacity_bytes: u64,
    words: Vec<u64>,
}

impl Own {
    /// None of a disk of this size.
    ///
    /// # Errors
    /// `E0106` for a disk of more than [`MAX_THIN_BYTES`].
    fn none(capacity_bytes: u64) -> Result<Self> {
        if capacity_bytes > MAX_THIN_BYTES {
            let text = format!(
                "a disk of {capacity_bytes} bytes, at most {MAX_THIN_BYTES} are compared with a template"
            );
            return Err(Error::new(Kind::Coded(code::Code::E0106), text));
        }
        let words = capacity_bytes.div_ceil(CLUSTER_BYTES).div_ceil(WORD_BITS);
        let words = vec![0; usize::try_from(words).unwrap_or(0)];
        Ok(Self { capacity_bytes, words })
    }

    /// The clusters that one of the layers has, the uppermost first. Behind the end of a lower one the disk
    /// has zeros, not what the template has there.
    ///
    /// # Errors
    /// As [`none`](Self::none); a table of a layer is damaged.
    pub(super) fn of_layers(layers: &[Box<dyn Image>], capacity_bytes: u64) -> Result<Self> {
        let mut own = Self::none(capacity_bytes)?;
        for layer in layers {
            for extent in layer.extents() {
                let extent = extent.map_err(unreadable)?;
                if extent.kind != ExtentKind::Hole {
                    own.mark(&(extent.start_bytes..extent.end_bytes()));
                }
            }
            own.mark(&(layer.capacity_bytes()..capacity_bytes));
        }
        Ok(own)
    }

    /// The clusters of `export` whose bytes are not those of `template`.
    ///
    /// # Errors
    /// As [`none`](Self::none); one of them cannot be read, or `progress` says stop.
    pub(super) fn differing(
        export: &dyn Image,
        template: &dyn Image,
        workers: usize,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let capacity_bytes = export.capacity_bytes();
        let (above, below) =
            (with_data(export, capacity_bytes)?, with_data(template, capacity_bytes)?);
        let mut own = above.clone();
        let pairs = own.words.iter_mut().zip(&below.words);
        pairs.for_each(|(word, other)| *word ^= other);
        let mut both = above;
        let pairs = both.words.iter_mut().zip(&below.words);
        pairs.for_each(|(word, other)| *word &= other);
        drop(below);
        let comparison = Comparison {
            export,
            template,
            both: &both,
            next_cluster: AtomicU64::new(0),
            own: Mutex::new(own),
            progress,
        };
        comparison.run(workers.clamp(1, MAX_WORKERS))?;
        Ok(comparison.own.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// The clusters that a range of bytes touches.
    fn mark(&mut self, range: &Range<u64>) {
        let end = range.end.min(self.capacity_bytes).div_ceil(CLUSTER_BYTES);
        (range.start / CLUSTER_BYTES..end).for_each(|cluster| self.mark_cluster(cluster));
    }

    fn mark_cluster(&mut self, cluster: u64) {
        let at = usize::try_from(cluster / WORD_BITS).unwrap_or(usize::MAX);
        if let Some(word) = self.words.get_mut(at) {
            *word |= 1 << (cluster % WORD_BITS);
        }
    }

    fn has(&self, cluster: u64) -> bool {
        let at = usize::try_from(cluster / WORD_BITS).unwrap_or(usize::MAX);
        self.words.get(at).is_some_and(|word| word >> (cluster % WORD_BITS) & 1 == 1)
    }

    /// How many clusters the disk has.
    const fn count(&self) -> u64 {
        self.capacity_bytes.div_ceil(CLUSTER_BYTES)
    }

    /// The first clusters of a range that are alike, in bytes, and whether they are own ones.
    fn run_in(&self, clusters: &Range<u64>) -> Option<(Range<u64>, bool)> {
        let Range { start, end } = *clusters;
        let end = end.min(self.count());
        (start < end).then(|| {
            let is_own = self.has(start);
            let is_other = |next: &u64| self.has(*next) != is_own;
            let end = (start.saturating_add(1)..end).find(is_other).unwrap_or(end);
            let bytes =
                |cluster: u64| cluster.saturating_mul(CLUSTER_BYTES).min(self.capacity_bytes);
            (bytes(start)..bytes(end), is_own)
        })
    }
}

/// The clusters of an image that may hold something else than zeros, up to the end of a disk above it.
fn with_data(image: &dyn Image, capacity_bytes: u64) -> Result<Own> {
    let mut own = Own::none(capacity_bytes)?;
    for extent in image.extents() {
        let extent = extent.map_err(unreadable)?;
        if !matches!(extent.kind, ExtentKind::Hole | ExtentKind::Zero) {
            own.mark(&(extent.start_bytes..extent.end_bytes()));
        }
    }
    Ok(own)
}

fn unreadable(error: disk::Error) -> Error {
    Error::coded(error.code(), "an image of the clone or its template cannot be read", error)
}

/// Two disks on their way to be compared, by several threads.
struct Comparison<'a> {
    export: &'a dyn Image,
    template: &'a dyn Image,
    /// The clusters that have data in both.
    both: &'a Own,
    /// The first one that no thread has taken.
    next_cluster: AtomicU64,
    own: Mutex<Own>,
    progress: &'a dyn Progress,
}

impl Comparison<'_> {
    fn run(&self, workers: usize) -> Result<()> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(|| self.work())).collect();
            let ends = threads.into_iter().map(|thread| match thread.join() {
                Ok(end) => end,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            // All of them are waited for; the first failure is told.
            ends.fold(Ok(()), Result::and)
        })
    }

    /// Takes windows until none is left. A thread that fails takes the others' work from them.
    fn work(&self) -> Result<()> {
        let (mut above, mut below) = (Vec::new(), Vec::new());
        let clusters = self.both.count();
        loop {
            let first = self.next_cluster.fetch_add(WINDOW_CLUSTERS, Ordering::Relaxed);
            if first >= clusters {
                return Ok(());
            }
            let end = first.saturating_add(WINDOW_CLUSTERS).min(clusters);
            let done = if self.progress.stopped() {
                Err(Error::new(Kind::Stopped, "stopped"))
            } else {
                self.compare(first..end, (&mut above, &mut below))
            };
            if done.is_err() {
                self.next_cluster.store(clusters, Ordering::Relaxed);
                return done;
            }
        }
    }

    /// Compares the clusters of a window that have data in both, run by run.
    fn compare(
        &self,
        window: Range<u64>,
        (above, below): (&mut Vec<u8>, &mut Vec<u8>),
    ) -> Result<()> {
        let mut at = window.start;
        while let Some((bytes, has_data)) = self.both.run_in(&(at..window.end)) {
            let first = at;
            at = bytes.end.div_ceil(CLUSTER_BYTES);
            if has_data {
                self.read(bytes, (above, below))?;
                self.mark(first, above, below);
            }
        }
        Ok(())
    }

    /// Reads a range of both; behind the end of a template that is shorter there are zeros.
    fn read(&self, bytes: Range<u64>, (above, below): (&mut Vec<u8>, &mut Vec<u8>)) -> Result<()> {
        let length = usize::try_from(bytes.end.saturating_sub(bytes.start)).unwrap_or(0);
        let there = self.template.capacity_bytes().min(bytes.end).saturating_sub(bytes.start);
        let there = usize::try_from(there).unwrap_or(0).min(length);
        for buffer in [&mut *above, &mut *below] {
            buffer.clear();
            buffer.resize(length, 0);
        }
        let read = self.export.bytes().read_exact_at(above, bytes.start);
        read.map_err(|error| unreadable(disk::Error::from(error)))?;
        match below.get_mut(..there) {
            Some(below) => self.template.read_at(below, bytes.start).map_err(unreadable),
            None => Ok(()),
        }
    }

    fn mark(&self, first: u64, above: &[u8], below: &[u8]) {
        let cluster_bytes = usize::try_from(CLUSTER_BYTES).unwrap_or(usize::MAX);
        let pairs = above.chunks(cluster_bytes).zip(below.chunks(cluster_bytes));
        let differing = (first..).zip(pairs).filter(|(_, (above, below))| above != below);
        let differing: Vec<u64> = differing.map(|(cluster, _)| cluster).collect();
        let mut own = self.own.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        differing.into_iter().for_each(|cluster| own.mark_cluster(cluster));
    }
}

/// A disk of which only some clusters are shown; the others are holes, for a target that stands on what has
/// them.
pub(super) struct Thin<'a> {
    whole: &'a dyn Image,
    template: &'a dyn Image,
    own: Own,
}

impl<'a> Thin<'a> {
    /// The own clusters of `whole`, which stands on `template`.
    pub(super) const fn new(whole: &'a dyn Image, template: &'a dyn Image, own: Own) -> Self {
        Self { whole, template, own }
    }
}

/// An extent of the lowest image, which nothing is below.
fn lowest(extent: Extent) -> Extent {
    match extent.kind {
        ExtentKind::Hole => Extent { kind: ExtentKind::Zero, ..extent },
        _ => extent,
    }
}

const fn hole(range: &Range<u64>) -> Extent {
    let len_bytes = range.end.saturating_sub(range.start);
    Extent { start_bytes: range.start, len_bytes, kind: ExtentKind::Hole, file: 0 }
}

impl Image for Thin<'_> {
    fn info(&self) -> &Info {
        self.whole.info()
    }

    fn extents(&self) -> Extents<'_> {
        let extents = self.whole.extents().peekable();
        Box::new(Shown { own: &self.own, extents, cluster: 0, run: None })
    }

    fn extent_at(&self, offset_bytes: u64) -> disk::Result<Extent> {
        let first = offset_bytes / CLUSTER_BYTES;
        match self.own.run_in(&(first..first.saturating_add(WINDOW_CLUSTERS))) {
            Some((range, false)) => Ok(hole(&range)),
            Some((range, true)) => {
                let extent = lowest(self.whole.extent_at(offset_bytes)?);
                Ok(extent.clip(&range).unwrap_or(extent))
            }
            None => self.whole.extent_at(offset_bytes),
        }
    }

    fn files(&self) -> &[String] {
        self.whole.files()
    }

    fn depth(&self, file: u32) -> u32 {
        self.whole.depth(file)
    }

    fn read_bytes(&self) -> u64 {
        self.whole.read_bytes()
    }

    fn bytes(&self) -> &Arc<dyn ReadAt> {
        self.whole.bytes()
    }

    fn check_unchanged(&self) -> disk::Result<()> {
        self.whole.check_unchanged()?;
        self.template.check_unchanged()
    }

    fn read_extent(
        &self,
        extent: &Extent,
        bench: &mut Workbench,
        out: &mut [u8],
    ) -> disk::Result<()> {
        match extent.kind {
            ExtentKind::Hole | ExtentKind::Zero => {
                out.fill(0);
                Ok(())
            }
            _ => self.whole.read_extent(extent, bench, out),
        }
    }

    fn stored(&self, extent: &Extent, buf: &mut Vec<u8>) -> disk::Result<()> {
        self.whole.stored(extent, buf)
    }

    fn metadata(&self) -> Box<dyn Iterator<Item = (u32, Range<u64>)> + '_> {
        self.whole.metadata()
    }
}

/// The extents of the own clusters, and one hole for each run of others: a hole that ended inside a cluster
/// could not be placed.
struct Shown<'a> {
    own: &'a Own,
    extents: Peekable<Extents<'a>>,
    /// The first cluster of the next run.
    cluster: u64,
    /// What is left of a run of own clusters.
    run: Option<Range<u64>>,
}

impl Shown<'_> {
    /// The next extent inside the run that is shown; `None` at its end.
    fn shown(&mut self) -> Option<disk::Result<Extent>> {
        let run = self.run.clone()?;
        while let Some(Ok(extent)) = self.extents.peek() {
            let extent = *extent;
            if extent.end_bytes() <= run.start {
                self.extents.next();
                continue;
            }
            let Some(part) = extent.clip(&run) else { break };
            self.run = Some(part.end_bytes()..run.end).filter(|rest| !rest.is_empty());
            return Some(Ok(lowest(part)));
        }
        self.run = None;
        self.extents.next_if(disk::Result::is_err)
    }
}

impl Iterator for Shown<'_> {
    type Item = disk::Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(shown) = self.shown() {
                return Some(shown);
            }
            let (range, is_own) = self.own.run_in(&(self.cluster..self.own.count()))?;
            self.cluster = range.end.div_ceil(CLUSTER_BYTES);
            if !is_own {
                return Some(Ok(hole(&range)));
            }
            self.run = Some(range);
        }
    }
}

#[cfg(test)]
mod tests {
    use disk::{Declared, Format, Unheard};

    use super::*;

    const C: usize = 65_536;

    fn image(bytes: &[u8]) -> Box<dyn Image> {
        disk::open(Arc::new(bytes.to_vec()), Declared::Stated(Format::Raw)).unwrap()
    }

    /// The runs of a disk in clusters: where each begins, and whether it is an own one.
    fn runs(own: &Own) -> Vec<(u64, bool)> {
        let mut at = 0;
        let mut runs = Vec::new();
        while let Some((bytes, is_own)) = own.run_in(&(at..own.count())) {
            runs.push((at, is_own));
            at = bytes.end.div_ceil(CLUSTER_BYTES);
        }
        runs
    }

    /// A disk of 130 clusters and a part, and a template of 100 clusters that it differs from here and there.
    fn pair() -> (Vec<u8>, Vec<u8>) {
        let mut disk = vec![7; 130 * C + 512];
        let template = disk[..100 * C].to_vec();
        for byte in [5, 63 * C, 64 * C + 9, 100 * C - 1] {
            disk[byte] = 8;
        }
        (disk, template)
    }

    #[test]
    fn clusters_that_differ_are_found_by_any_number_of_threads() {
        let (disk, template) = pair();
        let want = [(0, true), (1, false), (63, true), (65, false), (99, true)];
        for workers in [0, 1, 3, 99] {
            let own = Own::differing(&*image(&disk), &*image(&template), workers, &Unheard);
            assert_eq!(runs(&own.unwrap()), want, "{workers}");
        }
        let same = Own::differing(&*image(&template), &*image(&disk), 2, &Unheard).unwrap();
        assert_eq!(runs(&same).len(), 5, "the template may be longer");
    }

    #[test]
    fn a_comparison_ends_when_somebody_says_stop() {
        struct Stop;
        impl Progress for Stop {
            fn advance(&self, _done_bytes: u64) {}

            fn stopped(&self) -> bool {
                true
            }
        }
        let (disk, template) = pair();
        let error = Own::differing(&*image(&disk), &*image(&template), 2, &Stop).unwrap_err();
        assert_eq!(error.kind(), Kind::Stopped);
    }

    #[test]
    fn own_clusters_are_shown_whole_and_others_are_one_hole_a_run() {
        let (disk, template) = pair();
        let (whole, below) = (image(&disk), image(&template));
        let own = Own::differing(&*whole, &*below, 1, &Unheard).unwrap();
        let thin = Thin::new(&*whole, &*below, own);
        let mut at = 0;
        let mut holes = Vec::new();
        for extent in thin.extents() {
            let extent = extent.unwrap();
            assert_eq!(extent.start_bytes, at);
            at = extent.end_bytes();
            let mut bytes = vec![1; usize::try_from(extent.len_bytes).unwrap()];
            thin.read_extent(&extent, &mut Workbench::new(), &mut bytes).unwrap();
            if extent.kind == ExtentKind::Hole {
                holes.push((extent.start_bytes / CLUSTER_BYTES, at / CLUSTER_BYTES));
                assert_eq!((at % CLUSTER_BYTES, bytes.iter().max()), (0, Some(&0)));
                assert_eq!(thin.extent_at(at - 1).unwrap().kind, ExtentKind::Hole);
            } else {
                let range = usize::try_from(extent.start_bytes).unwrap();
                assert!(bytes == disk[range..range + bytes.len()], "{extent:?}");
            }
        }
        assert_eq!((at, holes), (disk.len() as u64, vec![(1, 63), (65, 99)]));
    }

    #[test]
    fn behind_the_end_of_a_lower_layer_the_disk_has_zeros_of_its_own() {
        let layers = [image(&[0; 512]), image(&[0; 512])];
        let own = Own::of_layers(&layers, 3 * CLUSTER_BYTES).unwrap();
        assert_eq!(runs(&own), [(0, true)]);
    }

    #[test]
    fn a_disk_that_is_too_large_is_refused() {
        let error = Own::none(MAX_THIN_BYTES + 1).unwrap_err();
        let want =
            "a disk of 8796093022209 bytes, at most 8796093022208 are compared with a template";
        assert_eq!((error.to_string().as_str(), error.code()), (want, Some(code::Code::E0106)));
    }
}
