//! Training an actor-critic of any method.

use rtg_datasets::sample::Transitions;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::model::Vectors;
use super::{Draw, MadeOf, Method, Model, Noise, Parts, Work, codec};
use crate::algorithms::actor_policy::Decision;
use crate::algorithms::networks::Trained;
use crate::algorithms::vector::TrainedVector;
use crate::algorithms::{
    self, Error, Facts, Input, LearnerState, Needs, Saved, Setup, Source, Update, ValidationBatch,
};
use crate::nn::initialise::{LayerFill, initialise_mlp};
use crate::nn::state_dict::{Entry, StateDictError, TensorFile};
use crate::parallel::Division;
use crate::random::Stream;
use rtg_kernels::mlp::{Layout, Pass, Pool, Shape};

/// Trains a [`Model`].
pub struct Learner<M: Method> {
    model: Model<M>,
    parts: Parts<M>,
    pool: Pool,
    noise: Stream,
    /// Updates done.
    updates: u64,
    /// Updates of the whole run.
    steps: u64,
    seed: u64,
    batch: Transitions,
    scratch: M::Scratch,
    /// Copies of the networks' parameters, for histograms.
    shown: Vec<Vec<f32>>,
}

/// The learner's part of a checkpoint. All other randomness follows from the run's seed and the
/// number of the update.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notes {
    updates: u64,
    noise: Stream,
    /// Optimiser steps of each network, then of each vector.
    optimiser_steps: Vec<u64>,
}

impl<M: Method> Learner<M> {
    /// A new learner for this plan and data.
    ///
    /// # Errors
    /// No data for a method that needs them, actions that are not of a box with finite bounds, or
    /// values that do not fit the data.
    pub fn new(setup: &Setup, mut config: M::Config) -> Result<Self, Error> {
        let facts = Facts {
            spec: setup.spec,
            data: setup.data,
            recipe: setup.recipe,
            steps: setup.steps,
        };
        // An unsupported action space is reported first.
        codec::<M>(setup.recipe, &setup.spec.action_space)?;
        if matches!(M::CARD.input, Input::Transitions) {
            setup.dataset()?;
        }
        M::resolve(&mut config, &facts)?;
        let made_of = Model::<M>::made_of(setup, config)?;
        let mut stream = Stream::new(setup.seed, "initialisation");
        let initial = &mut |shape: &Shape, [hidden, last]: [LayerFill; 2]| {
            initialise_mlp(shape, hidden, last, &mut stream)
        };
        let parts = M::parts(&made_of, initial);
        let noise = Stream::new(setup.seed, M::NOISE);
        Ok(Self::of(made_of, parts, noise, setup))
    }

    fn of(made_of: MadeOf<M::Config>, parts: Parts<M>, noise: Stream, setup: &Setup) -> Self {
        let [actor, ..] = parts.networks.as_ref() else {
            unreachable!("an actor-critic has an actor")
        };
        let mut learner = Self {
            model: Model {
                actor: actor.network.clone(),
                vectors: Vectors::default(),
                made_of,
            },
            parts,
            pool: Pool::new(setup.threads),
            noise,
            updates: 0,
            steps: setup.steps,
            seed: setup.seed,
            batch: Transitions::default(),
            scratch: M::Scratch::default(),
            shown: Vec::new(),
        };
        learner.share_vectors();
        learner
    }

    /// The learner of a checkpoint, which continues with the values of this plan.
    ///
    /// # Errors
    /// Metadata, weights or moments that do not fit.
    pub fn saved(saved: &Saved, setup: &Setup, config: M::Config) -> Result<Self, Error> {
        let mut made_of: MadeOf<M::Config> = saved.made_of()?;
        made_of.config = config;
        let notes: Notes = saved.notes()?;
        let zeros = &mut |shape: &Shape, _: [LayerFill; 2]| vec![0.0; Layout::new(shape).len()];
        let parts = M::parts(&made_of, zeros);
        let mut learner = Self::of(made_of, parts, notes.noise, setup);
        let mut steps = notes.optimiser_steps.into_iter();
        let mut next = || {
            let missing = || Error::Notes("a count of optimiser steps is missing".to_owned());
            steps.next().ok_or_else(missing)
        };
        for network in learner.parts.networks.as_mut() {
            network.restore(saved, next()?)?;
        }
        for vector in learner.parts.vectors.as_mut() {
            vector.restore(saved, next()?)?;
        }
        learner.share_vectors();
        learner.updates = notes.updates;
        Ok(learner)
    }

    /// One update on a batch, with noise in the order that the method's module states.
    pub fn learn(&mut self, batch: &Transitions, noise: &mut Noise<'_>) -> Update {
        self.updates += 1;
        let (work, parts, scratch) = self.work(batch);
        let report = work.pool.update(|| M::update(&work, parts, noise, scratch));
        self.share_vectors();
        report
    }

    fn work<'a>(
        &'a mut self,
        batch: &'a Transitions,
    ) -> (Work<'a, M>, &'a mut Parts<M>, &'a mut M::Scratch) {
        let work = Work {
            made_of: &self.model.made_of,
            pool: &self.pool,
            batch,
            number: self.updates,
            steps: self.steps,
            seed: self.seed,
        };
        (work, &mut self.parts, &mut self.scratch)
    }

    /// Gives the model copies of the vectors that acting needs.
    fn share_vectors(&mut self) {
        let vectors = self.parts.vectors.as_ref();
        let count = M::policy_vectors(&self.model.made_of).len();
        let mut shared = self.model.vectors.lock();
        shared.resize_with(count, Vec::new);
        for (to, vector) in shared.iter_mut().zip(vectors) {
            to.clone_from(&vector.values);
        }
    }

    /// The weights that are not part of the model.
    fn others(&self) -> Vec<Entry> {
        let networks = self.parts.networks.as_ref().iter().skip(1);
        let vectors = self.parts.vectors.as_ref().iter();
        let vectors = vectors.skip(M::policy_vectors(&self.model.made_of).len());
        let mut entries: Vec<Entry> = networks.flat_map(Trained::weights).collect();
        entries.extend(vectors.map(TrainedVector::weights));
        entries
    }
}

impl<M: Method> algorithms::Learner for Learner<M> {
    fn needs(&self) -> Needs<'_> {
        M::needs(&self.model.made_of)
    }

    fn model(&self) -> &dyn algorithms::Model {
        &self.model
    }

    fn exported(&self) -> Vec<Entry> {
        [algorithms::Model::weights(&self.model), self.others()].concat()
    }

    fn load_weights(&mut self, file: &TensorFile) -> Result<(), StateDictError> {
        for network in self.parts.networks.as_mut() {
            network.load_weights(file)?;
        }
        for vector in self.parts.vectors.as_mut() {
            vector.load_weights(file)?;
        }
        self.share_vectors();
        Ok(())
    }

    fn update(&mut self, source: &mut Source, _most: u64) -> Result<Vec<Update>, Error> {
        let mut batch = std::mem::take(&mut self.batch);
        source.next_transitions(&mut batch);
        let mut stream = self.noise.clone();
        let report = self.learn(&batch, &mut draws(&mut stream));
        self.noise = stream;
        self.batch = batch;
        Ok(vec![report])
    }

    /// The method's metrics on the batch, with the same noise every time.
    fn validate(&mut self, batch: &ValidationBatch) -> Vec<(&'static str, f64)> {
        let ValidationBatch::Transitions(batch) = batch else {
            return Vec::new();
        };
        let (work, parts, scratch) = self.work(batch);
        M::validate(&work, parts, scratch)
    }

    /// `dead_relus`, the share of hidden units that output 0 for the whole batch, and in a box
    /// `actions_at_bounds`, the share of numbers in greedy actions that reach a bound.
    fn health(&mut self) -> Vec<(&'static str, f64)> {
        let Transitions {
            observations,
            actions,
            rows,
            ..
        } = &self.batch;
        if *rows == 0 {
            return Vec::new();
        }
        // Dead units are counted in one pass of the whole batch.
        let pool = Pool::at(self.pool.level(), 1);
        let (mut pass, mut dead) = (Pass::new(), [0; 2]);
        let mut greedy = None;
        for trained in self.parts.networks.as_ref() {
            let mut network = trained.network.lock();
            let inputs: [&[f32]; 2] = [observations, actions];
            let inputs = &inputs[..network.shape().inputs.len()];
            network.forward(&pool, inputs, &mut pass);
            let of = network.silent_units(&pass);
            dead = [dead[0] + of[0], dead[1] + of[1]];
            // The actor comes first.
            greedy.get_or_insert_with(|| pass.outputs().to_vec());
        }
        let mut chosen = vec![0.0; actions.len()];
        let decision = M::decision(&self.model.made_of, &self.model.vectors.lock());
        decision.greedy(&greedy.unwrap_or_default(), &mut chosen);
        let bound = 0.999 * self.model.made_of.max_action();
        let at_bounds = chosen.iter().filter(|action| action.abs() >= bound);
        let share = |part: usize, all: usize| part as f64 / all.max(1) as f64;
        let mut signs = vec![("dead_relus", share(dead[0], dead[1]))];
        if !M::CARD.discrete {
            signs.push(("actions_at_bounds", share(at_bounds.count(), chosen.len())));
        }
        signs
    }

    fn divide(&mut self, division: Division) -> Result<(), Error> {
        if let Some(what) = M::whole_batches(&self.model.made_of.config) {
            let what = what.to_owned();
            return Err(Error::Undivided { what });
        }
        self.pool.divide(division);
        Ok(())
    }

    fn go_online(&mut self, seed: u64) -> Result<(), Error> {
        if let Needs::Transitions { config, .. } = self.needs()
            && config.next_actions
        {
            return Err(Error::StaysOffline);
        }
        self.updates = 0;
        self.noise = Stream::new(seed, M::NOISE);
        Ok(())
    }

    fn histograms(&mut self) -> Vec<(String, &[f32], &[f32])> {
        let Self { parts, shown, .. } = self;
        let networks = parts.networks.as_ref();
        shown.resize_with(networks.len(), Vec::new);
        for (shown, trained) in shown.iter_mut().zip(networks) {
            shown.clear();
            shown.extend_from_slice(trained.network.lock().parameters());
        }
        let networks = networks.iter().zip(&*shown);
        let networks = networks.flat_map(|(trained, shown)| trained.histograms(shown));
        let vectors = parts.vectors.as_ref().iter();
        let vectors = vectors.map(TrainedVector::histogram);
        networks.chain(vectors).collect()
    }

    fn operations(&self) -> Option<f64> {
        Some(M::operations(&self.model.made_of))
    }

    fn state(&self) -> LearnerState {
        let networks = self.parts.networks.as_ref();
        let vectors = self.parts.vectors.as_ref();
        let steps = networks.iter().map(Trained::steps);
        let notes = Notes {
            updates: self.updates,
            noise: self.noise.clone(),
            optimiser_steps: steps
                .chain(vectors.iter().map(TrainedVector::steps))
                .collect(),
        };
        let mut tensors = self.others();
        tensors.extend(networks.iter().flat_map(Trained::state));
        tensors.extend(vectors.iter().flat_map(TrainedVector::state));
        LearnerState {
            tensors,
            notes: json!(notes),
        }
    }
}

/// Draws from a stream.
pub(in crate::algorithms) fn draws(
    stream: &mut Stream,
) -> impl FnMut(Draw, &mut [f32]) + Send + '_ {
    |draw, to| match draw {
        Draw::Normal => stream.fill_normal(to),
        Draw::Uniform => stream.fill_uniform(to),
    }
}
