//! Building the tables of a qcow2 image: L2, L1 and reference counts.

use std::{io, sync::Arc};

use criterion::{Criterion, Throughput};
use disk::{CLUSTER_BYTES, Compression, Target as _, WriteAt, qcow2};

/// The clusters that are placed: a full disk of 64 GiB, whose L2 tables do not all stay in memory.
const CLUSTERS: u64 = 1 << 20;

/// The length of a stream, where clusters are compressed: about three to one.
const STREAM_BYTES: usize = 20_011;

/// Throughput in guest bytes that are given a place, so that it can be set against the other parts.
pub(crate) fn place(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("place");
    group.sample_size(10).throughput(Throughput::Bytes(CLUSTERS * CLUSTER_BYTES));
    group.bench_function("plain", |bencher| {
        bencher.iter(|| place_all(Compression::None, |writer, cluster| writer.place(cluster)));
    });
    group.bench_function("packed", |bencher| {
        bencher.iter(|| {
            place_all(Compression::Zlib, |writer, cluster| {
                writer.place_stored(cluster, STREAM_BYTES)
            })
        });
    });
    group.finish();
}

fn place_all(
    compression: Compression,
    place: impl Fn(&mut qcow2::Writer, u64) -> disk::Result<u64>,
) -> u64 {
    let options = qcow2::Options { compression, backing: None };
    let capacity_bytes = CLUSTERS * CLUSTER_BYTES;
    let mut writer = qcow2::Writer::create_with(Arc::new(Nowhere), capacity_bytes, options)
        .expect("a sound capacity");
    for cluster in 0..CLUSTERS {
        place(&mut writer, cluster).expect("every cluster has a place");
    }
    writer.finish().expect("nowhere is never full")
}

/// A file that keeps nothing. Tables are filled in order here, so none is read back.
struct Nowhere;

impl WriteAt for Nowhere {
    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }

    fn read_exact_at(&self, _: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        Err(io::Error::other(format!("byte {offset_bytes} is read back, and nothing was kept")))
    }

    fn set_len_bytes(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
}
