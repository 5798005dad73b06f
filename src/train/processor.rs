//! The processor time of the training steps, without evaluations.

/// Ticks of a second in `/proc/self/stat`; Linux uses this value for programs on every machine.
const TICKS: f64 = 100.0;

/// A clock that runs during training steps.
#[derive(Debug, Default)]
pub(super) struct ProcessorClock {
    began: Option<u64>,
}

impl ProcessorClock {
    /// Starts or resumes.
    pub(super) fn go(&mut self) {
        if self.began.is_none() {
            self.began = processor_ticks();
        }
    }

    /// Stops, and returns the processor seconds since it began; `None` where the system does not
    /// report them.
    pub(super) fn stop(&mut self) -> Option<f64> {
        let ticks = processor_ticks()?.saturating_sub(self.began.take()?);
        Some(ticks as f64 / TICKS)
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
}
