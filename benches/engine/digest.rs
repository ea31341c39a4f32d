//! Hashing a member of a package, as the run that converts it does.

use criterion::{Criterion, Throughput};
use disk::Unheard;
use ovf::manifest::Algorithm;

use crate::sample::samples;

/// The bytes make no difference, so one kind will do.
pub(crate) fn digest(criterion: &mut Criterion) {
    let [_, _, noise] = samples();
    let mut group = criterion.benchmark_group("digest");
    group.throughput(Throughput::Bytes(noise.bytes.len() as u64));
    for (name, algorithm) in
        [("sha1", Algorithm::Sha1), ("sha256", Algorithm::Sha256), ("sha512", Algorithm::Sha512)]
    {
        group.bench_function(name, |bencher| {
            bencher.iter(|| convert::digest::digest(&noise.bytes, &[algorithm], &Unheard));
        });
    }
    group.finish();
}
