//! Gymnasium's wrappers that change actions or rewards, as `EnvSpec.additional_wrappers` names
//! them.
//!
//! | wrapper | arguments | effect |
//! |---|---|---|
//! | `RescaleAction` | `min_action`, `max_action`: a number, or one for each action number | actions between these bounds stand for those between the environment's own; beyond them it continues linearly |
//! | `ClipAction` | | any action is taken, as the nearest one within the bounds |
//! | `ClipReward` | `min_reward`, `max_reward`, at least one of them | rewards beyond the bounds become the bounds |
//! | `TimeLimit` | `max_episode_steps` | the smaller of this limit and the environment's own holds |
//!
//! [`IDENTITIES`] have no effect on observations, actions or rewards, so they are omitted. All
//! others are refused. `TransformReward` and `TransformAction` are, too: a specification does not
//! hold their functions. The arithmetic is that of Gymnasium 1.x, in float32 where the action is.

use crate::{
    BoxSpace, Dtype, Env, Error, Frame, ReferenceReturns, Space, Spec, Step,
    config::{Value, WrapperConfig},
    names::nearest,
};
use std::sync::Arc;

/// Wrappers that check, count or render, and the one that flattens what is already flat.
pub const IDENTITIES: [&str; 7] = [
    "PassiveEnvChecker",
    "OrderEnforcing",
    "RecordEpisodeStatistics",
    "RecordVideo",
    "HumanRendering",
    "RenderCollection",
    "FlattenObservation",
];

/// The wrappers that are simulated, and the module of Gymnasium where each is.
const KNOWN: [(&str, &str); 4] = [
    ("RescaleAction", "transform_action"),
    ("ClipAction", "transform_action"),
    ("ClipReward", "transform_reward"),
    ("TimeLimit", "common"),
];

/// Where Gymnasium has a wrapper that is simulated here, such as
/// `gymnasium.wrappers.transform_action:RescaleAction`.
pub fn entry_point(name: &str) -> Option<String> {
    let (name, module) = KNOWN.iter().find(|(known, _)| *known == name)?;
    Some(format!("gymnasium.wrappers.{module}:{name}"))
}

/// What a wrapper does in a step.
#[derive(Clone, Debug, PartialEq)]
enum Rule {
    /// `(action - intercept) / gradient`.
    Rescale {
        gradient: Vec<f32>,
        intercept: Vec<f32>,
    },
    Clip {
        low: Vec<f32>,
        high: Vec<f32>,
    },
    ClipReward {
        min: f64,
        max: f64,
    },
}

impl Rule {
    fn change_action(&self, action: &mut [f64]) {
        match self {
            Self::Rescale {
                gradient,
                intercept,
            } => {
                for ((number, gradient), intercept) in
                    action.iter_mut().zip(gradient).zip(intercept)
                {
                    *number = f64::from((*number as f32 - intercept) / gradient);
                }
            }
            Self::Clip { low, high } => {
                for ((number, low), high) in action.iter_mut().zip(low).zip(high) {
                    *number = f64::from((*number as f32).clamp(*low, *high));
                }
            }
            Self::ClipReward { .. } => {}
        }
    }

    fn changed_reward(&self, reward: f64) -> f64 {
        match self {
            Self::ClipReward { min, max } => reward.clamp(*min, *max),
            Self::Rescale { .. } | Self::Clip { .. } => reward,
        }
    }
}

/// Wrappers around an environment, checked against it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wrappers {
    /// The innermost first.
    rules: Arc<[Rule]>,
    /// The description of the wrapped environment.
    inside: Spec,
    /// The description including the wrappers.
    pub(crate) spec: Spec,
    /// Those that have an effect, as text.
    pub(crate) named: Vec<WrapperConfig>,
}

impl Wrappers {
    /// Wrappers around an environment of this description.
    ///
    /// # Errors
    /// A wrapper that cannot be made here, or not around this environment.
    pub(crate) fn new(wrappers: &[WrapperConfig], inside: Spec) -> Result<Self, Error> {
        let (mut spec, mut rules, mut named) = (inside.clone(), Vec::new(), Vec::new());
        for wrapper in wrappers {
            let rule = rule(wrapper, &mut spec).map_err(|reason| Error::Wrapper {
                wrapper: wrapper.name.clone(),
                reason,
            })?;
            if let Some(rule) = rule {
                rules.push(rule);
                named.push(tidied(wrapper));
            }
        }
        Ok(Self {
            rules: rules.into(),
            inside: Spec {
                max_episode_steps: spec.max_episode_steps,
                ..inside
            },
            spec,
            named,
        })
    }

    /// Completes the descriptions with the id of the wrapped environment and its reference returns.
    pub(crate) fn describe(&mut self, id: &str, returns: Option<ReferenceReturns>) {
        for spec in [&mut self.inside, &mut self.spec] {
            id.clone_into(&mut spec.id);
            spec.reference_returns = returns;
        }
    }

    /// The description of the wrapped environment, with the time limit that applies.
    pub(crate) fn inside(&self) -> Spec {
        self.inside.clone()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Wraps an environment.
    pub(crate) fn around<E: Env>(&self, env: E) -> Wrapped<E> {
        Wrapped {
            action: vec![0.0; env.spec().action_space.width()],
            env,
            rules: Arc::clone(&self.rules),
            spec: self.spec.clone(),
        }
    }
}

/// The wrapper with its arguments in the order of its constructor, without those that are not
/// given.
fn tidied(wrapper: &WrapperConfig) -> WrapperConfig {
    let mut kwargs = wrapper.kwargs.clone();
    kwargs.retain(|(_, value)| *value != Value::Null);
    // `min_` before `max_`.
    kwargs.sort_by(|(a, _), (b, _)| b.cmp(a));
    WrapperConfig {
        name: wrapper.name.clone(),
        kwargs,
    }
}

/// What a wrapper does in a step, if anything, and to the description.
fn rule(wrapper: &WrapperConfig, spec: &mut Spec) -> Result<Option<Rule>, String> {
    if IDENTITIES.contains(&wrapper.name.as_str()) {
        return Ok(None);
    }
    let allowed: &[&str] = match wrapper.name.as_str() {
        "RescaleAction" => &["min_action", "max_action"],
        "ClipAction" => &[],
        "ClipReward" => &["min_reward", "max_reward"],
        "TimeLimit" => &["max_episode_steps"],
        "TransformReward" | "TransformAction" | "TransformObservation" => {
            return Err("its function is not part of a specification".to_owned());
        }
        name => {
            let known = KNOWN.iter().map(|(known, _)| *known);
            let nearest = nearest(name, known).join(", ");
            return Err(format!(
                "it is not simulated; those that are: {nearest} ..."
            ));
        }
    };
    if let Some((name, _)) = (wrapper.kwargs.iter()).find(|(name, _)| !allowed.contains(&&**name)) {
        return Err(format!("it has no argument '{name}'"));
    }
    let argument = |name: &str| {
        let found = wrapper.kwargs.iter().find(|(known, _)| known == name);
        found.map_or(&Value::Null, |(_, value)| value)
    };
    let rule = match wrapper.name.as_str() {
        "TimeLimit" => {
            let limit = argument("max_episode_steps").as_count().filter(|&n| n > 0);
            let limit = limit.ok_or("'max_episode_steps' is not a whole number from 1 on")?;
            let before = spec.max_episode_steps.unwrap_or(usize::MAX);
            spec.max_episode_steps = Some(limit.min(before));
            return Ok(None);
        }
        "ClipReward" => {
            let bound = |name: &str, without: f64| match argument(name) {
                Value::Null => Ok(without),
                value => value
                    .as_number()
                    .ok_or(format!("'{name}' must be a number")),
            };
            let min = bound("min_reward", f64::NEG_INFINITY)?;
            let max = bound("max_reward", f64::INFINITY)?;
            if min > max || (min, max) == (f64::NEG_INFINITY, f64::INFINITY) {
                return Err("it needs 'min_reward', 'max_reward' or both, in this order".to_owned());
            }
            Rule::ClipReward { min, max }
        }
        name => {
            let Space::Box(space) = &mut spec.action_space else {
                return Err("it needs a Box action space, not a discrete one".to_owned());
            };
            if name == "ClipAction" {
                clip(space)
            } else {
                let min = for_each(argument("min_action"), space.low.len(), "min_action")?;
                let max = for_each(argument("max_action"), space.low.len(), "max_action")?;
                rescale(space, &min, &max)?
            }
        }
    };
    Ok(Some(rule))
}

fn clip(space: &mut BoxSpace) -> Rule {
    let (low, high) = (singles(&space.low), singles(&space.high));
    space.low.fill(f64::NEG_INFINITY);
    space.high.fill(f64::INFINITY);
    Rule::Clip { low, high }
}

/// As Gymnasium's `rescale_box`, which keeps the two factors in the action's own precision.
fn rescale(space: &mut BoxSpace, min: &[f64], max: &[f64]) -> Result<Rule, String> {
    let all = |bounds: &[f64]| bounds.iter().all(|bound| bound.is_finite());
    if !(all(&space.low) && all(&space.high) && all(min) && all(max)) {
        return Err("it needs finite bounds, inside and outside".to_owned());
    }
    if min.iter().zip(max).any(|(min, max)| min >= max) {
        return Err("'min_action' must be below 'max_action'".to_owned());
    }
    let (low, high) = (singles(&space.low), singles(&space.high));
    let gradient: Vec<f32> = (min.iter().zip(max))
        .zip(low.iter().zip(&high))
        .map(|((min, max), (&low, &high))| {
            ((max - min) / (f64::from(high) - f64::from(low))) as f32
        })
        .collect();
    let intercept = (gradient.iter().zip(&low))
        .zip(min)
        .map(|((gradient, low), min)| (f64::from(gradient * -low) + min) as f32)
        .collect();
    let round = |bounds: &[f64]| bounds.iter().map(|&b| Dtype::Float32.round(b)).collect();
    (space.low, space.high) = (round(min), round(max));
    Ok(Rule::Rescale {
        gradient,
        intercept,
    })
}

fn singles(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|&number| number as f32).collect()
}

/// A number for each of `count`, given as one or as a list.
fn for_each(value: &Value, count: usize, name: &str) -> Result<Vec<f64>, String> {
    let numbers = match value {
        Value::List(values) => values.iter().map(Value::as_number).collect(),
        value => value.as_number().map(|number| vec![number; count]),
    };
    numbers
        .filter(|numbers: &Vec<f64>| numbers.len() == count)
        .ok_or_else(|| format!("'{name}' must be a number or a list of {count} numbers"))
}

/// An environment inside of wrappers.
#[derive(Clone, Debug)]
pub(crate) struct Wrapped<E> {
    env: E,
    rules: Arc<[Rule]>,
    spec: Spec,
    /// The action as the environment takes it.
    action: Vec<f64>,
}

impl<E: Env> Env for Wrapped<E> {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn reset(&mut self, seed: Option<u64>, observation: &mut [f64]) {
        self.env.reset(seed, observation);
    }

    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Step {
        self.action.copy_from_slice(action);
        for rule in self.rules.iter().rev() {
            rule.change_action(&mut self.action);
        }
        let step = self.env.step(&self.action, observation);
        let reward =
            (self.rules.iter()).fold(step.reward, |reward, rule| rule.changed_reward(reward));
        Step { reward, ..step }
    }

    fn observe(&self, observation: &mut [f64]) {
        self.env.observe(observation);
    }

    fn state(&self) -> Vec<f64> {
        self.env.state()
    }

    fn set_state(&mut self, state: &[f64]) -> Result<(), Error> {
        self.env.set_state(state)
    }

    fn render(&self) -> Option<Frame> {
        self.env.render()
    }

    fn instabilities(&self) -> u64 {
        self.env.instabilities()
    }

    fn steps_per_second(&self) -> f64 {
        self.env.steps_per_second()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Autoreset, Env, make, make_vec};

    fn step(env: &mut dyn Env, action: f64) -> (Vec<u64>, u64) {
        let mut observation = vec![0.0; env.spec().observation_space.width()];
        env.reset(Some(1), &mut observation);
        let reward = env.step(&[action], &mut observation).reward;
        (
            observation.into_iter().map(f64::to_bits).collect(),
            reward.to_bits(),
        )
    }

    #[test]
    fn actions_are_rescaled_to_the_environments_own() {
        let mut plain = make("Pendulum-v1").unwrap();
        for (wrapper, outside, inside) in [
            ("RescaleAction(min_action=-1,max_action=1)", 0.5, 1.0),
            ("RescaleAction(min_action=[0],max_action=[4])", 3.0, 1.0),
            (
                "RescaleAction(min_action=-1,max_action=1)&ClipAction()",
                7.0,
                2.0,
            ),
            ("ClipAction()", -9.0, -2.0),
        ] {
            let mut wrapped = make(&format!("Pendulum-v1?{wrapper}")).unwrap();
            assert_eq!(
                step(&mut *wrapped, outside),
                step(&mut *plain, inside),
                "{wrapper}"
            );
        }
    }

    #[test]
    fn rewards_beyond_the_bounds_become_the_bounds() {
        let mut rows = make_vec(
            "CartPole-v1?ClipReward(max_reward=0.25)",
            2,
            Autoreset::Disabled,
        )
        .unwrap();
        rows.step(&[0.0, 1.0]);
        assert_eq!(rows.rewards(), [0.25, 0.25]);
    }

    #[test]
    fn an_unsupported_wrapper_has_a_reason() {
        for (wrapper, words) in [
            (
                "TransformReward()",
                "its function is not part of a specification",
            ),
            (
                "NormalizeReward(gamma=0.9)",
                "it is not simulated; those that are",
            ),
            (
                "RescaleAction(min_action=1,max_action=-1)",
                "must be below 'max_action'",
            ),
            (
                "RescaleAction(min_action=[1,2],max_action=3)",
                "or a list of 1 numbers",
            ),
            (
                "RescaleAction(min_action=-1)",
                "'max_action' must be a number",
            ),
            (
                "ClipAction()&RescaleAction(min_action=-1,max_action=1)",
                "finite bounds",
            ),
            ("ClipReward()", "it needs 'min_reward'"),
            (
                "ClipReward(min_reward=1,max_reward=0)",
                "it needs 'min_reward'",
            ),
            ("ClipAction(low=0)", "it has no argument 'low'"),
        ] {
            let error = make(&format!("Pendulum-v1?{wrapper}"))
                .err()
                .unwrap()
                .to_string();
            assert!(error.contains(words), "{wrapper}: {error}");
        }
        assert!(make("CartPole-v1?ClipAction()").is_err());
    }
}
