//! Plays episodes of uniformly random actions and prints their mean return, as the registry's
//! reference returns were measured.
//!
//! ```text
//! cargo run --release -p rtg-envs --example random_return -- KeyToDoor-v0 100000
//! ```

use rtg_envs::{make, random::NumpyRng};
use std::{
    error::Error,
    io::{Write, stdout},
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let id = words.next().ok_or("which environment?")?;
    let episodes: u64 = words.next().ok_or("how many episodes?")?.parse()?;
    let mut env = make(&id)?;
    let actions = env.spec().action_space.clone();
    let mut observation = vec![0.0; env.spec().observation_space.width()];
    let mut action = vec![0.0; actions.width()];
    let (mut sum, mut squares) = (0.0, 0.0);
    for seed in 0..episodes {
        env.reset(Some(seed), &mut observation);
        let mut rng = NumpyRng::for_actions(seed);
        let mut episode_return = 0.0;
        loop {
            actions.sample(&mut rng, &mut action);
            let step = env.step(&action, &mut observation);
            episode_return += step.reward;
            if step.is_last() {
                break;
            }
        }
        sum += episode_return;
        squares += episode_return * episode_return;
    }
    let mean = sum / episodes as f64;
    let deviation = (squares / episodes as f64 - mean * mean).max(0.0).sqrt();
    let error = deviation / (episodes as f64).sqrt();
    writeln!(
        stdout(),
        "{id}: {mean} ± {error:.6} (standard error) over {episodes} episodes"
    )?;
    Ok(())
}
