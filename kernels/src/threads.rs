//! Threads that kernels share, and whether the system could start them.
//!
//! Kernels work without threads too, but some compute other bits on another number of them, so a
//! caller that needs the same bits checks [`failure`] once everything is built.

use std::sync::{Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

static FAILURE: Mutex<Option<String>> = Mutex::new(None);

/// A pool of `threads` threads, whose names begin with `name`. `None` for one thread, which is the
/// calling one, and where the system refuses.
pub fn start(threads: usize, name: &'static str) -> Option<ThreadPool> {
    if threads <= 1 {
        return None;
    }
    build(threads, name)
}

/// A pool of the threads that work beside the calling one, so that all together are `threads`.
/// `None` as for [`start`].
pub fn start_beside(threads: usize, name: &'static str) -> Option<ThreadPool> {
    if threads <= 1 {
        return None;
    }
    build(threads - 1, name)
}

fn build(threads: usize, name: &'static str) -> Option<ThreadPool> {
    let builder = ThreadPoolBuilder::new().num_threads(threads);
    let pool = builder.thread_name(move |index| format!("{name}-{index}"));
    match pool.build() {
        Ok(pool) => Some(pool),
        Err(error) => {
            *FAILURE.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            None
        }
    }
}

/// Why requested threads could not be started.
pub fn failure() -> Option<String> {
    FAILURE
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}
