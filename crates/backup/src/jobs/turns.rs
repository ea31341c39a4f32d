//! Turns: a job runs once at a time, a machine has one task at a time, a place takes so many.
//!
//! Each turn is a lock on a file, so that it holds between processes and is gone with the one that has it.
//! Who does not get one waits: a peer that holds it is no failure.

use host::lock::{self, Lock};

use crate::{Error, Result, State};

/// The most files among which a turn at a place is looked for: the limit of this product.
const MAX_SLOTS: u32 = 1024;

/// What only one, or so many, may do at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn<'a> {
    /// A run of this job.
    Job(&'a str),
    /// A task of this machine on this host.
    Machine {
        /// The URI of the host.
        host: &'a str,
        /// The machine.
        vm: &'a str,
    },
    /// A task that writes to this place, of so many at a time; 0 for any number.
    Place {
        /// The folder or pool.
        place: &'a str,
        /// How many at a time.
        limit: u32,
    },
}

/// A turn that was given, until it is dropped.
#[derive(Debug)]
pub struct Turns {
    _lock: Option<Lock>,
}

impl State {
    /// Takes a turn, if it is free.
    ///
    /// # Errors
    /// The state cannot be written.
    pub fn attempt(&self, turn: Turn<'_>) -> Result<Option<Turns>> {
        self.make()?;
        match turn {
            Turn::Job(name) => self.lock(&format!("job-{name}")),
            Turn::Machine { host, vm } => {
                self.lock(&format!("machine-{}", key(&format!("{host}\0{vm}"))))
            }
            Turn::Place { limit: 0, .. } => Ok(Some(Turns { _lock: None })),
            Turn::Place { place, limit } => {
                let key = key(place);
                for slot in 0..limit.min(MAX_SLOTS) {
                    if let Some(turn) = self.lock(&format!("place-{key}-{slot}"))? {
                        return Ok(Some(turn));
                    }
                }
                Ok(None)
            }
        }
    }

    fn lock(&self, name: &str) -> Result<Option<Turns>> {
        let path = self.locks().join(format!("{name}.lock"));
        let lock = lock::attempt(&path).map_err(|error| Error::io("cannot lock", &path, error))?;
        Ok(lock.map(|lock| Turns { _lock: Some(lock) }))
    }
}

/// A file name for any text.
fn key(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_one_task_at_a_time_and_a_place_so_many() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path());
        let machine = |vm| Turn::Machine { host: "qemu:///system", vm };
        let held = state.attempt(machine("a/../b")).unwrap().unwrap();
        assert!(state.attempt(machine("a/../b")).unwrap().is_none());
        let elsewhere = Turn::Machine { host: "qemu:///session", vm: "a/../b" };
        assert!(state.attempt(elsewhere).unwrap().is_some());
        drop(held);
        assert!(state.attempt(machine("a/../b")).unwrap().is_some());
        let place = |limit| state.attempt(Turn::Place { place: "/srv", limit }).unwrap();
        let (one, two) = (place(2), place(2));
        assert!(one.is_some() && two.is_some() && place(2).is_none());
        assert!(place(3).is_some() && place(0).is_some());
        drop(one);
        assert!(place(2).is_some());
    }
}
