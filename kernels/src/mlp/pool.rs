//! The threads of a learner, and the loops over flat vectors that they share.

use super::DividedBatch;
use crate::adamw::{self, Buffers, Step};
use crate::simd::{Level, Simd, dispatched};
use crate::threads;
use rayon::ThreadPool;
use rayon::prelude::*;

/// The least numbers of a flat vector for a thread.
const LEAST_NUMBERS: usize = 1 << 14;

/// Threads that all networks of a learner share, and the instruction set they use. With one thread
/// there is no pool: everything runs on the calling thread.
#[derive(Debug)]
pub struct Pool {
    level: Level,
    threads: Option<ThreadPool>,
    division: Option<Box<dyn DividedBatch>>,
}

impl Pool {
    /// `threads` threads (at least one). Falls back to the calling thread alone if the system
    /// refuses to create threads.
    pub fn new(threads: usize) -> Self {
        Self::at(Level::detect(), threads)
    }

    /// The same with a chosen instruction set.
    pub fn at(level: Level, threads: usize) -> Self {
        Self {
            level,
            threads: threads::start(threads, "mlp"),
            division: None,
        }
    }

    /// From now on, passes compute batches in parts, and of these the ones of this process. All
    /// processes of the division have to make the same passes.
    pub fn divide(&mut self, division: impl DividedBatch + 'static) {
        self.division = Some(Box::new(division));
    }

    /// How passes divide batches, if they do.
    pub(super) fn division(&self) -> Option<&dyn DividedBatch> {
        self.division.as_deref()
    }

    /// The number of threads.
    pub fn threads(&self) -> usize {
        self.threads
            .as_ref()
            .map_or(1, ThreadPool::current_num_threads)
    }

    /// The instruction set.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Runs a whole update on one of the threads. Passes through networks that start inside find
    /// the other threads awake, which saves most of the cost of sharing: call it once for each
    /// update.
    pub fn update<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.threads {
            Some(threads) => threads.install(work),
            None => work(),
        }
    }

    /// Runs `work` on each item, on the threads if there are at least two `shares` of work.
    pub(super) fn each<T: Send>(
        &self,
        shares: usize,
        items: &mut [T],
        work: impl Fn(&mut T) + Sync,
    ) {
        match &self.threads {
            Some(threads) if shares > 1 && items.len() > 1 => {
                threads.install(|| items.par_iter_mut().with_max_len(1).for_each(&work));
            }
            _ => items.iter_mut().for_each(work),
        }
    }

    /// The number of threads that this many multiply-adds are divided among.
    pub(super) fn shares(&self, multiply_adds: usize) -> usize {
        /// Some five to twenty microseconds.
        const LEAST: usize = 1 << 19;
        (multiply_adds / LEAST).clamp(1, self.threads())
    }

    /// The length of the parts into which a flat vector is cut.
    fn part(&self, len: usize) -> usize {
        len.div_ceil(self.threads()).max(LEAST_NUMBERS)
    }

    /// One step of AdamW; with [`AdamW::decay`](adamw::AdamW::decay) 0 it is Adam. The bits do not
    /// depend on the number of threads.
    ///
    /// # Panics
    /// If the buffers differ in length.
    pub fn adam(&self, step: &Step, buffers: Buffers<'_>) {
        let len = buffers.gradient.len();
        let others = [&*buffers.weights, &*buffers.mean, &*buffers.square];
        let fits = others.map(<[f32]>::len) == [len; 3];
        assert!(fits, "a gradient and two moments for each weight");
        let mut parts = buffers.parts(std::iter::repeat(self.part(len)));
        self.each(parts.len(), &mut parts, |part| {
            adamw::update_at(self.level, step, part);
        });
    }

    /// Moves target weights towards the trained ones: target <- (1 - tau) target + tau weights.
    /// With tau 1 it copies.
    ///
    /// # Panics
    /// If the vectors differ in length.
    pub fn polyak(&self, tau: f64, weights: &[f32], target: &mut [f32]) {
        assert_eq!(weights.len(), target.len(), "a target for each weight");
        let part = self.part(weights.len());
        let mut parts: Vec<_> = weights.chunks(part).zip(target.chunks_mut(part)).collect();
        self.each(parts.len(), &mut parts, |(weights, target)| {
            move_towards(self.level, (1.0 - tau) as f32, tau as f32, weights, target);
        });
    }
}

dispatched! {
    fn move_towards(keep: f32, tau: f32, weights: &[f32], target: &mut [f32]) = move_towards_with;
}

#[inline(always)]
fn move_towards_with<S: Simd>(s: S, keep: f32, tau: f32, weights: &[f32], target: &mut [f32]) {
    for (weights, target) in weights.chunks(S::LANES).zip(target.chunks_mut(S::LANES)) {
        let step = s.mul(s.splat(tau), s.load(weights));
        s.store(s.mul_add(s.splat(keep), s.load(target), step), target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adamw::AdamW;
    use crate::testing::{assert_close, numbers};

    const LEN: usize = 3 * LEAST_NUMBERS + 17;

    #[test]
    fn adam_is_adam_and_has_the_same_bits_on_any_number_of_threads() {
        // Golden values of PyTorch's Adam: rate 1e-3, weight 1, gradients .5, -.2, .1.
        let constants = AdamW {
            decay: 0.0,
            ..AdamW::default()
        };
        let step_of = |number, clip| Step {
            constants,
            rate: 1e-3,
            number,
            clip,
        };
        let (mut weight, mut mean, mut square) = ([1.0], [0.0], [0.0]);
        let expected = [0.999, 0.998_654_4, 0.998_275];
        for (step, gradient) in [0.5, -0.2, 0.1].into_iter().enumerate() {
            let number = step as u64 + 1;
            let pool = Pool::new(1);
            let buffers = Buffers {
                gradient: &[gradient],
                weights: &mut weight,
                mean: &mut mean,
                square: &mut square,
            };
            pool.adam(&step_of(number, 1.0), buffers);
            assert!((weight[0] - expected[step]).abs() < 1.2e-7, "{}", weight[0]);
        }
        let after = |threads| {
            let mut weights = numbers(1, LEN);
            let (mut mean, mut square) = (numbers(2, LEN), vec![0.5; LEN]);
            let gradient = numbers(3, LEN);
            let pool = Pool::new(threads);
            let buffers = Buffers {
                gradient: &gradient,
                weights: &mut weights,
                mean: &mut mean,
                square: &mut square,
            };
            pool.adam(&step_of(3, 0.5), buffers);
            (weights, mean, square)
        };
        assert_eq!(after(1), after(3));
    }

    #[test]
    fn polyak_moves_targets_by_tau() {
        let weights = numbers(1, LEN);
        let before = numbers(2, LEN);
        let tau = 0.005;
        let pairs = before.iter().zip(&weights);
        let expected: Vec<f64> = pairs
            .map(|(t, w)| (1.0 - tau) * f64::from(*t) + tau * f64::from(*w))
            .collect();
        for level in Level::available() {
            let mut target = before.clone();
            Pool::at(level, 2).polyak(tau, &weights, &mut target);
            assert_close(&target, &expected, "target");
            Pool::at(level, 2).polyak(1.0, &weights, &mut target);
            assert_eq!(target, weights);
        }
    }
}
