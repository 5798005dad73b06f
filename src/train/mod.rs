//! The training loop: learn, and at intervals log, evaluate and store.

mod evaluation;
mod former;
mod health;
mod interaction;
mod learner_input;
mod processor;
mod rollouts;
#[cfg(test)]
mod tests;
mod validation;

use std::time::Instant;

use rtg_datasets::Dataset;

use self::evaluation::Beside;
pub use self::former::inherited;
use self::health::Health;
use self::learner_input::LearnerInput;
use self::processor::ProcessorClock;
use self::validation::Validation;
use crate::acting;
use crate::algorithms::{self, Learner, Setup, memory};
use crate::checkpoint::{self, Checkpoint, Header, Progress, TrainingState};
use crate::data::ExperimentData;
use crate::device::{ChosenDevice, Device};
use crate::error::Error;
use crate::experiment::Experiment;
use crate::interrupt::Interrupt;
use crate::keys::{KeyError, Table};
use crate::metrics::{self, Recorder};
use crate::parallel::{self, Division, World};
use crate::policy::Acting;
use crate::run::{self, Run, Summary};
use crate::statistics::Calibration;
use rtg_kernels::threads;

/// File of the last state under `checkpoints/`.
pub const LATEST: &str = "latest.safetensors";
/// File of the state with the largest return for the first target.
pub const BEST: &str = "best.safetensors";
/// File of the final weights alone, for PyTorch.
pub const WEIGHTS: &str = "weights.safetensors";

/// A run in progress. Each of several ranks has one, in the same state; rank 0 writes.
pub struct Training<'a> {
    experiment: &'a Experiment,
    env: &'a str,
    /// Whether the environment can be simulated here.
    simulated: bool,
    world: World,
    /// Where results go; none where another rank writes them.
    run: Option<&'a Run>,
    learner: Box<dyn Learner>,
    input: LearnerInput,
    validation: Validation,
    health: Health,
    progress: Progress,
    processor: ProcessorClock,
    recorder: Recorder,
    /// How evaluations act.
    acting: Acting,
    /// An evaluation on a thread of its own.
    beside: Option<Beside>,
}

/// A learner for this experiment and data, which computes this rank's parts of its batches: a new
/// one, with the weights that the plan names, or one that continues from a checkpoint.
///
/// # Errors
/// Data that the algorithm cannot learn from, weights that do not fit, ranks that cannot share the
/// parts.
pub fn new_learner(
    experiment: &Experiment,
    world: &World,
    opened: &ExperimentData,
    checkpoint: Option<&Checkpoint>,
) -> Result<Box<dyn Learner>, Error> {
    if world.size() > 1 && matches!(experiment.device, Device::Cuda(_)) {
        let device = experiment.device.to_string();
        return Err(parallel::Error::Device { device }.into());
    }
    let division = Division::new(world.clone(), experiment.parts)?;
    let mut learner = whole_learner(experiment, opened, checkpoint)?;
    if !division.is_whole() {
        let most = learner.needs().rows();
        if experiment.parts > most {
            let expected = format!("at most {most}, the rows of a batch");
            return Err(KeyError::new("parts", experiment.parts, expected).into());
        }
        learner.divide(division)?;
    }
    Ok(learner)
}

fn whole_learner(
    experiment: &Experiment,
    opened: &ExperimentData,
    checkpoint: Option<&Checkpoint>,
) -> Result<Box<dyn Learner>, Error> {
    let plan: Table = experiment.plan()?;
    let setup = Setup {
        recipe: &experiment.recipe,
        plan: &plan,
        spec: &opened.spec,
        data: opened.data.as_ref(),
        seed: experiment.seed,
        steps: experiment.steps,
        threads: experiment.threads,
    };
    memory::check(&*experiment.algorithm, &setup)?;
    let going_on = |checkpoint: &Checkpoint| {
        checkpoint.with_saved(|saved| experiment.algorithm.build(&setup, Some(saved)))
    };
    let mut learner = match (checkpoint, &experiment.from) {
        (Some(checkpoint), _) => going_on(checkpoint)?,
        (None, Some(run)) => {
            let mut learner = going_on(&former::open(run, experiment, &opened.spec)?)?;
            learner.go_online(experiment.seed)?;
            learner
        }
        (None, None) => experiment.algorithm.build(&setup, None)?,
    };
    if let Some(reason) = threads::failure() {
        let threads = experiment.threads;
        return Err(algorithms::Error::Threads { threads, reason }.into());
    }
    if let (None, Some(path)) = (checkpoint, &experiment.initial_weights) {
        checkpoint::load_weights(&mut *learner, path)?;
    }
    Ok(learner)
}

impl<'a> Training<'a> {
    /// Prepares the steps after a checkpoint, or the first ones.
    ///
    /// # Errors
    /// Data that batches cannot be drawn from, a GPU that cannot be used.
    pub fn new(
        experiment: &'a Experiment,
        opened: &'a ExperimentData,
        (world, run): (World, Option<&'a Run>),
        (mut learner, checkpoint): (Box<dyn Learner>, Option<&Checkpoint>),
        mut recorder: Recorder,
    ) -> Result<Self, Error> {
        let progress = checkpoint.map_or_else(
            || Progress::fresh(experiment.seed, opened.data.as_ref().map(Dataset::hash)),
            |checkpoint| checkpoint.notes.progress.clone(),
        );
        let validation = Validation::new(experiment, &learner.needs(), opened)?;
        // In an environment returns can exceed the data's.
        let data = opened.data.as_ref().filter(|_| !experiment.is_online());
        let health = Health::new(&learner.needs(), data);
        let input = LearnerInput::open(experiment, &*learner, opened, (&progress, checkpoint))?;
        let ranks = world.size();
        if ranks > 1 && experiment.evaluation.beside {
            let expected = "false in a run that is divided among processes";
            return Err(KeyError::new("evaluation.beside", true, expected).into());
        }
        if ranks > 1 {
            recorder.message(&format!("{ranks} ranks, connected by {}", world.name()));
        }
        let device = experiment.device;
        let chosen = if experiment.parts == 1 {
            learner.use_device(device, input.source())?
        } else {
            ChosenDevice::cpu(
                device,
                "a GPU computes whole batches, and 'parts' is above 1",
            )
        };
        if let Some(message) = chosen.message() {
            recorder.message(&message);
        }
        let chosen = acting::choose(experiment, &world, (None, None));
        let (acting, message) = chosen.map_err(evaluation::on_device)?;
        if let Some(message) = message {
            recorder.message(&message);
        }
        Ok(Self {
            acting,
            experiment,
            env: &opened.spec.id,
            simulated: opened.unsimulated.is_none(),
            world,
            run,
            input,
            validation,
            health,
            learner,
            progress,
            processor: ProcessorClock::default(),
            recorder,
            beside: None,
        })
    }

    /// Trains to the last step and evaluates the result. A signal takes effect after the current
    /// step; the run can be resumed from there.
    pub fn run(mut self) -> Result<Summary, Error> {
        let outcome = match self.run_steps() {
            Err(Error::Interrupted(signal)) => Err(self.stop(signal)),
            outcome => outcome,
        };
        let (step, ended) = match &outcome {
            Ok(_) => (self.experiment.steps, metrics::RunOutcome::Completed),
            Err(_) => (self.progress.step, metrics::RunOutcome::Failed),
        };
        let finished = self.recorder.finish(step, ended);
        let summary = outcome?;
        finished?;
        Ok(summary)
    }

    fn run_steps(&mut self) -> Result<Summary, Error> {
        let Experiment {
            steps,
            logging,
            evaluation,
            checkpoint_every,
            ..
        } = self.experiment;
        let evaluate_every = evaluation.every_for(*steps);
        let due = |step: u64, every: u64| every > 0 && step.is_multiple_of(every);
        let mut saves = false;
        loop {
            let step = self.progress.step;
            if step >= *steps {
                break;
            }
            if step > 0 {
                self.settle_ended()?;
                saves |= due(step, *checkpoint_every);
                // A session may have been stopped in the middle of this evaluation.
                if due(step, evaluate_every) && !self.is_evaluated() {
                    self.settle()?;
                    let beside = evaluation.beside && self.simulated;
                    if !beside || !self.evaluate_beside(evaluation.episodes)? {
                        self.evaluate(evaluation.episodes)?;
                        saves = true;
                    }
                }
                // The state of an evaluation that still runs is saved first.
                if saves && self.beside.is_none() {
                    self.save(LATEST)?;
                    saves = false;
                }
            }
            self.world.check()?;
            let events = [
                logging.every,
                logging.histograms_every,
                evaluate_every,
                *checkpoint_every,
            ];
            self.advance(steps_to_next(self.progress.step, *steps, events))?;
            let step = self.progress.step;
            let last = step == *steps;
            if due(step, logging.every) || last {
                self.log()?;
            }
            if due(step, logging.histograms_every) {
                self.log_histograms()?;
            }
            if due(step, evaluate_every) || last {
                self.validate()?;
            }
        }
        self.settle()?;
        // Before the checkpoint, so that a resumed run never records an evaluation twice.
        if !self.is_evaluated() {
            self.evaluate(evaluation.final_episodes)?;
            self.save(LATEST)?;
        }
        self.learner.synchronise()?;
        let summary = Summary {
            steps: *steps,
            train_seconds: self.progress.train_seconds,
            ms_per_step: 1e3 * self.progress.train_seconds / (*steps).max(1) as f64,
            final_loss: self.progress.last_loss,
            calibration: self.calibration(),
            evaluations: self.progress.evaluations.clone(),
        };
        if let Some(run) = self.run {
            checkpoint::export(&*self.learner, &run.checkpoints().join(WEIGHTS))?;
            run.write_summary(&summary)?;
        }
        Ok(summary)
    }

    /// Whether the evaluation at the current step has been done.
    fn is_evaluated(&self) -> bool {
        let mut evaluations = self.progress.evaluations.iter();
        evaluations.any(|evaluation| evaluation.step == self.progress.step)
    }

    /// That of the evaluation at the present step.
    fn calibration(&self) -> Option<Calibration> {
        let evaluations = self.progress.evaluations.iter();
        let present = evaluations.filter(|evaluation| evaluation.step == self.progress.step);
        run::calibration(self.experiment.evaluation.range(), present)
    }

    /// Saves a checkpoint; the error says how to resume.
    fn stop(&mut self, signal: Interrupt) -> Error {
        if let Err(error) = self.save_stopped() {
            return error;
        }
        let step = self.progress.step;
        let Some(run) = self.run.map(|run| run.path().display()) else {
            // Rank 0 names the path.
            return signal.into();
        };
        Error::Stopped {
            signal,
            kept: format!("the run is at step {step}: {run}"),
            next: format!("resume with `rtg train --run-dir {run} --resume`"),
        }
    }

    /// Up to `steps` steps: as many as the learner takes at a time.
    fn advance(&mut self, steps: u64) -> Result<(), Error> {
        let began = Instant::now();
        self.processor.go();
        let advance = self.input.advance(&mut *self.learner, steps)?;
        self.progress.train_seconds += began.elapsed().as_secs_f64();
        self.progress.step += advance.steps;
        if advance.steps == steps {
            // What follows is not training.
            let spent = self.processor.stop().map(f64::to_bits);
            let of_ranks = spent.map(|spent| self.world.gather(&[spent]));
            let spent = of_ranks.map(|all| all.into_iter().map(f64::from_bits).sum::<f64>());
            let before = self.progress.cpu_seconds;
            self.progress.cpu_seconds = before.zip(spent).map(|(before, spent)| before + spent);
        }
        for report in &advance.reports {
            self.progress.add(report);
            let mut metrics = report.metrics().iter();
            if let Some(metric) = metrics.find(|metric| !metric.value.is_finite()) {
                self.settle()?;
                return Err(self.diverged(metric.name, metric.value));
            }
        }
        Ok(())
    }

    fn diverged(&self, metric: &str, value: f64) -> Error {
        let path = self.run.map(|run| run.checkpoints().join(LATEST));
        let path = path.filter(|path| path.exists());
        let checkpoint = path.map_or("none".to_owned(), |path| path.display().to_string());
        Error::Diverged {
            step: self.progress.step,
            metric: metrics::train(metric),
            value,
            checkpoint,
        }
    }

    fn log(&mut self) -> Result<(), Error> {
        let progress = &mut self.progress;
        let curves = std::mem::take(&mut progress.curves);
        let loss = curves.iter().find(|curve| curve.name.ends_with("loss"));
        if let Some(loss) = loss {
            progress.last_loss = loss.point();
        }
        let seconds_per_step = progress.train_seconds / progress.step as f64;
        let mut values: Vec<(String, f64)> = (curves.iter())
            .map(|curve| (metrics::train(&curve.name), curve.point()))
            .collect();
        let speed = [
            (metrics::SPEED_STEPS_PER_SEC, seconds_per_step.recip()),
            (metrics::SPEED_MS_PER_STEP, 1e3 * seconds_per_step),
        ];
        if self.experiment.is_online() {
            let steps = progress.step as f64;
            values.push((metrics::TRAIN_ENVIRONMENT_STEPS.to_owned(), steps));
        }
        values.extend(self.health.signs(&mut *self.learner));
        let algorithm = self.experiment.algorithm.card().name;
        for warning in self.health.warnings(algorithm, &values) {
            self.recorder.message(&warning);
        }
        values.extend(speed.map(|(name, value)| (name.to_owned(), value)));
        let cpu = progress.cpu_seconds;
        values.extend(cpu.map(|secs| (metrics::SPEED_CPU_SECONDS.to_owned(), secs)));
        Ok(self.recorder.scalars(progress.step, &values)?)
    }

    fn log_histograms(&mut self) -> Result<(), Error> {
        self.learner.synchronise()?;
        for (name, weights, gradient) in self.learner.histograms() {
            self.recorder
                .histogram(self.progress.step, &metrics::weights(&name), weights)?;
            self.recorder
                .histogram(self.progress.step, &metrics::gradients(&name), gradient)?;
        }
        Ok(())
    }

    /// Metrics on the held-out episodes, if there are any.
    fn validate(&mut self) -> Result<(), Error> {
        if self.validation.is_empty() {
            return Ok(());
        }
        self.learner.synchronise()?;
        let values = self.validation.measure(&mut *self.learner);
        Ok(self.recorder.scalars(self.progress.step, &values)?)
    }

    /// Saves a checkpoint, after the results of an evaluation that runs beside training.
    fn save(&mut self, name: &str) -> Result<(), Error> {
        self.settle()?;
        let state = self.state()?;
        self.write(state.as_ref(), name)
    }

    /// The state after the present step; none where another rank writes it.
    fn state(&mut self) -> Result<Option<TrainingState>, Error> {
        self.learner.synchronise()?;
        self.progress.sampler = self.input.source().stream().clone();
        if self.world.size() > 1 {
            let content = checkpoint::content(&*self.learner)?;
            self.world.agree("state", &content)?;
        }
        if self.run.is_none() {
            return Ok(None);
        }
        let header = Header {
            algorithm: self.experiment.algorithm,
            recipe: &self.experiment.recipe,
            env: self.env,
        };
        let interaction = self.input.state()?;
        Ok(Some(TrainingState::of(
            header,
            &*self.learner,
            &self.progress,
            interaction,
        )))
    }

    fn write(&mut self, state: Option<&TrainingState>, name: &str) -> Result<(), Error> {
        // A resumed run keeps the metrics up to its checkpoint, so they must be there first.
        self.recorder.flush()?;
        let (Some(run), Some(state)) = (self.run, state) else {
            return Ok(());
        };
        state.write(&run.checkpoints().join(name))
    }
}

/// Steps to the next one after `step` with an event: a multiple of one of `events`, or the last of
/// all.
fn steps_to_next(step: u64, steps: u64, events: [u64; 4]) -> u64 {
    let next = events.into_iter().filter(|every| *every > 0);
    let next = next.map(|every| every - step % every).min();
    next.unwrap_or(u64::MAX).min(steps - step)
}
