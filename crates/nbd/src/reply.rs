//! Replies as they come in: the bytes of a READ, the descriptors of a BLOCK_STATUS, what went wrong.

use std::{
    io::{self, Read},
    time::Duration,
};

use crate::{
    Error, Kind, Result,
    connection::{Input, Rest},
    coverage::Coverage,
    error::says,
    handshake::Agreed,
    wire::{Head, Request, chunk, error_name, u16_of, u32_of, u64_of},
};

/// The most descriptors of one context in one reply (ours): 1 GiB in blocks of 4 KiB.
const MAX_DESCRIPTORS: u32 = 1 << 18;

/// The most bytes of an error chunk: its numbers, and one text ("Values": strings).
const MAX_ERROR_BYTES: u32 = 64 + 4096;

/// The most chunks of one reply beside one for each sector that was asked for (ours).
const SPARE_CHUNKS: u32 = 64;

/// The unit of a disk; a server has no reason to send less at once ("Structured reply types").
const SECTOR_BYTES: u32 = 512;

/// What every reply has to hold to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) agreed: &'a Agreed,
    pub(crate) timeout: Duration,
}

impl Rules<'_> {
    fn number<T>(self, input: &mut Input, read: fn(&mut dyn Read) -> io::Result<T>) -> Result<T> {
        read(input).map_err(|error| Error::of_socket(error, self.timeout))
    }

    fn bytes(self, input: &mut Input, out: &mut [u8]) -> Result<()> {
        input.read_exact(out).map_err(|error| Error::of_socket(error, self.timeout))
    }
}

/// What any request is answered by beside its content.
#[derive(Debug)]
struct Answer {
    request: Request,
    chunks: u32,
    /// What the server says went wrong, first of all.
    error: Option<Error>,
}

/// The reply to a READ, written where it belongs.
#[derive(Debug)]
pub(crate) struct ReadReply<'b> {
    answer: Answer,
    out: &'b mut [u8],
    coverage: Coverage,
}

impl<'b> ReadReply<'b> {
    /// A reply that is to come; `out` has the length of the request.
    pub(crate) fn new(request: Request, out: &'b mut [u8]) -> Self {
        let answer = Answer { request, chunks: 0, error: None };
        Self { answer, out, coverage: Coverage::default() }
    }

    /// What was asked.
    pub(crate) fn request(&self) -> Request {
        self.answer.request
    }

    /// Takes one part of the reply.
    ///
    /// # Errors
    ///
    /// When the server breaks the protocol. What it could not read is told by [`finish`](Self::finish).
    pub(crate) fn take(&mut self, head: Head, input: &mut Input, rules: Rules<'_>) -> Result<Rest> {
        let at = self.answer.request.offset_bytes;
        self.take_part(head, input, rules).map_err(|error| error.at(at))
    }

    /// What the server could not read.
    pub(crate) fn finish(self) -> Result<()> {
        self.answer.error.map_or(Ok(()), Err)
    }

    fn take_part(&mut self, head: Head, input: &mut Input, rules: Rules<'_>) -> Result<Rest> {
        let (kind, is_last, len_bytes) = match head {
            Head::Simple { error: 0 } if !rules.agreed.is_structured => {
                rules.bytes(input, self.out)?;
                return Ok(Rest::Nothing);
            }
            Head::Simple { error } => return self.answer.simple(error),
            Head::Chunk { kind, is_last, len_bytes } => (kind, is_last, len_bytes),
        };
        self.answer.count()?;
        match kind {
            chunk::OFFSET_DATA => {
                let data_bytes =
                    len_bytes.checked_sub(8).ok_or_else(|| bad_len(kind, len_bytes))?;
                let offset = rules.number(input, u64_of)?;
                let out = self.part(offset, data_bytes)?;
                rules.bytes(input, out)?;
            }
            chunk::OFFSET_HOLE if len_bytes == 12 => {
                let offset = rules.number(input, u64_of)?;
                let hole_bytes = rules.number(input, u32_of)?;
                self.part(offset, hole_bytes)?.fill(0);
            }
            _ => self.answer.other(Head::Chunk { kind, is_last, len_bytes }, input, rules)?,
        }
        if !is_last {
            return Ok(Rest::More);
        }
        let whole = self.answer.request.offset_bytes..self.answer.request.end_bytes();
        match self.coverage.first_gap(&whole) {
            Some(gap) if self.answer.error.is_none() => {
                Err(Error::malformed("a reply ends without all that was asked for").at(gap))
            }
            _ => Ok(Rest::Nothing),
        }
    }

    /// The place of a chunk's content, which must be in the request and not have come before.
    fn part(&mut self, offset: u64, len: u32) -> Result<&mut [u8]> {
        let request = self.answer.request;
        let end = offset.saturating_add(u64::from(len));
        let start =
            offset.checked_sub(request.offset_bytes).and_then(|at| usize::try_from(at).ok());
        let part = start.and_then(|start| {
            let len = usize::try_from(len).ok().filter(|len| *len > 0)?;
            self.out.get_mut(start..start.checked_add(len)?)
        });
        let Some(part) = part else {
            let Request { offset_bytes, len_bytes, .. } = request;
            return Err(Error::malformed(format!(
                "a chunk of {len} bytes from byte {offset} on, {len_bytes} from byte {offset_bytes} on were asked for"
            )));
        };
        if !self.coverage.add(&(offset..end)) {
            return Err(Error::malformed(format!(
                "a chunk of {len} bytes from byte {offset} on overlaps an earlier one"
            )));
        }
        Ok(part)
    }
}

/// One descriptor of a BLOCK_STATUS: a length and the context's flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) len_bytes: u32,
    pub(crate) flags: u32,
}

/// The reply to a BLOCK_STATUS.
#[derive(Debug)]
pub(crate) struct StatusReply {
    answer: Answer,
    /// For each context that was agreed on.
    lists: Vec<Option<Vec<Descriptor>>>,
}

impl StatusReply {
    /// A reply that is to come.
    pub(crate) fn new(request: Request, agreed: &Agreed) -> Self {
        let answer = Answer { request, chunks: 0, error: None };
        Self { answer, lists: vec![None; agreed.contexts.len()] }
    }

    /// Takes one part of the reply.
    ///
    /// # Errors
    ///
    /// As [`ReadReply::take`].
    pub(crate) fn take(&mut self, head: Head, input: &mut Input, rules: Rules<'_>) -> Result<Rest> {
        let at = self.answer.request.offset_bytes;
        self.take_part(head, input, rules).map_err(|error| error.at(at))
    }

    /// The descriptors of each context, in the order in which the contexts were asked for.
    pub(crate) fn finish(self) -> Result<Vec<Vec<Descriptor>>> {
        match self.answer.error {
            Some(error) => Err(error),
            None => Ok(self.lists.into_iter().flatten().collect()),
        }
    }

    fn take_part(&mut self, head: Head, input: &mut Input, rules: Rules<'_>) -> Result<Rest> {
        let (kind, is_last, len_bytes) = match head {
            Head::Simple { error } => return self.answer.simple(error),
            Head::Chunk { kind, is_last, len_bytes } => (kind, is_last, len_bytes),
        };
        self.answer.count()?;
        if kind == chunk::BLOCK_STATUS {
            self.take_list(len_bytes, input, rules)?;
        } else {
            self.answer.other(head, input, rules)?;
        }
        if !is_last {
            return Ok(Rest::More);
        }
        match self.lists.iter().position(Option::is_none) {
            Some(missing) if self.answer.error.is_none() => {
                let name = rules.agreed.contexts.get(missing).map_or("", |context| &context.name);
                Err(Error::malformed(format!("a reply ends without the context {name}")))
            }
            _ => Ok(Rest::Nothing),
        }
    }

    fn take_list(&mut self, len_bytes: u32, input: &mut Input, rules: Rules<'_>) -> Result<()> {
        let count = len_bytes
            .checked_sub(4)
            .filter(|bytes| *bytes > 0 && bytes.is_multiple_of(8))
            .map(|bytes| bytes >> 3)
            .ok_or_else(|| bad_len(chunk::BLOCK_STATUS, len_bytes))?;
        if count > MAX_DESCRIPTORS {
            return Err(Error::malformed(format!(
                "a map of {count} descriptors, at most {MAX_DESCRIPTORS} are allowed"
            )));
        }
        let id = rules.number(input, u32_of)?;
        let place = rules.agreed.contexts.iter().position(|context| context.id == id);
        let Some(list @ None) = place.and_then(|place| self.lists.get_mut(place)) else {
            return Err(Error::malformed(format!(
                "a map of context {id}, which was not asked for or came before"
            )));
        };
        let mut descriptors = Vec::new();
        for _ in 0..count {
            let len_bytes = rules.number(input, u32_of)?;
            descriptors.push(Descriptor { len_bytes, flags: rules.number(input, u32_of)? });
        }
        *list = Some(descriptors);
        Ok(())
    }
}

impl Answer {
    /// A reply without structure to what asks for a structured one: only a refusal can be one.
    fn simple(&mut self, error: u32) -> Result<Rest> {
        if error == 0 {
            return Err(Error::malformed("a reply without the structure that was agreed on"));
        }
        self.refuse(error, &[]);
        Ok(Rest::Nothing)
    }

    fn count(&mut self) -> Result<()> {
        self.chunks = self.chunks.saturating_add(1);
        let most = self.request.len_bytes.div_ceil(SECTOR_BYTES).saturating_add(SPARE_CHUNKS);
        if self.chunks > most {
            return Err(Error::malformed(format!("a reply of over {most} chunks")));
        }
        Ok(())
    }

    /// Takes a chunk that is no content: nothing, or an error.
    fn other(&mut self, head: Head, input: &mut Input, rules: Rules<'_>) -> Result<()> {
        let Head::Chunk { kind, is_last, len_bytes } = head else { return Ok(()) };
        match kind {
            chunk::NONE if is_last && len_bytes == 0 => Ok(()),
            chunk::NONE => Err(bad_len(kind, len_bytes)),
            kind if kind & chunk::ERROR != 0 => self.take_error(kind, len_bytes, input, rules),
            chunk::OFFSET_HOLE => Err(bad_len(kind, len_bytes)),
            kind => Err(Error::malformed(format!("a chunk of type {kind}, which is no answer"))),
        }
    }

    /// Takes an error: a number, a text, and for some types a place, which is not needed.
    fn take_error(
        &mut self,
        kind: u16,
        len_bytes: u32,
        input: &mut Input,
        rules: Rules<'_>,
    ) -> Result<()> {
        let rest = len_bytes.checked_sub(6).filter(|_| len_bytes <= MAX_ERROR_BYTES);
        let rest = rest.ok_or_else(|| bad_len(kind, len_bytes))?;
        let error = rules.number(input, u32_of)?;
        let text_bytes = usize::from(rules.number(input, u16_of)?);
        let mut bytes = vec![0; usize::try_from(rest).unwrap_or(usize::MAX)];
        rules.bytes(input, &mut bytes)?;
        let text = bytes.get(..text_bytes).ok_or_else(|| {
            Error::malformed(format!(
                "a text of {text_bytes} bytes in a chunk that has {rest} for it"
            ))
        })?;
        self.refuse(error, text);
        Ok(())
    }

    fn refuse(&mut self, error: u32, text: &[u8]) {
        let Request { offset_bytes, len_bytes, .. } = self.request;
        let (name, says) = (error_name(error), says(text));
        let message =
            format!("the server cannot tell {len_bytes} bytes: {name}, error {error}{says}");
        self.error.get_or_insert_with(|| Error::new(Kind::Io, message).at(offset_bytes));
    }
}

fn bad_len(kind: u16, len_bytes: u32) -> Error {
    Error::malformed(format!("a chunk of type {kind} with {len_bytes} bytes"))
}
