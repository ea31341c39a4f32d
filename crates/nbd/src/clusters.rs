//! Runs at the borders of clusters, for a writer that stores clusters as a whole.

use disk::CLUSTER_BYTES;

use crate::{Result, Run, State};

/// Runs as whole clusters; one whose bytes have several states is data.
///
/// Also where a part of it is clean: the cluster that is written hides the one below, so all of it is
/// read. The last cluster ends with the disk.
pub(crate) struct Clusters<I> {
    runs: I,
    /// Where what was given ends.
    reached: u64,
    /// The end of the disk.
    capacity_bytes: u64,
    /// Parts of a run that were cut and not joined yet, in the order of the disk.
    cut: [Option<Run>; 2],
    /// A run that may go on.
    held: Option<Run>,
}

impl<I: Iterator<Item = Result<Run>>> Clusters<I> {
    /// Takes runs without gaps from the start of a cluster on.
    pub(crate) fn new(runs: I, start_bytes: u64, capacity_bytes: u64) -> Self {
        Self { runs, reached: start_bytes, capacity_bytes, cut: [None, None], held: None }
    }

    /// Cuts a run into the clusters that it fills, and the one that it shares with the next run.
    fn cut(&mut self, run: &Run) {
        let whole_end = match run.end_bytes() {
            end if end == self.capacity_bytes => end,
            end => end.saturating_sub(end % CLUSTER_BYTES),
        };
        if let Some(len_bytes) = whole_end.checked_sub(self.reached).filter(|len| *len > 0) {
            self.cut[0] = Some(Run { start_bytes: self.reached, len_bytes, state: run.state });
            self.reached = whole_end;
        }
        if run.end_bytes() > self.reached {
            let end = run.end_bytes().next_multiple_of(CLUSTER_BYTES).min(self.capacity_bytes);
            let len_bytes = end.saturating_sub(self.reached);
            self.cut[1] = Some(Run { start_bytes: self.reached, len_bytes, state: State::Data });
            self.reached = end;
        }
    }
}

impl<I: Iterator<Item = Result<Run>>> Iterator for Clusters<I> {
    type Item = Result<Run>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while let Some(run) = self.cut.iter_mut().find_map(Option::take) {
                if !self.held.as_mut().is_some_and(|held| held.join(&run))
                    && let Some(whole) = self.held.replace(run)
                {
                    return Some(Ok(whole));
                }
            }
            match self.runs.next() {
                Some(Ok(run)) => self.cut(&run),
                Some(Err(error)) => {
                    self.held = None;
                    return Some(Err(error));
                }
                None => return self.held.take().map(Ok),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs of these lengths in KiB, from byte 0 on, as clusters.
    fn clusters(runs: &[(u64, State)]) -> Vec<(u64, State)> {
        let mut at = 0;
        let runs: Vec<_> = runs
            .iter()
            .map(|(kib, state)| {
                let run = Run { start_bytes: at, len_bytes: kib << 10, state: *state };
                at = run.end_bytes();
                Ok(run)
            })
            .collect();
        let mut end = 0;
        Clusters::new(runs.into_iter(), 0, at)
            .map(|run| {
                let run = run.unwrap();
                assert_eq!(run.start_bytes, end, "no gap");
                end = run.end_bytes();
                (run.len_bytes >> 10, run.state)
            })
            .collect()
    }

    #[test]
    fn a_cluster_with_several_states_is_data() {
        use State::{Clean, Data, Zero};
        for (runs, want) in [
            (
                &[(64, Zero), (64, Data), (128, Clean)][..],
                &[(64, Zero), (64, Data), (128, Clean)][..],
            ),
            (&[(4, Data), (252, Zero)], &[(64, Data), (192, Zero)]),
            (&[(60, Clean), (8, Zero), (60, Clean)], &[(128, Data)]),
            (&[(65, Zero), (1, Clean), (62, Zero)], &[(64, Zero), (64, Data)]),
            (&[(70, Clean), (200, Data), (50, Clean)], &[(64, Clean), (256, Data)]),
            (&[(10, Zero), (20, Data), (300, Zero)], &[(64, Data), (266, Zero)]),
            (&[(128, Zero), (20, Zero)], &[(148, Zero)]),
            (&[(128, Data), (20, Clean), (10, Zero)], &[(158, Data)]),
            (&[], &[]),
        ] {
            assert_eq!(clusters(runs), want, "{runs:?}");
        }
    }
}
