//! A file in memory that stops working when a test wants it.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use disk::WriteAt;

use crate::Medium;

/// A file, and what a power cut would leave of it.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// What was there at the last sync.
    synced: Vec<u8>,
    /// What was done since, in order.
    pending: Vec<Act>,
    /// How many acts still work.
    left: Option<usize>,
    acts: usize,
}

/// One act on the file.
#[derive(Debug, Clone)]
enum Act {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

impl Act {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, content) => {
                let end = at + content.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*at..end].copy_from_slice(content);
            }
            Self::SetLen(length) => bytes.resize(*length, 0),
        }
    }
}

impl Memory {
    /// A file with content that is on the disk.
    pub(crate) fn with(bytes: Vec<u8>) -> Self {
        Self(Mutex::new(State { synced: bytes.clone(), bytes, ..State::default() }))
    }

    /// The same, of which only the first `acts` acts work.
    pub(crate) fn failing(bytes: Vec<u8>, acts: usize) -> Self {
        let memory = Self::with(bytes);
        memory.lock().left = Some(acts);
        memory
    }

    /// What is in the file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.lock().bytes.clone()
    }

    /// How many acts there were.
    pub(crate) fn acts(&self) -> usize {
        self.lock().acts
    }

    /// What a power cut may leave: what was synced, with any part of what was done since, and with writes that
    /// arrived in part.
    pub(crate) fn after_a_power_cut(&self) -> Vec<Vec<u8>> {
        let state = self.lock();
        let mut left = vec![state.synced.clone(), state.bytes.clone()];
        for (index, act) in state.pending.iter().enumerate() {
            // All up to this one, and this one alone: a device may reorder what was not synced.
            let mut prefix = state.synced.clone();
            state.pending[..index].iter().for_each(|act| act.apply(&mut prefix));
            let mut alone = state.synced.clone();
            act.apply(&mut alone);
            if let Act::Write(at, content) = act {
                // The one write that publishes is torn at every byte, greater ones here and there.
                let step = if content.len() <= 512 { 1 } else { 499 };
                for cut in (0..content.len().min(2000)).step_by(step) {
                    let mut torn = prefix.clone();
                    Act::Write(*at, content[..cut].to_vec()).apply(&mut torn);
                    left.push(torn);
                }
            }
            act.apply(&mut prefix);
            left.extend([prefix, alone]);
        }
        left
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn act(&self, act: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.lock();
        state.acts += 1;
        match &mut state.left {
            Some(0) => return Err(io::ErrorKind::StorageFull.into()),
            Some(left) => *left -= 1,
            None => {}
        }
        act(&mut state);
        Ok(())
    }
}

impl WriteAt for Memory {
    fn write_all_at(&self, buf: &[u8], offset_bytes: u64) -> io::Result<()> {
        self.act(|state| {
            let act = Act::Write(usize::try_from(offset_bytes).unwrap(), buf.to_vec());
            act.apply(&mut state.bytes);
            state.pending.push(act);
        })
    }

    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        disk::ReadAt::read_exact_at(&self.bytes(), buf, offset_bytes)
    }

    fn set_len_bytes(&self, len_bytes: u64) -> io::Result<()> {
        self.act(|state| {
            let act = Act::SetLen(usize::try_from(len_bytes).unwrap());
            act.apply(&mut state.bytes);
            state.pending.push(act);
        })
    }
}

impl Medium for Memory {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.lock().bytes.len() as u64)
    }

    fn sync(&self) -> io::Result<()> {
        self.act(|state| {
            state.synced = state.bytes.clone();
            state.pending.clear();
        })
    }
}
