//! Checkpoints of earlier formats, brought to the present one.

use serde_json::{Map, Value, json};

use crate::algorithms::Chosen;

/// Notes of any earlier format as those of the present one; what is not known stays as it is.
///
/// Format 1 named no algorithm: what its model was made of stood among the notes, under the name of
/// the algorithm's table.
pub(super) fn upgrade(notes: Value) -> Value {
    match notes {
        Value::Object(notes) if notes.get("format") == Some(&json!(1)) => {
            Value::Object(from_1(notes))
        }
        other => other,
    }
}

fn from_1(mut notes: Map<String, Value>) -> Map<String, Value> {
    let general = ["format", "env", "recipe", "progress"];
    let made_of: Map<String, Value> = notes
        .iter()
        .filter(|(key, _)| !general.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    notes.retain(|key, _| general.contains(&key.as_str()));
    let algorithm = Chosen::all().find(|algorithm| {
        let card = algorithm.card();
        let former = card.former_tables.iter().map(|(before, _)| *before);
        former
            .chain([card.name])
            .any(|name| made_of.contains_key(name))
    });
    if let Some(algorithm) = algorithm {
        notes.insert("algorithm".to_owned(), json!(algorithm));
    }
    notes.insert("format".to_owned(), json!(2));
    notes.insert("made_of".to_owned(), Value::Object(made_of));
    notes.insert("learner".to_owned(), Value::Null);
    if let Some(Value::Object(progress)) = notes.get_mut("progress")
        && let Some(Value::Array(losses)) = progress.remove("unlogged_losses")
    {
        let sum: f64 = losses.iter().filter_map(Value::as_f64).sum();
        let loss = json!({ "name": "loss", "averaged": true, "sum": sum, "count": losses.len() });
        let curves = if losses.is_empty() {
            json!([])
        } else {
            json!([loss])
        };
        progress.insert("curves".to_owned(), curves);
    }
    notes
}
