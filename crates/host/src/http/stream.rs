//! A package that is read front to end, and gone on with after a dropped connection.

use std::{
    fmt,
    io::{self, Read},
    thread,
    time::Duration,
};

use ureq::{Agent, BodyReader};

use super::{Address, Answer, HttpError, Validator};

/// How often in a row a connection may drop without a byte that is new (ours).
const MAX_ATTEMPTS: u32 = 5;

/// How long is waited before the second attempt in a row; twice as long before each further one.
const PAUSE: Duration = Duration::from_secs(1);

/// How many bytes count as new, so that a server cannot keep us for ever by one byte at a time.
const PROGRESS_BYTES: u64 = 256 << 10;

/// What is at an address, front to end.
pub struct Stream {
    agent: Agent,
    address: Address,
    body: BodyReader<'static>,
    at: u64,
    whole_bytes: Option<u64>,
    validator: Option<Validator>,
    /// Drops since there was progress, and where that was.
    attempts: u32,
    progress_at: u64,
}

impl Stream {
    pub(super) fn new(agent: Agent, address: &Address, answer: Answer) -> Result<Self, HttpError> {
        if answer.part.is_some() {
            return Err(HttpError::unreachable(format!(
                "{address}: a part, the whole was asked for"
            )));
        }
        Ok(Self {
            agent,
            address: address.clone(),
            body: answer.body,
            at: 0,
            whole_bytes: answer.whole_bytes,
            validator: answer.validator,
            attempts: 0,
            progress_at: 0,
        })
    }

    /// How many bytes there are, where the server says it.
    #[must_use]
    pub const fn len_bytes(&self) -> Option<u64> {
        self.whole_bytes
    }

    /// Asks for the rest, from where the connection was lost by `cause`.
    fn resume(&mut self, cause: io::Error) -> Result<(), HttpError> {
        if self.at.saturating_sub(self.progress_at) >= PROGRESS_BYTES {
            (self.attempts, self.progress_at) = (0, self.at);
        }
        let (at, address) = (self.at, self.address.to_string());
        let lost = |why: &str| {
            HttpError::unreachable(format!(
                "the connection to {address} was lost at byte {at}{why}"
            ))
        };
        let (Some(end), Some(validator)) = (self.whole_bytes, self.validator.clone()) else {
            let why = ", and the server says nothing that would prove the rest to be of the same";
            return Err(lost(why).caused_by(cause));
        };
        if self.attempts == MAX_ATTEMPTS {
            return Err(lost(&format!(", {MAX_ATTEMPTS} times in a row")).caused_by(cause));
        }
        // The first attempt is at once: most drops are of one connection, not of the server.
        if let Some(doubled) = self.attempts.checked_sub(1) {
            thread::sleep(PAUSE * (1 << doubled.min(MAX_ATTEMPTS)));
        }
        self.attempts += 1;
        let answer =
            match Answer::ask(&self.agent, &self.address, Some(&(at..end, Some(&validator)))) {
                // The next drop counts on; a server that is gone for good ends it.
                Err(error) if error.is_passing() => return self.resume(io::Error::other(error)),
                other => other?,
            };
        match &answer.part {
            Some(part) if part.start == at && answer.whole_bytes == Some(end) => {
                self.body = answer.body;
                Ok(())
            }
            // The whole again: it is another, or the server goes on with nothing.
            _ if answer.validator.as_ref() != Some(&validator) => Err(HttpError::changed(&address)),
            _ => Err(lost(", and the server cannot go on from there").caused_by(cause)),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let rest = self.whole_bytes.map_or(u64::MAX, |whole| whole.saturating_sub(self.at));
            let most = usize::try_from(rest).unwrap_or(usize::MAX).min(buf.len());
            if most == 0 {
                return Ok(0);
            }
            let lost = match self.body.read(&mut buf[..most]) {
                Ok(0) if self.whole_bytes.is_none() => return Ok(0),
                Ok(0) => io::ErrorKind::UnexpectedEof.into(),
                Ok(count) => {
                    self.at += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
                Err(error) => error,
            };
            self.resume(lost)?;
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("address", &self.address)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}
