//! The keys that a plan has for every algorithm.

use std::path::PathBuf;

use rtg_datasets::select::Selection;
use rtg_datasets::store::StoreMode;

use super::targets::Targets;
use crate::algorithms::labels::LabelsConfig;
use crate::algorithms::{AlgorithmRef, Input};
use crate::device::Device;
use crate::keys::{Key, Keys, Range, Table, keys};
use crate::policy::ActingMode;

keys! {
    /// Everything that determines a run.
    pub struct Experiment = "", algorithm: AlgorithmRef;

    /// Minari id, path of a file, or `builtin/<env>/<kind>`. An online algorithm needs none; with
    /// one it starts with its replay buffer filled.
    dataset: Option<String> = match algorithm.card().input {
        Input::Windows | Input::Transitions => Some("builtin/cartpole/mixed".to_owned()),
        Input::Environment => None,
    }, Range::Any, "", "";
    /// Environment id for evaluation, and for learning where the algorithm is online. Default: the
    /// dataset's, made as it was for the dataset. Options, a time limit and wrappers may follow an
    /// id: `Hopper-v5?frame_skip=8`. `none` trains without evaluation. `delayed/ID` moves all of an
    /// episode's reward to its last step, in the environment and in the data; so does
    /// `selection.delayed_rewards`, and either sets the other.
    env: Option<String> = None, Range::Any, "", "";
    /// How the policy is learned; `rtg algorithms` lists them.
    algorithm: AlgorithmRef = algorithm, Range::Any, "", "";
    /// Published code whose conventions and default values are used.
    recipe: String = algorithm.card().recipes[0].to_owned(), Range::Any, "", "";
    /// Steps: optimiser steps, or environment steps of a run that learns in an environment.
    steps: u64 = 1000, Range::at_least(0), "steps", "";
    /// The one seed: initialisation, sampling, dropout, exploration.
    seed: u64 = 0, Range::at_least(0), "", "";
    /// Number of threads; the same number gives the same bits.
    threads: usize = super::default_threads(), Range::between(1.0, 4096.0), "threads", "";
    /// Parts that a batch is divided into. A part's gradient is computed separately, and the parts'
    /// are added up in order, so the bits follow from this number; the parts are divided among
    /// processes (`rtg train --mpi`), any number of which gives the same bits.
    parts: usize = 1, Range::at_least(1), "parts", "";
    /// The device: `cpu`, `cuda`, `cuda:N`, or `auto` for a GPU if one is usable. May change at a
    /// resume.
    device: Device = Device::Cpu, Range::Any, "", "";
    /// Weights to start from: a safetensors file with the recipe's names, or a folder of Hugging
    /// Face's `DecisionTransformerModel` (config.json and model.safetensors).
    initial_weights: Option<PathBuf> = None, Range::Any, "", "";
    /// A run to continue from, in the environment: its weights, moments and normalisation. The
    /// replay buffer starts as that run's, or with the dataset. Keys that a plan omits are
    /// that run's, except steps and the intervals of evaluations.
    from: Option<PathBuf> = None, Range::Any, "", "";
    /// Steps between checkpoints; there is one at every evaluation and at the end as well.
    checkpoint_every: u64 = 1000, Range::at_least(1), "steps", "";
    /// Where the numbers of the dataset are: `memory`, `mapped` (from a store on disk, for data
    /// larger than memory), or `auto`: mapped if they would take more than half of the free memory.
    store: StoreMode as serde(default) = StoreMode::default(),
        Range::Words(&["auto", "memory", "mapped"]), "", "";
tables:
    /// Further datasets, each with the weight of its steps relative to those of `dataset`.
    mix: Vec<MixPart> as serde(default, skip_serializing_if = "Vec::is_empty") = Vec::new();
    /// Which episodes are used, and how.
    selection: Selection as serde(default) = Selection::default();
    /// Labels of a critic in place of returns-to-go.
    labels: Option<LabelsConfig> as serde(default, skip_serializing_if = "Option::is_none") = None;
    /// Evaluation in the environment while training and at the end.
    evaluation: EvaluationConfig = EvaluationConfig::of(());
    /// How acting and learning alternate, in a run that continues from another one.
    online: Option<OnlineConfig> as serde(default, skip_serializing_if = "Option::is_none") = None;
    /// The same for a Decision Transformer.
    trajectories: Option<TrajectoriesConfig>
        as serde(default, skip_serializing_if = "Option::is_none") = None;
    /// Metrics.
    logging: LoggingConfig = LoggingConfig::of(());
    /// The algorithm's own tables.
    tables: Table as serde(skip) = Table::new();
}

keys! {
    /// A further dataset of a mixture; the table may be repeated.
    pub struct MixPart = "mix", _any: ();

    /// Minari id, path of a file, or `builtin/<env>/<kind>`.
    dataset: String = String::new(), Range::Any, "", "";
    /// The probability of drawing one of its steps, relative to one of the first dataset.
    weight: f64 = 1.0, Range::POSITIVE, "", "";
}

keys! {
    /// When and how a run is evaluated.
    pub struct EvaluationConfig = "evaluation", _any: ();

    /// Steps between evaluations; 0: only at the end. Default: a fifth of the run.
    every: Option<u64> = None, Range::at_least(0), "steps", "5000 (CORL)";
    /// Episodes for each target while training.
    episodes: usize = 10, Range::ROWS, "episodes", "10 (CORL)";
    /// Episodes for each target after the last step.
    final_episodes: usize = 100, Range::ROWS, "episodes", "";
    /// Target returns, the first decides which checkpoint is best; only for algorithms that take
    /// one. `sweep` is 7 from the 95th percentile of the data's returns down to the 5th, evenly
    /// spaced, `sweep:11` as many as given; `quantile:0.9` is the return that 90 % of the data's
    /// episodes do not exceed. A run's plan contains the numbers. Default: the published ones for a
    /// known environment, else the data's largest return and its mean; with labels, of the labels
    /// at which episodes begin. Advantages: their 98th percentile and their median.
    targets: Option<Targets> = None, Range::FINITE, "reward", "`sweep` (RADT)";
    /// The smallest and the largest return between which targets count for the calibration; only
    /// for algorithms that take targets. Default: the 5th and the 95th percentile of the data's
    /// returns.
    return_range: Option<[f64; 2]> = None, Range::FINITE, "reward", "";
    /// How a Decision Transformer acts: `exact`, as its last K steps determine it; `streaming`,
    /// from what each layer computed of the last K steps when they were new, which is many times
    /// faster, but another function than the trained one once an episode is longer than K steps,
    /// so that its returns may differ; or, where it predicts returns, `search`: as those of the
    /// last K, K - 2, ... steps determine it from which it predicts the largest one (Elastic
    /// Decision Transformer). For evaluations; videos and collections act exactly.
    acting: ActingMode as serde(default) = ActingMode::Exact,
        Range::Words(&["exact", "streaming", "search"]), "", "exact";
    /// Where a Decision Transformer acts: `cpu`, or in all environments at once on a GPU: `cuda`,
    /// `cuda:N`, or `auto` for one if it is usable. A GPU acts exactly and in f32; actions differ
    /// by the order of sums alone. For evaluations. May change at a resume.
    device: Device as serde(default) = Device::Cpu, Range::Any, "", "";
    /// Whether training continues during an evaluation, which then has a thread of its own, worth
    /// it where a core is free: `threads` below the number of cores. The results are the same;
    /// until they are known, the run's state at the evaluated step stays in memory. The evaluation
    /// after the last step has all threads.
    beside: bool as serde(default) = false, Range::Any, "", "";
    /// Seed of the first evaluation episode's start.
    seed: u64 = 42, Range::at_least(0), "", "42 (CORL)";
}

keys! {
    /// What is logged, and how often.
    pub struct LoggingConfig = "logging", _any: ();

    /// Steps between two points of the training curves.
    every: u64 = 20, Range::at_least(1), "steps", "";
    /// Steps between histograms of weights and gradients; 0: none.
    histograms_every: u64 = 200, Range::at_least(0), "steps", "";
}

keys! {
    /// How an offline algorithm alternates between acting and learning, where the run continues
    /// `from` another one.
    pub struct OnlineConfig = "online", _any: ();

    /// Environments that are stepped together.
    environments: usize = 1, Range::between(1.0, 4096.0), "environments", "1";
    /// Capacity of the replay buffer, at most 2^24; the dataset's steps are stored first.
    capacity: usize = 2_000_000, Range::between(1.0, 16_777_216.0), "steps", "2e6 (CORL)";
    /// The share of each batch that is drawn from the dataset, which is then not stored in the
    /// replay buffer. Default: the dataset is stored in the buffer.
    dataset_share: Option<f64> as serde(default) = None, Range::BELOW_ONE, "",
        "0.5 (CORL's cal_ql)";
    /// Environment steps between two rounds of updates.
    update_every: u64 = 1, Range::at_least(1), "steps", "1";
    /// Updates in a round.
    updates: u64 = 1, Range::ROWS, "updates", "1";
}

keys! {
    /// How a Decision Transformer alternates between acting and learning, where the run continues
    /// `from` another one. Its policy draws its actions: `decision_transformer.action_head` is
    /// `squashed_gaussian` or `gaussian`.
    pub struct TrajectoriesConfig = "trajectories", _any: ();

    /// Trajectories in the replay, the best of the dataset at first. When it is full, a new one
    /// replaces another, the worst of the dataset first.
    capacity: usize = 1000, Range::between(1.0, 1_048_576.0), "trajectories", "1000";
    /// Whether the trajectory of the least return in the dataset is not used. Default: with the
    /// recipe `online_dt`.
    drop_worst: Option<bool> as serde(default) = None, Range::Any, "", "true (online_dt)";
    /// The target return while exploring. Default: the first of `evaluation.targets` plus its
    /// magnitude, which is twice as much if it is positive, else 0. None for a model that predicts
    /// its returns.
    target: Option<f64> as serde(default) = None, Range::FINITE, "reward",
        "twice that of evaluations";
    /// Updates after each episode.
    updates: u64 = 300, Range::ROWS, "updates", "300";
}

impl OnlineConfig {
    /// The transitions of a batch of `rows` that are drawn from the dataset; at least one is not.
    pub fn dataset_rows(&self, rows: usize) -> usize {
        let share = self.dataset_share.unwrap_or(0.0);
        let drawn = (share * rows as f64).round() as usize;
        drawn.min(rows.saturating_sub(1))
    }
}

const fn selection(
    name: &'static str,
    kind: &'static str,
    doc: &'static [&'static str],
    range: Range,
    unit: &'static str,
) -> Key {
    Key {
        name,
        kind,
        doc,
        range,
        unit,
        published: "",
    }
}

/// The keys of [`Selection`], a type of the crate `rtg-datasets`.
const SELECTION: Keys = Keys {
    table: "selection",
    doc: &["Which episodes are used, and how."],
    keys: &[
        selection(
            "min_length",
            "Option<usize>",
            &["Only episodes of at least this many steps."],
            Range::at_least(0),
            "steps",
        ),
        selection(
            "max_length",
            "Option<usize>",
            &["Only episodes of at most this many steps."],
            Range::at_least(0),
            "steps",
        ),
        selection(
            "random_fraction",
            "Option<f64>",
            &["A random part of the episodes; at least one is kept."],
            Range::PART,
            "",
        ),
        selection(
            "top_fraction",
            "Option<f64>",
            &["The part with the largest returns; at least one is kept."],
            Range::PART,
            "",
        ),
        selection(
            "top_by",
            "TopBy",
            &["What `top_fraction` is a fraction of: `trajectories` (CORL) or `steps` (kzl)."],
            Range::Words(&["trajectories", "steps"]),
            "",
        ),
        selection(
            "validation_fraction",
            "Option<f64>",
            &["A part of the episodes that is held out; `validation/` metrics are measured on it."],
            Range::PART,
            "",
        ),
        selection(
            "delayed_rewards",
            "bool",
            &["Gives an episode's whole reward at its last step."],
            Range::Any,
            "",
        ),
        selection(
            "balance_returns",
            "Option<usize>",
            &[
                "Episodes fall into this many classes of equal width between the least and the",
                "largest return, and each nonempty class is drawn equally often.",
            ],
            Range::ROWS,
            "classes",
        ),
        selection(
            "balance_strength",
            "Option<f64>",
            &[
                "How much of that balance there is, with `balance_returns`: at 0 draws are as \
                    without it,",
                "at 1, the default, each class is drawn alike.",
            ],
            Range::UNIT,
            "",
        ),
        selection(
            "seed",
            "u64",
            &["Seed of the random part and of the validation part."],
            Range::at_least(0),
            "",
        ),
    ],
};

/// Every table of a plan for `algorithm`: the general ones, then its own.
pub fn reference(algorithm: AlgorithmRef) -> Vec<Keys> {
    let mut tables = general();
    tables.extend(algorithm.tables());
    tables
}

/// The tables of every plan.
pub fn general() -> Vec<Keys> {
    vec![
        Experiment::KEYS,
        MixPart::KEYS,
        SELECTION,
        LabelsConfig::KEYS,
        EvaluationConfig::KEYS,
        OnlineConfig::KEYS,
        TrajectoriesConfig::KEYS,
        LoggingConfig::KEYS,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_selection_are_those_of_its_type() {
        let full = Selection {
            min_length: Some(1),
            max_length: Some(1),
            random_fraction: Some(0.5),
            top_fraction: Some(0.5),
            validation_fraction: Some(0.5),
            balance_returns: Some(1),
            balance_strength: Some(1.0),
            ..Selection::default()
        };
        let table = Table::try_from(full).unwrap();
        let mut declared: Vec<_> = SELECTION.keys.iter().map(|key| key.name).collect();
        declared.sort_unstable();
        let mut known: Vec<_> = table.keys().map(String::as_str).collect();
        known.sort_unstable();
        assert_eq!(declared, known);
    }

    #[test]
    fn every_key_is_documented_and_belongs_to_one_table() {
        for algorithm in AlgorithmRef::all() {
            let mut paths = Vec::new();
            for table in reference(algorithm) {
                assert!(!table.meaning().is_empty());
                for key in table.keys {
                    assert!(!key.meaning().is_empty(), "{}", table.path(key.name));
                    paths.push(table.path(key.name));
                }
            }
            let count = paths.len();
            paths.sort();
            paths.dedup();
            assert_eq!(paths.len(), count, "{algorithm:?}");
        }
    }
}
