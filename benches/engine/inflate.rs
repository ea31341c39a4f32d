//! Decoding the grains of a streamOptimized VMDK: header, inflate, adler32.

use std::sync::Arc;

use criterion::{Criterion, Throughput};
use disk::{Declared, Extent, Format, Image, Workbench};
use testkit::stream_optimized;

use crate::sample::{CLUSTER, samples};

/// Throughput in guest bytes.
pub(crate) fn inflate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inflate");
    for sample in samples() {
        let file = stream_optimized(&sample.bytes, "disk.vmdk");
        let image = disk::open(Arc::new(file), Declared::Stated(Format::Vmdk));
        let image = image.expect("a sound image");
        let grains: Vec<Extent> = image.extents().collect::<Result<_, _>>().expect("a sound image");
        let (mut bench, mut out) = (Workbench::new(), vec![0; CLUSTER]);
        group.throughput(Throughput::Bytes(sample.bytes.len() as u64));
        group.bench_function(sample.name, |bencher| {
            bencher.iter(|| decode_all(&*image, &grains, &mut bench, &mut out));
        });
    }
    group.finish();
}

fn decode_all(image: &dyn Image, grains: &[Extent], bench: &mut Workbench, out: &mut [u8]) {
    for grain in grains {
        image.read_extent(grain, bench, out).expect("a sound grain");
    }
}
