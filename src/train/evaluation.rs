//! The evaluations of a run. Training waits for each, or continues beside it.
//!
//! An evaluation beside training acts on a thread of its own, with the policy of its step. Its
//! results are recorded when it ends, and the state of that step is kept until then, to be saved
//! with them. So the checkpoints, the curves and the best policy are those of a run that waits.

use std::panic;
use std::thread::{self, JoinHandle};

use rtg_envs::{mujoco, registry};

use super::processor::ThreadClock;
use super::{BEST, LATEST, Training};
use crate::algorithms;
use crate::checkpoint::TrainingState;
use crate::error::Error;
use crate::evaluate::{self, EvaluationPlan, EvaluationResult, TargetScore};
use crate::experiment::Targets;
use crate::interrupt::Interrupt;
use crate::metrics;
use crate::parallel::World;
use crate::run::{self, Evaluation};

type Outcome = Result<EvaluationResult, evaluate::Error>;

/// An evaluation that runs beside training.
pub(super) struct Beside {
    thread: Thread,
    /// The step whose policy it is.
    step: u64,
    /// The state after that step; none where nothing is saved.
    state: Option<TrainingState>,
    /// `MuJoCo`'s warnings before.
    warned: u64,
}

enum Thread {
    Running(JoinHandle<Outcome>),
    Interrupted(Interrupt),
}

impl Beside {
    /// Whether the results can be had without waiting.
    fn has_ended(&self) -> bool {
        match &self.thread {
            Thread::Running(thread) => thread.is_finished(),
            Thread::Interrupted(_) => true,
        }
    }
}

impl Training<'_> {
    /// Every target, `episodes` each; keeps the best checkpoint. Nothing where there is no
    /// simulator.
    pub(super) fn evaluate(&mut self, episodes: usize) -> Result<(), Error> {
        if !self.simulated {
            return Ok(());
        }
        self.learner.synchronise()?;
        let plan = self.evaluation_plan(episodes, self.experiment.threads);
        let (model, acting) = (self.learner.model(), self.acting);
        let policy = &mut |rows| model.acting(acting, rows, plan.threads);
        let warned_before = mujoco::warnings().count;
        let results = evaluate::share(&self.world, policy, &plan, |_, _| ());
        let results = results.map_err(|error| on_device(error.into()))?;
        if self.record(self.progress.step, results, warned_before)? {
            self.save(BEST)?;
        }
        Ok(())
    }

    /// Begins the same on a thread of its own, and returns whether the system has one. There must
    /// be a simulator.
    pub(super) fn evaluate_beside(&mut self, episodes: usize) -> Result<bool, Error> {
        let state = self.state()?;
        let plan = self.evaluation_plan(episodes, 1);
        let model = self.learner.model();
        let policy = model.acting(self.acting, plan.rows(1), plan.threads);
        let policy = policy.map_err(|error| on_device(error.into()))?;
        let clock = ThreadClock::default();
        let its_clock = clock.clone();
        let warned = mujoco::warnings().count;
        let act = move || evaluate::with_policy(&World::alone(), policy, &plan, |_, _| ());
        let thread = thread::Builder::new().spawn(move || its_clock.during(act));
        let Ok(thread) = thread else {
            return Ok(false);
        };
        self.processor.leave_out(clock);
        self.beside = Some(Beside {
            thread: Thread::Running(thread),
            step: self.progress.step,
            state,
            warned,
        });
        Ok(true)
    }

    /// Records and saves the results of an evaluation beside training, if there is one that has
    /// ended.
    pub(super) fn settle_ended(&mut self) -> Result<(), Error> {
        match &self.beside {
            Some(beside) if beside.has_ended() => self.settle(),
            _ => Ok(()),
        }
    }

    /// Waits for the evaluation beside training, if there is one, then records and saves its
    /// results. One that a signal ended stays, for [`Training::save_stopped`].
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        let Some(mut beside) = self.beside.take() else {
            return Ok(());
        };
        let outcome = match beside.thread {
            Thread::Running(thread) => match thread.join() {
                Ok(outcome) => outcome,
                Err(panicked) => panic::resume_unwind(panicked),
            },
            Thread::Interrupted(signal) => Err(signal.into()),
        };
        let results = match outcome {
            Ok(results) => results,
            Err(evaluate::Error::Interrupted(signal)) => {
                beside.thread = Thread::Interrupted(signal);
                self.beside = Some(beside);
                return Err(signal.into());
            }
            Err(error) => return Err(on_device(error.into())),
        };
        let is_best = self.record(beside.step, results, beside.warned)?;
        if let Some(state) = &mut beside.state {
            let progress = state.progress();
            progress.evaluations.clone_from(&self.progress.evaluations);
            progress.best_return = self.progress.best_return;
        }
        if is_best {
            self.write(beside.state.as_ref(), BEST)?;
        }
        self.write(beside.state.as_ref(), LATEST)
    }

    /// Saves a checkpoint after a signal: of the present step or, if that ended an evaluation
    /// beside training, of the evaluated step, from which the run will continue.
    pub(super) fn save_stopped(&mut self) -> Result<(), Error> {
        match self.settle() {
            Err(Error::Interrupted(_)) => {}
            settled => {
                settled?;
                return self.save(LATEST);
            }
        }
        let Some(mut state) = self.beside.take().and_then(|beside| beside.state) else {
            return Ok(());
        };
        self.progress = state.progress().clone();
        self.write(Some(&state), LATEST)
    }

    pub(super) fn evaluation_plan(&self, episodes: usize, threads: usize) -> EvaluationPlan {
        let evaluation = &self.experiment.evaluation;
        let targets = evaluation.targets.as_ref();
        EvaluationPlan {
            env: self.env.to_owned(),
            targets: targets.map_or_else(Vec::new, Targets::numbers),
            return_range: evaluation.range(),
            episodes,
            seed: evaluation.seed,
            rows: None,
            threads,
        }
    }

    /// Records the results for the policy of a step, and returns whether it is the best so far.
    fn record(
        &mut self,
        step: u64,
        results: EvaluationResult,
        warned_before: u64,
    ) -> Result<bool, Error> {
        let (instabilities, calibration) = (results.instabilities, results.calibration);
        let evaluations: Vec<Evaluation> = results
            .targets
            .into_iter()
            .map(|score| stored(step, score))
            .collect();
        let mut scalars: Vec<(String, f64)> =
            evaluations.iter().flat_map(Evaluation::scalars).collect();
        let largest = |pick: fn(&Evaluation) -> Option<f64>| {
            evaluations.iter().filter_map(pick).reduce(f64::max)
        };
        scalars.extend(calibration.iter().flat_map(run::calibration_scalars));
        for (name, value) in [
            (
                metrics::EVAL_RETURN_MEAN_BEST,
                largest(|evaluation| Some(evaluation.return_mean)),
            ),
            (
                metrics::EVAL_SCORE_BEST,
                largest(|evaluation| evaluation.score),
            ),
        ] {
            scalars.extend(value.map(|value| (name.to_owned(), value)));
        }
        if registry::needs_mujoco(self.env) {
            let warned = mujoco::warnings();
            let of_ranks = self.world.gather(&[warned.count - warned_before]);
            let new: u64 = of_ranks.into_iter().sum();
            if new > 0 {
                let words = format!("MuJoCo warned {new} times, last: {}", warned.last);
                self.recorder.message(&words);
            }
            scalars.push((metrics::EVAL_WARNINGS.to_owned(), new as f64));
            scalars.push((metrics::EVAL_INSTABILITIES.to_owned(), instabilities as f64));
        }
        self.recorder.scalars(step, &scalars)?;
        let first = evaluations.first().map(|evaluation| evaluation.return_mean);
        self.progress.evaluations.extend(evaluations);
        let is_best = first > self.progress.best_return;
        if is_best {
            self.progress.best_return = first;
        }
        Ok(is_best)
    }
}

/// Tells an error of the device of evaluations from one of the learner's.
pub(super) fn on_device(error: Error) -> Error {
    match error {
        Error::Gpu(source) | Error::Algorithm(algorithms::Error::Gpu(source)) => {
            Error::EvaluationGpu(source)
        }
        error => error,
    }
}

/// One target's result as the run stores it.
fn stored(step: u64, score: TargetScore) -> Evaluation {
    Evaluation {
        step,
        target: score.target,
        return_mean: score.return_mean,
        return_std: score.return_std,
        length_mean: score.length_mean,
        score: score.score,
        returns: score.returns,
    }
}
