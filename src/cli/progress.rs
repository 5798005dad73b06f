//! Progress bars on stderr for long commands.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// A bar over `length` items called `what`, with the rate and the remaining time.
pub(super) fn bar(length: usize, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(length as u64);
    let template = format!("{{bar:30}} {{pos}}/{{len}} {what}, {{per_sec}}, {{eta}} left");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}

/// A line for each active run and one for all; if stderr is not a terminal, a line when a run
/// begins and one when it ends.
pub(super) struct Lines {
    bars: MultiProgress,
    runs: BTreeMap<String, ProgressBar>,
    all: ProgressBar,
    count: usize,
    plain: bool,
}

impl Lines {
    pub(super) fn new(count: usize) -> Self {
        let bars = MultiProgress::new();
        let all = bars.add(styled(count as u64, "{bar:20} {pos}/{len} runs{msg}"));
        let plain = !std::io::stderr().is_terminal();
        Self {
            bars,
            runs: BTreeMap::new(),
            all,
            count,
            plain,
        }
    }

    pub(super) fn begin(&mut self, name: &str) {
        if self.plain {
            say(&format!("{name}: begins"));
            return;
        }
        let bar = styled(1, "{bar:20} {pos}/{len} {msg}").with_message(name.to_owned());
        self.runs
            .insert(name.to_owned(), self.bars.insert_before(&self.all, bar));
    }

    pub(super) fn advance(&mut self, name: &str, step: u64, steps: u64) {
        if let Some(bar) = self.runs.get(name) {
            bar.set_length(steps);
            bar.set_position(step);
        }
    }

    pub(super) fn end(&mut self, name: &str, failure: Option<&str>) {
        let words =
            failure.map_or_else(|| "done".to_owned(), |failure| format!("FAILED: {failure}"));
        let line = format!("{name}: {words}");
        if let Some(bar) = self.runs.remove(name) {
            self.bars.remove(&bar);
            // A closed terminal must not stop the runs.
            drop(self.bars.println(line));
        } else {
            say(&line);
        }
    }

    pub(super) fn all(&mut self, ended: usize, seconds_left: Option<f64>) {
        self.all.set_position(ended as u64);
        self.all
            .set_message(seconds_left.map_or_else(String::new, |secs| {
                format!(", {} min {} s left", (secs / 60.0) as u64, secs as u64 % 60)
            }));
    }

    pub(super) fn finish(self) {
        self.all.finish_and_clear();
        if self.plain {
            say(&format!("{} runs", self.count));
        }
    }
}

fn styled(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}
