//! Trains a policy in code, without a run directory, and lets it act.
//!
//! ```text
//! cargo run --release --example train_and_act
//! ```
//!
//! A plan is the same TOML as that of `rtg train`. Here the best tenth of CartPole's recorded
//! episodes is cloned; any algorithm that learns from a dataset is trained with the same lines.
#![expect(clippy::print_stdout, reason = "its answer goes to stdout")]

use std::error::Error;

use rtg::algorithms::Source;
use rtg::data;
use rtg::experiment::Experiment;
use rtg::parallel::World;
use rtg::policy::{Mode, Start};
use rtg::random::Stream;
use rtg::train::new_learner;

const PLAN: &str = r#"
    algorithm = "bc"
    dataset = "builtin/cartpole/mixed"
    steps = 300
    threads = 1
    selection = { top_fraction = 0.1 }
"#;

/// Also run by the tests: the mean return of ten episodes.
pub(crate) fn train_and_act() -> Result<f64, Box<dyn Error>> {
    let planned = Experiment::from_layers(&[Experiment::parse_layer(PLAN)?])?;
    let opened = data::open(&planned)?;
    let experiment = planned.resolve(&opened.spec, opened.data.as_ref())?;
    let dataset = opened.data.as_ref().ok_or("the plan names a dataset")?;

    let mut learner = new_learner(&experiment, &World::alone(), &opened, None)?;
    let batches = Stream::new(experiment.seed, "batches");
    let mut source = Source::open(&learner.needs(), dataset, batches, false)?;
    let mut step = 0;
    while step < experiment.steps {
        let updates = learner.update(&mut source, experiment.steps - step)?;
        step += updates.len() as u64;
        if let Some(loss) = updates.last().and_then(|update| update.get("loss"))
            && step % 100 == 0
        {
            println!("step {step}: loss {loss:.4}");
        }
    }

    let mut policy = learner.model().policy(Mode::Greedy, 1, 1);
    let mut env = rtg_envs::make(&opened.spec.id)?;
    let mut observation = vec![0.0; opened.spec.observation_space.width()];
    let mut sum = 0.0;
    for seed in 0..10 {
        env.reset(Some(seed), &mut observation);
        let target = None;
        policy.begin(0, &Start { seed, target });
        let (mut action, mut reward) = (vec![0.0; opened.spec.action_space.width()], 0.0);
        loop {
            policy.act(&[0], &observation, &[reward], &mut action);
            let step = env.step(&action, &mut observation);
            reward = step.reward;
            sum += reward;
            if step.is_last() {
                break;
            }
        }
    }
    Ok(sum / 10.0)
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("mean return {:.1}", train_and_act()?);
    Ok(())
}
