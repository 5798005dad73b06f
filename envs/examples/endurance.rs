//! Takes many random steps in each environment and checks that no number is NaN or infinite, that
//! nothing panics, and that memory does not grow.
//!
//! ```text
//! cargo run --release -p rtg-envs --example endurance -- 1000000            every environment
//! cargo run --release -p rtg-envs --example endurance -- 1000000 Ant-v5     these only
//! ```
//!
//! One line an environment. It fails if an observation or a reward was not finite though the
//! simulation was stable, or if the resident memory (known on Linux only) grew by more than 1 MiB
//! after the first tenth of the steps. Environments that need `MuJoCo` are skipped without it, with
//! a message.

use rtg_envs::{Env, ids, make, mujoco, random::NumpyRng, registry::needs_mujoco};
use std::{
    error::Error,
    fs,
    io::{Write, stdout},
    time::Instant,
};

/// Growth in KiB that is tolerated.
const SLACK: u64 = 1024;

/// The counts of one environment.
#[derive(Default)]
struct Account {
    episodes: u64,
    /// Steps with a number that is not finite, though the simulation was stable.
    broken: u64,
}

/// The resident memory of the process in KiB, where the system reports it.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn walk(env: &mut dyn Env, rng: &mut NumpyRng, steps: u64, account: &mut Account) {
    let actions = env.spec().action_space.clone();
    let mut action = vec![0.0; actions.width()];
    let mut observation = vec![0.0; env.spec().observation_space.width()];
    for _ in 0..steps {
        let unstable = env.instabilities();
        actions.sample(rng, &mut action);
        let step = env.step(&action, &mut observation);
        let is_finite = step.reward.is_finite() && observation.iter().all(|x| x.is_finite());
        account.broken += u64::from(!is_finite && env.instabilities() == unstable);
        if step.is_last() {
            env.reset(None, &mut observation);
            account.episodes += 1;
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let steps: u64 = words.next().ok_or("how many steps?")?.parse()?;
    let chosen: Vec<String> = words.collect();
    let mut out = stdout().lock();
    let mut has_failed = false;
    for id in ids().filter(|id| chosen.is_empty() || chosen.iter().any(|chosen| chosen == id)) {
        if needs_mujoco(id) && !mujoco::is_here(id) {
            continue;
        }
        let (mut env, mut rng) = (make(id)?, NumpyRng::from_seed(0));
        let mut account = Account::default();
        let began = Instant::now();
        walk(&mut *env, &mut rng, steps / 10, &mut account);
        let before = resident();
        walk(&mut *env, &mut rng, steps - steps / 10, &mut account);
        let growth = resident()
            .zip(before)
            .map(|(after, before)| after.saturating_sub(before));
        let rate = steps as f64 / began.elapsed().as_secs_f64();
        let is_well = account.broken == 0 && growth.is_none_or(|growth| growth <= SLACK);
        has_failed |= !is_well;
        writeln!(
            out,
            "{} {id}: {steps} steps, {rate:.0} a second, {} episodes, {} not finite, {} \
                instabilities, memory {}",
            if is_well { "well  " } else { "FAILED" },
            account.episodes,
            account.broken,
            env.instabilities(),
            growth.map_or("unknown".to_owned(), |growth| format!("+{growth} KiB")),
        )?;
    }
    if has_failed {
        return Err("at least one environment failed".into());
    }
    Ok(())
}
