//! A file of any length that is mostly zeros, for tests.

use std::{collections::HashMap, io, sync::Mutex};

use crate::target::{CLUSTER_BYTES, CLUSTER_LEN, Order, WriteAt};

/// Clusters that were written; whole clusters at cluster borders only, or parts of one.
#[derive(Default)]
pub(super) struct Sparse(Mutex<HashMap<u64, Vec<u8>>>);

impl WriteAt for Sparse {
    fn write_all_at(&self, buf: &[u8], offset_bytes: u64) -> io::Result<()> {
        let mut clusters = self.0.lock().unwrap();
        for (byte, at) in buf.iter().zip(offset_bytes..) {
            let bytes = clusters.entry(at / CLUSTER_BYTES).or_insert_with(|| vec![0; CLUSTER_LEN]);
            bytes[(at % CLUSTER_BYTES) as usize] = *byte;
        }
        Ok(())
    }

    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        let clusters = self.0.lock().unwrap();
        for (byte, at) in buf.iter_mut().zip(offset_bytes..) {
            let bytes = clusters.get(&(at / CLUSTER_BYTES));
            *byte = bytes.map_or(0, |bytes| bytes[(at % CLUSTER_BYTES) as usize]);
        }
        Ok(())
    }

    fn set_len_bytes(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
}

/// A file that is written front to end, and remembers what was written when.
#[derive(Default)]
pub(super) struct InOrder(pub(super) Mutex<Vec<(u64, u64)>>);

impl WriteAt for InOrder {
    fn write_all_at(&self, buf: &[u8], offset_bytes: u64) -> io::Result<()> {
        self.0.lock().unwrap().push((offset_bytes, buf.len() as u64));
        Ok(())
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
