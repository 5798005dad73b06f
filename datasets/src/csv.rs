//! CSV files of one row a step, for people with logs of their own.
//!
//! | column | |
//! |---|---|
//! | `observation_0`, `observation_1` ... or `observation` | seen before the step |
//! | `action_0`, `action_1` ... or `action` | |
//! | `reward` | |
//! | `terminated` | 0 or 1, `false` or `true`: a terminal state was reached |
//! | `truncated`, optional | the episode was cut off, by a time limit for instance |
//! | `episode`, optional | a number that changes from one episode to the next |
//! | `next_observation_0` ..., optional | seen after the step |
//! | any other name, optional | an info |
//!
//! Columns may stand in any order; the first line names them. Numbers are `float64`. A single
//! `action` whose every cell is a whole number without a point is a discrete choice.

use std::path::Path;

use csv::{ReaderBuilder, StringRecord};
use rtg_envs::Dtype;

use crate::Error;
use crate::flat::{Columns, Extras, FlatSource};
use crate::numpy::changes;
use crate::recording::{Array, Node};

/// The numbers of a file, column by column.
struct Sheet {
    names: Vec<String>,
    columns: Vec<Vec<f64>>,
    /// Whether every cell so far was a whole number without a point.
    whole: Vec<bool>,
    rows: usize,
}

/// Reads a file.
pub(crate) fn source(path: &Path) -> Result<FlatSource, Error> {
    let sheet = Sheet::read(path)?;
    let required = |name: &str| {
        sheet
            .group(name)
            .ok_or_else(|| Error::Missing(format!("the column {name} or {name}_0")))
    };
    let flags = |name: &str| -> Option<Vec<bool>> {
        let column = sheet.column(name)?;
        Some(column.iter().map(|&flag| flag != 0.0).collect())
    };
    let actions = match sheet.column("action") {
        Some(choices) if sheet.is_whole("action") => {
            Array::of(Dtype::Int64, vec![sheet.rows], choices)
        }
        _ => required("action")?,
    };
    let mut extras = Extras::default();
    for (name, column) in sheet.names.iter().zip(&sheet.columns) {
        if !is_standard(name) {
            let array = Array::of(Dtype::Float64, vec![sheet.rows], column);
            extras.sort(name, Node::Array(array), sheet.rows);
        }
    }
    let rewards = sheet
        .column("reward")
        .ok_or_else(|| Error::Missing("the column reward".into()))?;
    let columns = Columns {
        observations: required("observation")?,
        next_observations: sheet.group("next_observation"),
        actions,
        rewards: Array::of(Dtype::Float64, vec![sheet.rows], rewards),
        terminals: flags("terminated"),
        timeouts: flags("truncated"),
        ends: sheet.column("episode").map(changes),
        extras,
    };
    let mut source = FlatSource::new(path, "CSV file", columns)?;
    source.cut(None);
    Ok(source)
}

fn is_standard(name: &str) -> bool {
    let groups = ["observation", "action", "next_observation"];
    ["reward", "terminated", "truncated", "episode"].contains(&name)
        || groups.iter().any(|group| {
            name.strip_prefix(group).is_some_and(|rest| {
                rest.is_empty()
                    || rest
                        .strip_prefix('_')
                        .is_some_and(|n| n.parse::<usize>().is_ok())
            })
        })
}

impl Sheet {
    fn read(path: &Path) -> Result<Self, Error> {
        let mut reader = ReaderBuilder::new()
            .trim(csv::Trim::All)
            .from_path(path)
            .map_err(failed)?;
        let names: Vec<String> = reader
            .headers()
            .map_err(failed)?
            .iter()
            .map(str::to_owned)
            .collect();
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                return Err(Error::Damaged(format!("the column {name} is there twice")));
            }
        }
        let mut sheet = Self {
            columns: vec![Vec::new(); names.len()],
            whole: vec![true; names.len()],
            names,
            rows: 0,
        };
        let mut record = StringRecord::new();
        while reader.read_record(&mut record).map_err(failed)? {
            for (index, cell) in record.iter().enumerate() {
                let number = match cell {
                    "true" | "True" => Some(1.0),
                    "false" | "False" => Some(0.0),
                    cell => cell.parse().ok(),
                };
                let number: f64 = number.ok_or_else(|| {
                    Error::Damaged(format!(
                        "row {} of the column {} is {cell:?}, not a number",
                        sheet.rows + 1,
                        sheet.names[index]
                    ))
                })?;
                sheet.whole[index] &= cell.parse::<i64>().is_ok();
                sheet.columns[index].push(number);
            }
            sheet.rows += 1;
        }
        Ok(sheet)
    }

    fn column(&self, name: &str) -> Option<&[f64]> {
        let at = self.names.iter().position(|known| known == name)?;
        Some(&self.columns[at])
    }

    fn is_whole(&self, name: &str) -> bool {
        let at = self.names.iter().position(|known| known == name);
        at.is_some_and(|at| self.whole[at])
    }

    /// The columns `name_0`, `name_1` ... side by side, or `name` alone.
    fn group(&self, name: &str) -> Option<Array> {
        if let Some(column) = self.column(name) {
            return Some(Array::of(Dtype::Float64, vec![self.rows, 1], column));
        }
        let numbered = (0..).map_while(|index| self.column(&format!("{name}_{index}")));
        let columns: Vec<&[f64]> = numbered.collect();
        if columns.is_empty() {
            return None;
        }
        let rows = (0..self.rows).flat_map(|row| columns.iter().map(move |column| column[row]));
        let numbers: Vec<f64> = rows.collect();
        Some(Array::of(
            Dtype::Float64,
            vec![self.rows, columns.len()],
            &numbers,
        ))
    }
}

fn failed(error: csv::Error) -> Error {
    if error.is_io_error()
        && let csv::ErrorKind::Io(error) = error.into_kind()
    {
        return Error::Io(error);
    }
    Error::Damaged("the lines have different numbers of cells, or are not UTF-8".into())
}

#[cfg(test)]
mod tests {
    use crate::{Defects, open_with};

    fn read(text: &str) -> Result<crate::Dataset, crate::Error> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.csv");
        std::fs::write(&path, text).unwrap();
        open_with(path.to_str().unwrap(), None, Defects::Refuse)
    }

    #[test]
    fn rows_become_episodes_by_flags_and_by_number() {
        let dataset = read(
            "episode,observation_1,observation_0,action,reward,terminated,speed\n\
             0,10,1,2,0.5,0,9\n0,20,2,0,0.5,true,9\n1,30,3,1,1,0,9\n1,40,4,1,1,0,9\n2,50,5,0,2,False,9\n",
        )
        .unwrap();
        let lengths: Vec<_> = dataset.iter().map(|episode| episode.len()).collect();
        assert_eq!(lengths, [2, 2, 1]);
        let first = dataset.episode(0);
        assert_eq!(first.observations, [1.0, 10.0, 2.0, 20.0, 2.0, 20.0]);
        assert_eq!(first.actions, [2.0, 0.0]);
        assert!(first.terminated);
        assert!(!dataset.episode(1).terminated && !dataset.episode(1).truncated);
        let space = &dataset.info().action_space;
        assert_eq!(*space, rtg_envs::Space::Discrete { n: 3, start: 0 });
    }

    #[test]
    fn following_observations_and_continuous_actions_are_read() {
        let dataset = read(
            "observation,next_observation,action_0,action_1,reward,terminated,truncated\n\
             1,2,0.5,-3,1,0,0\n2,3,0.5,1,1,0,1\n",
        )
        .unwrap();
        let episode = dataset.episode(0);
        assert_eq!(episode.observations, [1.0, 2.0, 3.0]);
        assert_eq!(episode.actions, [0.5, -3.0, 0.5, 1.0]);
        assert!(episode.truncated);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (text, word) in [
            ("observation,action,terminated\n1,1,1\n", "reward"),
            ("observation,reward\n1,1\n", "action"),
            (
                "observation,action,reward\n1,x,1\n",
                "row 1 of the column action",
            ),
            ("observation,action,reward\n1,1\n", "different numbers"),
            ("reward,reward\n1,1\n", "twice"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
