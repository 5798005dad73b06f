//! The training loop: sample, learn, and now and then log, evaluate and store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use rtg_datasets::sample::{Batch, Prefetcher, WindowSampler};
use rtg_datasets::statistics::Normaliser;
use rtg_envs::registry;

use crate::algorithms::decision_transformer::config::EngineKind;
use crate::algorithms::decision_transformer::preprocessing::{ActionCodec, Preprocessing};
use crate::algorithms::decision_transformer::{self, DeviceLearner};
use crate::algorithms::{Algorithm, Learner, Model, Update, bc};
use crate::checkpoint::{self, Checkpoint, Progress};
use crate::data::Opened;
use crate::error::Error;
use crate::evaluate::{Plan, TargetScore, evaluate};
use crate::experiment::{Device, Experiment};
use crate::kernels::cuda;
use crate::metrics::{self, Recorder};
use crate::random::Stream;
use crate::run::{Evaluation, Run, Summary};

/// File of the last state under `checkpoints/`.
pub const LATEST: &str = "latest.safetensors";
/// File of the state with the largest return for the first target.
pub const BEST: &str = "best.safetensors";
/// File of the final weights alone, for PyTorch.
pub const WEIGHTS: &str = "weights.safetensors";

/// Windows of the held-back episodes over which their loss is the mean.
const VALIDATION_WINDOWS: usize = 1024;
/// Batches that are drawn from files before they are wanted.
const BATCHES_AHEAD: usize = 4;

/// Where a step's batches come from. Both give the same ones.
enum Batches {
    /// Drawn when they are wanted, in next to no time: the numbers are in memory.
    Now(WindowSampler),
    /// Drawn in the background: a file's numbers may have to be waited for.
    Ahead(Prefetcher<Stream>),
}

impl Batches {
    /// The next batch of `rows` windows. `stream` becomes the generator after it, so that a
    /// checkpoint never holds one that is ahead.
    fn next(&mut self, stream: &mut Stream, rows: usize, batch: &mut Batch) {
        match self {
            Self::Now(sampler) => sampler.sample(stream, rows, batch),
            Self::Ahead(prefetcher) => {
                prefetcher.next(batch);
                stream.clone_from(prefetcher.stream());
            }
        }
    }

    fn sampler(&self) -> &WindowSampler {
        match self {
            Self::Now(sampler) => sampler,
            Self::Ahead(prefetcher) => prefetcher.sampler(),
        }
    }
}

/// A run under way.
pub struct Training<'a> {
    experiment: &'a Experiment,
    env: &'a str,
    /// Whether the environment can be stepped here.
    simulated: bool,
    run: &'a Run,
    learner: Learner,
    /// A GPU, which is ahead of the learner until its state is fetched.
    device: Option<DeviceLearner>,
    batches: Batches,
    /// Fixed windows of the held-back episodes, if there are any.
    validation: Vec<Batch>,
    progress: Progress,
    recorder: Recorder,
}

/// A new model for this experiment and data: fitted normaliser, initial or given weights.
pub fn new_model(experiment: &Experiment, opened: &Opened) -> Result<Model, Error> {
    let (recipe, config) = (experiment.recipe, &experiment.model);
    let Opened { data, spec, .. } = opened;
    let actions = ActionCodec::of(recipe, &spec.action_space)
        .map_err(|found| Error::ActionSpace { found })?;
    let normaliser = Normaliser::of(data, Normaliser::EPSILON);
    let mut model = match experiment.algorithm {
        Algorithm::DecisionTransformer => {
            let preprocessing = Preprocessing {
                normaliser,
                return_scale: config.return_scale_for(&spec.id, data),
                episode_length: config.episode_length_for(spec, data),
                actions,
            };
            let seed = experiment.seed;
            let model = decision_transformer::Model::new(recipe, config, preprocessing, seed);
            Model::DecisionTransformer(model)
        }
        Algorithm::Bc => {
            let model = bc::Model::empty(recipe, experiment.bc.clone(), normaliser, actions);
            Model::Bc(model.initialised(experiment.seed))
        }
    };
    if let Some(path) = &experiment.initial_weights {
        checkpoint::load_weights(&mut model, path)?;
    }
    Ok(model)
}

fn new_learner(experiment: &Experiment, model: Model) -> Learner {
    let Experiment {
        seed,
        steps,
        threads,
        optimiser,
        ..
    } = experiment;
    match model {
        Model::DecisionTransformer(model) => {
            let setup = (*seed, *steps, *threads);
            let config = &experiment.model;
            Learner::DecisionTransformer(Box::new(decision_transformer::Learner::new(
                model, config, optimiser, setup,
            )))
        }
        Model::Bc(model) => {
            Learner::Bc(Box::new(bc::Learner::new(model, optimiser, *seed, *steps)))
        }
    }
}

impl<'a> Training<'a> {
    /// Prepares the steps after a checkpoint, which may be a fresh one.
    pub fn new(
        experiment: &'a Experiment,
        opened: &'a Opened,
        run: &'a Run,
        checkpoint: Checkpoint,
        mut recorder: Recorder,
    ) -> Result<Self, Error> {
        let Checkpoint {
            model,
            moments,
            progress,
        } = checkpoint;
        let sampler = model.sampler(&opened.data)?;
        let validation = match &opened.validation {
            Some(part) => validation(experiment, &model.sampler(part)?),
            None => Vec::new(),
        };
        let mut learner = new_learner(experiment, model);
        learner.restore(moments, progress.step);
        let device = open_device(experiment, &learner, &sampler)?;
        if let Some(device) = &device {
            recorder.message(&format!("computes on {}", device.name()));
        }
        let batches = if opened.data.is_mapped() && device.is_none() {
            let (stream, rows) = (progress.sampler.clone(), experiment.optimiser.batch_size);
            Batches::Ahead(Prefetcher::new(
                Arc::new(sampler),
                stream,
                rows,
                BATCHES_AHEAD,
            ))
        } else {
            Batches::Now(sampler)
        };
        Ok(Self {
            experiment,
            env: &opened.spec.id,
            simulated: opened.unsimulated.is_none(),
            run,
            batches,
            validation,
            device,
            learner,
            progress,
            recorder,
        })
    }

    /// Trains to the last step and evaluates the result.
    pub fn run(mut self) -> Result<Summary, Error> {
        let outcome = self.run_steps();
        let (step, ended) = match &outcome {
            Ok(_) => (self.experiment.steps, metrics::Outcome::Completed),
            Err(_) => (self.progress.step, metrics::Outcome::Failed),
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
        let mut batch = Batch::default();
        while self.progress.step < *steps {
            let events = [
                logging.every,
                logging.histograms_every,
                evaluate_every,
                *checkpoint_every,
            ];
            let update = self.advance(
                steps_to_next(self.progress.step, *steps, events),
                &mut batch,
            )?;
            let step = self.progress.step;
            let last = step == *steps;
            if due(step, logging.every) || last {
                self.log(update)?;
            }
            if due(step, logging.histograms_every) {
                self.log_histograms()?;
            }
            if due(step, evaluate_every) || last {
                self.validate()?;
            }
            if due(step, evaluate_every) && !last {
                self.evaluate(evaluation.episodes)?;
            }
            if (due(step, *checkpoint_every) || due(step, evaluate_every)) && !last {
                self.save(LATEST)?;
            }
        }
        // Before the checkpoint, so that a resumed run never records an evaluation twice.
        if !self
            .progress
            .evaluations
            .iter()
            .any(|evaluation| evaluation.step == *steps)
        {
            self.evaluate(evaluation.final_episodes)?;
            self.save(LATEST)?;
        }
        self.fetch()?;
        checkpoint::export(&self.learner.model(), &self.checkpoint_path(WEIGHTS))?;
        let summary = Summary {
            steps: *steps,
            train_seconds: self.progress.train_seconds,
            ms_per_step: 1e3 * self.progress.train_seconds / (*steps).max(1) as f64,
            final_loss: self.progress.last_loss,
            evaluations: self.progress.evaluations.clone(),
        };
        self.run.write_summary(&summary)?;
        Ok(summary)
    }

    /// Up to `steps` optimiser steps: as many as the device takes at a time, or one. Gives the last of them.
    fn advance(&mut self, steps: u64, batch: &mut Batch) -> Result<Update, Error> {
        let began = Instant::now();
        let updates = if let (Some(device), Learner::DecisionTransformer(learner)) =
            (&mut self.device, &mut self.learner)
        {
            let count = device.most_steps().min(steps as usize);
            let stream = &mut self.progress.sampler;
            device.steps(learner, self.batches.sampler(), stream, count)?
        } else {
            vec![self.step(batch)]
        };
        self.progress.train_seconds += began.elapsed().as_secs_f64();
        for update in &updates {
            self.progress.step += 1;
            self.progress.unlogged_losses.push(update.loss);
            for (metric, value) in [
                (metrics::TRAIN_LOSS, update.loss),
                (metrics::TRAIN_GRADIENT_NORM, update.gradient_norm),
            ] {
                if !value.is_finite() {
                    return Err(self.diverged(metric, value));
                }
            }
        }
        Ok(updates[updates.len() - 1])
    }

    /// One optimiser step on the CPU.
    fn step(&mut self, batch: &mut Batch) -> Update {
        let optimiser = &self.experiment.optimiser;
        for _ in 0..optimiser.accumulation {
            let stream = &mut self.progress.sampler;
            self.batches.next(stream, optimiser.batch_size, batch);
            self.learner.accumulate(batch);
        }
        self.learner.apply()
    }

    /// Brings the learner up to what the device has done.
    fn fetch(&mut self) -> Result<(), Error> {
        if let (Some(device), Learner::DecisionTransformer(learner)) =
            (&mut self.device, &mut self.learner)
        {
            device.fetch(learner)?;
        }
        Ok(())
    }

    fn diverged(&self, metric: &'static str, value: f64) -> Error {
        let path = self.checkpoint_path(LATEST);
        let checkpoint = if path.exists() {
            path.display().to_string()
        } else {
            "none".to_owned()
        };
        Error::Diverged {
            step: self.progress.step,
            metric,
            value,
            checkpoint,
        }
    }

    fn log(&mut self, update: Update) -> Result<(), Error> {
        let progress = &mut self.progress;
        let count = progress.unlogged_losses.len().max(1) as f64;
        progress.last_loss = progress.unlogged_losses.drain(..).sum::<f64>() / count;
        let seconds_per_step = progress.train_seconds / progress.step as f64;
        let values = [
            (metrics::TRAIN_LOSS, progress.last_loss),
            (metrics::TRAIN_LEARNING_RATE, update.learning_rate),
            (metrics::TRAIN_GRADIENT_NORM, update.gradient_norm),
            (metrics::SPEED_STEPS_PER_SEC, seconds_per_step.recip()),
            (metrics::SPEED_MS_PER_STEP, 1e3 * seconds_per_step),
        ];
        Ok(self.recorder.scalars(progress.step, &values)?)
    }

    fn log_histograms(&mut self) -> Result<(), Error> {
        self.fetch()?;
        for (name, weights, gradient) in self.learner.histograms() {
            self.recorder
                .histogram(self.progress.step, &metrics::weights(&name), weights)?;
            self.recorder
                .histogram(self.progress.step, &metrics::gradients(&name), gradient)?;
        }
        Ok(())
    }

    /// The loss on the held-back episodes, if there are any.
    fn validate(&mut self) -> Result<(), Error> {
        if self.validation.is_empty() {
            return Ok(());
        }
        self.fetch()?;
        let losses = self.validation.iter().map(|batch| self.learner.loss(batch));
        let loss = losses.sum::<f64>() / self.validation.len() as f64;
        let values = [(metrics::VALIDATION_LOSS, loss)];
        Ok(self.recorder.scalars(self.progress.step, &values)?)
    }

    /// Every target, `episodes` each; keeps the best checkpoint. Nothing where there is no simulator.
    fn evaluate(&mut self, episodes: usize) -> Result<(), Error> {
        if !self.simulated {
            return Ok(());
        }
        self.fetch()?;
        let plan = Plan {
            env: self.env.to_owned(),
            targets: self
                .experiment
                .evaluation
                .targets
                .clone()
                .unwrap_or_default(),
            episodes,
            seed: self.experiment.evaluation.seed,
            rows: None,
            threads: self.experiment.threads,
        };
        let step = self.progress.step;
        let (model, threads) = (self.learner.model(), self.experiment.threads);
        let results = evaluate(&mut |rows| model.policy(rows, threads), &plan, |_, _| ())?;
        let instabilities = results.instabilities;
        let evaluations: Vec<Evaluation> = results
            .targets
            .into_iter()
            .map(|score| record(step, score))
            .collect();
        let mut scalars: Vec<(String, f64)> =
            evaluations.iter().flat_map(Evaluation::scalars).collect();
        let largest = |pick: fn(&Evaluation) -> Option<f64>| {
            evaluations.iter().filter_map(pick).reduce(f64::max)
        };
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
            scalars.push((metrics::EVAL_INSTABILITIES.to_owned(), instabilities as f64));
        }
        self.recorder.scalars(step, &scalars)?;
        let first = evaluations.first().map(|evaluation| evaluation.return_mean);
        self.progress.evaluations.extend(evaluations);
        if first > self.progress.best_return {
            self.progress.best_return = first;
            self.save(BEST)?;
        }
        Ok(())
    }

    fn save(&mut self, name: &str) -> Result<(), Error> {
        // A resumed run keeps the metrics up to its checkpoint, so they must be there first.
        self.recorder.flush()?;
        self.fetch()?;
        let checkpoint = Checkpoint {
            model: self.learner.model(),
            moments: self.learner.moments().clone(),
            progress: self.progress.clone(),
        };
        checkpoint.save(&self.checkpoint_path(name), self.env)
    }

    fn checkpoint_path(&self, name: &str) -> PathBuf {
        self.run.checkpoints().join(name)
    }
}

/// The windows on which the held-back episodes' loss is taken: the same at every evaluation.
fn validation(experiment: &Experiment, sampler: &WindowSampler) -> Vec<Batch> {
    let mut stream = Stream::new(experiment.seed, "validation");
    let rows = experiment.optimiser.batch_size;
    let batch = |_| {
        let mut batch = Batch::default();
        sampler.sample(&mut stream, rows, &mut batch);
        batch
    };
    (0..VALIDATION_WINDOWS.div_ceil(rows)).map(batch).collect()
}

/// The GPU that the experiment asks for and the algorithm can use, with the learner's state and the data on it.
fn open_device(
    experiment: &Experiment,
    learner: &Learner,
    sampler: &WindowSampler,
) -> Result<Option<DeviceLearner>, Error> {
    /// Steps that a device does at a time where nothing happens in between.
    const MOST_STEPS: usize = 100;
    let Learner::DecisionTransformer(learner) = learner else {
        return Ok(None);
    };
    let on = |ordinal| DeviceLearner::new(cuda::open(ordinal)?, learner, sampler, MOST_STEPS);
    match experiment.device {
        Device::Cpu => Ok(None),
        Device::Cuda(ordinal) => Ok(Some(on(ordinal)?)),
        // The composed model asks for dfdx's own operations.
        Device::Auto if experiment.model.engine == EngineKind::Composed => Ok(None),
        Device::Auto => Ok(on(0).ok()),
    }
}

/// Steps to the next one after `step` at which something happens: a multiple of one of `events`, or the last of all.
fn steps_to_next(step: u64, steps: u64, events: [u64; 4]) -> u64 {
    let next = events.into_iter().filter(|every| *every > 0);
    let next = next.map(|every| every - step % every).min();
    next.unwrap_or(u64::MAX).min(steps - step)
}

/// One target's result as the run keeps it.
fn record(step: u64, score: TargetScore) -> Evaluation {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_stops_wherever_something_happens() {
        assert_eq!(steps_to_next(0, 1000, [20, 200, 0, 50]), 20);
        assert_eq!(steps_to_next(40, 1000, [20, 200, 0, 50]), 10);
        assert_eq!(steps_to_next(15, 18, [20, 0, 0, 0]), 3);
        assert_eq!(steps_to_next(5, 30, [0; 4]), 25);
    }
}
