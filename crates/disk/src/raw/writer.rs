//! A raw image that is written.

use std::sync::Arc;

use crate::{
    Error, Result,
    error::{Failure, Kind, MAX_CAPACITY_BYTES},
    target::{CLUSTER_BYTES, Target, WriteAt},
};

/// A raw image that is being written: each guest byte at its own place, zeros left as holes.
pub struct Writer {
    file: Arc<dyn WriteAt>,
    capacity_bytes: u64,
}

impl Writer {
    /// Starts an image in an empty file.
    ///
    /// # Errors
    ///
    /// When the capacity is over [`MAX_CAPACITY_BYTES`], or the length cannot be set.
    pub fn create(file: Arc<dyn WriteAt>, capacity_bytes: u64) -> Result<Self> {
        if capacity_bytes > MAX_CAPACITY_BYTES {
            return Err(Error::new(Kind::Limit, Failure::Capacity(capacity_bytes)));
        }
        file.set_len_bytes(capacity_bytes)?;
        Ok(Self { file, capacity_bytes })
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "raw::Writer({} bytes)", self.capacity_bytes)
    }
}

impl Target for Writer {
    fn place(&mut self, cluster: u64) -> Result<u64> {
        let offset_bytes = cluster.checked_mul(CLUSTER_BYTES);
        match offset_bytes.filter(|offset| *offset < self.capacity_bytes) {
            Some(offset_bytes) => Ok(offset_bytes),
            None => Err(Error::malformed(Failure::Cluster(cluster, self.capacity_bytes))),
        }
    }

    fn file(&self) -> Arc<dyn WriteAt> {
        Arc::clone(&self.file)
    }

    fn finish(&mut self) -> Result<u64> {
        Ok(self.capacity_bytes)
    }
}
