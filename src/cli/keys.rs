//! `rtg keys`: every key of a plan, with its default, range, unit and published value.

use std::fmt::Write;

use clap::Args;
use serde_json::json;

use super::{print, print_json};
use crate::algorithms::AlgorithmRef;
use crate::algorithms::labels::LabelsConfig;
use crate::error::Error;
use crate::experiment::{Experiment, OnlineConfig, TrajectoriesConfig, general};
use crate::keys::{Key, Keys, Table, Value};

/// List every key of a plan.
#[derive(Args)]
#[command(
    after_help = "Set a key in its table of an experiment file, or with --set table.key=value.\n\n\
    Example: rtg keys bc"
)]
pub(super) struct ListKeys {
    /// List only the tables of this algorithm [default: general tables and those of all
    /// algorithms].
    algorithm: Option<String>,
    /// Print Markdown, as in the manual.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// The head of the page with the keys of all algorithms.
const TITLE: &str = "\
# Keys of a plan

Printed by `rtg keys --markdown`. Set a key in its table of an experiment file, or with `--set
table.key=value`; `rtg train` writes the whole plan to `experiment.toml`.

";

/// Tables with their defaults, under a title.
struct Section {
    title: String,
    tables: Vec<Keys>,
    /// Keys of other tables with a different default here.
    changes: Vec<(String, String)>,
    /// A plan with every default, and the recipe it is for.
    defaults: Vec<(&'static str, Table)>,
}

impl ListKeys {
    pub(super) fn run(self) -> Result<(), Error> {
        if self.markdown && self.algorithm.is_none() {
            return print(&markdown()?);
        }
        let sections = sections(self.algorithm.as_deref())?;
        if self.json {
            let sections: Vec<_> = sections.iter().map(Section::json).collect();
            return print_json(&sections);
        }
        let mut text = String::new();
        for section in &sections {
            if self.markdown {
                section.markdown(&mut text);
            } else {
                section.plain(&mut text);
            }
        }
        print(&text)
    }
}

/// The keys of all algorithms as a page of the manual.
pub(super) fn markdown() -> Result<String, Error> {
    let mut text = TITLE.to_owned();
    for section in sections(None)? {
        section.markdown(&mut text);
    }
    Ok(text)
}

/// The keys of an algorithm, or of every plan and all algorithms.
fn sections(algorithm: Option<&str>) -> Result<Vec<Section>, Error> {
    if let Some(name) = algorithm {
        return Ok(vec![own(AlgorithmRef::named(name)?)?]);
    }
    let plan = Experiment {
        labels: Some(LabelsConfig::of(())),
        online: Some(OnlineConfig::of(())),
        trajectories: Some(TrajectoriesConfig::of(())),
        ..Experiment::of(AlgorithmRef::default())
    };
    let mut sections = vec![Section {
        title: "Every plan".to_owned(),
        tables: general(),
        changes: Vec::new(),
        defaults: vec![("", plan.plan()?)],
    }];
    for algorithm in AlgorithmRef::all() {
        sections.push(own(algorithm)?);
    }
    Ok(sections)
}

fn own(algorithm: AlgorithmRef) -> Result<Section, Error> {
    let card = algorithm.card();
    let mut defaults = Vec::new();
    for &recipe in card.recipes {
        let plan = algorithm.defaults(recipe);
        defaults.push((
            recipe,
            plan.map_err(crate::experiment::ExperimentError::from)?,
        ));
    }
    let tables = algorithm.tables();
    let changes = (defaults.first()).map_or_else(Vec::new, |(_, plan)| changes(plan, &tables));
    Ok(Section {
        title: card.name.to_owned(),
        tables,
        changes,
        defaults,
    })
}

/// The keys of `plan` that are in none of `tables`.
fn changes(plan: &Table, tables: &[Keys]) -> Vec<(String, String)> {
    let mut changes = Vec::new();
    for (name, value) in plan {
        match value {
            Value::Table(_) if tables.iter().any(|own| own.table == name) => {}
            Value::Table(inner) => {
                let path = |key: &String| format!("{name}.{key}");
                changes.extend(
                    inner
                        .iter()
                        .map(|(key, value)| (path(key), value.to_string())),
                );
            }
            value => changes.push((name.clone(), value.to_string())),
        }
    }
    changes
}

impl Section {
    /// The default of a key: one value, or one for each recipe where they differ.
    fn default_of(&self, table: &Keys, key: &Key) -> String {
        let shown = |plan: &Table| {
            let own = match table.table {
                "" => Some(plan),
                name => plan.get(name).and_then(Value::as_table),
            };
            let value = own.and_then(|own| own.get(key.name));
            // A default that depends on the machine would make the list differ between machines.
            match (value, key.name) {
                (Some(_), "threads") => "SLURM_CPUS_PER_TASK or all cores".to_owned(),
                (Some(Value::Float(number)), _) => (*number as f32).to_string(),
                (Some(value), _) => value.to_string(),
                (None, _) => "unset".to_owned(),
            }
        };
        let values: Vec<(&str, String)> = (self.defaults.iter())
            .map(|(recipe, plan)| (*recipe, shown(plan)))
            .collect();
        let Some((_, first)) = values.first() else {
            return String::new();
        };
        if values.iter().all(|(_, value)| value == first) {
            return first.clone();
        }
        let each = values
            .iter()
            .map(|(recipe, value)| format!("{value} ({recipe})"));
        each.collect::<Vec<_>>().join(", ")
    }

    fn plain(&self, text: &mut String) {
        for table in &self.tables {
            let name = if table.table.is_empty() {
                "(no table)".to_owned()
            } else {
                format!("[{}]", table.table)
            };
            let _ = writeln!(text, "{}: {name}  {}", self.title, table.meaning());
            for key in table.keys {
                let default = self.default_of(table, key);
                let _ = writeln!(text, "  {} = {default}", key.name);
                let published = key.published;
                let mut facts = vec![key.range.to_string(), key.unit.to_owned()];
                facts.extend((!published.is_empty()).then(|| format!("published: {published}")));
                facts.retain(|fact| !fact.is_empty());
                let facts = match facts.as_slice() {
                    [] => String::new(),
                    facts => format!(" [{}]", facts.join("; ")),
                };
                let _ = writeln!(text, "      {}{facts}", key.meaning());
            }
            text.push('\n');
        }
        if !self.changes.is_empty() {
            let _ = writeln!(text, "{}: defaults of general keys", self.title);
            for (key, value) in &self.changes {
                let _ = writeln!(text, "  {key} = {value}");
            }
            text.push('\n');
        }
    }

    fn markdown(&self, text: &mut String) {
        let _ = writeln!(text, "## {}\n", self.title);
        if !self.changes.is_empty() {
            let change = |(key, value): &(String, String)| format!("`{key} = {value}`");
            let changes: Vec<String> = self.changes.iter().map(change).collect();
            let _ = writeln!(text, "Defaults of general keys: {}.\n", changes.join(", "));
        }
        for table in &self.tables {
            if !table.table.is_empty() {
                let _ = writeln!(text, "### `[{}]`\n", table.table);
            }
            let _ = writeln!(text, "{}\n", table.meaning());
            text.push_str("| key | meaning | default | range | unit | published |\n");
            text.push_str("|---|---|---|---|---|---|\n");
            for key in table.keys {
                let default = self.default_of(table, key);
                let _ = writeln!(
                    text,
                    "| `{}` | {} | `{default}` | {} | {} | {} |",
                    key.name,
                    key.meaning(),
                    key.range,
                    key.unit,
                    key.published
                );
            }
            text.push('\n');
        }
    }

    fn json(&self) -> serde_json::Value {
        let tables = self.tables.iter().map(|table| {
            let keys = table.keys.iter().map(|key| {
                json!({
                    "key": key.name,
                    "meaning": key.meaning(),
                    "type": key.kind,
                    "default": self.default_of(table, key),
                    "range": key.range.to_string(),
                    "unit": key.unit,
                    "published": key.published,
                })
            });
            json!({
                "table": table.table,
                "meaning": table.meaning(),
                "keys": keys.collect::<Vec<_>>(),
            })
        });
        let changes = (self.changes.iter()).map(|(key, value)| (key.clone(), json!(value)));
        json!({
            "section": self.title,
            "tables": tables.collect::<Vec<_>>(),
            "defaults_of_general_keys": changes.collect::<serde_json::Map<_, _>>(),
        })
    }
}
