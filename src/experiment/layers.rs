//! Plans as TOML tables that override each other.

use super::{Experiment, ExperimentError, reference};
use crate::algorithms::{AlgorithmRef, Card};
use crate::keys::{PlanError, Table, Value};

impl Experiment {
    /// The text of an experiment file as a layer.
    pub fn parse_layer(text: &str) -> Result<Table, ExperimentError> {
        text.parse().map_err(|error: toml::de::Error| {
            let before = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = 1 + text
                .bytes()
                .take(before)
                .filter(|&byte| byte == b'\n')
                .count();
            ExperimentError::Syntax(format!("{} in line {line}", error.message()))
        })
    }

    /// One `--set key=value` as a layer. A value that is not TOML is a string.
    pub fn parse_setting(setting: &str) -> Result<Table, ExperimentError> {
        let Some((key, text)) = setting.split_once('=') else {
            return Err(ExperimentError::NoValue(setting.to_owned()));
        };
        let value = format!("v = {text}")
            .parse::<Table>()
            .ok()
            .and_then(|mut table| table.remove("v"))
            .unwrap_or_else(|| Value::String(text.to_owned()));
        let mut parts: Vec<&str> = key.trim().split('.').collect();
        let mut layer = Table::new();
        layer.insert(parts.pop().unwrap_or_default().to_owned(), value);
        for part in parts.into_iter().rev() {
            layer = Table::from_iter([(part.to_owned(), Value::Table(layer))]);
        }
        Ok(layer)
    }
}

/// Merges layers; later ones override earlier ones.
pub fn merged(layers: &[Table]) -> Table {
    let mut merged = Table::new();
    for layer in layers {
        merge(&mut merged, layer.clone());
    }
    merged
}

pub(super) fn table(experiment: &Experiment) -> Result<Table, ExperimentError> {
    Table::try_from(experiment).map_err(|error| PlanError::Type(error.to_string()).into())
}

/// A plan as the text of a file.
pub(super) fn text(plan: &Table) -> Result<String, ExperimentError> {
    toml::to_string(plan).map_err(|error| PlanError::Type(error.to_string()).into())
}

/// Renames tables that had another name in earlier versions.
pub(super) fn rename_former(layer: &mut Table, card: &Card) {
    for &(before, now) in card.former_tables {
        if let Some(Value::Table(former)) = layer.remove(before) {
            let mut renamed = Table::from_iter([(now.to_owned(), Value::Table(former))]);
            // A layer may use both names; the values under the current one count.
            if let Some(present) = layer.remove(now) {
                merge(&mut renamed, Table::from_iter([(now.to_owned(), present)]));
            }
            layer.extend(renamed);
        }
    }
}

/// The keys of a plan for this algorithm, as a table of tables.
pub(super) fn known_keys(algorithm: AlgorithmRef) -> Table {
    let mut known = Table::new();
    for keys in reference(algorithm) {
        let own = keys.keys.iter();
        let own = own.map(|key| (key.name.to_owned(), Value::Boolean(true)));
        match keys.table {
            "" => known.extend(own),
            // An array of tables, whose keys the parser checks.
            "mix" => {
                known.insert("mix".to_owned(), Value::Boolean(true));
            }
            name => {
                known.insert(name.to_owned(), Value::Table(own.collect()));
            }
        }
    }
    known
}

/// Refuses the first key of `layer` that is not in `known`, a table of `all`.
pub(super) fn check_keys(
    layer: &Table,
    prefix: &str,
    known: &Table,
    all: &Table,
) -> Result<(), ExperimentError> {
    for (key, value) in layer {
        let path = format!("{prefix}{key}");
        match (known.get(key), value) {
            (Some(Value::Table(known)), Value::Table(inner)) => {
                check_keys(inner, &format!("{path}."), known, all)?;
            }
            (Some(_), _) => {}
            (None, _) => {
                if let Some(owners) = owners(&path) {
                    return Err(ExperimentError::OtherTable {
                        table: path,
                        owners,
                    });
                }
                let nearest = nearest_keys(&path, known, prefix, all);
                return Err(ExperimentError::UnknownKey { key: path, nearest });
            }
        }
    }
    Ok(())
}

/// The algorithms that have a table of this name.
fn owners(table: &str) -> Option<String> {
    let own = |algorithm: &AlgorithmRef| algorithm.tables().iter().any(|keys| keys.table == table);
    let names: Vec<_> = AlgorithmRef::all()
        .filter(own)
        .map(|algorithm| algorithm.card().name)
        .collect();
    (!names.is_empty()).then(|| names.join(" or "))
}

/// Names like `path`: those of the same table where one is close, else any key.
fn nearest_keys(path: &str, table: &Table, prefix: &str, all: &Table) -> Vec<String> {
    let siblings: Vec<String> = table.keys().map(|key| format!("{prefix}{key}")).collect();
    let all = all_keys(all, "");
    let candidates = siblings.iter().chain(&all).map(String::as_str);
    let mut nearest = rtg_envs::registry::nearest(path, candidates);
    nearest.dedup();
    nearest
}

pub(super) fn all_keys(known: &Table, prefix: &str) -> Vec<String> {
    (known.iter())
        .flat_map(|(key, value)| match value {
            Value::Table(inner) => all_keys(inner, &format!("{prefix}{key}.")),
            _ => vec![format!("{prefix}{key}")],
        })
        .collect()
}

pub(super) fn merge(base: &mut Table, layer: Table) {
    for (key, value) in layer {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(inner)) => merge(base, inner),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}
