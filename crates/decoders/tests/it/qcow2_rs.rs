//! qcow2-rs, an asynchronous reader that inflates with miniz_oxide.

use std::{
    path::Path,
    pin::pin,
    task::{Context, Poll, Waker},
};

use disk::CLUSTER_BYTES;
use qcow2_rs::{
    dev::{Qcow2Dev, Qcow2DevParams},
    sync_io::Qcow2IoSync,
    utils::qcow2_setup_dev_sync,
};

/// The logarithm of a sector.
const SECTOR_BITS: u8 = 9;

/// Reads a file a cluster at a time.
///
/// A read across several clusters loses errors, and one across the end of the disk counts wrong (both
/// seen in version 0.1.6), so neither is made, and every read has to be complete.
pub(crate) fn decode(path: &Path, capacity: usize) -> Result<Vec<u8>, String> {
    let params = Qcow2DevParams::new(SECTOR_BITS, None, None, true, false);
    let device = qcow2_setup_dev_sync(path, &params).map_err(|error| error.to_string())?;
    finished(read(&device, capacity))
}

async fn read(device: &Qcow2Dev<Qcow2IoSync>, capacity: usize) -> Result<Vec<u8>, String> {
    device.qcow2_prep_io().await.map_err(|error| error.to_string())?;
    let virtual_size = device.info.virtual_size();
    if virtual_size != capacity as u64 {
        return Err(format!("a virtual size of {virtual_size}, not of {capacity}"));
    }
    let mut disk = vec![0xee; capacity];
    for (at, cluster) in (0..).step_by(CLUSTER).zip(disk.chunks_mut(CLUSTER)) {
        let wanted = cluster.len();
        let found = device.read_at(cluster, at).await.map_err(|error| error.to_string())?;
        if found != wanted {
            return Err(format!("{found} bytes at byte {at}, not {wanted}"));
        }
    }
    Ok(disk)
}

/// A cluster as a length in memory.
const CLUSTER: usize = CLUSTER_BYTES as usize;

/// Runs a future whose input and output is done at once, so that it is never really waited for.
fn finished<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
