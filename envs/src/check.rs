//! A checker of the contract for every environment.
//!
//! [`check_env`] steps an environment and lists violations of [`Env`]'s contract, in sentences.
//! This crate's tests run it on all registered environments; run it on a custom environment before
//! training in it.

use crate::{Env, Space, random::NumpyRng};

/// Random steps of the long walk.
const STEPS: usize = 10_000;
/// Steps compared between a trajectory and its repetition.
const REPEAT: usize = 300;

/// Checks the contract. The errors are sentences, one for each violation. The environment is left
/// in an arbitrary state.
pub fn check_env(env: &mut dyn Env) -> Result<(), Vec<String>> {
    let mut check = Check::new(env);
    check.description();
    if check.findings.is_empty() {
        check.reset_by_seed();
        check.reset_without_seed();
        check.same_seed_same_trajectory();
        check.long_walk();
        check.state_round_trip();
        check.time_limit();
        check.frame();
    }
    if check.findings.is_empty() {
        Ok(())
    } else {
        Err(check.findings)
    }
}

struct Check<'a> {
    env: &'a mut dyn Env,
    observation: Vec<f64>,
    action: Vec<f64>,
    actions: Space,
    rng: NumpyRng,
    findings: Vec<String>,
}

impl<'a> Check<'a> {
    fn new(env: &'a mut dyn Env) -> Self {
        let spec = env.spec();
        let actions = spec.action_space.clone();
        let (observation, action) = (
            vec![f64::NAN; spec.observation_space.width()],
            vec![0.0; actions.width()],
        );
        Self {
            env,
            observation,
            action,
            actions,
            rng: NumpyRng::from_seed(0),
            findings: Vec::new(),
        }
    }

    fn expect(&mut self, holds: bool, finding: &str) {
        if !holds && !self.findings.iter().any(|known| known == finding) {
            self.findings.push(finding.to_owned());
        }
    }

    fn reset(&mut self, seed: Option<u64>) {
        self.observation.fill(f64::NAN);
        self.env.reset(seed, &mut self.observation);
    }

    /// A step with a random action, as numbers that can be compared: reward, flags, observation.
    fn step(&mut self) -> Record {
        self.actions.sample(&mut self.rng, &mut self.action);
        self.observation.fill(f64::NAN);
        let step = self.env.step(&self.action, &mut self.observation);
        Record {
            reward: step.reward.to_bits(),
            terminated: step.terminated,
            truncated: step.truncated,
            observation: bits(&self.observation),
        }
    }

    /// A trajectory with the actions of a fixed generator, across the ends of episodes.
    fn trajectory(&mut self, steps: usize) -> Vec<Record> {
        self.rng = NumpyRng::from_seed(1);
        let mut records = Vec::with_capacity(steps);
        for _ in 0..steps {
            let record = self.step();
            if record.is_last() {
                self.reset(None);
            }
            records.push(record);
        }
        records
    }

    fn description(&mut self) {
        let spec = self.env.spec().clone();
        self.expect(!spec.id.is_empty(), "the id is empty");
        self.expect(
            spec.observation_space.width() > 0,
            "an observation has no numbers",
        );
        self.expect(spec.action_space.width() > 0, "an action has no numbers");
        self.expect(spec.max_episode_steps != Some(0), "the time limit is 0");
        if let Some(reference) = spec.reference_returns {
            self.expect(
                reference.random < reference.expert,
                "the random reference return is not below the expert's",
            );
        }
    }

    fn see(&mut self, place: &str) {
        let is_finite = self.observation.iter().all(|number| number.is_finite());
        self.expect(is_finite, &format!("an observation {place} is not finite"));
        let is_member = self
            .env
            .spec()
            .observation_space
            .contains(&self.observation);
        self.expect(
            is_member,
            &format!("an observation {place} is outside its space or not of its number type"),
        );
        let mut again = vec![f64::NAN; self.observation.len()];
        self.env.observe(&mut again);
        let is_same = bits(&again) == bits(&self.observation);
        self.expect(
            is_same,
            &format!("observe() differs from the observation {place}"),
        );
    }

    fn reset_by_seed(&mut self) {
        let mut starts = Vec::new();
        for seed in [0, 1, 2, u64::MAX] {
            self.reset(Some(seed));
            self.see("after a reset");
            let first = bits(&self.observation);
            self.step();
            self.reset(Some(seed));
            let is_same = first == bits(&self.observation);
            self.expect(
                is_same,
                "a reset with the same seed produces another start state",
            );
            starts.push(first);
        }
        let is_varied = starts.iter().any(|start| *start != starts[0]);
        self.expect(is_varied, "the seed has no influence on the start state");
    }

    fn reset_without_seed(&mut self) {
        let mut runs = Vec::new();
        for _ in 0..2 {
            self.reset(Some(3));
            let first = bits(&self.observation);
            self.reset(None);
            let second = bits(&self.observation);
            self.expect(
                first != second,
                "a reset without a seed repeats the start state",
            );
            self.reset(None);
            runs.push((second, bits(&self.observation)));
        }
        self.expect(
            runs[0] == runs[1],
            "a reset without a seed does not continue with the seeded generator",
        );
    }

    fn same_seed_same_trajectory(&mut self) {
        self.reset(Some(4));
        let first = self.trajectory(REPEAT);
        self.reset(Some(4));
        let second = self.trajectory(REPEAT);
        self.expect(
            first == second,
            "the same seed and actions produce another trajectory",
        );
    }

    fn long_walk(&mut self) {
        self.reset(Some(5));
        self.rng = NumpyRng::from_seed(5);
        let limit = self.env.spec().max_episode_steps.unwrap_or(usize::MAX);
        let mut length = 0;
        for _ in 0..STEPS {
            let record = self.step();
            length += 1;
            self.see("after a step");
            self.expect(
                f64::from_bits(record.reward).is_finite(),
                "a reward is not finite",
            );
            self.expect(length <= limit, "an episode is longer than the time limit");
            if record.is_last() {
                self.reset(None);
                length = 0;
            }
        }
    }

    fn state_round_trip(&mut self) {
        self.reset(Some(6));
        let state = self.env.state();
        if state.is_empty() {
            return;
        }
        self.rng = NumpyRng::from_seed(6);
        for _ in 0..20 {
            for _ in 0..self.rng.uniform(1.0, 20.0) as usize {
                if self.step().is_last() {
                    self.reset(None);
                }
            }
            self.round_trip_here();
        }
        let before = bits(&self.env.state());
        let too_long = vec![0.0; state.len() + 1];
        let is_refused = self.env.set_state(&too_long).is_err()
            && self.env.set_state(&vec![f64::NAN; state.len()]).is_err();
        self.expect(
            is_refused,
            "a state of a wrong width or with NaN is accepted",
        );
        let is_same = before == bits(&self.env.state());
        self.expect(is_same, "a refused state changes the environment");
    }

    fn round_trip_here(&mut self) {
        let (state, seen, rng) = (self.env.state(), bits(&self.observation), self.rng.clone());
        let mut walks = Vec::new();
        for _ in 0..2 {
            self.rng = rng.clone();
            let mut walk = Vec::new();
            for _ in 0..20 {
                let record = self.step();
                let ended = record.terminated;
                // The time limit's count is not part of the state.
                walk.push(Record {
                    truncated: false,
                    ..record
                });
                if ended {
                    break;
                }
            }
            walks.push(walk);
            let is_set = self.env.set_state(&state).is_ok();
            self.expect(is_set, "a state that the environment returned is refused");
            let is_back = bits(&self.env.state()) == bits(&state);
            self.expect(is_back, "set_state() does not restore the state");
            self.env.observe(&mut self.observation);
            let is_seen = bits(&self.observation) == seen;
            self.expect(is_seen, "the observation after set_state() differs");
        }
        self.expect(
            walks[0] == walks[1],
            "the environment continues differently after set_state()",
        );
        self.reset(None);
    }

    /// Keeps the environment at its start state, so that nothing but the time limit can end the
    /// episode.
    fn time_limit(&mut self) {
        let Some(limit) = self.env.spec().max_episode_steps else {
            return;
        };
        self.reset(Some(7));
        let start = self.env.state();
        if start.is_empty() {
            return;
        }
        for pass in 0..2 {
            let mut truncated_at = None;
            for count in 1..=limit + 1 {
                let record = self.step();
                self.expect(
                    !record.terminated,
                    "the environment terminates one step after a start, or the time limit sets \
                        'terminated'",
                );
                if record.truncated {
                    truncated_at = Some(count);
                    break;
                }
                let _ = self.env.set_state(&start);
            }
            let when = if pass == 0 { "" } else { " after a reset" };
            self.expect(
                truncated_at == Some(limit),
                &format!("the episode is not truncated exactly at the time limit{when}"),
            );
            self.reset(Some(7));
        }
    }

    fn frame(&mut self) {
        self.reset(Some(8));
        let before = bits(&self.env.state());
        let Some(frame) = self.env.render() else {
            return;
        };
        let is_sized =
            !frame.pixels.is_empty() && frame.pixels.len() == 3 * frame.width * frame.height;
        self.expect(is_sized, "a frame does not have three bytes per pixel");
        let is_same =
            self.env.render().as_ref() == Some(&frame) && bits(&self.env.state()) == before;
        self.expect(is_same, "drawing a frame changes the environment");
    }
}

/// One step in bits, so that equality means equality.
#[derive(PartialEq, Debug)]
struct Record {
    reward: u64,
    terminated: bool,
    truncated: bool,
    observation: Vec<u64>,
}

impl Record {
    fn is_last(&self) -> bool {
        self.terminated || self.truncated
    }
}

fn bits(numbers: &[f64]) -> Vec<u64> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

#[cfg(test)]
mod tests;
