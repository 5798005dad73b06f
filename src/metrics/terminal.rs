//! Progress for the user: a bar on a terminal, a line at intervals elsewhere.
//!
//! All of it goes to stderr; stdout is for data. `NO_COLOR` is honoured.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    EVAL_RETURN_MEAN, EVAL_RETURN_STD, EVAL_SCORE, Error, MetricSink, Moment, RunOutcome,
    VALIDATION_LOSS, for_target, is_train_loss, spread, target_of,
};

/// How often a line is written where there is no bar.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Shows steps, rate, time left, the loss and every evaluation.
pub struct Terminal {
    bar: Option<ProgressBar>,
    progress: Progress,
    started: Instant,
    next_line: Duration,
    /// Step of the last line, so that the end is not reported twice.
    last_line_step: Option<u64>,
}

impl Terminal {
    /// Progress from `first_step` (0, or the step that the run continues from) to `steps`.
    pub fn new(first_step: u64, steps: u64) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let bar = (std::io::stderr().is_terminal() && !dumb).then(|| {
            let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
            bar.set_style(style());
            bar.set_position(first_step);
            bar
        });
        Self {
            bar,
            progress: Progress {
                first_step,
                steps,
                step: first_step,
                loss: None,
            },
            started: Instant::now(),
            next_line: Duration::from_secs(1),
            last_line_step: None,
        }
    }

    fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            // A closed stderr must not abort training.
            None => drop(writeln!(std::io::stderr(), "{line}")),
        }
    }

    fn show(&mut self) {
        let elapsed = self.started.elapsed();
        let state = self.progress.state(elapsed.as_secs_f64());
        if let Some(bar) = &self.bar {
            bar.set_position(self.progress.step);
            bar.set_message(state);
        } else if elapsed >= self.next_line && self.last_line_step != Some(self.progress.step) {
            self.last_line_step = Some(self.progress.step);
            self.next_line = elapsed + LINE_INTERVAL;
            let Progress { step, steps, .. } = self.progress;
            self.print(&format!("step {step}/{steps}  {state}"));
        }
    }
}

impl MetricSink for Terminal {
    fn scalars(&mut self, at: Moment, values: &[(&str, f64)]) -> Result<(), Error> {
        self.progress.step = at.step;
        if let Some(&(_, loss)) = values.iter().find(|(name, _)| is_train_loss(name)) {
            self.progress.loss = Some(loss);
        }
        for line in evaluations(at.step, values) {
            self.print(&line);
        }
        self.show();
        Ok(())
    }

    fn message(&mut self, line: &str) {
        self.print(line);
    }

    fn finish(&mut self, at: Moment, outcome: RunOutcome) -> Result<(), Error> {
        self.progress.step = at.step;
        self.next_line = Duration::ZERO;
        self.show();
        match (&self.bar, outcome) {
            (Some(bar), RunOutcome::Completed) => bar.finish(),
            (Some(bar), RunOutcome::Failed) => bar.abandon(),
            (None, _) => {}
        }
        Ok(())
    }
}

fn style() -> ProgressStyle {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let template = if plain {
        "{bar:28} {pos}/{len}  {msg}"
    } else {
        "{bar:28.cyan/dim} {pos}/{len}  {msg}"
    };
    ProgressStyle::with_template(template).map_or_else(
        |_| ProgressStyle::default_bar(),
        |style| style.progress_chars("━━─"),
    )
}

struct Progress {
    first_step: u64,
    steps: u64,
    step: u64,
    loss: Option<f64>,
}

impl Progress {
    /// `120 steps/s, 1 min 5 s left, loss 0.1234`. The rate is the session's own, evaluations
    /// included, so that the time left is the actual wait.
    fn state(&self, elapsed_secs: f64) -> String {
        let mut parts = Vec::new();
        let rate = self.step.saturating_sub(self.first_step) as f64 / elapsed_secs;
        if rate.is_finite() && rate > 0.0 {
            parts.push(if rate < 10.0 {
                format!("{rate:.1} steps/s")
            } else {
                format!("{rate:.0} steps/s")
            });
            let left = self.steps.saturating_sub(self.step) as f64 / rate;
            if left > 0.0 {
                parts.push(format!("{} left", duration(left)));
            }
        }
        if let Some(loss) = self.loss {
            parts.push(format!("loss {loss:.4}"));
        }
        parts.join(", ")
    }
}

/// One line for the loss on held-out episodes and for each target that was evaluated.
fn evaluations(step: u64, values: &[(&str, f64)]) -> Vec<String> {
    let value = |metric: &str, target| {
        let name = for_target(metric, target);
        values.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
    };
    let mut lines = Vec::new();
    for &(name, mean) in values {
        if name == VALIDATION_LOSS {
            lines.push(format!("step {step}: validation loss {mean:.4}"));
        }
        let Some(target) = target_of(name, EVAL_RETURN_MEAN) else {
            continue;
        };
        let asked = target.map_or(String::new(), |target| format!(", target {target}"));
        let achieved = spread(mean, value(EVAL_RETURN_STD, target));
        let score =
            value(EVAL_SCORE, target).map_or(String::new(), |score| format!(", score {score:.1}"));
        lines.push(format!("step {step}{asked}: return {achieved}{score}"));
    }
    lines
}

fn duration(secs: f64) -> String {
    let secs = secs.round() as u64;
    match (secs / 3600, secs / 60 % 60, secs % 60) {
        (0, 0, secs) => format!("{secs} s"),
        (0, minutes, secs) => format!("{minutes} min {secs} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_tells_rate_time_left_and_loss_of_this_session() {
        let mut progress = Progress {
            first_step: 1000,
            steps: 2000,
            step: 1000,
            loss: None,
        };
        assert_eq!(progress.state(0.0), "");
        progress.step = 1100;
        progress.loss = Some(0.125);
        assert_eq!(progress.state(2.0), "50 steps/s, 18 s left, loss 0.1250");
        progress.step = 2000;
        progress.loss = Some(f64::NAN);
        assert_eq!(progress.state(400.0), "2.5 steps/s, loss NaN");
    }

    #[test]
    fn an_evaluation_is_one_line_for_each_target() {
        let values = [
            ("eval/return_mean/target_500", 498.25),
            ("eval/return_std/target_500", 3.0),
            ("eval/return_mean/best", 498.25),
            ("eval/return_mean", 7.0),
            ("eval/score", 70.0),
            ("validation/loss", 0.25),
        ];
        assert_eq!(
            evaluations(40, &values),
            [
                "step 40, target 500: return 498.2 ± 3.0",
                "step 40: return 7.00, score 70.0",
                "step 40: validation loss 0.2500"
            ]
        );
    }

    #[test]
    fn durations_read_naturally() {
        assert_eq!(duration(4.4), "4 s");
        assert_eq!(duration(65.0), "1 min 5 s");
        assert_eq!(duration(7260.0), "2 h 1 min");
    }
}
