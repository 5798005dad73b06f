//! A policy behind a pipe: acts on what it reads, line by line.
//!
//! ```text
//! cargo run --release -p rtg-act --example replay -- FILE
//! ```
//!
//! Lines of standard input: `reset TARGET` begins an episode, `reward NUMBER` counts a reward,
//! `observe NUMBER...` prints the action. `tests/export_check.py` feeds it recorded episodes.
#![expect(clippy::print_stdout, reason = "its answer goes to stdout")]

use std::error::Error;
use std::io::stdin;

use rtg_act::Policy;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: replay FILE")?;
    let mut policy = Policy::load(std::fs::read(path)?)?;
    for line in stdin().lines() {
        let line = line?;
        let (word, numbers) = line.split_once(' ').unwrap_or((&line, ""));
        let numbers = numbers.split_whitespace().map(str::parse);
        let numbers: Vec<f64> = numbers.collect::<Result<_, _>>()?;
        match (word, &numbers[..]) {
            ("reset", [target]) => policy.reset(*target),
            ("reward", [reward]) => policy.reward(*reward)?,
            ("observe", observation) => {
                let action = policy.act(observation)?.iter().map(f64::to_string);
                println!("{}", action.collect::<Vec<_>>().join(" "));
            }
            _ => return Err(format!("'{line}' is not reset, reward or observe").into()),
        }
    }
    Ok(())
}
