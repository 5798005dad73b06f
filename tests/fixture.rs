//! The baselines' parity fixtures: what PyTorch computes in three updates of each algorithm.
//! `tests/parity/make_baseline_fixtures.py` writes them and describes every tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use rtg::algorithms::actor_critic::{self, Method, Noise};
use rtg::algorithms::{Learner, Setup, Trajectories, Update};
use rtg::keys::Table;
use rtg::nn::state_dict::{Entry, Values, floats, serialise};
use rtg_datasets::sample::{Batch, Transitions};
use rtg_datasets::{Dataset, Info};
use rtg_envs::{BoxSpace, Space, Spec};
use safetensors::SafeTensors;
use serde::Deserialize;

use crate::workbench::repository;

/// One file of `tests/parity/baselines`.
pub(crate) struct Fixture {
    pub(crate) case: Case,
    bytes: Vec<u8>,
    tensors: BTreeMap<String, Tensor>,
}

/// What a fixture was made with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) algorithm: String,
    pub(crate) recipe: String,
    /// Numbers in an observation.
    pub(crate) observation: usize,
    /// Numbers in an action, or how many discrete ones there are.
    pub(crate) action: usize,
    /// Widths of the hidden layers.
    pub(crate) hidden: Vec<usize>,
    /// Rows.
    pub(crate) batch: usize,
    /// Updates.
    pub(crate) updates: u32,
    /// The bounds of the batches' actions.
    pub(crate) low: Vec<f64>,
    pub(crate) high: Vec<f64>,
    pub(crate) hyperparameters: BTreeMap<String, serde_json::Value>,
    /// Arrays of noise in each update.
    pub(crate) noise: Vec<usize>,
    /// By update, then parameter: how often an optimiser has moved it.
    pub(crate) optimiser_steps: BTreeMap<u32, BTreeMap<String, u64>>,
    pub(crate) tolerance: Tolerance,
}

/// How far a number may be from PyTorch's: in parts of its tensor's largest, `after` absolutely.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tolerance {
    pub(crate) values: f64,
    pub(crate) gradients: f64,
    pub(crate) moments: f64,
    pub(crate) after: f64,
}

#[derive(Clone)]
struct Tensor {
    dimensions: Vec<usize>,
    values: Vec<f32>,
}

impl Fixture {
    pub(crate) fn open(name: &str) -> Self {
        let path = repository(&format!("tests/parity/baselines/{name}.safetensors"));
        let bytes = fs::read(path).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let case = &metadata.metadata().as_ref().unwrap()["case"];
        let case: Case = serde_json::from_str(case).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file.tensors().into_iter().map(|(name, view)| {
            let tensor = Tensor {
                dimensions: view.shape().to_vec(),
                values: floats(view.data()),
            };
            (name, tensor)
        });
        Self {
            tensors: tensors.collect(),
            case,
            bytes,
        }
    }

    /// The whole file; without a prefix it has the weights before the first update.
    pub(crate) fn file(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).unwrap()
    }

    /// A setting of the fixture's algorithm.
    pub(crate) fn hyperparameter(&self, name: &str) -> f64 {
        self.case.hyperparameters[name].as_f64().unwrap()
    }

    /// A tensor's numbers, if there is such a tensor.
    pub(crate) fn find(&self, name: &str) -> Option<&[f32]> {
        Some(&self.tensors.get(name)?.values)
    }

    /// A tensor's numbers.
    pub(crate) fn numbers(&self, name: &str) -> &[f32] {
        self.find(name)
            .unwrap_or_else(|| panic!("{} has no {name}", self.case.name))
    }

    /// The inputs of an update.
    pub(crate) fn batch(&self, update: u32) -> Transitions {
        let of = |name: &str| self.numbers(&format!("update.{update}.{name}")).to_vec();
        let optional = |name: &str| {
            let found = self.find(&format!("update.{update}.{name}"));
            found.map_or_else(Vec::new, <[f32]>::to_vec)
        };
        let (rows, actions) = (self.case.batch, of("actions"));
        Transitions {
            observations: of("observations"),
            labels: self.labels(&actions),
            actions,
            rewards: of("rewards"),
            next_observations: of("next_observations"),
            terminated: of("terminated"),
            discounts: vec![self.hyperparameter("discount") as f32; rows],
            next_actions: optional("following_actions"),
            returns_to_go: optional("returns"),
            rows,
        }
    }

    /// The inputs of an update, as windows of one step.
    pub(crate) fn windows(&self, update: u32) -> Batch {
        let of = |name: &str| self.numbers(&format!("update.{update}.{name}")).to_vec();
        let (rows, actions) = (self.case.batch, of("actions"));
        let optional = |name: &str| {
            let found = self.find(&format!("update.{update}.{name}"));
            found.map_or_else(Vec::new, <[f32]>::to_vec)
        };
        Batch {
            observations: of("observations"),
            labels: self.labels(&actions),
            actions,
            returns_to_go: optional("returns_to_go"),
            timesteps: optional("timesteps")
                .iter()
                .map(|&step| step as u32)
                .collect(),
            lengths: vec![1; rows],
            rows,
            context: 1,
            ..Batch::default()
        }
    }

    /// The inputs of an update of an on-policy learner: the steps of some environments, and the
    /// order in which each epoch takes them.
    pub(crate) fn collection(
        &self,
        update: u32,
        environments: usize,
    ) -> (Trajectories, Vec<Vec<usize>>) {
        let of = |name: &str| self.numbers(&format!("update.{update}.{name}")).to_vec();
        let orders = of("order");
        let orders = orders.chunks(self.case.batch);
        let orders = orders.map(|order| order.iter().map(|&row| row as usize).collect());
        let collection = Trajectories {
            environments,
            observations: of("observations"),
            actions: of("actions"),
            rewards: of("rewards"),
            next_observations: of("next_observations"),
            terminated: of("terminated"),
            truncated: of("truncated"),
        };
        (collection, orders.collect())
    }

    fn is_discrete(&self) -> bool {
        self.case.hyperparameters.contains_key("discrete")
    }

    /// The indices of discrete actions; none of others.
    fn labels(&self, actions: &[f32]) -> Vec<u32> {
        if !self.is_discrete() {
            return Vec::new();
        }
        let chosen = |row: &[f32]| row.iter().position(|number| *number > 0.5).unwrap();
        let rows = actions.chunks(self.case.action);
        rows.map(|row| chosen(row) as u32).collect()
    }

    /// A file of the first weights of one network, under their names within it.
    pub(crate) fn weights_of(&self, network: &str) -> Vec<u8> {
        let prefix = format!("{network}.");
        let entries = self.tensors.iter().filter_map(|(name, tensor)| {
            Some(Entry {
                name: name.strip_prefix(&prefix)?.to_owned(),
                dimensions: tensor.dimensions.clone(),
                values: Values::F32(tensor.values.clone()),
            })
        });
        serialise(&entries.collect::<Vec<_>>(), &[]).unwrap()
    }

    /// The arrays of noise that an update draws, in their order.
    pub(crate) fn noise(&self, update: u32) -> Vec<&[f32]> {
        let arrays = 0..self.case.noise[update as usize - 1];
        let name = |index| format!("update.{update}.noise.{index}");
        arrays.map(|index| self.numbers(&name(index))).collect()
    }

    /// Fills arrays with the noise of an update, which must be used up exactly.
    pub(crate) fn learn<M: Method>(
        &self,
        learner: &mut actor_critic::Learner<M>,
        update: u32,
    ) -> Update {
        let mut arrays = self.noise(update).into_iter();
        let noise: &mut Noise<'_> = &mut |_, to: &mut [f32]| {
            to.copy_from_slice(arrays.next().expect("noise for each array"));
        };
        let report = learner.learn(&self.batch(update), noise);
        assert!(arrays.next().is_none(), "noise is left over");
        report
    }

    /// Fails unless the fixture was made with these hyperparameters.
    pub(crate) fn expect(&self, values: &[(&str, f64)]) {
        for (key, value) in values {
            let expected = self.hyperparameter(key);
            assert!(
                (expected - value).abs() < 1e-12,
                "{key}: {expected}, {value}"
            );
        }
    }

    /// Compares all updates of an actor-critic with these keys: what every method reports, and
    /// `names`.
    pub(crate) fn compare<M: Method>(&self, steps: u64, config: M::Config, names: &[(&str, &str)]) {
        const CRITICS: [(&str, &str); 4] = [
            ("critic_loss", "loss.critic"),
            ("q", "q_1.mean"),
            ("q_target", "target.mean"),
            ("actor_loss", "loss.actor"),
        ];
        let mut learner = self.learner(steps, |setup| {
            actor_critic::Learner::<M>::new(setup, config)
        });
        let names = [&CRITICS, names].concat();
        Comparison::new(self).updates(&mut learner, &names, |learner, number| {
            self.learn(learner, number)
        });
    }

    /// An environment with the fixture's observations and actions.
    pub(crate) fn spec(&self) -> Spec {
        let Case {
            observation,
            low,
            high,
            ..
        } = &self.case;
        Spec {
            id: "parity".to_owned(),
            observation_space: Space::Box(BoxSpace::unbounded(*observation)),
            action_space: if self.is_discrete() {
                Space::Discrete {
                    n: self.case.action,
                    start: 0,
                }
            } else {
                Space::Box(BoxSpace::float32(low, high))
            },
            max_episode_steps: None,
            reward_threshold: None,
            reference_returns: None,
        }
    }

    /// Builds a learner for that environment, on data without a single episode, with the fixture's
    /// weights.
    pub(crate) fn learner<L: Learner, E: std::fmt::Debug>(
        &self,
        steps: u64,
        build: impl FnOnce(&Setup) -> Result<L, E>,
    ) -> L {
        let spec = self.spec();
        let spaces = (&spec.observation_space, &spec.action_space);
        let data = Dataset::new(Info::new("parity", spaces.0.clone(), spaces.1.clone()));
        let setup = Setup {
            recipe: &self.case.recipe,
            plan: &Table::new(),
            spec: &spec,
            data: Some(&data),
            seed: 0,
            steps,
            threads: 2,
        };
        let mut learner = build(&setup).unwrap();
        learner.load_weights(&self.file()).unwrap();
        learner
    }
}

/// Compares a learner with a fixture, update by update, and collects what differs.
pub(crate) struct Comparison<'a> {
    fixture: &'a Fixture,
    /// What the learner's names lack before the fixture's.
    prefix: &'static str,
    differences: Vec<String>,
    /// Gradients and tensors after an update that were compared.
    compared: BTreeSet<String>,
}

impl<'a> Comparison<'a> {
    /// With a learner whose names are the fixture's.
    pub(crate) fn new(fixture: &'a Fixture) -> Self {
        Self::within("", fixture)
    }

    /// With a learner whose names begin after `prefix`.
    pub(crate) fn within(prefix: &'static str, fixture: &'a Fixture) -> Self {
        Self {
            fixture,
            prefix,
            differences: Vec::new(),
            compared: BTreeSet::new(),
        }
    }

    /// Makes every update with `learn`, and compares its metrics `names`, gradients and state.
    pub(crate) fn updates<L: Learner>(
        mut self,
        learner: &mut L,
        names: &[(&str, &str)],
        mut learn: impl FnMut(&mut L, u32) -> Update,
    ) {
        for number in 1..=self.fixture.case.updates {
            let report = learn(learner, number);
            self.report(number, &report, names);
            self.gradients(number, learner);
            self.state(number, learner);
        }
        self.finish();
    }

    /// The metrics of an update, by (metric, the fixture's name): `loss.critic`, `q_1.mean`. A
    /// metric is there if the fixture has it in this update.
    pub(crate) fn report(&mut self, number: u32, report: &Update, names: &[(&str, &str)]) {
        for (metric, name) in names {
            let name = format!("update.{number}.{name}");
            let (found, expected) = (report.get(metric), self.fixture.find(&name));
            let (Some(found), Some(expected)) = (found, expected) else {
                assert_eq!(found.is_some(), expected.is_some(), "{metric}, {name}");
                continue;
            };
            let whole = name.strip_suffix(".mean").unwrap_or(&name);
            let limit = self.fixture.case.tolerance.values * largest(self.fixture.numbers(whole));
            self.check(&name, &[found as f32], expected, limit);
        }
    }

    /// The gradients of this update that the fixture has.
    pub(crate) fn gradients(&mut self, number: u32, learner: &mut impl Learner) {
        for (view, _, gradient) in learner.histograms() {
            let view = self.prefix.to_owned() + &view;
            let name = format!(
                "update.{number}.gradient.{}",
                published(&view, self.norms())
            );
            if let Some(expected) = self.fixture.tensors.get(&name) {
                let limit = self.fixture.case.tolerance.gradients * largest(&expected.values);
                self.check(&name, gradient, &expected.inside(), limit);
                self.compared.insert(name);
            }
        }
    }

    /// Weights, targets and Adam's moments, after the updates of which the fixture has them.
    pub(crate) fn state(&mut self, number: u32, learner: &mut impl Learner) {
        if !self.fixture.case.optimiser_steps.contains_key(&number) {
            return;
        }
        let Tolerance { moments, after, .. } = self.fixture.case.tolerance;
        let views = learner.histograms();
        let views = views
            .into_iter()
            .map(|(view, ..)| self.prefix.to_owned() + &view);
        let views: Vec<String> = views.collect();
        for entry in [learner.exported(), learner.state().tensors].concat() {
            let Values::F32(values) = entry.values else {
                panic!("{} is not float32", entry.name);
            };
            let Some(name) = entry.name.strip_prefix("rtg.") else {
                let name = format!("after.{number}.{}{}", self.prefix, entry.name);
                self.check(&name, &values, self.fixture.numbers(&name), after);
                self.compared.insert(name);
                continue;
            };
            // A vector with the numbers of a whole network or ensemble, view after view.
            let name = self.prefix.to_owned() + name;
            let (owner, which) = name.rsplit_once('.').unwrap();
            let which = match which {
                "first_moment" => "moment_1",
                "second_moment" => "moment_2",
                other => panic!("{other} is not a moment"),
            };
            let mut rest = &values[..];
            for view in views.iter().filter(|view| is_of(view, owner)) {
                let name = format!("after.{number}.{which}.{}", published(view, self.norms()));
                let expected = &self.fixture.tensors[&name];
                let (values, next) = rest.split_at(expected.values.len());
                rest = next;
                let limit = moments * largest(&expected.values);
                self.check(&name, values, &expected.inside(), limit);
                self.compared.insert(name);
            }
            assert!(rest.is_empty(), "{name} has numbers of no known tensor");
        }
    }

    /// Does without the gradients of this update, where an update has several steps and they are
    /// not the last one's. The moments hold them.
    pub(crate) fn without_gradients(&mut self, number: u32) {
        let prefix = format!("update.{number}.gradient.");
        let names = self.fixture.tensors.keys();
        let names = names.filter(|name| name.starts_with(&prefix));
        self.compared.extend(names.cloned());
    }

    fn norms(&self) -> bool {
        self.fixture.case.algorithm == "rebrac"
    }

    fn check(&mut self, name: &str, found: &[f32], expected: &[f32], limit: f64) {
        assert_eq!(found.len(), expected.len(), "{name}");
        let pairs = found.iter().zip(expected);
        let distances = pairs.map(|(a, b)| f64::from((a - b).abs()));
        let most = distances.fold(0.0, |most: f64, distance| {
            if distance.is_nan() {
                f64::INFINITY
            } else {
                most.max(distance)
            }
        });
        if most > limit {
            self.differences
                .push(format!("{name}: {most:.2e}, at most {limit:.2e}"));
        }
    }

    /// Fails if anything differed, or if the fixture has gradients or tensors after an update that
    /// were not compared.
    pub(crate) fn finish(self) {
        let names = self.fixture.tensors.keys();
        let expected =
            names.filter(|name| name.starts_with("after") || name.contains(".gradient."));
        let expected: BTreeSet<String> = expected.cloned().collect();
        assert_eq!(self.compared, expected, "{}", self.fixture.case.name);
        assert!(
            self.differences.is_empty(),
            "{}",
            self.differences.join("\n")
        );
    }
}

impl Tensor {
    /// The numbers in our order: a weight is inputs x outputs.
    fn inside(&self) -> Vec<f32> {
        match self.dimensions[..] {
            [outputs, inputs] => (0..inputs * outputs)
                .map(|at| self.values[at % outputs * inputs + at / outputs])
                .collect(),
            _ => self.values.clone(),
        }
    }
}

fn largest(numbers: &[f32]) -> f64 {
    let sizes = numbers.iter().map(|number| f64::from(number.abs()));
    sizes.fold(0.0, f64::max)
}

/// Whether a view is a part of the network or vector called `owner`.
fn is_of(view: &str, owner: &str) -> bool {
    let rest = view.strip_prefix(owner);
    rest.is_some_and(|rest| {
        rest.is_empty() || rest.starts_with(".layer.") || rest.starts_with(".member.")
    })
}

/// `critic_2.net.4.bias` for `critic.member.1.layer.2.bias`; other names stay. With `norms`, each
/// hidden layer of an ensemble has a norm as its third module.
fn published(view: &str, norms: bool) -> String {
    let parts: Vec<&str> = view.split('.').collect();
    let number = |text: &str| text.parse::<usize>().unwrap();
    match parts[..] {
        [network, "member", member, "layer", layer, ref kind @ ..] => {
            let (modules, norm) = if norms { (3, 2) } else { (2, 0) };
            let norm = if kind[0] == "norm" { norm } else { 0 };
            let (member, module) = (number(member) + 1, modules * number(layer) + norm);
            format!("{network}_{member}.net.{module}.{}", kind[kind.len() - 1])
        }
        [network, "layer", layer, kind] => format!("{network}.net.{}.{kind}", 2 * number(layer)),
        _ => view.to_owned(),
    }
}
