//! A raw image that is written.

use std::sync::Arc;

use crate::{
    Error, Result,
    error::{Failure, Kind, MAX_CAPACITY_BYTES},
    fields::buffer_len,
    target::{CLUSTER_BYTES, Order, Target, WriteAt},
};

/// A raw image that is being written: each guest byte at its own place, zeros left as holes.
///
/// A file that is written front to end has no holes: there the zeros are written, and clusters must come
/// in the order of the disk.
pub struct Writer {
    file: Arc<dyn WriteAt>,
    capacity_bytes: u64,
    /// Where the next byte goes, where nothing may be left out.
    next_bytes: u64,
}

/// The file does not wait for a cluster that was left out.
#[derive(Debug, thiserror::Error)]
#[error("cluster {0} comes out of order, and the file is written front to end")]
struct Late(u64);

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
        Ok(Self { file, capacity_bytes, next_bytes: 0 })
    }

    /// Writes zeros from where the file is up to a byte, where nothing may be left out.
    fn fill_to(&mut self, end_bytes: u64) -> Result<()> {
        if self.file.order() == Order::AnyPlace {
            return Ok(());
        }
        while self.next_bytes < end_bytes {
            let len = end_bytes.saturating_sub(self.next_bytes).min(CLUSTER_BYTES);
            self.file.write_all_at(&vec![0; buffer_len(len)], self.next_bytes)?;
            self.next_bytes = self.next_bytes.saturating_add(len);
        }
        Ok(())
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
        let Some(offset_bytes) = offset_bytes.filter(|offset| *offset < self.capacity_bytes) else {
            return Err(Error::malformed(Failure::Cluster(cluster, self.capacity_bytes)));
        };
        if self.file.order() == Order::FrontToEnd && offset_bytes < self.next_bytes {
            return Err(Error::unsupported(Late(cluster)));
        }
        self.fill_to(offset_bytes)?;
        self.next_bytes = offset_bytes.saturating_add(CLUSTER_BYTES).min(self.capacity_bytes);
        Ok(offset_bytes)
    }

    fn pad(&mut self, offset_bytes: u64, len_bytes: u64) -> Result<()> {
        self.next_bytes = offset_bytes.saturating_add(len_bytes);
        Ok(())
    }

    fn file(&self) -> Arc<dyn WriteAt> {
        Arc::clone(&self.file)
    }

    fn finish(&mut self) -> Result<u64> {
        self.fill_to(self.capacity_bytes)?;
        Ok(self.capacity_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Mutex};

    use super::*;

    /// A file that is written front to end.
    #[derive(Default)]
    struct InOrder(Mutex<Vec<u8>>);

    impl WriteAt for InOrder {
        fn write_all_at(&self, buf: &[u8], offset_bytes: u64) -> io::Result<()> {
            let mut bytes = self.0.lock().unwrap();
            let in_order = bytes.len() as u64 == offset_bytes;
            bytes.extend_from_slice(buf);
            in_order.then_some(()).ok_or_else(|| io::Error::other("out of order"))
        }

        fn read_exact_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn set_len_bytes(&self, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn order(&self) -> Order {
            Order::FrontToEnd
        }
    }

    #[test]
    fn front_to_end_zeros_are_written_where_no_cluster_is() {
        let file = Arc::new(InOrder::default());
        let mut writer = Writer::create(Arc::clone(&file) as _, 5 * CLUSTER_BYTES + 512).unwrap();
        for cluster in [1, 2, 4] {
            let at = writer.place(cluster).unwrap();
            file.write_all_at(&vec![1; buffer_len(CLUSTER_BYTES)], at).unwrap();
        }
        let error = writer.place(3).unwrap_err();
        let want = "cluster 3 comes out of order, and the file is written front to end";
        assert_eq!(error.to_string(), want);
        assert_eq!(writer.finish().unwrap(), 5 * CLUSTER_BYTES + 512);
        let bytes = file.0.lock().unwrap();
        let clusters: Vec<_> = bytes.chunks(buffer_len(CLUSTER_BYTES)).map(|c| c[0]).collect();
        assert_eq!((bytes.len(), clusters), (328_192, vec![0, 1, 1, 0, 1, 0]));
    }

    #[test]
    fn front_to_end_zeros_are_written_behind_a_cluster_that_is_cut_short() {
        let file = Arc::new(InOrder::default());
        let mut writer = Writer::create(Arc::clone(&file) as _, 3 * CLUSTER_BYTES).unwrap();
        let at = writer.place(0).unwrap();
        writer.pad(at, 512).unwrap();
        file.write_all_at(&[1; 512], at).unwrap();
        assert_eq!(writer.finish().unwrap(), 3 * CLUSTER_BYTES);
        let bytes = file.0.lock().unwrap();
        assert_eq!(bytes.iter().filter(|byte| **byte == 1).count(), 512);
        assert_eq!(bytes.len() as u64, 3 * CLUSTER_BYTES);
    }
}
