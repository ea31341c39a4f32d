//! A package that is read in pieces, as they are asked for.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, Read as _},
    sync::{Arc, Mutex, PoisonError},
};

use disk::ReadAt;
use ureq::Agent;

use super::{Address, Answer, HttpError, Validator};

/// How many bytes are asked for at once.
pub(super) const PIECE_BYTES: u64 = 64 << 10;

/// How many pieces are kept.
const KEPT_PIECES: usize = 64;

/// What is at an address, at any place: for looking at headers, not for reading it all.
pub struct Ranged {
    agent: Agent,
    address: Address,
    whole_bytes: u64,
    validator: Option<Validator>,
    /// The last pieces, by number.
    kept: Mutex<VecDeque<(u64, Arc<[u8]>)>>,
}

impl Ranged {
    pub(super) fn new(agent: Agent, address: &Address, answer: Answer) -> Result<Self, HttpError> {
        let whole_bytes = answer.whole_bytes.unwrap_or_default();
        let ranged = Self {
            agent,
            address: address.clone(),
            whole_bytes,
            validator: answer.validator.clone(),
            kept: Mutex::default(),
        };
        let first = ranged.take(0, answer)?;
        ranged.keep(0, first);
        Ok(ranged)
    }

    /// The bytes of an answer, which must be those of this piece.
    fn take(&self, number: u64, answer: Answer) -> Result<Arc<[u8]>, HttpError> {
        let start = number * PIECE_BYTES;
        let end = (start + PIECE_BYTES).min(self.whole_bytes);
        let is_same =
            answer.whole_bytes == Some(self.whole_bytes) && answer.validator == self.validator;
        if answer.part.is_none() || !is_same {
            return Err(HttpError::changed(&self.address.to_string()));
        }
        if answer.part != Some(start..end) {
            let text = format!("{}: another part than was asked for", self.address);
            return Err(HttpError::unreachable(text));
        }
        let mut bytes = Vec::new();
        let wanted = end - start;
        answer.body.take(wanted).read_to_end(&mut bytes).map_err(|error| {
            HttpError::unreachable(format!("cannot get {}", self.address)).caused_by(error)
        })?;
        if bytes.len() as u64 != wanted {
            let text = format!("{} gave {} bytes of {wanted}", self.address, bytes.len());
            return Err(HttpError::unreachable(text));
        }
        Ok(bytes.into())
    }

    fn piece(&self, number: u64) -> Result<Arc<[u8]>, HttpError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = kept.iter().find(|(there, _)| *there == number) {
            return Ok(Arc::clone(bytes));
        }
        drop(kept);
        let start = number * PIECE_BYTES;
        let wish = (start..(start + PIECE_BYTES).min(self.whole_bytes), self.validator.as_ref());
        let answer = match Answer::ask(&self.agent, &self.address, Some(&wish)) {
            // Once more: a kept connection may have been closed meanwhile.
            Err(error) if error.is_passing() => {
                Answer::ask(&self.agent, &self.address, Some(&wish))?
            }
            other => other?,
        };
        let bytes = self.take(number, answer)?;
        self.keep(number, Arc::clone(&bytes));
        Ok(bytes)
    }

    fn keep(&self, number: u64, bytes: Arc<[u8]>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT_PIECES {
            kept.pop_front();
        }
        kept.push_back((number, bytes));
    }
}

impl ReadAt for Ranged {
    fn len_bytes(&self) -> u64 {
        self.whole_bytes
    }

    fn read_exact_at(&self, mut buf: &mut [u8], mut offset_bytes: u64) -> io::Result<()> {
        let end = offset_bytes.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.whole_bytes) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while !buf.is_empty() {
            let piece = self.piece(offset_bytes / PIECE_BYTES)?;
            let inside = usize::try_from(offset_bytes % PIECE_BYTES).unwrap_or_default();
            let bytes = &piece[inside..];
            let count = bytes.len().min(buf.len());
            let (now, later) = buf.split_at_mut(count);
            now.copy_from_slice(&bytes[..count]);
            buf = later;
            offset_bytes += count as u64;
        }
        Ok(())
    }
}

impl fmt::Debug for Ranged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ranged").field("address", &self.address).finish_non_exhaustive()
    }
}
