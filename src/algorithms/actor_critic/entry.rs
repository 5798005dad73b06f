//! The entry of an actor-critic in the table of algorithms.

use std::marker::PhantomData;

use super::{Learner, MadeOf, Method, Model};
use crate::algorithms::{self, Algorithm, Card, Critic, Error, Facts, Needs, Saved, Setup};
use crate::keys::{self, Keys, PlanError, Table};

/// A method's entry in the table of algorithms.
pub struct ActorCriticEntry<M>(PhantomData<fn() -> M>);

impl<M> ActorCriticEntry<M> {
    /// The entry.
    pub const NEW: Self = Self(PhantomData);
}

impl<M: Method> Algorithm for ActorCriticEntry<M> {
    fn card(&self) -> Card {
        M::CARD
    }

    fn tables(&self) -> Vec<Keys> {
        vec![M::keys()]
    }

    fn defaults(&self, recipe: &str) -> Result<Table, PlanError> {
        let mut plan = M::general();
        keys::write(&mut plan, M::CARD.name, &M::config(recipe))?;
        Ok(plan)
    }

    fn resolve(&self, plan: &mut Table, facts: &Facts) -> Result<(), PlanError> {
        let mut config: M::Config = keys::read(plan, M::CARD.name)?;
        M::resolve(&mut config, facts)?;
        keys::write(plan, M::CARD.name, &config)
    }

    fn build(
        &self,
        setup: &Setup,
        saved: Option<&Saved>,
    ) -> Result<Box<dyn algorithms::Learner>, Error> {
        let config: M::Config = keys::read(setup.plan, M::CARD.name)?;
        let learner = match saved {
            Some(saved) => Learner::<M>::saved(saved, setup, config)?,
            None => Learner::<M>::new(setup, config)?,
        };
        Ok(Box::new(learner))
    }

    fn model(&self, saved: &Saved) -> Result<Box<dyn algorithms::Model>, Error> {
        Ok(Box::new(Model::<M>::saved(saved)?))
    }

    fn critic(&self, saved: &Saved, _plan: &Table) -> Result<Option<Critic>, Error> {
        let made_of: MadeOf<M::Config> = saved.made_of()?;
        let Some(compute) = M::values(&made_of, saved)? else {
            return Ok(None);
        };
        let Needs::Transitions { config, .. } = M::needs(&made_of) else {
            return Ok(None);
        };
        let inputs = (made_of.observation, made_of.normaliser.clone());
        Ok(Some(Critic::new(&config, inputs, compute)))
    }
}
