//! The producer's part: from the runs of a source to batches.

use std::sync::mpsc::Receiver;

use disk::{CLUSTER_BYTES, Extent, ExtentKind, Piece, Unplaced};

use super::{Flow, batch::Batch, cluster_of, control::Control};
use crate::Error;

/// Fills batches in the order of the source and hands them to the workers.
pub(super) struct Filler<'a, 'c> {
    spare: &'a Receiver<Batch>,
    submit: &'a mut dyn FnMut(Batch),
    control: &'a Control<'c>,
    /// The most guest bytes of a part that can be cut, from the start of a cluster on.
    most_bytes: u64,
    batch: Option<Batch>,
    number: u64,
    /// Where the last run ended, so that what is passed over can be counted.
    reached_bytes: u64,
    seen_bytes: u64,
    /// What the guest finds in the target where nothing is placed.
    unplaced: Unplaced,
}

/// How many clusters of zeros are told as a run; fewer go through a worker, beside others.
const MIN_ZERO_RUN: u64 = 8;

impl<'a, 'c> Filler<'a, 'c> {
    pub(super) fn new(
        spare: &'a Receiver<Batch>,
        submit: &'a mut dyn FnMut(Batch),
        control: &'a Control<'c>,
    ) -> Self {
        Self {
            spare,
            submit,
            control,
            most_bytes: u64::MAX,
            batch: None,
            number: 0,
            reached_bytes: 0,
            seen_bytes: 0,
            unplaced: Unplaced::Zeros,
        }
    }

    /// Cuts what can be cut at the borders of clusters, for work that is done cluster by cluster.
    pub(super) fn by_cluster(self) -> Self {
        Self { most_bytes: CLUSTER_BYTES, ..self }
    }

    /// Says what the guest finds in the target where nothing is placed; zeros if nobody says.
    pub(super) fn set_unplaced(&mut self, unplaced: Unplaced) {
        self.unplaced = unplaced;
    }

    /// Takes an extent; holes are passed over, and zeros where nobody needs to be told of them.
    pub(super) fn fill_extent(&mut self, extent: Extent) -> Result<Flow, Error> {
        if self.unplaced == Unplaced::Zeros {
            return match extent.kind {
                ExtentKind::Zero | ExtentKind::Hole => Ok(self.pass_over(extent.len_bytes)),
                _ => self.fill_parts(extent),
            };
        }
        match extent.kind {
            ExtentKind::Hole => {
                self.check_hole(&extent)?;
                Ok(self.pass_over(extent.len_bytes))
            }
            ExtentKind::Zero => self.fill_zeros(extent),
            _ => self.fill_parts(extent),
        }
    }

    /// Counts what needs nothing to be done.
    fn pass_over(&mut self, len_bytes: u64) -> Flow {
        self.seen_bytes += len_bytes;
        self.control.advance(len_bytes);
        if self.control.is_over() { Flow::Stop } else { Flow::Go(()) }
    }

    /// Refuses a hole that ends inside a cluster: the rest of the cluster cannot be placed without it.
    fn check_hole(&self, hole: &Extent) -> Result<(), Error> {
        let is_border =
            |byte: u64| byte.is_multiple_of(CLUSTER_BYTES) || byte == self.control.capacity_bytes;
        match [hole.start_bytes, hole.end_bytes()].into_iter().find(|byte| !is_border(*byte)) {
            None => Ok(()),
            Some(byte) => Err(Error::layout(format!(
                "what changed ends at byte {byte} of the disk, not at a multiple of {CLUSTER_BYTES}"
            ))),
        }
    }

    /// Takes zeros that are to be told: the clusters that they fill as one run, if it is long.
    fn fill_zeros(&mut self, extent: Extent) -> Result<Flow, Error> {
        let first = extent.start_bytes.div_ceil(CLUSTER_BYTES);
        let end = match extent.end_bytes() {
            end if end == self.control.capacity_bytes => end.div_ceil(CLUSTER_BYTES),
            end => cluster_of(end),
        };
        if end.saturating_sub(first) < MIN_ZERO_RUN {
            return self.fill_parts(extent);
        }
        let run = first * CLUSTER_BYTES..(end * CLUSTER_BYTES).min(extent.end_bytes());
        if let Some(before) = extent.clip(&(0..run.start))
            && self.fill_parts(before)? == Flow::Stop
        {
            return Ok(Flow::Stop);
        }
        let Some(batch) = self.batch() else { return Ok(Flow::Stop) };
        batch.zeros_behind = first..end;
        batch.covered_bytes += run.end - run.start;
        self.pass(run.end, run.end - run.start);
        // What follows comes behind them, in a batch of its own.
        self.flush();
        let behind = extent.clip(&(run.end..u64::MAX));
        behind.map_or(Ok(Flow::Go(())), |behind| self.fill_parts(behind))
    }

    /// Takes an extent that the workers read.
    fn fill_parts(&mut self, extent: Extent) -> Result<Flow, Error> {
        let mut rest = Some(extent);
        while let Some(extent) = rest {
            let most_bytes = self.most_bytes.saturating_sub(extent.start_bytes % CLUSTER_BYTES);
            let Some(batch) = self.batch() else { return Ok(Flow::Stop) };
            let room_bytes = batch.room_bytes(extent.start_bytes);
            let (part, behind) = if batch.is_outgrown_by(&extent) {
                cut_at_cluster(extent)
            } else {
                extent.split(room_bytes.min(most_bytes))
            };
            match batch.reserve(part.start_bytes, part.len_bytes) {
                Some(at) => {
                    batch.push_extent(at, part);
                    self.pass(part.end_bytes(), part.len_bytes);
                    rest = behind;
                }
                None => self.make_room(part.start_bytes)?,
            }
        }
        Ok(Flow::Go(()))
    }

    /// Takes a piece and gives another one to be filled.
    pub(super) fn fill_piece(&mut self, piece: Piece) -> Result<Flow<Piece>, Error> {
        let (start_bytes, len_bytes) = (piece.start_bytes, piece.len_bytes);
        if self.tears_a_cluster(start_bytes, start_bytes.saturating_add(len_bytes)) {
            return Err(Error::cannot_stream(format!(
                "parts of a cluster come out of order, at byte {start_bytes} of the disk"
            )));
        }
        loop {
            let Some(batch) = self.batch() else { return Ok(Flow::Stop) };
            if let Some(at) = batch.reserve(start_bytes, len_bytes) {
                let next = batch.push_piece(at, piece);
                self.pass(start_bytes + len_bytes, len_bytes);
                return Ok(Flow::Go(next));
            }
            self.make_room(start_bytes)?;
        }
    }

    /// Whether a run has a part of a cluster whose other part is, or may be, in a batch that has
    /// gone: the second write would put zeros over the first.
    fn tears_a_cluster(&self, start_bytes: u64, end_bytes: u64) -> bool {
        let starts_inside = !start_bytes.is_multiple_of(CLUSTER_BYTES);
        let ends_inside =
            !end_bytes.is_multiple_of(CLUSTER_BYTES) && end_bytes < self.control.capacity_bytes;
        if start_bytes < self.reached_bytes {
            return starts_inside || ends_inside;
        }
        let last = self.reached_bytes.checked_sub(1).map(cluster_of);
        let here = self.batch.as_ref().is_some_and(|batch| batch.ends_in_cluster_of(start_bytes));
        starts_inside && last == Some(cluster_of(start_bytes)) && !here
    }

    /// Counts what no run covered.
    pub(super) fn rest_is_zero(&mut self) {
        let skipped = self.control.capacity_bytes.saturating_sub(self.seen_bytes);
        self.control.advance(skipped);
    }

    /// Hands a full batch on; one that may grow for the run and is too small will never hold it.
    fn make_room(&mut self, start_bytes: u64) -> Result<(), Error> {
        if self.batch.as_ref().is_some_and(|batch| batch.may_grow_for(start_bytes)) {
            return Err(Error::cannot_stream(format!(
                "the run at byte {start_bytes} of the disk is over 2 MiB, the largest cluster"
            )));
        }
        self.flush();
        Ok(())
    }

    /// Hands the batch to the workers.
    pub(super) fn flush(&mut self) {
        if let Some(batch) = self.batch.take_if(|batch| !batch.is_empty()) {
            (self.submit)(batch);
        }
    }

    fn pass(&mut self, end_bytes: u64, len_bytes: u64) {
        self.reached_bytes = self.reached_bytes.max(end_bytes);
        self.seen_bytes += len_bytes;
    }

    /// The batch that is being filled; `None` once the copy is over.
    fn batch(&mut self) -> Option<&mut Batch> {
        if self.control.is_over() {
            return None;
        }
        if self.batch.is_none() {
            let mut batch = self.spare.recv().ok()?;
            batch.clear();
            batch.number = self.number;
            self.number += 1;
            self.batch = Some(batch);
        }
        self.batch.as_mut()
    }
}

/// Cuts an extent at the first border of a cluster, also a stored grain.
fn cut_at_cluster(extent: Extent) -> (Extent, Option<Extent>) {
    let border = (cluster_of(extent.start_bytes) + 1) * CLUSTER_BYTES;
    let front = extent.clip(&(extent.start_bytes..border)).unwrap_or(extent);
    (front, extent.clip(&(border..extent.end_bytes())))
}
