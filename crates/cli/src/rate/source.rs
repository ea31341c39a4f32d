//! A source that is read no faster than it may be.

use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use disk::{Progress, ReadAt};
use ovf::EntryName;
use restore::{
    Access, Delivery, Error, Facts, Source,
    source::{Check, Take},
};

use super::{Pace, RateLimit};
use crate::signals::Stop;

/// A source whose members are read at a pace.
///
/// What is read to open it, headers and small files, is not held back.
pub(crate) struct Paced<'a> {
    source: Held<'a>,
    pace: Arc<Pace>,
}

/// The source beneath, whoever has it.
enum Held<'a> {
    Own(Box<dyn Source + 'a>),
    Lent(&'a dyn Source),
}

impl<'a> Paced<'a> {
    /// Takes a source; without a limit it stays what it is.
    pub(crate) fn over(
        source: Box<dyn Source + 'a>,
        limit: Option<RateLimit>,
        stop: &Arc<Stop>,
    ) -> Box<dyn Source + 'a> {
        match limit {
            Some(limit) => {
                let pace = Arc::new(Pace::new(limit, Arc::clone(stop)));
                Box::new(Self { source: Held::Own(source), pace })
            }
            None => source,
        }
    }

    fn source(&self) -> &dyn Source {
        match &self.source {
            Held::Own(source) => &**source,
            Held::Lent(source) => *source,
        }
    }
}

impl Source for Paced<'_> {
    fn facts(&self) -> &Facts {
        self.source().facts()
    }

    fn bytes(&self, name: &EntryName) -> Result<Option<Arc<dyn ReadAt>>, Error> {
        let bytes = self.source().bytes(name)?;
        Ok(bytes.map(|bytes| PacedBytes::over(bytes, name, &self.pace)))
    }

    fn check(&self, name: &EntryName) -> Option<Check> {
        let check = self.source().check(name)?;
        let (pace, name) = (Arc::clone(&self.pace), Arc::<str>::from(name.as_str()));
        Some(Box::new(move |progress| check(&PacedProgress::of(progress, pace, name))))
    }

    fn access(&self, name: &EntryName) -> Access {
        self.source().access(name)
    }

    fn check_unchanged(&self) -> Result<(), Error> {
        self.source().check_unchanged()
    }

    fn deliver(
        &mut self,
        wanted: &dyn Fn(&EntryName) -> bool,
        take: &mut Take<'_>,
    ) -> Result<(), Error> {
        let pace = &self.pace;
        let source = match &mut self.source {
            Held::Own(source) => source,
            Held::Lent(source) => return lend(*source, pace, wanted, take),
        };
        source.deliver(wanted, &mut |name, delivery| match delivery {
            Delivery::Whole(bytes, source) => {
                let bytes = PacedBytes::over(bytes, name, pace);
                let lent = Paced { source: Held::Lent(source), pace: Arc::clone(pace) };
                take(name, Delivery::Whole(bytes, &lent))
            }
            Delivery::Stream { reader, length_bytes } => {
                let reader = &mut PacedReader { reader, pace };
                take(name, Delivery::Stream { reader, length_bytes })
            }
        })
    }
}

/// Hands over the members of a source that is only lent, in the order of its names.
fn lend(
    source: &dyn Source,
    pace: &Arc<Pace>,
    wanted: &dyn Fn(&EntryName) -> bool,
    take: &mut Take<'_>,
) -> Result<(), Error> {
    let lent = Paced { source: Held::Lent(source), pace: Arc::clone(pace) };
    for name in source.facts().names().iter().filter(|name| wanted(name)) {
        if let Some(bytes) = lent.bytes(name)? {
            take(name, Delivery::Whole(bytes, &lent))?;
        }
    }
    Ok(())
}

/// A member that is read at any place.
///
/// The kernel copies nothing of it by itself, since that would not be counted: a limit costs the clone
/// layout its shared blocks.
struct PacedBytes {
    bytes: Arc<dyn ReadAt>,
    name: Arc<str>,
    pace: Arc<Pace>,
}

impl PacedBytes {
    fn over(bytes: Arc<dyn ReadAt>, name: &EntryName, pace: &Arc<Pace>) -> Arc<dyn ReadAt> {
        Arc::new(Self { bytes, name: name.as_str().into(), pace: Arc::clone(pace) })
    }
}

impl ReadAt for PacedBytes {
    fn len_bytes(&self) -> u64 {
        self.bytes.len_bytes()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        self.pace.read_range(&self.name, offset_bytes, buf.len() as u64);
        self.bytes.read_exact_at(buf, offset_bytes)
    }

    fn next_data(&self, offset_bytes: u64) -> io::Result<Option<Range<u64>>> {
        self.bytes.next_data(offset_bytes)
    }

    fn file_range(&self) -> Option<(&File, u64)> {
        None
    }

    fn check_unchanged(&self) -> io::Result<()> {
        self.bytes.check_unchanged()
    }
}

/// A member that passes once.
struct PacedReader<'a> {
    reader: &'a mut (dyn Read + Send),
    pace: &'a Pace,
}

impl Read for PacedReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(out)?;
        self.pace.read(count as u64);
        Ok(count)
    }
}

/// Who hears how far a file is that is read front to end, and holds it back.
pub(super) struct PacedProgress<'a> {
    progress: &'a dyn Progress,
    pace: Arc<Pace>,
    name: Arc<str>,
    done_bytes: AtomicU64,
}

impl<'a> PacedProgress<'a> {
    /// Hears of the file of this name what `progress` hears then.
    pub(super) fn of(progress: &'a dyn Progress, pace: Arc<Pace>, name: Arc<str>) -> Self {
        Self { progress, pace, name, done_bytes: AtomicU64::new(0) }
    }
}

impl Progress for PacedProgress<'_> {
    fn advance(&self, done_bytes: u64) {
        let start = self.done_bytes.fetch_add(done_bytes, Ordering::Relaxed);
        self.pace.read_range(&self.name, start, done_bytes);
        self.progress.advance(done_bytes);
    }

    fn stopped(&self) -> bool {
        self.progress.stopped()
    }
}
