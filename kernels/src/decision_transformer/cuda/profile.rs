//! The time of a step, by kernel.

use super::trainer::Trainer;
use crate::device::backend::{Error, LaunchWork};
use std::time::Instant;

/// One kernel's share of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KernelTime {
    /// its name
    pub kernel: &'static str,
    /// launches in a step
    pub launches: usize,
    /// seconds of all of them
    pub seconds: f64,
    /// the least work that all of them must do
    pub work: LaunchWork,
}

impl Trainer {
    /// Times each launch of a step by itself, `repeats` times in a row without the host in between,
    /// and sums by kernel. The model is not usable afterwards, because updates are repeated, too.
    ///
    /// # Panics
    /// If there is no dataset, or the longest queue has fewer than `repeats` + 2 steps.
    pub fn profile(&mut self, repeats: usize) -> Result<Vec<KernelTime>, Error> {
        assert!(
            repeats + 2 <= self.setup.most_steps && !self.launches.is_empty(),
            "every repetition advances the counter"
        );
        let mut times: Vec<KernelTime> = Vec::new();
        for launch in self.launches.clone() {
            let graph = self.backend.capture(&vec![launch.clone(); repeats])?;
            // Once to warm up, then timed. One batch is complete, so that there is a step to update
            // after.
            let mut seconds = 0.0;
            for _ in 0..2 {
                self.backend.upload(self.memory.queue.clock, &[1])?;
                self.backend.wait()?;
                let began = Instant::now();
                self.backend.replay(graph)?;
                self.backend.wait()?;
                seconds = began.elapsed().as_secs_f64() / repeats as f64;
            }
            let known = times.iter_mut().find(|time| time.kernel == launch.kernel);
            if let Some(time) = known {
                time.launches += 1;
                time.seconds += seconds;
                time.work.bytes += launch.work.bytes;
                time.work.operations += launch.work.operations;
            } else {
                times.push(KernelTime {
                    kernel: launch.kernel,
                    launches: 1,
                    seconds,
                    work: launch.work,
                });
            }
        }
        times.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        Ok(times)
    }
}
