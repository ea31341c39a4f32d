//! 10,000 bad inputs for each parser, the same in every run.

use std::time::{Duration, Instant};

use hostile::{FEEDS, Feed, Mutator};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// How many inputs each parser is fed.
const INPUTS: u32 = 10_000;

/// How long a parser may take for one input: a hundred times what the slowest takes, since the machine
/// may have other work.
const MAX_TIME: Duration = Duration::from_secs(5);

/// The most memory that all of this may hold at any moment: the inputs are below 4 MiB.
const MAX_BYTES: usize = 128 << 20;

/// Feeds the parser; says which input it was, since a panic does not.
fn feed(feed: &Feed) {
    let mut mutator = Mutator::new(feed, 0x7265_6c69_6674);
    for number in 0..INPUTS {
        let input = mutator.next_input();
        let started = Instant::now();
        let read = std::panic::catch_unwind(|| feed.run(&input));
        let (took, held) = (started.elapsed(), MEMORY.peak_usage());
        let name = feed.name;
        assert!(read.is_ok(), "{name}: a panic at input {number}");
        assert!(took < MAX_TIME, "{name}: {took:?} for input {number}");
        assert!(held < MAX_BYTES, "{name}: {held} bytes for input {number}");
    }
}

macro_rules! fed {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            feed(Feed::named(stringify!($name)));
        })*

        #[test]
        fn no_parser_is_left_out() {
            let fed = [$(stringify!($name)),*];
            assert_eq!(FEEDS.iter().map(|feed| feed.name).collect::<Vec<_>>(), fed);
        }
    };
}

fed! {
    bundle_frames bundle_manifest bundle_tar certificate certificate_der domain_xml manifest names ovf
    ovf_machine package plan_toml tar tar_packed units vmx zip
    vmdk_descriptor vmdk_sparse vmdk_stream cowd sesparse
    vhd vhdx vdi qcow2 gzip detect chunked chain copy nbd
}
