//! What workers decode and encode with.

use std::{
    ops::{Deref, DerefMut},
    sync::{Condvar, Mutex, PoisonError},
};

use disk::{Compression, Encoder, Workbench};

use super::batch::Batch;
use crate::Error;

/// The sets of tools for grains over [`LARGE_UNIT_BYTES`], whatever the number of workers: with
/// clusters of 2 MiB, the largest of qcow2, a set grows to 10 MiB.
const LARGE_SETS: usize = 2;

/// The largest grain for which every worker has its own tools: a set then stays under 1 MiB.
const LARGE_UNIT_BYTES: u64 = 128 << 10;

/// The decompressor, the compressor and the buffers of one worker.
pub(super) struct Tools {
    pub(super) bench: Workbench,
    pub(super) encoder: Encoder,
    /// Decoded clusters that are not written as they are. One cluster stays in the processor's cache.
    pub(super) plain: Vec<u8>,
    /// A compressed stream as it is read.
    pub(super) stored: Vec<u8>,
}

/// The tools of all workers: a bounded number of sets, so that memory is bounded as well.
pub(super) struct Toolbox {
    usual: Pool,
    large: Pool,
}

struct Pool {
    sets: Mutex<Vec<Tools>>,
    returned: Condvar,
}

/// A set of tools, given back when it is dropped.
pub(super) struct Lent<'a> {
    pool: &'a Pool,
    tools: Option<Tools>,
}

impl Toolbox {
    pub(super) fn new(workers: usize, compression: Compression) -> Result<Self, Error> {
        let large = workers.min(LARGE_SETS);
        Ok(Self { usual: Pool::new(workers, compression)?, large: Pool::new(large, compression)? })
    }

    /// Waits for a set of tools that is meant for the batch.
    pub(super) fn lend(&self, batch: &Batch) -> Lent<'_> {
        let large = batch.largest_unit_bytes > LARGE_UNIT_BYTES;
        let pool = if large { &self.large } else { &self.usual };
        let sets = pool.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let sets = pool.returned.wait_while(sets, |sets| sets.is_empty());
        let tools = sets.unwrap_or_else(PoisonError::into_inner).pop();
        Lent { pool, tools }
    }
}

impl Pool {
    fn new(count: usize, compression: Compression) -> Result<Self, Error> {
        let sets = (0..count).map(|_| Tools::new(compression)).collect::<Result<_, _>>()?;
        Ok(Self { sets: Mutex::new(sets), returned: Condvar::new() })
    }
}

impl Tools {
    fn new(compression: Compression) -> Result<Self, Error> {
        Ok(Self {
            bench: Workbench::new(),
            encoder: Encoder::new(compression).map_err(Error::target_image)?,
            plain: Vec::new(),
            stored: Vec::new(),
        })
    }
}

impl Deref for Lent<'_> {
    type Target = Tools;

    fn deref(&self) -> &Tools {
        self.tools.as_ref().expect("the tools are there until they are given back")
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut Tools {
        self.tools.as_mut().expect("the tools are there until they are given back")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(tools) = self.tools.take() {
            self.pool.sets.lock().unwrap_or_else(PoisonError::into_inner).push(tools);
            self.pool.returned.notify_one();
        }
    }
}
