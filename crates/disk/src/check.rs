//! Every fault of an image.

use std::{collections::BTreeMap, ops::Range};

use code::Code;
use rayon::prelude::*;

use crate::{
    Codec, Error, Extent, ExtentKind, Finding, Image, Kind, Progress, Result, Warning, Workbench,
    error::shown, fields::buffer_len,
};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What is damaged, at most [`MAX_FAULTS`] of it.
    pub faults: Vec<Fault>,
    /// Whether there were more faults than are listed.
    pub more: bool,
    /// What is odd and can be read all the same.
    pub warnings: Vec<Warning>,
    /// How many guest bytes have content in the image.
    pub data_bytes: u64,
    /// How many compressed grains or clusters were inflated.
    pub stored_units: u64,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The published code.
    pub code: Code,
    /// What is wrong, with the numbers; it ends with the byte.
    pub message: String,
    /// The byte of the file that it is about.
    pub offset_bytes: Option<u64>,
}

/// The number of faults that a report lists: the limit of this product.
pub const MAX_FAULTS: usize = 1000;

/// The extents that are verified at once, by all threads.
const BATCH: usize = 256;

/// The unit that every record in a VMDK is padded to.
const SECTOR_BYTES: u64 = 512;

/// The separate ranges of files that are noted, to find what is used twice: the limit of this
/// product, for which 128 MiB are enough.
const MAX_RANGES: usize = 2 << 20;

/// Reads every table of an image and inflates every compressed grain: bounds, overlaps, checksums,
/// and what the format keeps book of beside ([`Image::audit`]).
///
/// Plain data has no checksum: that it lies inside the image, and in one place only, is checked.
/// The same holds for the compressed clusters of qcow2, which may share sectors.
///
/// # Errors
///
/// When the image cannot be read at all, or when the check is stopped. Damage is no error.
pub fn check(image: &dyn Image, progress: &dyn Progress) -> Result<Report> {
    let mut checker = Checker {
        report: Report { warnings: image.warnings().to_vec(), ..Report::default() },
        used: BTreeMap::new(),
        ranges: 0,
        image,
    };
    for (file, range) in image.metadata() {
        checker.claim(file, range);
    }
    let mut extents = image.extents();
    loop {
        let batch: Vec<_> = extents.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            break;
        }
        if progress.stopped() {
            return Err(Error::stopped());
        }
        let verified: Vec<_> = batch
            .into_par_iter()
            .map_init(Bench::default, |bench, extent| bench.verify(image, extent?))
            .collect();
        for verified in verified {
            progress.advance(checker.take(verified)?);
        }
    }
    drop(extents);
    checker.used.clear();
    image.audit(progress, &mut |finding| checker.note(finding))?;
    Ok(checker.report)
}

/// An extent that was found sound, and the bytes of the image that it takes.
struct Verified {
    extent: Extent,
    range: Option<Range<u64>>,
}

/// What a worker keeps between extents.
#[derive(Default)]
struct Bench {
    bench: Workbench,
    stream: Vec<u8>,
    out: Vec<u8>,
}

impl Bench {
    fn verify(&mut self, image: &dyn Image, extent: Extent) -> Result<Verified> {
        let range = match extent.kind {
            ExtentKind::Zero | ExtentKind::Hole => None,
            ExtentKind::Data { offset_bytes } => {
                Some(offset_bytes..offset_bytes.saturating_add(extent.len_bytes))
            }
            ExtentKind::StoredPart { .. } => {
                self.out.resize(buffer_len(extent.len_bytes), 0);
                image.read_extent(&extent, &mut self.bench, &mut self.out)?;
                None
            }
            ExtentKind::Stored { codec, offset_bytes, .. } => {
                self.out.resize(buffer_len(extent.len_bytes), 0);
                image.read_extent(&extent, &mut self.bench, &mut self.out)?;
                image.stored(&extent, &mut self.stream)?;
                let record = u64::try_from(self.stream.len()).unwrap_or(u64::MAX);
                // The record of a grain has a header of 12 bytes and is padded to a sector.
                let record = record.saturating_add(12).next_multiple_of(SECTOR_BYTES);
                (codec == Codec::Zlib).then(|| offset_bytes..offset_bytes.saturating_add(record))
            }
        };
        Ok(Verified { extent, range })
    }
}

/// A report that is being made.
struct Checker<'a> {
    image: &'a dyn Image,
    report: Report,
    /// What is in use of each file.
    used: BTreeMap<u32, Ranges>,
    /// How many ranges that is.
    ranges: usize,
}

impl Checker<'_> {
    /// Takes the verdict about one extent and gives the number of guest bytes that are done.
    fn take(&mut self, verified: Result<Verified>) -> Result<u64> {
        match verified {
            Ok(Verified { extent, range }) => {
                if !matches!(extent.kind, ExtentKind::Zero | ExtentKind::Hole) {
                    self.report.data_bytes =
                        self.report.data_bytes.saturating_add(extent.len_bytes);
                }
                if matches!(extent.kind, ExtentKind::Stored { .. }) {
                    self.report.stored_units = self.report.stored_units.saturating_add(1);
                }
                if let Some(range) = range {
                    self.claim(extent.file, range);
                }
                Ok(extent.len_bytes)
            }
            Err(error) if matches!(error.kind(), Kind::Io | Kind::Stopped) => Err(error),
            Err(error) => {
                self.note(Finding::Fault(error));
                Ok(0)
            }
        }
    }

    fn note(&mut self, finding: Finding) {
        match finding {
            Finding::Fault(error) => {
                self.fault(error.code(), error.to_string(), error.offset_bytes());
            }
            Finding::Oddity(warning) => self.report.warnings.push(warning),
        }
    }

    fn claim(&mut self, file: u32, range: Range<u64>) {
        let (start, end) = (range.start, range.end);
        if self.ranges >= MAX_RANGES {
            return;
        }
        let ranges = self.used.entry(file).or_default();
        let before = ranges.0.len();
        let twice = ranges.claim(range);
        self.ranges = self.ranges.saturating_add(ranges.0.len()).saturating_sub(before);
        if self.ranges >= MAX_RANGES {
            let message = format!(
                "over {MAX_RANGES} separate pieces are in use: what else is used twice is not found"
            );
            self.report.warnings.push(Warning::oddity(start, message));
        }
        if let Some(at) = twice {
            let names = self.image.files();
            let name = usize::try_from(file).ok().and_then(|file| names.get(file));
            let name = name.filter(|name| !name.is_empty());
            let name = name.map(|name| format!(" of {}", shown(name))).unwrap_or_default();
            let message = format!("bytes {start}..{end} are used twice, at byte {at}{name}");
            self.fault(Code::E0404, message, Some(at));
        }
    }

    fn fault(&mut self, code: Code, message: String, offset_bytes: Option<u64>) {
        if self.report.faults.len() < MAX_FAULTS {
            self.report.faults.push(Fault { code, message, offset_bytes });
        } else {
            self.report.more = true;
        }
    }
}

/// The parts of a file that are in use; neighbours are one entry, so an image in order takes little
/// memory however long it is.
#[derive(Debug, Default)]
pub(crate) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Takes a range; the first byte of it that was taken before, if any.
    pub(crate) fn claim(&mut self, range: Range<u64>) -> Option<u64> {
        let Range { mut start, mut end } = range;
        if start >= end {
            return None;
        }
        let mut twice = None;
        // From the back: every entry that touches the range becomes part of it.
        while let Some((&from, &to)) =
            self.0.range(..=end).next_back().filter(|(_, to)| **to >= start)
        {
            if from < end && to > start {
                twice = Some(from.max(start));
            }
            self.0.remove(&from);
            start = start.min(from);
            end = end.max(to);
        }
        self.0.insert(start, end);
        twice
    }

    /// What is not taken of the bytes before `end`.
    pub(crate) fn gaps(&self, end: u64) -> impl Iterator<Item = Range<u64>> {
        let starts = std::iter::once(0).chain(self.0.values().copied());
        let ends = self.0.keys().copied().chain(std::iter::once(end));
        starts.zip(ends).map(move |(start, to)| start..to.min(end)).filter(|gap| !gap.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_neighbours_and_finds_what_is_taken_twice() {
        let mut used = Ranges::default();
        for range in [0..10, 20..30, 10..20, 50..60] {
            assert_eq!(used.claim(range), None);
        }
        assert_eq!(used.0.len(), 2);
        assert_eq!(used.claim(25..35), Some(25));
        assert_eq!(used.claim(34..51), Some(34));
        assert_eq!(used.0.iter().collect::<Vec<_>>(), [(&0, &60)]);
        assert_eq!(used.claim(5..5), None);
        assert_eq!(used.claim(100..200), None);
        assert_eq!(used.claim(90..110), Some(100));
    }
}
