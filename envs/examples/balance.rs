//! Steps many environments at once: a hand-written rule balances 64 poles.
//!
//! ```text
//! cargo run --release -p rtg-envs --example balance
//! ```
#![expect(clippy::print_stdout, reason = "its answer goes to stdout")]

use std::error::Error;

use rtg_envs::{Autoreset, make_vec};

const ROWS: usize = 64;

/// Also run by the tests: the mean return of the episodes that ended within 2000 steps.
pub(crate) fn balance() -> Result<f64, Box<dyn Error>> {
    let mut envs = make_vec("CartPole-v1", ROWS, Autoreset::NextStep)?;
    envs.reset(Some(0));
    let mut actions = vec![0.0; ROWS];
    let (mut running, mut returns) = ([0.0; ROWS], Vec::new());
    for _ in 0..2000 {
        // Each row is the position and the speed of the cart, the angle and the speed of the pole.
        for (action, row) in actions.iter_mut().zip(envs.observations().chunks(4)) {
            *action = f64::from(u8::from(row[2] + 0.3 * row[3] > 0.0));
        }
        envs.step(&actions);
        for (row, total) in running.iter_mut().enumerate() {
            *total += envs.rewards()[row];
            if envs.terminated()[row] || envs.truncated()[row] {
                returns.push(std::mem::take(total));
            }
        }
    }
    Ok(returns.iter().sum::<f64>() / returns.len() as f64)
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("mean return {:.1}", balance()?);
    Ok(())
}
