//! Prints the whole content of a dataset, type by type, for comparison with other readers
//! (`fixtures/property_check.py`).
//!
//! ```text
//! cargo run -p rtg-datasets --example record -- ID_OR_PATH
//! ```
//!
//! The first line is JSON with the metadata, every further line is an episode. Arrays are
//! `{"array": [dtype, shape, bytes in hexadecimal digits]}`, texts `{"text": [...]}`, JPEG files
//! `{"images": [...]}`, parts `{"dict": [[name, part], ...]}` and `{"tuple": [...]}`.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{BufWriter, Write};

use rtg_datasets::recording::{Array, Attribute, Node};
use rtg_datasets::{Contents, open_source};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let name = std::env::args().nth(1).ok_or("usage: record ID_OR_PATH")?;
    let mut source = open_source(&name, None, Contents::Everything)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let recording = source.recording();
    let header = json!({
        "id": recording.id,
        "observation_space": recording.observation_space.text(),
        "action_space": recording.action_space.text(),
        "total_episodes": recording.total_episodes,
        "total_steps": recording.total_steps,
        "entries": recording.entries,
    });
    writeln!(out, "{header}")?;
    while let Some(episode) = source.next_episode()? {
        let attributes: Vec<Value> = episode
            .attributes
            .iter()
            .map(|(name, value)| {
                let value = match value {
                    Attribute::Array(array) => json!({"array": numbers(array)}),
                    Attribute::Text(text) => json!({"text": text}),
                    Attribute::Json(value) => json!({"json": value}),
                };
                json!([name, value])
            })
            .collect();
        let line = json!({
            "observations": tree(&episode.observations),
            "actions": tree(&episode.actions),
            "rewards": numbers(&episode.rewards),
            "terminations": episode.terminations,
            "truncations": episode.truncations,
            "infos": episode.infos.as_ref().map(tree),
            "seed": episode.seed,
            "attributes": attributes,
        });
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}

fn tree(node: &Node) -> Value {
    match node {
        Node::Array(array) => json!({"array": numbers(array)}),
        Node::Text(texts) => json!({"text": texts}),
        Node::Images(images) => {
            let images: Vec<String> = images.iter().map(|image| hexadecimal(image)).collect();
            json!({"images": images})
        }
        Node::Dict(parts) => {
            let parts: Vec<Value> = parts
                .iter()
                .map(|(name, part)| json!([name, tree(part)]))
                .collect();
            json!({"dict": parts})
        }
        Node::Tuple(parts) => {
            let parts: Vec<Value> = parts.iter().map(tree).collect();
            json!({"tuple": parts})
        }
    }
}

fn numbers(array: &Array) -> Value {
    json!([array.dtype(), array.shape(), hexadecimal(array.bytes())])
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
