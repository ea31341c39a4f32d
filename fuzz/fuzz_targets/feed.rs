//! Feeds libFuzzer's inputs to the feed that this binary is named after.
#![no_main]

use std::sync::LazyLock;

use hostile::Feed;
use libfuzzer_sys::fuzz_target;

static FEED: LazyLock<&Feed> = LazyLock::new(|| Feed::named(env!("CARGO_BIN_NAME")));

fuzz_target!(|bytes: &[u8]| FEED.run(bytes));
