use std::collections::BTreeMap;

use rtg_datasets::Episode;
use rtg_datasets::statistics::Normaliser;

use super::*;
use crate::algorithms::ActionCodec;
use crate::algorithms::decision_transformer;
use crate::algorithms::decision_transformer::config::ModelConfig;
use crate::algorithms::decision_transformer::preprocessing::Preprocessing;
use crate::algorithms::decision_transformer::recipe::Recipe;
use crate::behaviour::{Noisy, Random};
use crate::policy::ActingMode;

/// A transition as a sink received it, with every number as bits.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    row: usize,
    index: usize,
    numbers: Vec<u64>,
    is_last: (bool, bool),
    outcome: Option<(u64, usize)>,
}

fn bits(numbers: &[f64]) -> impl Iterator<Item = u64> + '_ {
    numbers.iter().map(|number| number.to_bits())
}

fn told(transition: &Transition<'_>) -> Told {
    let numbers = bits(transition.observation)
        .chain(bits(transition.action))
        .chain([transition.reward.to_bits()])
        .chain(bits(transition.next_observation));
    Told {
        row: transition.row,
        index: transition.index,
        numbers: numbers.collect(),
        is_last: (transition.terminated, transition.truncated),
        outcome: (transition.ended)
            .map(|outcome| (outcome.episode_return.to_bits(), outcome.length)),
    }
}

fn starts(count: usize) -> impl Fn(usize) -> Option<Start> + Send + 'static {
    move |index| {
        (index < count).then_some(Start {
            seed: 100 + index as u64,
            target: None,
        })
    }
}

fn open(env: &str, rows: usize, count: usize) -> Rollout {
    Rollout::open(env, rows, 2, starts(count)).unwrap()
}

/// Random actions with noise, so that two generators in each row have a memory.
fn policy(env: &str, rows: usize) -> Noisy {
    let space = rtg_envs::spec(env).unwrap().action_space;
    let random = Box::new(Random::new(&space, rows));
    Noisy::new(random, 0.5, &space, rows)
}

fn record(rollout: &mut Rollout, policy: &mut dyn Policy, steps: usize) -> Vec<Told> {
    let mut all = Vec::new();
    let taken = rollout.advance(policy, steps, &mut |transition: &Transition<'_>| {
        all.push(told(transition));
    });
    assert_eq!(taken, all.len());
    all
}

#[test]
fn steps_one_by_one_are_those_of_whole_rounds() {
    for rows in [1, 3, 32] {
        let env = "CartPole-v1";
        let whole = record(&mut open(env, rows, 40), &mut policy(env, rows), usize::MAX);
        for cut in [1, 2, 5] {
            let (mut rollout, mut policy) = (open(env, rows, 40), policy(env, rows));
            let mut parts = Vec::new();
            loop {
                let part = record(&mut rollout, &mut policy, cut);
                if part.is_empty() {
                    break;
                }
                assert!(part.len() == cut || parts.len() + part.len() == whole.len());
                parts.extend(part);
            }
            assert!(parts == whole, "{rows} rows, {cut} steps at a time");
        }
    }
}

#[test]
fn episodes_come_in_the_order_of_their_starts_and_have_the_same_bits_for_any_rows() {
    let env = "CartPole-v1";
    let run = |rows| open(env, rows, 40).run_episodes(&mut policy(env, rows));
    let one = run(1);
    assert_eq!(one.len(), 40);
    for (index, episode) in one.iter().enumerate() {
        assert_eq!(episode.seed, Some(100 + index as u64));
        assert_eq!(episode.observations.len(), 4 * (episode.len() + 1));
        assert!(episode.terminated || episode.truncated);
    }
    let of_bits = |episodes: &[Episode]| -> Vec<Vec<u64>> {
        let numbers = |episode: &Episode| {
            bits(&episode.observations)
                .chain(bits(&episode.actions))
                .chain(bits(&episode.rewards))
                .collect()
        };
        episodes.iter().map(numbers).collect()
    };
    for rows in [3, 32, 64] {
        assert_eq!(of_bits(&run(rows)), of_bits(&one), "{rows} rows");
    }
}

#[test]
fn transitions_join_and_end_in_the_episodes_last_observation() {
    let env = "CartPole-v1";
    let mut last: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    let (mut ends, mut sums) = (0, BTreeMap::<usize, (f64, usize)>::new());
    let mut sink = |transition: &Transition<'_>| {
        if let Some(seen) = last.insert(transition.index, transition.next_observation.to_vec()) {
            assert_eq!(seen, transition.observation);
        } else {
            let mut first = [0.0; 4];
            let seed = 100 + transition.index as u64;
            rtg_envs::make(env).unwrap().reset(Some(seed), &mut first);
            assert_eq!(transition.observation, first);
        }
        let sum = sums.entry(transition.index).or_default();
        *sum = (sum.0 + transition.reward, sum.1 + 1);
        let is_last = transition.terminated || transition.truncated;
        let expected = is_last.then_some(EpisodeOutcome {
            episode_return: sum.0,
            length: sum.1,
        });
        assert_eq!(transition.ended, expected);
        if transition.terminated {
            // The pole has fallen or the cart has left: no reset state looks like that.
            let seen = transition.next_observation;
            assert!(seen[0].abs() > 2.4 || seen[2].abs() > 0.2, "{seen:?}");
        }
        ends += usize::from(is_last);
    };
    open(env, 3, 20).play(&mut policy(env, 3), &mut sink);
    assert_eq!(ends, 20);
}

#[test]
fn no_row_is_idle_while_there_are_starts() {
    let (rows, count) = (4, 30);
    let all = record(
        &mut open("CartPole-v1", rows, count),
        &mut policy("CartPole-v1", rows),
        usize::MAX,
    );
    let last_begun = all.iter().position(|told| told.index == count - 1).unwrap();
    for (position, told) in all[..last_begun].iter().enumerate() {
        assert_eq!(told.row, position % rows, "every round steps every row");
    }
    // And after the last start, each row ends its own episode.
    let left: Vec<_> = all[last_begun..].iter().collect();
    let ends = left.iter().filter(|told| told.outcome.is_some()).count();
    assert!((1..=rows).contains(&ends), "{ends}");
}

#[test]
fn a_paused_rollout_resumes_with_the_same_bits() {
    let mut envs = vec!["CartPole-v1", "Pendulum-v1", "KeyToDoor-v0"];
    if rtg_envs::mujoco::is_here("the pause of a rollout in Hopper-v5") {
        envs.push("Hopper-v5");
    }
    let mut pauses = rtg_envs::random::NumpyRng::from_seed(5);
    for env in envs {
        let (rows, count, steps) = (3, 9, 1_500);
        let whole = record(&mut open(env, rows, count), &mut policy(env, rows), steps);
        let (mut rollout, mut player) = (open(env, rows, count), policy(env, rows));
        let mut parts = Vec::new();
        while parts.len() < whole.len() {
            let part = (pauses.integers(0, 200) as usize).min(steps - parts.len());
            parts.extend(record(&mut rollout, &mut player, part));
            let text = serde_json::to_string(&rollout.state(&player)).unwrap();
            let state: RolloutState = serde_json::from_str(&text).unwrap();
            player = policy(env, rows);
            rollout = open(env, rows, count).restore(&state, &mut player).unwrap();
            assert_eq!(rollout.state(&player), state, "{env}");
        }
        assert!(parts == whole, "{env}");
    }
}

#[test]
fn a_decision_transformers_memory_is_rebuilt_by_the_replay() {
    let env = "Pendulum-v1";
    let config = ModelConfig {
        context: 4,
        width: 16,
        layers: 2,
        heads: 2,
        ..ModelConfig::of(Recipe::Corl)
    };
    let preprocessing = Preprocessing {
        constant_target: false,
        normaliser: Normaliser::identity(3),
        return_scale: 100.0,
        episode_length: 200,
        actions: ActionCodec::Continuous {
            offset: vec![0.0],
            scale: vec![2.0],
            max_action: 1.0,
        },
    };
    let model = decision_transformer::Model::new(Recipe::Corl, &config, preprocessing, 3);
    let open = || {
        let start = |index: usize| Start {
            seed: index as u64,
            target: Some(-150.0 - index as f64),
        };
        Rollout::open(env, 2, 1, move |index| Some(start(index))).unwrap()
    };
    let whole = record(
        &mut open(),
        &mut *model.policy(ActingMode::Exact, 2, 1),
        520,
    );
    for pause in [3, 150, 417] {
        let (mut rollout, mut policy) = (open(), model.policy(ActingMode::Exact, 2, 1));
        let mut parts = record(&mut rollout, &mut *policy, pause);
        let state = rollout.state(&*policy);
        assert!(state.policy.is_null());
        let mut policy = model.policy(ActingMode::Exact, 2, 1);
        let mut rollout = open().restore(&state, &mut *policy).unwrap();
        parts.extend(record(&mut rollout, &mut *policy, 520 - pause));
        assert!(parts == whole, "paused after {pause} steps");
    }
}

/// Counts all its decisions, in any episode: a memory that no episode's replay can rebuild.
struct Counter(u64);

impl Policy for Counter {
    fn begin(&mut self, _: usize, _: &Start) {}

    fn act(&mut self, active: &[usize], _: &[f64], _: &[f64], actions: &mut [f64]) {
        for &row in active {
            self.0 += 1;
            actions[row] = f64::from(u8::from(self.0.is_multiple_of(3)));
        }
    }

    fn state(&self) -> serde_json::Value {
        self.0.into()
    }

    fn restore(&mut self, state: &serde_json::Value) -> Result<(), serde_json::Error> {
        self.0 = serde_json::from_value(state.clone())?;
        Ok(())
    }
}

#[test]
fn a_policys_own_state_is_kept_instead_of_replayed() {
    let whole = record(&mut open("CartPole-v1", 2, 9), &mut Counter(0), 60);
    let (mut rollout, mut counter) = (open("CartPole-v1", 2, 9), Counter(0));
    let mut parts = record(&mut rollout, &mut counter, 31);
    let state = rollout.state(&counter);
    let mut counter = Counter(0);
    let mut rollout = (open("CartPole-v1", 2, 9).restore(&state, &mut counter)).unwrap();
    assert_eq!(counter.0, 31);
    parts.extend(record(&mut rollout, &mut counter, 29));
    assert!(parts == whole);
    let error = (open("CartPole-v1", 2, 9).restore(&state, &mut policy("CartPole-v1", 2))).err();
    assert!(matches!(error, Some(RestoreError::Policy(_))), "{error:?}");
}

#[test]
fn a_state_that_does_not_fit_is_refused() {
    let env = "CartPole-v1";
    let (mut rollout, mut player) = (open(env, 2, 9), policy(env, 2));
    record(&mut rollout, &mut player, 11);
    let good = rollout.state(&player);
    let refused = |rows: usize, change: &dyn Fn(&mut RolloutState)| {
        let mut state = good.clone();
        change(&mut state);
        (open(env, rows, 9).restore(&state, &mut policy(env, rows)))
            .err()
            .map(|error| error.to_string())
    };
    assert_eq!(refused(2, &|_| ()), None);
    let rows = refused(3, &|_| ()).unwrap();
    assert_eq!(rows, "the paused rollout has 2 rows, this one has 3");
    let row = |state: &mut RolloutState| state.rows[1].take().unwrap();
    let longer = refused(2, &|state| {
        let mut saved = row(state);
        saved.actions = vec![1.0_f64.to_bits(); 400];
        state.rows[1] = Some(saved);
    });
    assert!(longer.unwrap().contains("row 1"), "the pole falls before");
    let reward = refused(2, &|state| {
        let mut saved = row(state);
        saved.last_reward = 0.25_f64.to_bits();
        state.rows[1] = Some(saved);
    });
    assert!(reward.unwrap().contains("row 1"));
    assert!(refused(2, &|state| state.next_row = 7).is_some());
    assert!(refused(2, &|state| state.next_start = 0).is_some());
    let pendulum = Rollout::open("Pendulum-v1", 2, 1, starts(9)).unwrap();
    let other = pendulum.restore(&good, &mut policy("Pendulum-v1", 2));
    assert!(other.is_err(), "another environment rewards differently");
}

#[test]
fn a_collection_has_the_fewest_episodes_of_the_requested_size() {
    let env = "CartPole-v1";
    let everything = open(env, 1, 60).run_episodes(&mut policy(env, 1));
    for rows in [1, 3, 32] {
        for amount in [
            CollectionSize::Steps(300),
            CollectionSize::Episodes(7),
            CollectionSize::Steps(0),
        ] {
            let mut kept: Vec<Episode> = Vec::new();
            let mut keep = |episode| -> Result<(), ()> {
                kept.push(episode);
                Ok(())
            };
            let rollout = open(env, rows, usize::MAX);
            rollout
                .collect(&mut policy(env, rows), amount, &mut keep)
                .unwrap();
            assert!(kept == everything[..kept.len()], "{rows} rows, {amount:?}");
            match amount {
                CollectionSize::Episodes(count) => assert_eq!(kept.len(), count),
                CollectionSize::Steps(0) => assert!(kept.is_empty()),
                CollectionSize::Steps(steps) => {
                    let lengths: usize = kept.iter().map(Episode::len).sum();
                    let without_last = lengths - kept[kept.len() - 1].len();
                    assert!(without_last < steps && steps <= lengths);
                }
            }
        }
    }
    let mut failing = |_| Err("full");
    let failed =
        open(env, 3, 9).collect(&mut policy(env, 3), CollectionSize::Steps(50), &mut failing);
    assert_eq!(failed, Err("full"), "the first error ends it");
}
