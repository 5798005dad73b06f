use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;

use super::*;
use crate::dataset::tests::unbounded;
use crate::sample::transitions::{RewardTransform, TransitionSampler, TruncatedLast};
use crate::{Dataset, mix};

/// One step, owned.
#[derive(Clone, Debug)]
struct Step {
    stream: usize,
    observation: Vec<f64>,
    action: f64,
    reward: f64,
    next_observation: Vec<f64>,
    terminated: bool,
    truncated: bool,
}

impl Step {
    fn push_to(&self, replay: &mut ReplayBuffer) -> Result<(), Error> {
        replay.push(
            self.stream,
            &Experience {
                observation: &self.observation,
                action: &[self.action],
                reward: self.reward,
                next_observation: &self.next_observation,
                terminated: self.terminated,
                truncated: self.truncated,
            },
        )
    }
}

/// Random episodes in several streams; now and then a step does not continue where the last one
/// ended.
struct Play {
    rng: Pcg64,
    now: Vec<Option<Vec<f64>>>,
}

impl Play {
    fn new(seed: u64, streams: usize) -> Self {
        Self {
            rng: Pcg64::seed_from_u64(seed),
            now: vec![None; streams],
        }
    }

    fn row(&mut self) -> Vec<f64> {
        (0..2)
            .map(|_| f64::from(self.rng.random::<f32>()))
            .collect()
    }

    fn step(&mut self) -> Step {
        let stream = self.rng.random_range(0..self.now.len() as u64) as usize;
        let is_moved = self.rng.random_bool(0.05);
        let observation = match self.now[stream].take().filter(|_| !is_moved) {
            Some(observation) => observation,
            None => self.row(),
        };
        let next_observation = self.row();
        let (terminated, truncated) = (self.rng.random_bool(0.1), self.rng.random_bool(0.1));
        if !terminated && !truncated {
            self.now[stream] = Some(next_observation.clone());
        }
        Step {
            stream,
            observation,
            action: f64::from(self.rng.random::<f32>()),
            reward: f64::from(self.rng.random::<f32>()),
            next_observation,
            terminated,
            truncated,
        }
    }
}

fn config(n_step: usize) -> TransitionConfig {
    TransitionConfig {
        n_step,
        discount: 0.9,
        reward: RewardTransform {
            scale: 2.0,
            shift: -0.25,
        },
        ..TransitionConfig::default()
    }
}

fn replay(capacity: usize, config: TransitionConfig) -> ReplayBuffer {
    ReplayBuffer::new(&unbounded(2), &unbounded(1), capacity, config).unwrap()
}

fn all(replay: &ReplayBuffer) -> Transitions {
    let mut batch = Transitions::default();
    batch.shape(replay.len(), &replay.shape);
    for row in 0..replay.len() {
        replay.write(row, row, &mut batch);
    }
    batch
}

/// The expected transition of a row, from the list of all steps ever pushed.
fn expected(history: &[Step], from: usize, config: &TransitionConfig) -> (f64, f64, Step) {
    let (mut sum, mut power, mut at) = (0.0, 1.0, from);
    for steps in 1.. {
        let step = &history[at];
        sum += power * config.reward.apply(step.reward);
        power *= config.discount;
        let mut later = (at + 1..history.len()).filter(|&next| history[next].stream == step.stream);
        let next = later.next().filter(|&next| {
            let goes_on = !step.terminated && !step.truncated;
            goes_on && history[next].observation == step.next_observation
        });
        match next {
            Some(next) if steps < config.n_step => at = next,
            _ => break,
        }
    }
    (sum, power, history[at].clone())
}

#[test]
fn every_position_gives_the_transition_of_its_step() {
    for (capacity, streams, n_step) in [
        (1, 1, 1),
        (1, 3, 2),
        (5, 1, 3),
        (37, 1, 1),
        (37, 4, 3),
        (64, 2, 10),
        (500, 3, 4),
    ] {
        let config = config(n_step);
        let (mut replay, mut play) = (replay(capacity, config.clone()), Play::new(7, streams));
        let mut history: Vec<Step> = Vec::new();
        for round in 0..300 {
            let step = play.step();
            if step.stream >= capacity {
                assert!(step.push_to(&mut replay).is_err());
                play.now[step.stream] = None;
                continue;
            }
            step.push_to(&mut replay).unwrap();
            history.push(step);
            assert_eq!(replay.len(), history.len().min(capacity));
            if round % 7 != 0 {
                continue;
            }
            let batch = all(&replay);
            for place in 0..replay.len() {
                // The latest step that was written here.
                let age = (history.len() - 1 - place) % capacity;
                let from = history.len() - 1 - age;
                let (reward, discount, last) = expected(&history, from, &config);
                let own = &history[from];
                let numbers = |row: &[f32]| row.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
                assert_eq!(
                    numbers(&batch.observations[place * 2..][..2]),
                    own.observation
                );
                assert_eq!(
                    numbers(&batch.next_observations[place * 2..][..2]),
                    last.next_observation
                );
                assert_eq!(numbers(&batch.actions[place..=place]), [own.action]);
                assert!((f64::from(batch.rewards[place]) - reward).abs() < 1e-5);
                assert!((f64::from(batch.discounts[place]) - discount).abs() < 1e-6);
                assert_eq!(batch.terminated[place] > 0.5, last.terminated);
            }
        }
        // A next observation is stored for ends and newest steps only.
        let [_, finals] = replay.columns();
        assert!(finals.len() / 2 <= replay.len() + 1);
    }
}

#[test]
fn a_restored_buffer_draws_and_grows_as_the_original() {
    for (capacity, steps) in [(50, 20), (50, 50), (50, 333), (1, 4)] {
        let (mut first, mut play) = (replay(capacity, config(3)), Play::new(1, 1));
        for _ in 0..steps {
            play.step().push_to(&mut first).unwrap();
        }
        let text = serde_json::to_string(&first.info()).unwrap();
        let info: ReplayInfo = serde_json::from_str(&text).unwrap();
        let mut second = replay(capacity, config(3));
        second
            .restore(&info, first.columns().map(<[f32]>::to_vec))
            .unwrap();
        for round in 0..150 {
            assert_eq!(second.info(), first.info());
            assert_eq!(second.columns(), first.columns());
            let drawn = |replay: &ReplayBuffer| {
                let mut batch = Transitions::default();
                replay.sample(&mut Pcg64::seed_from_u64(round), 64, &mut batch);
                batch
            };
            assert_eq!(drawn(&second), drawn(&first));
            let step = play.step();
            step.push_to(&mut first).unwrap();
            step.push_to(&mut second).unwrap();
        }
    }
}

#[test]
fn a_state_that_contradicts_itself_is_refused() {
    let (mut sound, mut play) = (replay(20, config(1)), Play::new(4, 2));
    for _ in 0..33 {
        play.step().push_to(&mut sound).unwrap();
    }
    let (info, width) = (sound.info(), sound.width());
    let refused = |change: &dyn Fn(&mut ReplayInfo, &mut [Vec<f32>; 2])| {
        let (mut info, mut columns) = (info.clone(), sound.columns().map(<[f32]>::to_vec));
        change(&mut info, &mut columns);
        let mut other = replay(20, config(1));
        assert!(other.restore(&info, columns).is_err());
        assert!(other.is_empty());
    };
    refused(&|info, _| info.capacity = 21);
    refused(&|info, _| info.filled = 19);
    refused(&|info, _| info.head = 20);
    refused(&|info, _| info.action_width = 2);
    refused(&|info, _| info.newest = vec![Some(20)]);
    refused(&|_, [rows, _]| rows.truncate(width * 20 - 1));
    refused(&|_, [rows, _]| rows.truncate(width * 19));
    refused(&|_, [_, finals]| finals.clear());
    refused(&|_, [_, finals]| finals[0] = f32::NAN);
    refused(&|_, [rows, _]| rows[0] = f32::INFINITY);
    // A row that follows itself, half a row, and one out of range.
    for successor in [3.0, 2.5, 20.0, -1e9] {
        refused(&|_, [rows, _]| rows[4 * width - 1] = successor);
    }
    refused(&|_, [rows, _]| rows[4 * width - 2] = 2.0);
    let mut other = replay(20, config(1));
    other
        .restore(&info, sound.columns().map(<[f32]>::to_vec))
        .unwrap();
    assert_eq!(all(&other), all(&sound));
}

#[test]
fn memory_grows_with_the_steps_and_not_beyond_the_capacity() {
    let (mut large, mut play) = (replay(MAX_CAPACITY, config(1)), Play::new(2, 1));
    for _ in 0..100 {
        play.step().push_to(&mut large).unwrap();
    }
    assert!(large.rows.capacity() <= 256 * large.width());
    let mut small = replay(100, config(1));
    for _ in 0..1000 {
        play.step().push_to(&mut small).unwrap();
    }
    assert_eq!(small.rows.capacity(), 100 * small.width());
}

fn fixture(name: &str) -> Dataset {
    crate::open(
        &format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR")),
        None,
    )
    .unwrap()
}

#[test]
fn a_dataset_in_a_buffer_gives_the_rows_of_its_sampler() {
    for name in [
        "d4rl/hopper_marked-v2.hdf5",
        "minari/tiny/cartpole-v0",
        "minari/tiny/pendulum-v0",
    ] {
        let dataset = fixture(name);
        for (truncated_last, n_step) in [
            (TruncatedLast::Keep, 1),
            (TruncatedLast::Drop, 1),
            (TruncatedLast::Keep, 3),
            (TruncatedLast::Drop, 4),
        ] {
            let config = TransitionConfig {
                truncated_last,
                n_step,
                ..TransitionConfig::default()
            };
            let normaliser = config.normaliser(&dataset);
            let sampler = TransitionSampler::new(&dataset, &normaliser, config.clone()).unwrap();
            let info = dataset.info();
            let of = |capacity: usize| {
                ReplayBuffer::new(
                    &info.observation_space,
                    &info.action_space,
                    capacity,
                    config.clone(),
                )
            };
            let mut replay = of(sampler.rows()).unwrap();
            replay.set_normaliser(Some(normaliser)).unwrap();
            replay.extend(&dataset).unwrap();
            let (ours, theirs) = (all(&replay), sampler.all());
            assert_eq!(ours.observations, theirs.observations);
            assert_eq!(ours.next_observations, theirs.next_observations);
            assert_eq!((ours.actions, ours.labels), (theirs.actions, theirs.labels));
            assert_eq!(
                (ours.terminated, ours.discounts),
                (theirs.terminated, theirs.discounts)
            );
            for (a, b) in ours.rewards.iter().zip(&theirs.rewards) {
                assert!((a - b).abs() <= 1e-6 * (1.0 + b.abs()));
            }
            let error = of(sampler.rows() - 1)
                .unwrap()
                .extend(&dataset)
                .unwrap_err();
            assert!(error.to_string().contains("space for"), "{error}");
        }
    }
}

#[test]
fn steps_that_do_not_fit_the_buffer_are_an_error_and_change_nothing() {
    let refused = |capacity: usize, config: TransitionConfig| {
        ReplayBuffer::new(&unbounded(2), &unbounded(1), capacity, config).unwrap_err();
    };
    refused(0, config(1));
    refused(MAX_CAPACITY + 1, config(1));
    refused(5, config(0));
    let next_actions = TransitionConfig {
        next_actions: true,
        ..config(1)
    };
    refused(5, next_actions);

    let (mut full, mut play) = (replay(5, config(1)), Play::new(4, 1));
    for _ in 0..9 {
        play.step().push_to(&mut full).unwrap();
    }
    let (before, info) = (all(&full), full.info());
    let sound = play.step();
    let wrong = |full: &mut ReplayBuffer, change: &dyn Fn(&mut Step)| {
        let mut step = sound.clone();
        change(&mut step);
        step.push_to(full).unwrap_err();
    };
    wrong(&mut full, &|step| step.stream = 5);
    wrong(&mut full, &|step| step.reward = f64::NAN);
    wrong(&mut full, &|step| step.observation[1] = 1e300);
    wrong(&mut full, &|step| step.next_observation.push(0.0));
    full.extend(&fixture("minari/tiny/cartpole-v0"))
        .unwrap_err();
    let staircase = crate::dataset::tests::staircase;
    let mixture = mix(&[(staircase(&[1]), 1.0), (staircase(&[1]), 2.0)]).unwrap();
    replay(5, config(1)).extend(&mixture).unwrap_err();
    assert_eq!((all(&full), full.info()), (before, info));
    full.set_normaliser(Some(Normaliser::identity(3)))
        .unwrap_err();

    let choices = Space::Discrete { n: 2, start: 0 };
    let mut discrete = ReplayBuffer::new(&unbounded(2), &choices, 5, config(1)).unwrap();
    wrong(&mut discrete, &|step| step.action = 0.5);
    wrong(&mut discrete, &|step| step.action = 2.0);
    assert!(discrete.is_empty());
}
