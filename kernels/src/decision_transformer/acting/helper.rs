//! A second thread for the step of one row, and how the two wait for each other.

use super::halves::Halves;
use super::slide::Handover;
use super::step::Scratch;
use rayon::ThreadPool;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A second thread for one row, and what it needs.
pub(super) struct Helper<'a> {
    pub(super) pool: &'a ThreadPool,
    pub(super) scratch: &'a mut Scratch,
    pub(super) handover: &'a Handover,
    pub(super) halves: &'a Halves,
    pub(super) calls: &'a Calls,
}

impl Helper<'_> {
    /// The same for a part of what is to be done.
    pub(super) fn again(&mut self) -> Helper<'_> {
        Helper {
            scratch: &mut *self.scratch,
            ..*self
        }
    }

    /// Runs `help` on the second thread and `own` on this one.
    pub(super) fn run(self, help: impl FnOnce(&mut Scratch) + Send, own: impl FnOnce()) {
        let Self {
            pool,
            scratch,
            calls,
            ..
        } = self;
        calls.begin();
        pool.in_place_scope(|scope| {
            scope.spawn(move |_| {
                help(scratch);
                calls.stay_awake();
            });
            own();
        });
    }
}

/// Counts the calls of the second thread.
#[derive(Debug, Default)]
pub(super) struct Calls(Arc<AtomicUsize>);

impl Calls {
    fn begin(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps the current thread of a pool awake until the next call, but not for long. To wake a
    /// thread can take longer than its half of a step.
    fn stay_awake(&self) {
        const MOST: Duration = Duration::from_millis(1);
        // A spin takes 5 to 50 ns.
        const SPINS: usize = 4;
        let calls = Arc::clone(&self.0);
        let current = calls.load(Ordering::Relaxed);
        rayon::spawn(move || {
            let began = Instant::now();
            while calls.load(Ordering::Relaxed) == current && began.elapsed() < MOST {
                (0..SPINS).for_each(|_| std::hint::spin_loop());
            }
        });
    }
}

/// Locks what a thread that panicked may have held: nothing there outlives a step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many parts of its work a thread has completed in the current call.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicUsize);

impl Progress {
    /// Nothing is complete. Only while the other thread does not wait.
    pub(super) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// The number of complete parts.
    pub(super) fn parts(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// One more part is complete.
    pub(super) fn complete(&self) {
        // Only one thread counts.
        self.0
            .store(self.parts().saturating_add(1), Ordering::Release);
    }

    /// Waits until this many parts are complete.
    pub(super) fn wait_for(&self, parts: usize) {
        /// Checks between two offers of the core to other threads.
        const SPINS: usize = 1000;
        let mut spins = 0;
        while self.0.load(Ordering::Acquire) < parts {
            spins += 1;
            if spins % SPINS == 0 {
                std::thread::yield_now();
            }
            std::hint::spin_loop();
        }
    }

    /// Completes all parts when it is dropped, so that the other thread does not wait for one that
    /// has panicked.
    pub(super) fn guard(&self) -> End<'_> {
        End(self)
    }
}

/// See [`Progress::guard`].
pub(super) struct End<'a>(&'a Progress);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.0.store(usize::MAX, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_thread_does_not_wait_for_one_that_has_panicked() {
        let progress = Progress::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let work = || {
                    let _end = progress.guard();
                    progress.complete();
                    panic!("on purpose");
                };
                catch_unwind(AssertUnwindSafe(work)).expect_err("it panics");
            });
            progress.wait_for(2);
        });
        progress.reset();
        assert_eq!(progress.parts(), 0);
    }
}
