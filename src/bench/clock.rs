//! Times a piece of work: alone, interleaved with measurements of the machine's peak, or on
//! request.

use std::io::{self, BufRead, Write};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::peak::Peak;

/// Calls before the timing starts, and the fewest timed ones.
const WARM_UP: usize = 3;
const FEWEST: usize = 5;
/// How long the work is timed between two measurements of the machine's peak.
const TURN: Duration = Duration::from_millis(250);

/// Milliseconds of one call: their distribution over the calls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Milliseconds {
    /// The median.
    pub median_ms: f64,
    /// The minimum.
    pub least_ms: f64,
    /// The first and the third quartile.
    pub quartiles_ms: [f64; 2],
}

impl Milliseconds {
    /// The distribution of these seconds, each of `calls` calls.
    fn of(mut seconds: Vec<f64>, calls: u64) -> Self {
        seconds.sort_by(f64::total_cmp);
        let at = |quarter: usize| 1e3 * seconds[(seconds.len() - 1) * quarter / 4] / calls as f64;
        Self {
            median_ms: at(2),
            least_ms: at(0),
            quartiles_ms: [at(1), at(3)],
        }
    }
}

/// Repeats `work` for about `budget`.
pub(super) fn timed(budget: Duration, mut work: impl FnMut()) -> Milliseconds {
    (0..WARM_UP).for_each(|_| work());
    let mut seconds = Vec::new();
    let began = Instant::now();
    while seconds.len() < FEWEST || began.elapsed() < budget {
        seconds.push(once(&mut work));
    }
    Milliseconds::of(seconds, 1)
}

/// Repeats `work`, which does `calls` calls, for about `budget`, interleaved with products that
/// reach the machine's peak, so that both are measured at the same time and with the same
/// statistic. Returns the peak in operations per second, too.
pub(super) fn timed_beside_peak(
    budget: Duration,
    threads: usize,
    calls: u64,
    mut work: impl FnMut(),
) -> (Milliseconds, f64) {
    (0..WARM_UP).for_each(|_| work());
    let (mut seconds, mut peak) = (Vec::new(), Peak::new(threads));
    let began = Instant::now();
    while seconds.len() < FEWEST || began.elapsed() < budget {
        peak.measure();
        // The products have evicted the work from the caches.
        work();
        let turn = Instant::now();
        while turn.elapsed() < TURN {
            seconds.push(once(&mut work));
        }
    }
    peak.measure();
    (Milliseconds::of(seconds, calls), peak.median())
}

/// Does `work` once for each line of standard input and prints its milliseconds, so that a script
/// can time two programs call by call.
pub(super) fn timed_on_request(mut work: impl FnMut()) -> io::Result<()> {
    (0..WARM_UP).for_each(|_| work());
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        line?;
        writeln!(out, "{}", 1e3 * once(&mut work))?;
        out.flush()?;
    }
    Ok(())
}

fn once(work: &mut impl FnMut()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_of_one_call() {
        let times = Milliseconds::of(vec![0.5, 0.1, 0.4, 0.2, 0.3], 2);
        let expected = Milliseconds {
            median_ms: 150.0,
            least_ms: 50.0,
            quartiles_ms: [100.0, 200.0],
        };
        assert_eq!(times, expected);
    }
}
