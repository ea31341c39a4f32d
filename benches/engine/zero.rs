//! Telling clusters of zeros from others.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use disk::{CLUSTER_BYTES, is_zero};

use crate::sample::CLUSTER;

/// The whole of a cluster is looked at: all zeros, or all but the last byte.
pub(crate) fn zero(criterion: &mut Criterion) {
    let zeros = vec![0; CLUSTER];
    let mut last_byte = zeros.clone();
    last_byte[CLUSTER - 1] = 1;
    let mut group = criterion.benchmark_group("zero");
    group.throughput(Throughput::Bytes(CLUSTER_BYTES));
    for (name, cluster) in [("zeros", &zeros), ("last byte", &last_byte)] {
        group.bench_function(name, |bencher| bencher.iter(|| is_zero(black_box(cluster))));
    }
    group.finish();
}
