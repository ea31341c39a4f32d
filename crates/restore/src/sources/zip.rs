//! A ZIP archive with a package in it: members are read where they lie, stored or deflated.

use std::{
    io::{self, Read as _},
    sync::{Arc, Mutex, PoisonError},
};

use disk::{ReadAt, Slice};
use ovf::{
    EntryName,
    archive::{
        Member as Entry,
        zip::{Inflate, Method, Zip as Archive},
    },
};

use super::{Named, deliver_whole, ova, papers::read_text};
use crate::{
    Error, Facts, Policy, Source,
    packed::FrontToEnd,
    source::{Access, Take},
};

/// The bytes that are passed over at once on the way to a place.
const STEP_BYTES: usize = 64 << 10;

/// A ZIP archive.
pub(super) struct Zip {
    facts: Facts,
    bytes: Arc<dyn ReadAt>,
    archive: Archive,
}

impl Zip {
    /// Reads the directory, descriptor, manifest and certificate.
    pub(super) fn open(
        named: Named,
        bytes: Arc<dyn ReadAt>,
        policy: &Policy,
    ) -> Result<Self, Error> {
        let archive = Archive::read(FrontToEnd::new(&*bytes))
            .map_err(|error| Error::from(error).detail("package", &named.name))?;
        let text = |entry: &Entry| {
            let content = content(&bytes, &archive, entry)?;
            read_text(entry.name.clone(), &mut FrontToEnd::new(&*content), entry.length_bytes)
        };
        let facts = ova::facts(named, &archive.index, &text, policy)?;
        Ok(Self { facts, bytes, archive })
    }

    fn method(&self, name: &EntryName) -> Option<Method> {
        let at = self.archive.index.members.iter().position(|entry| entry.name == *name)?;
        self.archive.methods.get(at).copied()
    }
}

impl Source for Zip {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn bytes(&self, name: &EntryName) -> Result<Option<Arc<dyn ReadAt>>, Error> {
        let Some(entry) = self.archive.index.member(name) else { return Ok(None) };
        content(&self.bytes, &self.archive, entry).map(Some)
    }

    fn access(&self, name: &EntryName) -> Access {
        match self.method(name) {
            Some(Method::Deflated { .. }) => Access::FrontToEnd,
            Some(Method::Stored) | None => Access::AnyPlace,
        }
    }

    fn deliver(
        &mut self,
        wanted: &dyn Fn(&EntryName) -> bool,
        take: &mut Take<'_>,
    ) -> Result<(), Error> {
        deliver_whole(self, wanted, take)
    }
}

/// What a member holds.
fn content(
    bytes: &Arc<dyn ReadAt>,
    archive: &Archive,
    entry: &Entry,
) -> Result<Arc<dyn ReadAt>, Error> {
    let at = archive.index.members.iter().position(|one| one.name == entry.name);
    let method = at.and_then(|at| archive.methods.get(at)).copied().unwrap_or(Method::Stored);
    let stored_bytes = match method {
        Method::Stored => entry.length_bytes,
        Method::Deflated { packed_bytes, .. } => packed_bytes,
    };
    let stored = Slice::new(Arc::clone(bytes), entry.offset_bytes, stored_bytes)
        .map_err(|source| Error::io(format!("cannot read {}", entry.name), source))?;
    let stored = Arc::new(stored);
    Ok(match method {
        Method::Stored => stored,
        Method::Deflated { .. } => Arc::new(Inflated::new(stored, entry.clone(), method)),
    })
}

/// A deflated member. Reading on costs nothing, every step back begins at the front again: it is for
/// those who read front to end ([`Access::FrontToEnd`]).
struct Inflated {
    stored: Arc<dyn ReadAt>,
    entry: Entry,
    method: Method,
    reading: Mutex<Reading>,
}

/// Where the reading of a member has come to; it has not begun without a stream.
#[derive(Default)]
struct Reading {
    stream: Option<Inflate<FrontToEnd<'static>>>,
    at: u64,
}

impl Inflated {
    fn new(stored: Arc<dyn ReadAt>, entry: Entry, method: Method) -> Self {
        Self { stored, entry, method, reading: Mutex::default() }
    }
}

impl ReadAt for Inflated {
    fn len_bytes(&self) -> u64 {
        self.entry.length_bytes
    }

    fn check_unchanged(&self) -> io::Result<()> {
        self.stored.check_unchanged()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        let end = offset_bytes.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.len_bytes()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if offset_bytes < reading.at {
            *reading = Reading::default();
        }
        let Reading { stream, at } = &mut *reading;
        let stream = match stream {
            Some(stream) => stream,
            None => {
                let stored = FrontToEnd::shared(Arc::clone(&self.stored));
                let begun = Inflate::new(stored, &self.entry, self.method);
                stream.insert(begun.ok_or_else(|| io::Error::other("a member that is stored"))?)
            }
        };
        let mut passed = [0; STEP_BYTES];
        while *at < offset_bytes {
            let step = usize::try_from(offset_bytes - *at).unwrap_or(STEP_BYTES).min(STEP_BYTES);
            stream.read_exact(&mut passed[..step])?;
            *at += step as u64;
        }
        stream.read_exact(buf)?;
        *at += buf.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deflated_member_can_be_read_at_any_place_again() {
        let content: Vec<u8> = (0..200_000_u32).map(|number| (number / 7) as u8).collect();
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut encoder, &content).unwrap();
        let packed = encoder.finish().unwrap();
        let mut crc = flate2::Crc::new();
        crc.update(&content);
        let packed_bytes = packed.len() as u64;
        let entry = Entry {
            name: EntryName::parse("d").unwrap(),
            offset_bytes: 0,
            length_bytes: content.len() as u64,
        };
        let method = Method::Deflated { packed_bytes, crc: crc.sum() };
        let inflated = Inflated::new(Arc::new(packed), entry, method);
        for (at, length) in [(0, 10), (150_000, 50_000), (0, 200_000), (7, 1), (199_999, 1)] {
            let mut buf = vec![0; length];
            inflated.read_exact_at(&mut buf, at as u64).unwrap();
            assert!(buf == content[at..at + length], "{at} {length}");
        }
        assert!(inflated.read_exact_at(&mut [0; 2], 199_999).is_err());
    }
}
