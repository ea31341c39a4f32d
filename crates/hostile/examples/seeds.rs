//! Writes the seeds and the dictionary of every feed, for a fuzzer: `seeds FOLDER`.

use std::{fs, io, path::PathBuf};

use hostile::{FEEDS, Feed};

fn main() -> io::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| io::Error::other("say which folder"))?;
    for feed in FEEDS {
        let seeds = folder.join(feed.name);
        fs::create_dir_all(&seeds)?;
        for (number, seed) in (feed.seeds)().iter().enumerate() {
            fs::write(seeds.join(format!("seed-{number}")), seed)?;
        }
        fs::write(folder.join(feed.name).with_extension("dict"), dictionary(feed))?;
    }
    Ok(())
}

/// The words of a feed in the notation of AFL and libFuzzer: one a line, quoted, bytes as `\xHH`.
fn dictionary(feed: &Feed) -> String {
    let line = |word: &&[u8]| {
        let escaped: String = word.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        format!("\"{escaped}\"\n")
    };
    feed.words.iter().map(line).collect()
}
