//! Limits for reading one dataset: memory, and the number of parts.
//!
//! A few bytes can claim any amount: compressed zeros, a space of a million bounds, links that lead
//! to the same group again and again. So every reader charges a [`Budget`] before it allocates
//! memory for what a file claims. Two bounds apply at once:
//!
//! - the free memory of the machine, of its control group and of the process's own limits;
//! - what the opened files can plausibly contain. Deflate expands one byte to at most 1032, and a
//!   byte becomes a number of 8; small files have a floor, for spaces and buffers of libraries.
//!
//! A request over a bound is [`Error::TooLarge`], before memory is touched. [`Budget::fork`] is for
//! memory that is freed soon, such as that of one episode: what a fork takes is not charged to its
//! parent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Error;
use crate::memory::free_memory;

/// Bytes that a byte of a file may become: deflate's best, each byte as a number.
const EXPANSION: u64 = 1032 * 8;
/// Bytes that may be taken regardless of the size of the files.
const FLOOR: u64 = 256 << 20;
/// Bytes of a text or an image besides its content: its container and the allocator's.
pub(crate) const ITEM_BYTES: usize = 40;
/// Groups, arrays and entries that one episode, or one file of columns, may have.
const PARTS: u64 = 1 << 16;

/// Memory and parts that reading may still take. Clones share it.
#[derive(Clone, Debug)]
pub struct Budget(Arc<State>);

#[derive(Debug)]
struct State {
    /// Bytes of free memory.
    room: u64,
    /// Bytes that the files opened so far may become; forks share it.
    allowance: Arc<AtomicU64>,
    taken: AtomicU64,
    parts: AtomicU64,
}

impl Default for Budget {
    /// Three quarters of the memory that is free now.
    fn default() -> Self {
        Self::of(free_memory().map_or(u64::MAX, |free| free / 4 * 3))
    }
}

impl Budget {
    /// A budget of `bytes` bytes.
    pub fn of(bytes: u64) -> Self {
        Self(Arc::new(State {
            room: bytes,
            allowance: Arc::new(AtomicU64::new(FLOOR)),
            taken: AtomicU64::new(0),
            parts: AtomicU64::new(0),
        }))
    }

    /// A budget for memory that will be freed: it has what is left here, and a new count of parts.
    #[must_use]
    pub(crate) fn fork(&self) -> Self {
        Self(Arc::new(State {
            room: self.0.room,
            allowance: Arc::clone(&self.0.allowance),
            taken: AtomicU64::new(self.0.taken.load(Ordering::Relaxed)),
            parts: AtomicU64::new(0),
        }))
    }

    /// Records that a file of this many bytes is read.
    pub(crate) fn admit(&self, bytes: u64) {
        let more = |allowance: u64| Some(allowance.saturating_add(bytes.saturating_mul(EXPANSION)));
        let _ = (self.0.allowance).fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Takes bytes for `what`; an error if fewer are left.
    pub(crate) fn take(&self, bytes: u64, what: &str) -> Result<(), Error> {
        let allowance = self.0.allowance.load(Ordering::Relaxed);
        let limit = self.0.room.min(allowance);
        let more = |taken: u64| taken.checked_add(bytes).filter(|&taken| taken <= limit);
        match (self.0.taken).fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(()),
            Err(taken) => Err(Error::TooLarge {
                what: what.to_owned(),
                bytes,
                left: limit.saturating_sub(taken),
                is_memory: self.0.room <= allowance,
            }),
        }
    }

    /// Takes the bytes of items of `size` bytes, as many as the product of `counts`.
    pub(crate) fn take_items(
        &self,
        counts: &[usize],
        size: usize,
        what: &str,
    ) -> Result<(), Error> {
        let sizes = counts.iter().chain([&size]);
        let bytes = sizes.fold(1_u64, |bytes, &count| bytes.saturating_mul(count as u64));
        self.take(bytes, what)
    }

    /// Whether that many items fit into free memory, for files that are not opened yet.
    pub(crate) fn foresee(&self, counts: &[usize], size: usize, what: &str) -> Result<(), Error> {
        let passing = Self::of(self.0.room);
        passing.0.allowance.store(u64::MAX, Ordering::Relaxed);
        let taken = self.0.taken.load(Ordering::Relaxed);
        passing.0.taken.store(taken, Ordering::Relaxed);
        passing.take_items(counts, size, what)
    }

    /// Counts that many more parts of `what`.
    pub(crate) fn look_at(&self, parts: usize, what: &str) -> Result<(), Error> {
        let before = self.0.parts.fetch_add(parts as u64, Ordering::Relaxed);
        if before.saturating_add(parts as u64) > PARTS {
            return Err(Error::TooManyParts(what.to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_beyond_the_budget_is_refused_and_takes_nothing() {
        let budget = Budget::of(1000);
        budget.take(600, "a").unwrap();
        let error = budget.take(401, "the rewards").unwrap_err();
        assert!(error.to_string().contains("the rewards"), "{error}");
        assert!(error.to_string().contains("400 bytes are free"), "{error}");
        assert!(error.hint().unwrap().contains("memory"));
        budget.take(400, "b").unwrap();
        assert!(budget.take_items(&[usize::MAX, 3], 8, "c").is_err());
    }

    #[test]
    fn a_small_file_may_become_the_floor_and_a_large_one_more() {
        let budget = Budget::of(u64::MAX);
        assert!(budget.take(FLOOR + 1, "a").is_err());
        // A file that is opened for one episode counts for all of them.
        budget.fork().admit(1 << 20);
        budget.take(FLOOR + (8 << 30), "a").unwrap();
        let error = budget.take(u64::MAX / 2, "a").unwrap_err();
        assert!(error.hint().unwrap().contains("small"), "{error}");
        budget.admit(u64::MAX);
    }

    #[test]
    fn the_memory_of_a_fork_is_released() {
        let budget = Budget::of(100);
        for _ in 0..10 {
            let episode = budget.fork();
            episode.take(90, "an episode").unwrap();
            assert!(episode.take(20, "an episode").is_err());
            episode.look_at(PARTS as usize, "an episode").unwrap();
            assert!(episode.look_at(1, "an episode").is_err());
        }
        budget.take(50, "rows").unwrap();
        assert!(
            budget.foresee(&[6], 8, "rows").is_ok() && budget.foresee(&[7], 8, "rows").is_err()
        );
        assert!(budget.fork().take(60, "an episode").is_err());
    }
}
