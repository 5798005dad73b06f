//! Checks the metadata of a checkpoint's model, before memory is allocated by them.

use rtg_datasets::Normaliser;
use rtg_envs::{Space, Spec};
use serde::Deserialize;
use serde_json::Value;

use super::Notes;
use crate::algorithms::ActionCodec;

/// The most choices of a head: no environment has more.
const MOST_CHOICES: usize = 1 << 20;

/// The inputs and outputs of a model, as far as its algorithm stores them in the usual form.
pub(super) struct Form {
    /// Numbers in an observation.
    observation: Option<usize>,
    actions: Option<ActionCodec>,
}

impl Form {
    /// Refuses values that no plan could have had, and lists that do not fit each other.
    pub(super) fn of(notes: &Notes) -> Result<Self, String> {
        check_ranges(notes)?;
        let made_of = &notes.made_of;
        // The Decision Transformer has a separate table for the conversions between environment and
        // network.
        let places = [Some(made_of), made_of.get("preprocessing")];
        let find = |name: &str| places.iter().flatten().find_map(|place| place.get(name));
        let normaliser = find("normaliser").and_then(|found| Normaliser::deserialize(found).ok());
        if let Some(Normaliser { mean, std }) = &normaliser {
            let finite = mean.iter().chain(std).all(|number| number.is_finite());
            if mean.len() != std.len() || !finite || std.contains(&0.0) {
                return Err("its normaliser is invalid".to_owned());
            }
        }
        let noted = find("observation").and_then(Value::as_u64);
        let observation = normaliser.map(|normaliser| normaliser.mean.len());
        if let (Some(width), Some(noted)) = (observation, noted)
            && width as u64 != noted
        {
            return Err(format!(
                "observations of {noted} numbers, normalised as {width}"
            ));
        }
        let actions = find("actions").and_then(|found| ActionCodec::deserialize(found).ok());
        let sound = match &actions {
            None => true,
            Some(ActionCodec::Discrete { n, .. }) => (1..=MOST_CHOICES).contains(n),
            Some(ActionCodec::Continuous {
                offset,
                scale,
                max_action,
            }) => {
                let mut numbers = offset.iter().chain(scale).chain([max_action]);
                !offset.is_empty() && offset.len() == scale.len() && numbers.all(|x| x.is_finite())
            }
        };
        if !sound {
            return Err("its actions are invalid".to_owned());
        }
        Ok(Self {
            observation: observation.or(noted.map(|noted| noted as usize)),
            actions,
        })
    }

    /// Whether an environment has such observations and actions; the error is what the model is
    /// made for.
    pub(super) fn check_fits(&self, spec: &Spec) -> Result<(), String> {
        if let Some(width) = self.observation
            && width != spec.observation_space.width()
        {
            return Err(format!("observations of {width} numbers"));
        }
        match (&self.actions, &spec.action_space) {
            (None, _) => Ok(()),
            (Some(ActionCodec::Discrete { n, .. }), Space::Discrete { n: there, .. })
                if n == there =>
            {
                Ok(())
            }
            (Some(ActionCodec::Discrete { n, .. }), _) => Err(format!("{n} discrete actions")),
            (Some(ActionCodec::Continuous { offset, .. }), space) => {
                let fits =
                    !matches!(space, Space::Discrete { .. }) && offset.len() == space.width();
                fits.then_some(())
                    .ok_or_else(|| format!("actions of {} numbers", offset.len()))
            }
        }
    }
}

/// Refuses a number outside the range of its key.
fn check_ranges(notes: &Notes) -> Result<(), String> {
    let former = notes.algorithm.card().former_tables;
    for keys in notes.algorithm.tables() {
        let before = former.iter().filter(|(_, now)| *now == keys.table);
        let mut names = before
            .map(|(before, _)| *before)
            .chain([keys.table, "config"]);
        let Some(made_of) = names.find_map(|name| notes.made_of.get(name)) else {
            continue;
        };
        for key in keys.keys {
            if let Some(number) = made_of.get(key.name).and_then(Value::as_f64) {
                let checked = key.range.check(&keys.path(key.name), &number.into());
                checked.map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(())
}
