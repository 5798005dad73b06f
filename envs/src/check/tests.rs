use super::check_env;
use crate::{Env, Error, Frame, Spec, Step, ids, make, mujoco, registry::needs_mujoco};

#[test]
fn every_registered_environment_keeps_the_contract() {
    for id in ids() {
        if needs_mujoco(id) && !mujoco::is_here(id) {
            continue;
        }
        assert_eq!(check_env(&mut *make(id).unwrap()), Ok(()), "{id}");
    }
}

/// The faults of [`Faulty`], each a breach of the contract.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Defect {
    None,
    IgnoresSeed,
    RestartsWithoutSeed,
    ForgetsToSeed,
    KeepsNoise,
    LeavesSpace,
    UnroundedObservation,
    NotANumber,
    InfiniteReward,
    StateIncomplete,
    AcceptsAnyState,
    TruncatesLate,
    CountsAcrossResets,
    LimitTerminates,
    SmallFrame,
    ObservesSomethingElse,
}

/// A good environment with one planted defect.
struct Faulty {
    env: Box<dyn Env>,
    defect: Defect,
    count: usize,
    resets: usize,
}

impl Faulty {
    fn new(defect: Defect) -> Self {
        Self {
            env: make("Pendulum-v1").unwrap(),
            defect,
            count: 0,
            resets: 0,
        }
    }
}

impl Env for Faulty {
    fn spec(&self) -> &Spec {
        self.env.spec()
    }

    fn reset(&mut self, seed: Option<u64>, observation: &mut [f64]) {
        self.resets += 1;
        if self.defect != Defect::CountsAcrossResets {
            self.count = 0;
        }
        let seed = match self.defect {
            Defect::IgnoresSeed => Some(9),
            Defect::RestartsWithoutSeed => seed.or(Some(3)),
            Defect::ForgetsToSeed => seed.or(Some(1000 + self.resets as u64)),
            _ => seed,
        };
        self.env.reset(seed, observation);
    }

    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Step {
        self.count += 1;
        let mut step = self.env.step(action, observation);
        match self.defect {
            Defect::KeepsNoise if self.resets.is_multiple_of(3) => step.reward += 1e-12,
            Defect::LeavesSpace => observation[2] = 9.0,
            Defect::UnroundedObservation => observation[2] = 0.1,
            Defect::NotANumber => observation[2] = f64::NAN,
            Defect::InfiniteReward => step.reward = f64::NEG_INFINITY,
            Defect::StateIncomplete => step.reward += self.count as f64,
            Defect::TruncatesLate => step.truncated = self.count >= 201,
            Defect::CountsAcrossResets => step.truncated = self.count >= 200,
            Defect::LimitTerminates => step.terminated = step.truncated,
            _ => {}
        }
        step
    }

    fn observe(&self, observation: &mut [f64]) {
        self.env.observe(observation);
        if self.defect == Defect::ObservesSomethingElse {
            observation[0] = 0.0;
        }
    }

    fn state(&self) -> Vec<f64> {
        self.env.state()
    }

    fn set_state(&mut self, state: &[f64]) -> Result<(), Error> {
        if self.defect == Defect::AcceptsAnyState && state.len() != 2 {
            return Ok(());
        }
        self.env.set_state(state)
    }

    fn render(&self) -> Option<Frame> {
        let mut frame = self.env.render()?;
        if self.defect == Defect::SmallFrame {
            frame.pixels.pop();
        }
        Some(frame)
    }
}

#[test]
fn the_checker_finds_every_planted_defect() {
    assert_eq!(check_env(&mut Faulty::new(Defect::None)), Ok(()));
    let planted = [
        (Defect::IgnoresSeed, "the seed has no influence"),
        (Defect::RestartsWithoutSeed, "repeats the start state"),
        (
            Defect::ForgetsToSeed,
            "does not continue with the seeded generator",
        ),
        (
            Defect::KeepsNoise,
            "the same seed and actions produce another trajectory",
        ),
        (Defect::LeavesSpace, "outside its space"),
        (Defect::UnroundedObservation, "not of its number type"),
        (Defect::NotANumber, "is not finite"),
        (Defect::InfiniteReward, "a reward is not finite"),
        (
            Defect::StateIncomplete,
            "continues differently after set_state()",
        ),
        (
            Defect::AcceptsAnyState,
            "of a wrong width or with NaN is accepted",
        ),
        (
            Defect::TruncatesLate,
            "not truncated exactly at the time limit",
        ),
        (
            Defect::CountsAcrossResets,
            "not truncated exactly at the time limit after a reset",
        ),
        (Defect::LimitTerminates, "the time limit sets 'terminated'"),
        (Defect::SmallFrame, "three bytes per pixel"),
        (Defect::ObservesSomethingElse, "observe() differs"),
    ];
    for (defect, sentence) in planted {
        let findings = check_env(&mut Faulty::new(defect)).unwrap_err();
        assert!(
            findings.iter().any(|finding| finding.contains(sentence)),
            "{defect:?}: {findings:?}"
        );
    }
}
