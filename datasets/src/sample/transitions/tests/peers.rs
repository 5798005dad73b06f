//! Naive versions of the peers' rows: D4RL's `qlearning_dataset` over flat arrays (what CORL trains
//! on), and d3rlpy's `MultiStepTransitionPicker` episode by episode.

use rand::RngExt;

use super::*;

/// Fixtures with terminals and time limits, and random episodes with every kind of end.
fn datasets() -> Vec<Dataset> {
    let mut rng = Pcg64::seed_from_u64(5);
    let mut all = vec![
        fixture("d4rl/hopper_marked-v2.hdf5"),
        fixture("minari/tiny/cartpole-v0"),
        fixture("minari/tiny/pendulum-v0"),
        fixture("d4rl/pen-plain-v0.hdf5"),
    ];
    for _ in 0..20 {
        let ends: Vec<_> = (0..rng.random_range(2..9))
            .map(|_| {
                let is_terminal: bool = rng.random();
                (rng.random_range(2..12), is_terminal, !is_terminal)
            })
            .collect();
        all.push(episodes(&ends));
    }
    all
}

/// A peer's row.
struct Row {
    observation: Vec<f32>,
    action: Vec<f32>,
    reward: f64,
    next_observation: Vec<f32>,
    is_terminal: bool,
    steps: usize,
    next_action: Vec<f32>,
}

fn rounded(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|&number| number as f32).collect()
}

/// A stored action as a batch has it.
fn action(dataset: &Dataset, numbers: &[f64]) -> Vec<f32> {
    match dataset.info().action_space {
        Space::Discrete { n, start } => {
            let choice = numbers[0] as usize - start as usize;
            (0..n)
                .map(|index| f32::from(u8::from(index == choice)))
                .collect()
        }
        _ => rounded(numbers),
    }
}

fn compare(ours: &Transitions, peers: &[Row], discount: f64) {
    assert_eq!(ours.rows, peers.len());
    let (s, a) = (
        ours.observations.len() / ours.rows,
        ours.actions.len() / ours.rows,
    );
    for (row, peer) in peers.iter().enumerate() {
        assert_eq!(ours.observations[row * s..(row + 1) * s], peer.observation);
        assert_eq!(ours.actions[row * a..(row + 1) * a], peer.action);
        assert!(
            (f64::from(ours.rewards[row]) - peer.reward).abs() < 1e-5 * (1.0 + peer.reward.abs())
        );
        assert_eq!(ours.terminated[row] > 0.5, peer.is_terminal);
        let power = discount.powi(peer.steps as i32);
        assert!((f64::from(ours.discounts[row]) - power).abs() < 1e-6);
        let next_action = &ours.next_actions[row * a..(row + 1) * a];
        if peer.is_terminal {
            assert_eq!(next_action, vec![0.0; a]);
        } else {
            assert_eq!(
                ours.next_observations[row * s..(row + 1) * s],
                peer.next_observation
            );
            assert_eq!(next_action, peer.next_action);
        }
    }
}

fn dropping(n_step: usize) -> TransitionConfig {
    TransitionConfig {
        next_actions: true,
        ..config(TruncatedLast::Drop, n_step)
    }
}

/// The loop of `qlearning_dataset` over the arrays of a D4RL file.
fn qlearning_rows(dataset: &Dataset) -> Vec<Row> {
    let (s, a) = (dataset.observation_width(), dataset.action_width());
    let [mut observations, mut actions, mut rewards]: [Vec<f64>; 3] = Default::default();
    let [mut terminals, mut timeouts]: [Vec<bool>; 2] = Default::default();
    for episode in dataset.iter() {
        let steps = episode.len();
        observations.extend(&episode.observations[..steps * s]);
        actions.extend(episode.actions);
        rewards.extend(episode.rewards);
        terminals.extend((0..steps).map(|t| t + 1 == steps && episode.terminated));
        timeouts.extend((0..steps).map(|t| t + 1 == steps && episode.truncated));
    }
    let row = |i: usize| Row {
        observation: rounded(&observations[i * s..(i + 1) * s]),
        action: action(dataset, &actions[i * a..(i + 1) * a]),
        reward: rewards[i],
        next_observation: rounded(&observations[(i + 1) * s..(i + 2) * s]),
        is_terminal: terminals[i],
        steps: 1,
        next_action: action(dataset, &actions[(i + 1) * a..(i + 2) * a]),
    };
    (0..rewards.len() - 1)
        .filter(|&i| !timeouts[i])
        .map(row)
        .collect()
}

#[test]
fn dropped_rows_are_those_of_qlearning_dataset() {
    for dataset in datasets() {
        let peers = qlearning_rows(&dataset);
        let ours = sampler(&dataset, &dropping(1));
        // It never uses the last row of a file, even if that is terminal.
        let last = dataset.episode(dataset.episodes() - 1);
        let extra = usize::from(last.terminated && !last.truncated);
        assert_eq!(ours.rows(), peers.len() + extra);
        let mut all = ours.all();
        let (s, a) = (dataset.observation_width(), ours.action_width());
        all.rows = peers.len();
        all.observations.truncate(peers.len() * s);
        all.actions.truncate(peers.len() * a);
        compare(&all, &peers, 0.5);
    }
}

#[test]
fn the_normaliser_is_that_of_the_kept_rows() {
    for dataset in datasets() {
        let s = dataset.observation_width();
        let all = sampler(&dataset, &dropping(1)).all();
        let normaliser = dropping(1).normaliser(&dataset);
        for number in 0..s {
            let column = all.observations.iter().skip(number).step_by(s);
            let column: Vec<f64> = column.map(|&x| f64::from(x)).collect();
            let mean = column.iter().sum::<f64>() / column.len() as f64;
            let squares: f64 = column.iter().map(|x| (x - mean).powi(2)).sum();
            let std = (squares / column.len() as f64).sqrt() + 1e-3;
            assert!((normaliser.mean[number] - mean).abs() < 1e-5 * (1.0 + mean.abs()));
            assert!((normaliser.std[number] - std).abs() < 1e-5 * (1.0 + std));
        }
    }
}

/// d3rlpy's picker: `transition_count` rows an episode, and at most `n` steps each.
fn picked(dataset: &Dataset, n: usize, discount: f64) -> Vec<Row> {
    let (s, a) = (dataset.observation_width(), dataset.action_width());
    let mut rows = Vec::new();
    for episode in dataset.iter() {
        let size = episode.len();
        let transition_count = if episode.terminated { size } else { size - 1 };
        let observation = |t: usize| rounded(&episode.observations[t * s..(t + 1) * s]);
        for index in 0..transition_count {
            let last_index = (index + n - 1).min(transition_count - 1);
            let is_terminal = episode.terminated && last_index == size - 1;
            let reward = (index..=last_index)
                .map(|t| discount.powi((t - index) as i32) * episode.rewards[t])
                .sum();
            let next = last_index + 1;
            rows.push(Row {
                observation: observation(index),
                action: action(dataset, &episode.actions[index * a..(index + 1) * a]),
                reward,
                next_observation: if is_terminal {
                    vec![0.0; s]
                } else {
                    observation(next)
                },
                is_terminal,
                steps: last_index - index + 1,
                next_action: if is_terminal {
                    Vec::new()
                } else {
                    action(dataset, &episode.actions[next * a..(next + 1) * a])
                },
            });
        }
    }
    rows
}

#[test]
fn rows_of_several_steps_are_those_of_d3rlpys_picker() {
    for dataset in datasets() {
        for n in [1, 2, 3, 7, 50, 1000] {
            let ours = sampler(&dataset, &dropping(n)).all();
            compare(&ours, &picked(&dataset, n, 0.5), 0.5);
        }
    }
}
