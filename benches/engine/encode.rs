//! Compressing clusters for a qcow2 image, and grains for a VMDK.

use criterion::{BenchmarkId, Criterion, Throughput};
use disk::{Compression, Encoder};

use crate::sample::{CLUSTER, samples};

/// Throughput in guest bytes.
pub(crate) fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.sample_size(10);
    let clusters = |compression| move || Encoder::new(compression);
    let grains = |level| move || Encoder::for_grains(level);
    let encoders: [(&str, &dyn Fn() -> disk::Result<Encoder>); 7] = [
        ("zlib", &clusters(Compression::Zlib)),
        ("zlib-compat", &clusters(Compression::ZlibCompat)),
        ("zstd:1", &clusters(Compression::Zstd(1))),
        ("zstd:3", &clusters(Compression::ZSTD)),
        ("grain:1", &grains(1)),
        ("grain:3", &grains(3)),
        ("grain:6", &grains(6)),
    ];
    for (name, encoder) in encoders {
        for sample in samples() {
            let mut encoder = encoder().expect("a sound level");
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
