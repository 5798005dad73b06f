//! How long a decision takes with a full context, beside `benches/peers/act.py`.
//!
//! ```text
//! cargo run --release -p rtg-act --example latency -- FILE STEPS [--on-request]
//! ```
//!
//! Takes STEPS decisions first, then times as many and prints their least and their median. With
//! `--on-request` it takes one for each line of standard input and prints its milliseconds.
#![expect(clippy::print_stdout, reason = "its answer goes to stdout")]

use std::error::Error;
use std::io::stdin;
use std::time::Instant;

use rtg_act::Policy;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (path, steps, on_request) = match &arguments[..] {
        [path, steps] => (path, steps.parse::<usize>()?.max(1), false),
        [path, steps, flag] if flag == "--on-request" => (path, steps.parse()?, true),
        _ => return Err("usage: latency FILE STEPS [--on-request]".into()),
    };
    let mut policy = Policy::load(std::fs::read(path)?)?;
    let mut observation = vec![0.0; policy.observation_len()];
    let mut decide = move |step: usize| -> Result<f64, rtg_act::Error> {
        observation.fill((step as f64).sin());
        let began = Instant::now();
        policy.act(&observation)?;
        policy.reward(1.0)?;
        Ok(1e3 * began.elapsed().as_secs_f64())
    };
    for step in 0..steps {
        decide(step)?;
    }
    if on_request {
        for line in stdin().lines() {
            println!("{}", decide(line?.len())?);
        }
        return Ok(());
    }
    let times = (0..steps).map(decide);
    let mut milliseconds = times.collect::<Result<Vec<f64>, _>>()?;
    milliseconds.sort_by(f64::total_cmp);
    let median = milliseconds[steps / 2];
    println!("least {:.4} ms, median {median:.4} ms", milliseconds[0]);
    Ok(())
}
