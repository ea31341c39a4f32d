//! One connection, used by many threads: requests go out as they come, replies find who waits.
//!
//! ```text
//! thread A --+--Mutex<output>--> requests           who waits and finds the input free, takes it and
//! thread B --+                                      reads one head: its own -> it reads the payload,
//! thread C --+<--the input, one holder at a time--  another's -> the input is handed to that thread
//! ```
//!
//! So there is no thread of the connection's own, and a payload is read by the thread that wants it,
//! straight into its buffer. After an error of the socket or of the protocol nothing is read any more:
//! everybody gets that error.

use std::{
    collections::HashMap,
    io::{BufReader, Read, Write},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    Error, Kind, Result,
    wire::{Head, HeadError, Request, command},
};

/// What is read ahead of the socket: heads, not payloads, which go past it.
pub(crate) const READ_AHEAD_BYTES: usize = 4096;

/// The side of a connection that is read from.
pub(crate) type Input = BufReader<Box<dyn Read + Send>>;

/// A connection behind its handshake.
pub(crate) struct Connection {
    output: Mutex<Box<dyn Write + Send>>,
    state: Mutex<State>,
    /// Told when the input is free, handed on, or gone.
    turn: Condvar,
    timeout: Duration,
}

struct State {
    next_cookie: u64,
    next_call: u64,
    /// Who waits for a reply, by its cookie.
    owners: HashMap<u64, Owner>,
    baton: Baton,
    /// Why the connection is over.
    failed: Option<Error>,
}

/// Who a reply is for.
#[derive(Debug, Clone, Copy)]
struct Owner {
    call: u64,
    /// What the call itself calls the request.
    token: usize,
}

/// Who may read.
enum Baton {
    /// Whoever comes.
    Free(Input),
    /// Somebody does, or nobody ever will again.
    Taken,
    /// The call whose reply comes next.
    Handed(Input, Arrival),
}

/// A reply whose head was read.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    cookie: u64,
    owner: Owner,
    head: Head,
}

/// What is left of a reply behind one of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing: the request is answered.
    Nothing,
    /// More chunks.
    More,
}

impl Connection {
    pub(crate) fn new(input: Input, output: Box<dyn Write + Send>, timeout: Duration) -> Self {
        let state = State {
            next_cookie: 1,
            next_call: 1,
            owners: HashMap::new(),
            baton: Baton::Free(input),
            failed: None,
        };
        Self { output: Mutex::new(output), state: Mutex::new(state), turn: Condvar::new(), timeout }
    }

    /// Begins a call: some requests of one thread.
    pub(crate) fn call(&self) -> Call<'_> {
        let mut state = self.state();
        let number = state.next_call;
        state.next_call = state.next_call.wrapping_add(1);
        Call { connection: self, number, waits_for: 0 }
    }

    /// Says goodbye, if there is anybody to hear it ("Terminating the transmission phase").
    pub(crate) fn disconnect(&self) {
        if self.state().failed.is_some() {
            return;
        }
        let mut bytes = Vec::new();
        let request = Request { command: command::DISCONNECT, offset_bytes: 0, len_bytes: 0 };
        request.append_to(&mut bytes, 0);
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing depends on it: the server sees the socket close, too.
        let _told = output.write_all(&bytes).and_then(|()| output.flush());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection for everybody, and gives the first reason.
    fn fail(&self, error: Error) -> Error {
        let mut state = self.state();
        state.baton = Baton::Taken;
        let first = state.failed.get_or_insert(error).clone();
        self.turn.notify_all();
        first
    }

    /// Reads a head, and finds who waits for what is behind it.
    fn arrival(&self, input: &mut Input) -> Result<Arrival> {
        let (cookie, head) = Head::read(input).map_err(|error| {
            self.fail(match error {
                HeadError::Io(error) => Error::of_socket(error, self.timeout),
                HeadError::Magic(magic) => {
                    Error::malformed(format!("a reply begins with {magic:#010x}"))
                }
            })
        })?;
        let owner = self.state().owners.get(&cookie).copied();
        let owner = owner.ok_or_else(|| {
            self.fail(Error::malformed(format!(
                "a reply to request {cookie}, which was not sent or is answered already"
            )))
        })?;
        Ok(Arrival { cookie, owner, head })
    }
}

/// Some requests of one thread, and the replies to them.
///
/// Each error of it is the end of the connection.
pub(crate) struct Call<'a> {
    connection: &'a Connection,
    number: u64,
    /// Requests without their last reply.
    waits_for: usize,
}

impl<'a> Call<'a> {
    /// Sends requests, each with the token under which its replies come.
    pub(crate) fn send(&mut self, requests: impl Iterator<Item = (usize, Request)>) -> Result<()> {
        let mut bytes = Vec::new();
        {
            let mut state = self.connection.state();
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            for (token, request) in requests {
                let cookie = state.next_cookie;
                state.next_cookie = cookie.wrapping_add(1);
                state.owners.insert(cookie, Owner { call: self.number, token });
                self.waits_for = self.waits_for.saturating_add(1);
                request.append_to(&mut bytes, cookie);
            }
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let output = &self.connection.output;
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = output.write_all(&bytes).and_then(|()| output.flush());
        sent.map_err(|error| self.connection.fail(Error::of_socket(error, self.connection.timeout)))
    }

    /// How many requests are not answered yet.
    pub(crate) fn waits_for(&self) -> usize {
        self.waits_for
    }

    /// Waits for a part of a reply to this call; `take` gets the request's token, the head, and the
    /// input to read exactly the payload from.
    pub(crate) fn next(
        &mut self,
        take: impl FnOnce(usize, Head, &mut Input) -> Result<Rest>,
    ) -> Result<()> {
        let (mut input, arrival) = self.wait()?;
        let taken = take(arrival.owner.token, arrival.head, &mut input);
        let rest = taken.map_err(|error| self.connection.fail(error))?;
        let mut state = self.connection.state();
        if rest == Rest::Nothing {
            state.owners.remove(&arrival.cookie);
            self.waits_for = self.waits_for.saturating_sub(1);
        }
        // Somebody who could not send may have ended the connection meanwhile.
        if state.failed.is_none() {
            state.baton = Baton::Free(input);
            self.connection.turn.notify_all();
        }
        Ok(())
    }

    /// Waits until the input is ours and stands behind a head of ours.
    fn wait(&self) -> Result<(Input, Arrival)> {
        let connection = self.connection;
        let mut state = connection.state();
        loop {
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            match std::mem::replace(&mut state.baton, Baton::Taken) {
                Baton::Handed(input, arrival) if arrival.owner.call == self.number => {
                    return Ok((input, arrival));
                }
                Baton::Free(mut input) => {
                    drop(state);
                    let arrival = connection.arrival(&mut input)?;
                    if arrival.owner.call == self.number {
                        return Ok((input, arrival));
                    }
                    state = connection.state();
                    if state.failed.is_none() {
                        state.baton = Baton::Handed(input, arrival);
                        connection.turn.notify_all();
                    }
                }
                other => {
                    state.baton = other;
                    let waited = connection.turn.wait(state);
                    state = waited.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl Drop for Call<'_> {
    /// A call that goes before its replies came leaves payloads behind that nobody would read.
    fn drop(&mut self) {
        if self.waits_for > 0 {
            self.connection.fail(Error::new(Kind::Io, "a request was given up"));
        }
    }
}
