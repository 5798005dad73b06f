//! `rtg export`: writes a run's policy in other programs' formats.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde_json::json;

use super::{print, print_json};
use crate::error::Error;
use crate::export::{self, act, hugging_face, onnx};
use crate::run::write_whole;
use crate::trained::{Which, checkpoint};

/// Export a trained policy to ONNX, to the crate rtg-act or to Hugging Face's transformers.
#[derive(Args)]
#[command(
    after_help = "The ONNX graph (opset 20) contains the whole greedy policy, from the environment's observations to its \
    actions. Inputs and outputs have the names of transformers' exporter. For discrete actions, \
    action_preds are logits (values of a Q-network) and greedy_actions the choice.\n\n\
    The Hugging Face folder contains the network of a Decision Transformer; the normaliser and \
    scales are in its config.json under rtg. A run can start from it: rtg train --recipe official \
    --set initial_weights=FOLDER\n\n\
    The crate rtg-act loads its file and acts without rtg, also on a machine without an operating \
    system: the file contains the whole greedy policy.\n\n\
    Example: rtg export runs/NAME --onnx policy.onnx"
)]
#[command(group(ArgGroup::new("format").required(true).multiple(true).args(["onnx", "act", "hugging_face"])))]
pub(super) struct Export {
    /// Run directory of `rtg train`.
    run: PathBuf,
    /// Write the policy as an ONNX graph.
    #[arg(long, value_name = "FILE")]
    onnx: Option<PathBuf>,
    /// Write the policy as a file of the crate rtg-act.
    #[arg(long, value_name = "FILE")]
    act: Option<PathBuf>,
    /// Write config.json and model.safetensors into a new folder.
    #[arg(long, value_name = "FOLDER")]
    hugging_face: Option<PathBuf>,
    /// Which checkpoint: the latest, or the one with the best return for the run's first target.
    #[arg(long, value_enum, default_value_t = Which::Latest)]
    checkpoint: Which,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Export {
    pub(super) fn run(self) -> Result<(), Error> {
        let (plan, checkpoint) = checkpoint(&self.run, self.checkpoint)?;
        let algorithm = checkpoint.notes.algorithm.card().name;
        let computation = checkpoint.model()?.computation().ok_or_else(|| {
            Error::from(export::Error::Unsupported {
                what: "exported yet",
                reason: format!("this {algorithm} has no description of its computation"),
            })
        })?;
        let step = checkpoint.notes.progress.step;
        let targets = plan.evaluation.targets.unwrap_or_default();
        let targets = targets.numbers();
        let target_texts: Vec<String> = targets.iter().map(f64::to_string).collect();
        let notes = [
            ("algorithm", algorithm.to_owned()),
            ("recipe", checkpoint.notes.recipe),
            ("environment", checkpoint.notes.env),
            ("step", step.to_string()),
            ("target_returns", target_texts.join(",")),
        ];
        let mut text = String::new();
        let mut answer = json!({ "algorithm": algorithm, "step": step });
        if let Some(path) = &self.onnx {
            let onnx::OnnxFile {
                bytes,
                inputs,
                outputs,
            } = onnx::model(&computation, &notes)?;
            write_whole(path, |file| file.write_all(&bytes))?;
            let (inputs_text, outputs_text) = (inputs.join(", "), outputs.join(", "));
            let _ = writeln!(text, "{}: {algorithm} after {step} steps", path.display());
            let _ = writeln!(text, "  inputs: {inputs_text}\n  outputs: {outputs_text}");
            answer["onnx"] = json!({ "path": path, "inputs": inputs, "outputs": outputs });
        }
        if let Some(path) = &self.act {
            // The targets are a tensor there.
            let bytes = act::policy(&computation, &notes[..notes.len() - 1], &targets)?;
            write_whole(path, |file| file.write_all(&bytes))?;
            let _ = writeln!(text, "{}: {algorithm} after {step} steps", path.display());
            answer["act"] = json!({ "path": path, "bytes": bytes.len() });
        }
        if let Some(folder) = &self.hugging_face {
            hugging_face::write(folder, &computation, &notes)?;
            let _ = writeln!(text, "{}: {algorithm} after {step} steps", folder.display());
            answer["hugging_face"] = json!({ "path": folder });
        }
        if self.json {
            return print_json(&answer);
        }
        print(&text)
    }
}
