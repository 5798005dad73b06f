//! Flat columns out of named ones: archives of NumPy, CSV files, Parquet tables.

use std::collections::BTreeMap;

use rtg_envs::Dtype;

use super::roles::{Role, best, role};
use super::{Columns, Extras, Marks};
use crate::recording::{Array, Node, promoted};
use crate::{Budget, Error};

/// Sorts columns by their names. Numbered ones, `observation_0`, `observation_1` ..., are placed
/// side by side; a column without a role becomes an info.
pub(crate) fn columns(named: Vec<(String, Node)>, budget: &Budget) -> Result<Columns, Error> {
    let mut named = numbered(named, budget)?;
    let mut take = |wanted: Role| -> Option<(String, Node)> {
        let name = best(named.iter().map(|(name, _)| name.as_str()), wanted)?.to_owned();
        let at = named.iter().position(|(known, _)| *known == name)?;
        Some(named.swap_remove(at))
    };
    let mut array = |wanted: Role, what: &str| -> Result<Option<Array>, Error> {
        match take(wanted) {
            None => Ok(None),
            Some((_, Node::Array(array))) => Ok(Some(array)),
            Some((name, _)) => Err(Error::Unsupported(format!(
                "{name} as {what}: it contains no numbers, which"
            ))),
        }
    };
    let missing =
        |what: &str, such: &str| Error::Missing(format!("a column of {what}, such as {such},"));
    let observations = array(Role::Observations, "observations")?
        .ok_or_else(|| missing("observations", "observations or observation_0"))?;
    let actions = array(Role::Actions, "actions")?
        .ok_or_else(|| missing("actions", "actions or action_0"))?;
    let rewards = array(Role::Rewards, "rewards")?.ok_or_else(|| missing("rewards", "reward"))?;
    let next_observations = array(Role::NextObservations, "next observations")?;
    let rows = rewards.rows();
    let (mut marks, mut extras) = (Marks::default(), Extras::default());
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (name, node) in named {
        let marked = match &node {
            Node::Array(array) if array.rows() == rows && array.numbers() == rows => {
                budget.take_items(&[rows], 9, &name)?;
                marks.add(&name, || array.to_f64())
            }
            _ => false,
        };
        if !marked {
            marks.pass_over(&name);
            extras.sort(&name, node, rows);
        }
    }
    Ok(Columns {
        observations: upright(observations)?,
        next_observations: next_observations.map(upright).transpose()?,
        actions: squeezed(actions)?,
        rewards,
        marks,
        extras,
    })
}

/// Single numbers as rows of one.
fn upright(array: Array) -> Result<Array, Error> {
    match array.shape().len() {
        1 => {
            let rows = array.rows();
            array.reshaped(vec![rows, 1])
        }
        _ => Ok(array),
    }
}

/// Choices as single numbers, others as rows.
pub(crate) fn squeezed(array: Array) -> Result<Array, Error> {
    let rows = array.rows();
    match (array.dtype().is_float(), array.row_shape()) {
        (true, []) if array.shape().len() == 1 => array.reshaped(vec![rows, 1]),
        (false, [1]) => array.reshaped(vec![rows]),
        _ => Ok(array),
    }
}

/// Puts numbered columns of a group side by side.
fn numbered(named: Vec<(String, Node)>, budget: &Budget) -> Result<Vec<(String, Node)>, Error> {
    let mut groups: BTreeMap<String, BTreeMap<usize, Array>> = BTreeMap::new();
    let mut others = Vec::new();
    for (name, node) in named {
        match (group(&name), node) {
            (Some((group, index)), Node::Array(array)) if array.shape().len() == 1 => {
                if groups
                    .entry(group.to_owned())
                    .or_default()
                    .insert(index, array)
                    .is_some()
                {
                    return Err(Error::Damaged(format!(
                        "the column {group}_{index} is there twice"
                    )));
                }
            }
            (_, node) => others.push((name, node)),
        }
    }
    for (group, parts) in groups {
        if others.iter().any(|(name, _)| *name == group) {
            return Err(Error::Damaged(format!(
                "there are {group} and {group}_0, {group}_1 ..."
            )));
        }
        if let Some((&last, _)) = parts.last_key_value()
            && let Some(gap) = (0..last).find(|index| !parts.contains_key(index))
        {
            return Err(Error::Missing(format!(
                "the column {group}_{gap}, though there is {group}_{last},"
            )));
        }
        let (rows, width) = (parts[&0].rows(), parts.len());
        if let Some(other) = parts.values().find(|part| part.rows() != rows) {
            return Err(Error::Columns(vec![
                (format!("{group}_0"), rows),
                (group, other.rows()),
            ]));
        }
        budget.take_items(&[rows, width], 24, &group)?;
        let types: Vec<Dtype> = parts.values().map(Array::dtype).collect();
        let columns: Vec<Vec<f64>> = parts.into_values().map(|part| part.to_f64()).collect();
        let rows_of = |row: usize| columns.iter().map(move |column| column[row]);
        let numbers: Vec<f64> = (0..rows).flat_map(rows_of).collect();
        let array = Array::of(promoted(&types), vec![rows, width], &numbers);
        others.push((group, Node::Array(array)));
    }
    Ok(others)
}

/// `observation` and 3 of `observation_3`, if the first is the name of a row's numbers.
fn group(name: &str) -> Option<(&str, usize)> {
    let (group, number) = name.rsplit_once('_')?;
    let is_group = matches!(
        role(group),
        Some((
            Role::Observations | Role::NextObservations | Role::Actions,
            _
        ))
    );
    let is_number = is_group && number.bytes().all(|byte| byte.is_ascii_digit());
    Some((group, number.parse().ok().filter(|_| is_number)?))
}
