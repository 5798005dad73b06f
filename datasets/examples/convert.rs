//! Converts a dataset, for comparison with other readers (`fixtures/property_check.py`).
//!
//! ```text
//! cargo run -p rtg-datasets --example convert -- ID_OR_PATH (hdf5|arrow|parquet) ROOT ID
//! cargo run -p rtg-datasets --example convert -- ID_OR_PATH d4rl PATH
//! ```
//!
//! Prints the summary as JSON.

use std::error::Error;
use std::path::PathBuf;

use rtg_datasets::{MinariFormat, Target, convert};
use serde_json::json;

#[expect(clippy::print_stdout, reason = "the program's output")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (source, target) = match &arguments[..] {
        [source, format, path] if format == "d4rl" => (source, Target::D4rl { path: path.into() }),
        [source, format, root, id] => {
            let known = MinariFormat::ALL
                .into_iter()
                .find(|known| known.name() == format);
            let target = Target::Minari {
                root: PathBuf::from(root),
                id: id.clone(),
                format: known.ok_or("the format must be hdf5, arrow, parquet or d4rl")?,
            };
            (source, target)
        }
        _ => {
            return Err(
                "usage: convert ID_OR_PATH (hdf5|arrow|parquet ROOT ID | d4rl PATH)".into(),
            );
        }
    };
    let summary = convert(source, None, &target, &mut |_, _| {})?;
    let summary = json!({
        "episodes": summary.episodes,
        "steps": summary.steps,
        "findings": summary.findings,
        "left_out": summary.left_out,
    });
    println!("{summary}");
    Ok(())
}
