//! Compressing clusters for a qcow2 image.

use criterion::{BenchmarkId, Criterion, Throughput};
use disk::{Compression, Encoder};

use crate::sample::{CLUSTER, samples};

/// Throughput in guest bytes.
pub(crate) fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.sample_size(10);
    for (name, compression) in [
        ("zlib", Compression::Zlib),
        ("zlib-compat", Compression::ZlibCompat),
        ("zstd:1", Compression::Zstd(1)),
        ("zstd:3", Compression::ZSTD),
    ] {
        for sample in samples() {
            let mut encoder = Encoder::new(compression).expect("a sound level");
            let mut out = Vec::new();
            group.throughput(Throughput::Bytes(sample.bytes.len() as u64));
            group.bench_function(BenchmarkId::new(name, sample.name), |bencher| {
                bencher.iter(|| encode_all(&mut encoder, &sample.bytes, &mut out));
            });
        }
    }
    group.finish();
}

fn encode_all(encoder: &mut Encoder, disk: &[u8], out: &mut Vec<u8>) {
    for cluster in disk.chunks(CLUSTER) {
        out.clear();
        encoder.encode(cluster, out).expect("memory for a compressor");
    }
}
