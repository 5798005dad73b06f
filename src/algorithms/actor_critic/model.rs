//! An actor, trained or new.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rtg_datasets::Normaliser;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Method, codec};
use crate::algorithms::actor_policy::{ActorPolicy, Decision};
use crate::algorithms::networks::{self, Shared};
use crate::algorithms::{self, ActionCodec, Computation, Error, Needs, Saved, Setup, computation};
use crate::behaviour::WithActionNoise;
use crate::nn::state_dict::{Entry, read_linear};
use crate::policy::{Mode, Policy};
use crate::random::Stream;
use rtg_kernels::mlp::{Network, Shape};

/// The acting part: the actor, and its pre- and postprocessing.
pub struct Model<M: Method> {
    pub(super) made_of: MadeOf<M::Config>,
    pub(super) actor: Shared,
    pub(super) vectors: Vectors,
}

/// Copies of [`Method::policy_vectors`], which a learner updates while policies use them.
#[derive(Clone, Default)]
pub(super) struct Vectors(Arc<Mutex<Vec<Vec<f32>>>>);

impl Vectors {
    /// The vectors, until the guard is dropped.
    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<Vec<f32>>> {
        // After a panic elsewhere the numbers are still valid.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Chooses actions with the newest vectors.
struct Newest<M: Method> {
    made_of: MadeOf<M::Config>,
    vectors: Vectors,
}

impl<M: Method> Newest<M> {
    fn decision(&self) -> M::Decision {
        M::decision(&self.made_of, &self.vectors.lock())
    }
}

impl<M: Method> Decision for Newest<M> {
    fn greedy(&self, outputs: &[f32], actions: &mut [f32]) {
        self.decision().greedy(outputs, actions);
    }

    fn draw(&self, stream: &mut Stream, noise: &mut [f32]) {
        self.decision().draw(stream, noise);
    }

    fn explore(&self, outputs: &[f32], noise: &[f32], actions: &mut [f32]) {
        self.decision().explore(outputs, noise, actions);
    }
}

/// The model without its weights, as a checkpoint's metadata has it.
#[derive(Clone, Serialize, Deserialize)]
pub struct MadeOf<C> {
    /// The method's keys. The aliases are the names in older checkpoints.
    #[serde(alias = "td3_bc", alias = "iql", alias = "sac")]
    pub(in crate::algorithms) config: C,
    /// The recipe.
    #[serde(alias = "conventions", default)]
    pub(in crate::algorithms) recipe: String,
    /// Of observations; without one they are not normalised.
    #[serde(default)]
    pub(in crate::algorithms) normaliser: Option<Normaliser>,
    pub(in crate::algorithms) actions: ActionCodec,
    /// Numbers in an observation.
    pub(in crate::algorithms) observation: usize,
}

/// The name of the actor's weights in files.
pub(in crate::algorithms) const ACTOR: &str = "actor";

impl<C> MadeOf<C> {
    /// Numbers in an observation, and in an action.
    pub(in crate::algorithms) fn widths(&self) -> [usize; 2] {
        [self.observation, self.actions.width()]
    }

    /// The largest action in the networks.
    pub(in crate::algorithms) fn max_action(&self) -> f32 {
        self.actions.max_action() as f32
    }

    /// An ensemble of Q-functions: S + A inputs, one output, hidden layers of one width.
    pub(in crate::algorithms) fn critics(
        &self,
        width: usize,
        layers: usize,
        members: usize,
    ) -> Shape {
        Shape::new(&self.widths(), &vec![width; layers], 1).ensemble(members)
    }

    /// A network whose input is the observation only.
    pub(in crate::algorithms) fn of_observations(
        &self,
        width: usize,
        layers: usize,
        outputs: usize,
    ) -> Shape {
        Shape::new(&[self.observation], &vec![width; layers], outputs)
    }
}

impl<M: Method> Model<M> {
    /// The description of a new model.
    ///
    /// # Errors
    /// Actions that are not of a box with finite bounds; no data, for a method that needs them.
    pub(super) fn made_of(setup: &Setup, config: M::Config) -> Result<MadeOf<M::Config>, Error> {
        let space = &setup.spec.action_space;
        let mut made_of = MadeOf {
            actions: codec::<M>(setup.recipe, space)?,
            config,
            recipe: setup.recipe.to_owned(),
            normaliser: None,
            observation: setup.spec.observation_space.width(),
        };
        if let Needs::Transitions { config, .. } = M::needs(&made_of) {
            let data = setup.dataset()?;
            let normaliser = M::normalises(&made_of.config).then(|| config.normaliser(data));
            made_of.normaliser = normaliser;
        }
        Ok(made_of)
    }

    /// The model of a checkpoint.
    ///
    /// # Errors
    /// Metadata or weights that do not fit.
    pub fn saved(saved: &Saved) -> Result<Self, Error> {
        let made_of: MadeOf<M::Config> = saved.made_of()?;
        let shape = M::actor(&made_of);
        let parameters = networks::read(ACTOR, &shape, saved.tensors)?;
        let vectors = M::policy_vectors(&made_of).into_iter();
        let vectors = vectors.map(|(name, len)| read_linear(name, &[len], saved.tensors));
        Ok(Self {
            actor: Shared::new(Network::new(&shape, parameters)),
            vectors: Vectors(Arc::new(Mutex::new(vectors.collect::<Result<_, _>>()?))),
            made_of,
        })
    }
}

impl<M: Method> algorithms::Model for Model<M> {
    fn policy(&self, mode: Mode, rows: usize, threads: usize) -> Box<dyn Policy> {
        let decision = Newest::<M> {
            made_of: self.made_of.clone(),
            vectors: self.vectors.clone(),
        };
        let policy = Box::new(ActorPolicy::new(
            (self.actor.clone(), decision),
            self.made_of.normaliser.clone(),
            self.made_of.actions.clone(),
            mode,
            (rows, threads),
        ));
        let noise = (mode == Mode::Explore).then(|| M::action_noise(&self.made_of.config));
        match noise.flatten().zip(self.made_of.actions.bounds()) {
            Some((noise, bounds)) => Box::new(WithActionNoise::new(policy, noise, bounds, rows)),
            None => policy,
        }
    }

    fn made_of(&self) -> Value {
        json!(self.made_of)
    }

    fn weights(&self) -> Vec<Entry> {
        let mut entries = networks::entries(ACTOR, &self.actor.lock());
        let names = M::policy_vectors(&self.made_of).into_iter();
        let vectors = self.vectors.lock();
        let vectors = names.zip(&*vectors);
        entries.extend(vectors.map(|((name, _), values)| Entry::vector(name, values)));
        entries
    }

    fn computation(&self) -> Option<Computation> {
        let decision = M::decision(&self.made_of, &self.vectors.lock());
        computation::of_actor(
            (&self.actor, &decision),
            self.made_of.observation,
            self.made_of.normaliser.as_ref(),
            &self.made_of.actions,
            None,
        )
    }
}
