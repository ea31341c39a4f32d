//! One image of a chain by itself: what it holds, and holes where it shows the images below it.
//!
//! ```text
//! the chain     AAAA bbbb AAbb cccc      upper case: in the image itself, lower: in one below
//! the layer     AAAA .... AAbb ....      a cluster of the bundle that is partly its own is taken whole
//! ```

use std::{collections::VecDeque, ops::Range, sync::Arc};

use disk::{
    CLUSTER_BYTES, Extent, ExtentKind, Extents, Image, Info, ReadAt, Result as DiskResult,
    Workbench,
};

/// A part of a chain. It reads as the chain does; its extents are those of the part.
pub(super) struct Layer {
    chain: Box<dyn Image>,
    part: Part,
}

/// What of a chain is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The image at its top.
    Top,
    /// An image that would be begun above it, and has nothing of its own yet.
    Above,
}

impl Layer {
    /// This part of an open chain.
    pub(super) const fn of(chain: Box<dyn Image>, part: Part) -> Self {
        Self { chain, part }
    }
}

impl Image for Layer {
    fn info(&self) -> &Info {
        self.chain.info()
    }

    fn extents(&self) -> Extents<'_> {
        let capacity_bytes = self.capacity_bytes();
        if self.part == Part::Above {
            let hole = Extent::new(0, capacity_bytes, ExtentKind::Hole);
            return Box::new((capacity_bytes > 0).then_some(Ok(hole)).into_iter());
        }
        let is_own =
            |extent: &Extent| extent.kind != ExtentKind::Hole && self.chain.depth(extent.file) == 0;
        let extents = self.chain.extents().map(move |extent| extent.map(|it| (is_own(&it), it)));
        Box::new(Own { extents, capacity_bytes, hidden: Hidden::default(), ready: VecDeque::new() })
    }

    fn extent_at(&self, offset_bytes: u64) -> DiskResult<Extent> {
        self.chain.extent_at(offset_bytes)
    }

    fn files(&self) -> &[String] {
        self.chain.files()
    }

    fn depth(&self, file: u32) -> u32 {
        self.chain.depth(file)
    }

    fn bytes(&self) -> &Arc<dyn ReadAt> {
        self.chain.bytes()
    }

    fn check_unchanged(&self) -> DiskResult<()> {
        self.chain.check_unchanged()
    }

    fn read_extent(
        &self,
        extent: &Extent,
        bench: &mut Workbench,
        out: &mut [u8],
    ) -> DiskResult<()> {
        self.chain.read_extent(extent, bench, out)
    }

    fn stored(&self, extent: &Extent, buf: &mut Vec<u8>) -> DiskResult<()> {
        self.chain.stored(extent, buf)
    }

    fn metadata(&self) -> Box<dyn Iterator<Item = (u32, Range<u64>)> + '_> {
        self.chain.metadata()
    }
}

/// The extents of a chain, those that lie below turned into holes.
struct Own<I> {
    extents: I,
    capacity_bytes: u64,
    hidden: Hidden,
    /// What was found and not given yet.
    ready: VecDeque<Extent>,
}

/// A run of extents that lie below, as far as it has been seen.
#[derive(Default)]
struct Hidden {
    /// Its whole clusters, which become a hole.
    hole: Option<Range<u64>>,
    /// What lies in the cluster behind them, which may turn out to be partly the image's own.
    tail: Vec<Extent>,
}

impl<I> Own<I> {
    /// Takes an extent of the image itself: what was held back before it lies in its cluster.
    fn own(&mut self, extent: Extent) {
        self.settle();
        self.ready.push_back(extent);
    }

    /// Takes one that lies below.
    fn below(&mut self, extent: Extent) {
        // Where it shows in a cluster that is taken whole, there is nothing below it any more.
        let is_hole = extent.kind == ExtentKind::Hole;
        let kind = if is_hole { ExtentKind::Zero } else { extent.kind };
        let extent = Extent { kind, ..extent };
        let (start, end) = (extent.start_bytes, extent.end_bytes());
        let whole_end =
            if end == self.capacity_bytes { end } else { end.saturating_sub(end % CLUSTER_BYTES) };
        let goes_on = self.hidden.hole.is_some() || !self.hidden.tail.is_empty();
        let first = match (&self.hidden.hole, self.hidden.tail.first()) {
            (_, Some(tail)) => tail.start_bytes,
            (Some(hole), None) => hole.end,
            (None, None) => start.next_multiple_of(CLUSTER_BYTES).min(self.capacity_bytes),
        };
        if !goes_on {
            // The cluster before belongs to the image, as far as it begins in it.
            self.ready.extend(extent.clip(&(start..first)));
        }
        if whole_end > first {
            let from = self.hidden.hole.as_ref().map_or(first, |hole| hole.start);
            self.hidden.hole = Some(from..whole_end);
            self.hidden.tail.clear();
        }
        let behind = whole_end.max(first);
        self.hidden.tail.extend(extent.clip(&(behind.max(start)..end)));
    }

    /// Gives what was held back.
    fn settle(&mut self) {
        let Hidden { hole, tail } = std::mem::take(&mut self.hidden);
        let hole = hole.map(|hole| {
            let len_bytes = hole.end.saturating_sub(hole.start);
            Extent::new(hole.start, len_bytes, ExtentKind::Hole)
        });
        self.ready.extend(hole.into_iter().chain(tail));
    }
}

impl<I: Iterator<Item = DiskResult<(bool, Extent)>>> Iterator for Own<I> {
    type Item = DiskResult<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(extent) = self.ready.pop_front() {
                return Some(Ok(extent));
            }
            match self.extents.next() {
                Some(Ok((true, extent))) => self.own(extent),
                Some(Ok((false, extent))) => self.below(extent),
                Some(Err(error)) => return Some(Err(error)),
                None => {
                    self.settle();
                    return self.ready.pop_front().map(Ok);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: ExtentKind = ExtentKind::Data { offset_bytes: 0 };

    /// What becomes of extents of these lengths in KiB, of which the image itself has some.
    fn own(extents: &[(u64, ExtentKind, bool)]) -> Vec<(u64, ExtentKind)> {
        let mut at = 0;
        let extents: Vec<_> = extents
            .iter()
            .map(|(kib, kind, is_own)| {
                let extent = Extent::new(at, kib << 10, *kind);
                at = extent.end_bytes();
                Ok((*is_own, extent))
            })
            .collect();
        let (hidden, ready) = (Hidden::default(), VecDeque::new());
        let own = Own { extents: extents.into_iter(), capacity_bytes: at, hidden, ready };
        let mut end = 0;
        let found = own.map(|extent| {
            let extent = extent.unwrap();
            assert_eq!(extent.start_bytes, end, "no gap");
            end = extent.end_bytes();
            let kind = match extent.kind {
                ExtentKind::Data { .. } => DATA,
                other => other,
            };
            (extent.len_bytes >> 10, kind)
        });
        let found = found.collect();
        assert_eq!(end, at);
        found
    }

    #[test]
    fn what_lies_below_is_a_hole_but_in_clusters_that_are_partly_the_images_own() {
        use ExtentKind::{Hole, Zero};
        for (extents, want) in [
            (&[(128, DATA, true), (64, DATA, false)][..], &[(128, DATA), (64, Hole)][..]),
            (&[(64, Hole, false), (64, Zero, true)], &[(64, Hole), (64, Zero)]),
            // Its own half of a cluster, and the other one from below.
            (&[(32, DATA, true), (32, DATA, false)], &[(32, DATA), (32, DATA)]),
            (&[(32, DATA, false), (32, Zero, true)], &[(32, DATA), (32, Zero)]),
            (&[(32, DATA, true), (96, Hole, false)], &[(32, DATA), (32, Zero), (64, Hole)]),
            (
                &[(32, DATA, false), (64, Hole, false), (32, DATA, true)],
                &[(64, Hole), (32, Zero), (32, DATA)],
            ),
            // Many small ones below fill clusters together.
            (&[(16, DATA, false), (32, Hole, false), (80, DATA, false)], &[(128, Hole)]),
            (
                &[(70, DATA, true), (20, DATA, false), (20, Zero, false), (82, DATA, false)],
                &[(70, DATA), (20, DATA), (20, Zero), (18, DATA), (64, Hole)],
            ),
            // The disk ends inside a cluster.
            (&[(64, DATA, true), (20, DATA, false)], &[(64, DATA), (20, Hole)]),
            (&[(70, DATA, true), (20, Hole, false)], &[(70, DATA), (20, Zero)]),
            (&[], &[]),
        ] {
            assert_eq!(own(extents), want, "{extents:?}");
        }
    }
}
