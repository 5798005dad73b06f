//! Short walks in the maze of `StitchingMaze-v0`.
//!
//! An episode starts at rest in a random cell and walks, with some noise, to a random cell at most
//! [`LONGEST`] cells away, where it ends: with the reward if it reached the environment's goal,
//! else truncated. The start of the environment is farther from the goal than any episode walks, so
//! none leads from start to goal. Which cell an episode walks to is not recorded.

use rtg_datasets::{Dataset, Episode};
use rtg_envs::random::NumpyRng;
use rtg_envs::registry;
use rtg_envs::stitching_maze::{MAZE, cell, rest_near};

use crate::behaviour::{disturb, laws};
use crate::error::Error;

const STEPS: usize = 60_000;
/// Moves from cell to cell, at most: a sixth of the path from start to goal. (From walks half as
/// long as the path, a Decision Transformer learns the whole one.)
const LONGEST: usize = 3;
/// The noise of the actions.
const NOISE: f64 = 0.2;
/// A walk that has not arrived after this many steps is truncated.
const PATIENCE: usize = 100;

/// Adds whole episodes until there are [`STEPS`] steps.
pub(super) fn walk(data: &mut Dataset, env_id: &str, seed: u64) -> Result<(), Error> {
    let mut env = registry::make(env_id)?;
    let mut rng = NumpyRng::from_seed(seed);
    let cells = MAZE.open_cells();
    let space = env.spec().action_space.clone();
    let mut observation = vec![0.0; env.spec().observation_space.width()];
    let mut action = vec![0.0; space.width()];
    while data.steps() < STEPS {
        let mut any = || cells[rng.integers(0, cells.len() as i64) as usize];
        let (from, to) = (any(), any());
        if !(2..=LONGEST + 1).contains(&MAZE.way(from, to).len()) {
            continue;
        }
        env.reset(None, &mut observation);
        env.set_state(&rest_near(from, &mut rng))?;
        env.observe(&mut observation);
        let mut episode = Episode {
            observations: observation.clone(),
            ..Episode::default()
        };
        while episode.len() < PATIENCE && !episode.terminated {
            action.copy_from_slice(&laws::toward(to, &observation));
            disturb(&mut action, NOISE, &space, &mut rng);
            let step = env.step(&action, &mut observation);
            episode.observations.extend(&observation);
            episode.actions.extend(&action);
            episode.rewards.push(step.reward);
            episode.terminated = step.terminated;
            if cell(observation[0], observation[1]) == to {
                break;
            }
        }
        episode.truncated = !episode.terminated;
        data.push(episode)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rtg_envs::stitching_maze::{GOAL, MAZE, START, cell};

    use crate::builtin::{SEED, make};

    #[test]
    fn no_walk_leads_from_the_start_to_the_goal_though_both_are_visited() {
        let data = make("builtin/maze/paths", SEED).unwrap();
        let (mut from_start, mut into_goal, mut longest) = (0, 0, 0);
        for episode in data.iter() {
            let cells: Vec<_> = (episode.observations.chunks(4))
                .map(|seen| cell(seen[0], seen[1]))
                .collect();
            let is_paid = episode.return_() > 0.0;
            assert_eq!(is_paid, episode.terminated);
            from_start += usize::from(cells[0] == START);
            into_goal += usize::from(is_paid);
            longest = longest.max(MAZE.way(cells[0], cells[cells.len() - 1]).len());
            assert!(!(is_paid && cells.contains(&START)));
        }
        assert!(from_start > 20, "{from_start} start where it matters");
        assert!(into_goal > 100, "{into_goal} reach the goal");
        assert!(longest < MAZE.way(START, GOAL).len(), "{longest}");
    }
}
