//! CSV files of one row a step, for custom logs.
//!
//! | column | |
//! |---|---|
//! | `observation_0`, `observation_1` ... or `observation` | before the step |
//! | `action_0`, `action_1` ... or `action` | |
//! | `reward` | |
//! | `terminated` | 0 or 1, `false` or `true`: a terminal state was reached |
//! | `truncated`, optional | the episode was cut off, by a time limit for instance |
//! | `done`, optional | the episode ends, for whatever reason |
//! | `episode`, optional | a number that changes from one episode to the next |
//! | `next_observation_0` ..., optional | after the step |
//! | any other name, optional | an info |
//!
//! Other names of these are known too, see `flat/roles.rs`. Columns may be in any order; the first
//! line names them. Numbered ones begin at 0 without gaps. Numbers are `float64`. A single `action`
//! whose every cell is a whole number without a point is a discrete choice.
//!
//! Cells are separated by commas. If the first line has no comma, they are separated by semicolons
//! or tabs, and numbers may have a decimal comma.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use csv::{ReaderBuilder, StringRecord};
use rtg_envs::Dtype;

use crate::flat::{FlatSource, Role, columns, role};
use crate::recording::{Array, Node};
use crate::{Budget, Error, input};

/// The numbers of a file, column by column.
struct Sheet {
    names: Vec<String>,
    columns: Vec<Vec<f64>>,
    /// Whether every cell so far was a whole number without a point.
    whole: Vec<bool>,
    rows: usize,
}

/// Reads a file.
pub(crate) fn source(path: &Path, budget: &Budget) -> Result<FlatSource, Error> {
    let sheet = Sheet::read(path, budget)?;
    let rows = sheet.rows;
    let columns_of = sheet.names.into_iter().zip(sheet.columns).zip(sheet.whole);
    let named = columns_of.map(|((name, numbers), whole)| {
        let is_choice = whole && matches!(role(&name), Some((Role::Actions, _)));
        let dtype = if is_choice {
            Dtype::Int64
        } else {
            Dtype::Float64
        };
        (name, Node::Array(Array::of(dtype, vec![rows], &numbers)))
    });
    let columns = columns(named.collect(), budget)?;
    let mut source = FlatSource::new(path, "CSV file", columns, budget)?;
    source.cut(None);
    Ok(source)
}

impl Sheet {
    fn read(path: &Path, budget: &Budget) -> Result<Self, Error> {
        let (file, _) = input::open(path, budget)?;
        let mut file = BufReader::new(file);
        let separator = separator(&mut file)?;
        let mut reader = ReaderBuilder::new()
            .delimiter(separator)
            .trim(csv::Trim::All)
            .from_reader(file);
        // Spreadsheets put a mark before the first name.
        let names: Vec<String> = reader
            .headers()
            .map_err(failed)?
            .iter()
            .map(|name| name.trim_start_matches('\u{feff}').to_owned())
            .collect();
        let mut known = HashSet::new();
        if let Some(name) = names.iter().find(|name| !known.insert(name.as_str())) {
            return Err(Error::Damaged(format!("the column {name} is there twice")));
        }
        drop(known);
        budget.look_at(names.len(), "the first line")?;
        let mut sheet = Self {
            columns: vec![Vec::new(); names.len()],
            whole: vec![true; names.len()],
            names,
            rows: 0,
        };
        let mut record = StringRecord::new();
        while reader.read_record(&mut record).map_err(failed)? {
            // The memory of a number and of its slot in the array.
            budget.take_items(&[record.len()], 16, "the table")?;
            for (index, cell) in record.iter().enumerate() {
                let number = match cell {
                    "true" | "True" | "TRUE" => Some(1.0),
                    "false" | "False" | "FALSE" => Some(0.0),
                    cell if separator == b',' => cell.parse().ok(),
                    cell => cell.replacen(',', ".", 1).parse().ok(),
                };
                let number: f64 = number.ok_or_else(|| {
                    Error::Damaged(format!(
                        "row {} of the column {} is '{}', not a number",
                        sheet.rows + 1,
                        sheet.names[index],
                        cell.chars().take(40).collect::<String>()
                    ))
                })?;
                sheet.whole[index] &= cell.parse::<i64>().is_ok();
                sheet.columns[index].push(number);
            }
            sheet.rows += 1;
        }
        Ok(sheet)
    }
}

/// What separates the cells of the first line, which is not consumed.
fn separator(file: &mut impl BufRead) -> io::Result<u8> {
    let head = file.fill_buf()?;
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or(head);
    let mut found = [b',', b';', b'\t'].into_iter();
    Ok(found
        .find(|separator| line.contains(separator))
        .unwrap_or(b','))
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
    fn semicolons_and_tabs_separate_cells_too() {
        let expected =
            read("observation,action_0,reward,done\n0.5,-1,1e-1,0\n2,0.25,3,1\n").unwrap();
        for text in [
            "observation;action_0;reward;done\r\n0,5;-1;1e-1;0\r\n2;0,25;3;1\r\n",
            "observation\taction_0\treward\tdone\n0.5\t-1\t0,1\t0\n2\t0.25\t3\t1\n",
        ] {
            assert_eq!(read(text).unwrap().hash(), expected.hash(), "{text}");
        }
        let error = read("observation;action;reward;done\n1.000,5;0;1;0\n").unwrap_err();
        assert!(
            error.to_string().contains("'1.000,5', not a number"),
            "{error}"
        );
    }

    #[test]
    fn missing_or_wrong_columns_are_named() {
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
