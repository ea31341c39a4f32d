//! Which item is next: by order, and by the memory and room that it needs beside those that run.

use std::collections::{BTreeMap, VecDeque};

/// What an item needs while it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Need {
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of room where it goes.
    pub space_bytes: u64,
    /// The file system where it goes.
    pub place: u64,
}

/// What there is for all items that run.
pub trait Room {
    /// Bytes of memory for all of them together.
    fn memory_bytes(&self) -> u64;

    /// Bytes that are free now on a file system.
    fn free_bytes(&self, place: u64) -> u64;
}

/// The items that wait and those that run.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    waiting: VecDeque<(T, Need)>,
    running: BTreeMap<u64, Need>,
    next_ticket: u64,
}

/// What there is to do.
#[derive(Debug)]
pub(crate) enum Turn<T> {
    /// This one; the ticket gives back what is kept for it.
    Run(T, u64),
    /// What waits does not fit beside what runs.
    Wait,
    /// Nothing waits.
    Over,
}

impl<T> Queue<T> {
    /// Begins with these, in this order.
    pub(crate) fn new(items: impl IntoIterator<Item = (T, Need)>) -> Self {
        Self { waiting: items.into_iter().collect(), running: BTreeMap::new(), next_ticket: 0 }
    }

    /// Takes the first that fits, and keeps for it what it needs.
    ///
    /// Where nothing runs, the first is taken whether it fits or not: it can say itself, and better,
    /// what is missing.
    pub(crate) fn take(&mut self, room: &dyn Room) -> Turn<T> {
        if self.waiting.is_empty() {
            return Turn::Over;
        }
        let fitting = (0..self.waiting.len()).find(|at| self.fits(*at, room));
        let at = if self.running.is_empty() { fitting.or(Some(0)) } else { fitting };
        let Some((item, need)) = at.and_then(|at| self.waiting.remove(at)) else {
            return Turn::Wait;
        };
        let ticket = self.next_ticket;
        self.next_ticket = ticket.wrapping_add(1);
        self.running.insert(ticket, need);
        Turn::Run(item, ticket)
    }

    /// Gives back what was kept for an item.
    pub(crate) fn finish(&mut self, ticket: u64) {
        self.running.remove(&ticket);
    }

    /// What waits, and will not be taken.
    pub(crate) fn rest(&mut self) -> Vec<T> {
        self.waiting.drain(..).map(|(item, _)| item).collect()
    }

    /// Whether an item fits beside those that run. What those have written already is counted twice,
    /// as used and as kept: too much room is kept for a while, never too little.
    fn fits(&self, at: usize, room: &dyn Room) -> bool {
        let Some((_, need)) = self.waiting.get(at) else { return false };
        let kept = |of: fn(&Need) -> u64, same_place: bool| {
            let running = self.running.values();
            let counted = running.filter(|one| !same_place || one.place == need.place);
            counted.fold(of(need), |sum, one| sum.saturating_add(of(one)))
        };
        kept(|need| need.memory_bytes, false) <= room.memory_bytes()
            && kept(|need| need.space_bytes, true) <= room.free_bytes(need.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Host {
        memory: u64,
        free: u64,
    }

    impl Room for Host {
        fn memory_bytes(&self) -> u64 {
            self.memory
        }

        fn free_bytes(&self, place: u64) -> u64 {
            if place == 1 { self.free } else { u64::MAX }
        }
    }

    fn need(memory_bytes: u64, space_bytes: u64, place: u64) -> Need {
        Need { memory_bytes, space_bytes, place }
    }

    #[test]
    fn a_large_one_waits_until_there_is_room_beside_the_others_and_small_ones_go_before() {
        let host = Host { memory: 10, free: 100 };
        let mut queue =
            Queue::new([("a", need(1, 60, 1)), ("b", need(1, 60, 1)), ("c", need(1, 60, 2))]);
        let Turn::Run("a", a) = queue.take(&host) else { panic!() };
        let Turn::Run("c", _) = queue.take(&host) else { panic!("b has no room beside a") };
        assert!(matches!(queue.take(&host), Turn::Wait));
        queue.finish(a);
        assert!(matches!(queue.take(&host), Turn::Run("b", _)));
        assert!(matches!(queue.take(&host), Turn::Over));
    }

    #[test]
    fn memory_is_shared_by_all() {
        let host = Host { memory: 10, free: 100 };
        let mut queue = Queue::new([("a", need(6, 0, 1)), ("b", need(6, 0, 2))]);
        assert!(matches!(queue.take(&host), Turn::Run("a", _)));
        assert!(matches!(queue.take(&host), Turn::Wait));
        assert_eq!(queue.rest(), ["b"]);
    }

    #[test]
    fn what_never_fits_is_tried_alone() {
        let host = Host { memory: 10, free: 100 };
        let mut queue = Queue::new([("a", need(1, 101, 1))]);
        assert!(matches!(queue.take(&host), Turn::Run("a", _)));
    }
}
