//! All ranks of a run, and their exchange of data.
#![expect(unsafe_code, reason = "numbers are sent as their bytes")]

use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Alone, Communicator, Error};
use crate::interrupt::{self, Interrupt};

/// Numbers of a vector that are sent at once: enough to make the latency of a call cheap, few
/// enough to stay in the cache until they are added up.
const PIECE: usize = 1 << 18;

/// All ranks of a run, as seen by one of them.
#[derive(Clone, Debug)]
pub struct World(Arc<Ranks>);

#[derive(Debug)]
struct Ranks {
    communicator: Box<dyn Communicator>,
    /// The receive buffer of [`World::sum`].
    memory: Mutex<Vec<f32>>,
}

impl World {
    /// A single process.
    pub fn alone() -> Self {
        Self::new(Alone)
    }

    /// The ranks that a communicator connects.
    pub fn new(communicator: impl Communicator + 'static) -> Self {
        Self(Arc::new(Ranks {
            communicator: Box::new(communicator),
            memory: Mutex::default(),
        }))
    }

    /// The number of this rank, from 0.
    pub fn rank(&self) -> usize {
        self.0.communicator.rank()
    }

    /// The number of ranks.
    pub fn size(&self) -> usize {
        self.0.communicator.size()
    }

    /// The name of the connection, for display.
    pub fn name(&self) -> String {
        self.0.communicator.name()
    }

    /// Whether this is rank 0, the one that writes and prints.
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// The bytes that rank 0 has; those of the others do not count.
    pub fn broadcast(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        if self.size() > 1 {
            let mut length = (bytes.len() as u64).to_le_bytes();
            self.0.communicator.broadcast(&mut length);
            bytes.resize(u64::from_le_bytes(length) as usize, 0);
            self.0.communicator.broadcast(&mut bytes);
        }
        bytes
    }

    /// The words of all ranks, equally many of each, in the order of the ranks.
    pub fn gather(&self, mine: &[u64]) -> Vec<u64> {
        let mine: Vec<u8> = mine.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut all = vec![0; mine.len() * self.size()];
        self.0.communicator.all_gather(&mine, &mut all);
        let (words, _) = all.as_chunks();
        words.iter().map(|word| u64::from_le_bytes(*word)).collect()
    }

    /// Whether it is true on any rank.
    pub fn any(&self, mine: bool) -> bool {
        self.size() > 1 && self.gather(&[u64::from(mine)]).contains(&1) || mine
    }

    /// Whether work may continue, with the same result on every rank.
    ///
    /// # Errors
    /// The signal that any rank received.
    pub fn check(&self) -> Result<(), Interrupt> {
        self.agree_on(interrupt::check())
    }

    /// Whether no rank received a signal.
    ///
    /// # Errors
    /// On every rank: the signal that one received.
    pub fn agree_on(&self, heard: Result<(), Interrupt>) -> Result<(), Interrupt> {
        if self.size() == 1 {
            return heard;
        }
        let mine = heard.err().map_or(0, Interrupt::number);
        let all = self.gather(&[mine as u64]);
        Interrupt::of(all.into_iter().max().unwrap_or(0) as usize)
    }

    /// All ranks must have the same bytes.
    ///
    /// # Errors
    /// On every rank: `what` differs, and the first rank whose value differs from that of rank 0.
    pub fn agree(&self, what: &'static str, bytes: &[u8]) -> Result<(), Error> {
        if self.size() == 1 {
            return Ok(());
        }
        // The same in every process of one program: its keys are fixed.
        let mut hasher = DefaultHasher::new();
        hasher.write(bytes);
        let all = self.gather(&[hasher.finish()]);
        match all.iter().position(|hash| *hash != all[0]) {
            Some(rank) => Err(Error::Unequal { what, rank }),
            None => Ok(()),
        }
    }

    /// The end of a run that went well, on every rank.
    pub fn finish(&self) {
        self.0.communicator.finish();
    }

    /// Ends the processes of all ranks with this exit code.
    pub fn abort(&self, code: u8) -> ! {
        self.0.communicator.abort(code)
    }

    /// The numbers of all ranks, equally many of each, in the order of the ranks.
    pub(super) fn gather_numbers(&self, mine: &[f32], all: &mut [f32]) {
        self.0.communicator.all_gather(bytes(mine), bytes_mut(all));
    }

    /// `to` becomes the sum of all parts, in their order. A rank has `mine`, at least one; rank r
    /// has `counts(r)`.
    ///
    /// Each rank receives its slice of every part, adds them up and sends the sum to all: the
    /// traffic of a ring all-reduce, with a fixed order.
    pub(super) fn sum(
        &self,
        mine: &[impl AsRef<[f32]>],
        counts: impl Fn(usize) -> usize,
        to: &mut [f32],
    ) {
        let size = self.size();
        if size == 1 {
            return add_up(mine.iter().map(AsRef::as_ref), to);
        }
        let counts: Vec<usize> = (0..size).map(counts).collect();
        let most = counts.iter().copied().max().unwrap_or(1);
        let own = |index: usize| mine.get(index).unwrap_or(&mine[0]).as_ref();
        // A rank with fewer parts than others sends its first again, which is ignored.
        let parts = |received: usize| {
            let from = counts.iter().enumerate();
            let terms = from.flat_map(|(rank, &count)| (0..count).map(move |index| (rank, index)));
            terms.map(move |(rank, index)| (index * size + rank) * received)
        };
        let mut memory = self.0.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let all = to.len() / size * size;
        let (whole, tail) = to.split_at_mut(all);
        let mut start = 0;
        for piece in whole.chunks_mut(PIECE / size * size) {
            let (count, slice) = (piece.len(), piece.len() / size);
            memory.resize(most * count + slice, 0.0);
            let (received, sum) = memory.split_at_mut(most * count);
            for (index, received) in received.chunks_mut(count).enumerate() {
                let sent = &own(index)[start..start + count];
                let communicator = &self.0.communicator;
                communicator.all_to_all(bytes(sent), bytes_mut(received));
            }
            add_up(parts(slice).map(|at| &received[at..at + slice]), sum);
            self.gather_numbers(sum, piece);
            start += count;
        }
        if !tail.is_empty() {
            // Fewer numbers than ranks: all ranks exchange all of them.
            let count = tail.len();
            memory.resize(most * count * size, 0.0);
            for (index, received) in memory.chunks_mut(count * size).enumerate() {
                self.gather_numbers(&own(index)[start..], received);
            }
            add_up(parts(count).map(|at| &memory[at..at + count]), tail);
        }
    }
}

/// `to` becomes the sum of the terms, in their order; the first stays what it is if it is alone.
fn add_up<'a>(terms: impl IntoIterator<Item = &'a [f32]>, to: &mut [f32]) {
    for (index, term) in terms.into_iter().enumerate() {
        if index == 0 {
            to.copy_from_slice(term);
            continue;
        }
        for (sum, value) in to.iter_mut().zip(term) {
            *sum += value;
        }
    }
}

fn bytes(numbers: &[f32]) -> &[u8] {
    // SAFETY: the same memory; bytes have no alignment, and a number has no padding.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) }
}

fn bytes_mut(numbers: &mut [f32]) -> &mut [u8] {
    // SAFETY: as above; all bytes are valid numbers.
    unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), size_of_val(numbers)) }
}

#[cfg(test)]
mod tests {
    use super::super::threads;
    use super::*;

    #[test]
    fn ranks_agree_or_each_learns_who_differs() {
        let outcomes = threads::run(3, |world| {
            world.agree("plan", b"the same").unwrap();
            let other: &[u8] = if world.rank() == 2 { b"b" } else { b"a" };
            world.agree("plan", other).unwrap_err().to_string()
        });
        assert!(outcomes.iter().all(|text| text.contains("rank 2")));
    }

    #[test]
    fn a_signal_to_one_rank_stops_all() {
        let answers = threads::run(3, |world| {
            let heard = if world.rank() == 1 { 15 } else { 0 };
            let stopped = world.agree_on(Interrupt::of(heard));
            (
                stopped.map_err(Interrupt::exit_code),
                world.agree_on(Ok(())),
            )
        });
        assert_eq!(answers, vec![(Err(143), Ok(())); 3]);
    }

    #[test]
    fn the_bytes_of_rank_0_and_the_flag_of_any_rank_reach_all() {
        let heard = threads::run(3, |world| {
            let said = world.broadcast(vec![world.rank() as u8; 3 - world.rank()]);
            let any = [world.any(world.rank() == 1), world.any(false)];
            (said, any, world.gather(&[7, world.rank() as u64]))
        });
        let expected = (vec![0; 3], [true, false], vec![7, 0, 7, 1, 7, 2]);
        assert_eq!(heard, vec![expected; 3]);
    }
}
