//! Cuts random flags by each splitter, for comparison with d4rl
//! (`fixtures/d4rl_splitters_check.py`).
//!
//! ```text
//! cargo run -p rtg-datasets --example split < CASES
//! ```
//!
//! Each line of CASES is JSON: `{"terminals": [bool], "timeouts": [bool] or null, "limit": N}`. The
//! output for each is a line: `{"sequence_dataset": [[start, end, terminated, truncated], ...],
//! ...}`.

use std::error::Error;
use std::io::{BufRead, Write};

use rtg_datasets::splitters::{Flags, SPLITTERS};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    terminals: Vec<bool>,
    timeouts: Option<Vec<bool>>,
    limit: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let case: Case = serde_json::from_str(&line?)?;
        let flags = Flags {
            terminals: &case.terminals,
            timeouts: case.timeouts.as_deref(),
        };
        let answer: serde_json::Map<_, _> = SPLITTERS
            .into_iter()
            .map(|splitter| {
                let segments = splitter.split(flags, case.limit).into_iter();
                let segments: Vec<_> = segments
                    .map(|s| {
                        serde_json::json!([s.rows.start, s.rows.end, s.terminated, s.truncated])
                    })
                    .collect();
                (splitter.to_string(), segments.into())
            })
            .collect();
        writeln!(out, "{}", serde_json::Value::from(answer))?;
    }
    Ok(())
}
