//! The processor time of the training steps, without evaluations.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Ticks of a second in `/proc/self/stat`; Linux uses this value for programs on every machine.
const TICKS: f64 = 100.0;

/// A clock that runs during training steps.
#[derive(Debug, Default)]
pub(super) struct ProcessorClock {
    began: Option<u64>,
    /// A thread that does something else meanwhile.
    aside: Option<ThreadClock>,
    /// Ticks of earlier ones.
    aside_before: u64,
}

impl ProcessorClock {
    /// Starts or resumes.
    pub(super) fn go(&mut self) {
        if self.began.is_none() {
            self.began = self.ticks();
        }
    }

    /// Stops, and returns the processor seconds since it began; `None` where the system does not
    /// report them.
    pub(super) fn stop(&mut self) -> Option<f64> {
        let ticks = self.ticks()?.saturating_sub(self.began.take()?);
        Some(ticks as f64 / TICKS)
    }

    /// From now on the time of this thread does not count; that of the one before must have ended.
    pub(super) fn leave_out(&mut self, thread: ThreadClock) {
        self.aside_before += self
            .aside
            .replace(thread)
            .map_or(0, |before| before.ticks());
    }

    /// Processor time of this process, without the threads that do something else.
    fn ticks(&self) -> Option<u64> {
        let aside = self.aside.as_ref().map_or(0, ThreadClock::ticks);
        Some(processor_ticks()?.saturating_sub(self.aside_before + aside))
    }
}

/// The processor time of one thread, read by others while it runs and after its end.
#[derive(Clone, Debug, Default)]
pub(super) struct ThreadClock {
    /// Its file under `/proc`.
    stat: Arc<OnceLock<PathBuf>>,
    /// The ticks at its end.
    total: Arc<OnceLock<u64>>,
}

impl ThreadClock {
    /// Does work on this thread, whose time it is.
    pub(super) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        if let Ok(thread) = std::fs::read_link("/proc/thread-self") {
            let stat = Path::new("/proc").join(thread).join("stat");
            self.stat.get_or_init(|| stat);
        }
        let done = work();
        self.total.get_or_init(|| self.running());
        done
    }

    fn ticks(&self) -> u64 {
        let running = self.running();
        // After the reading, because the file disappears with the thread.
        self.total.get().copied().unwrap_or(running)
    }

    /// The time of the running thread.
    fn running(&self) -> u64 {
        let stat = self.stat.get().map(std::fs::read_to_string);
        let stat = stat.and_then(Result::ok);
        stat.as_deref().and_then(ticks).unwrap_or(0)
    }
}

/// Processor time of all threads of this process, including those that have ended, in ticks.
fn processor_ticks() -> Option<u64> {
    ticks(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// User and system time, the fields 14 and 15; the name of the program, field 2, may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_found_behind_any_name() {
        let stat = "13418 (a) b (c) R 1 2 3 4 -1 6 101 0 0 0 70 5 0 0 20 0 1 0 1315465 3133440";
        assert_eq!(ticks(stat), Some(75));
        for stat in [
            "",
            "1 (x",
            "1 (x) R 1 2",
            "1 (x) R 1 2 3 4 5 6 7 8 9 10 a b c",
        ] {
            assert_eq!(ticks(stat), None, "{stat}");
        }
    }

    #[test]
    fn the_clock_counts_work_and_not_the_time_between() {
        if processor_ticks().is_none() {
            return;
        }
        let mut clock = ProcessorClock::default();
        assert_eq!(clock.stop(), None);
        clock.go();
        let before = processor_ticks();
        while processor_ticks() < before.map(|ticks| ticks + 3) {}
        clock.go();
        assert!(clock.stop() >= Some(0.03));
        assert_eq!(clock.stop(), None);
    }

    #[test]
    fn the_time_of_a_thread_that_does_something_else_is_left_out() {
        if processor_ticks().is_none() {
            return;
        }
        let mut clock = ProcessorClock::default();
        let thread = ThreadClock::default();
        let its_own = thread.clone();
        let work = move || its_own.during(|| while its_own.running() < 10 {});
        clock.leave_out(thread.clone());
        let before = processor_ticks().unwrap();
        clock.go();
        std::thread::spawn(work).join().unwrap();
        let counted = clock.stop().unwrap();
        let all = (processor_ticks().unwrap() - before) as f64;
        let others = thread.ticks();
        assert!(others >= 10, "{others}");
        // Other tests use the processor, too.
        assert!(
            counted * TICKS <= all - others as f64 + 0.5,
            "{counted} s of {all} ticks"
        );
        clock.leave_out(ThreadClock::default());
        assert_eq!(clock.aside_before, others);
    }
}
