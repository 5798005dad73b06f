//! Threads that kernels share, and whether the system could start them.
//!
//! Kernels work without threads too, but some compute other bits on another number of them, so a
//! caller that needs the same bits checks [`failure`] once everything is built.

use std::io;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread::Builder;

use rayon::{ThreadBuilder, ThreadPool, ThreadPoolBuilder};

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
    match pool.spawn_handler(start_one).build() {
        Ok(pool) => Some(pool),
        Err(error) => {
            *FAILURE.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            None
        }
    }
}

/// Starts a thread of a pool, and waits until it runs.
fn start_one(thread: ThreadBuilder) -> io::Result<()> {
    /// Bytes for a stack and what a thread allocates before it runs. A thread that starts without
    /// these ends the whole program.
    const ROOM: usize = 8 << 20;
    std::hint::black_box(Vec::<u8>::new().try_reserve_exact(ROOM))
        .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    let builder = Builder::new().name(thread.name().unwrap_or_default().to_owned());
    let (runs, wait) = mpsc::channel();
    builder.spawn(move || {
        // The pool waits for it, so it is not refused.
        let _ = runs.send(());
        thread.run();
    })?;
    wait.recv().map_err(io::Error::other)
}

/// Why requested threads could not be started.
pub fn failure() -> Option<String> {
    FAILURE
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}
