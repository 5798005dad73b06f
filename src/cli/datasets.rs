//! `rtg datasets`: public datasets, listed and downloaded.

use std::fmt::Write;

use clap::{Args, Subcommand};
use rtg_datasets::remote::Remote;
use serde_json::json;

use super::progress::bar;
use super::{print, print_json};
use crate::error::Error;

/// List and download datasets of the Farama Foundation (Minari) and of D4RL.
#[derive(Args)]
#[command(
    after_help = "After an interrupted download, the same command resumes it.\n\n\
    Example: rtg datasets download mujoco/hopper/medium-v0"
)]
pub(super) struct Datasets {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// List ids and sizes.
    List {
        /// Only ids that contain this text.
        filter: Option<String>,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Download a dataset.
    Download {
        /// A Minari id, or D4RL's name.
        id: String,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Datasets {
    pub(super) fn run(self) -> Result<(), Error> {
        let remote = Remote::default();
        match self.what {
            What::List { filter, json } => {
                let mut listed = remote.list_d4rl();
                listed.extend(remote.list_farama()?);
                let wanted = filter.unwrap_or_default();
                listed.retain(|dataset| dataset.id.contains(&wanted));
                if json {
                    return print_json(&listed);
                }
                let mut text = String::new();
                for dataset in listed {
                    let size = dataset.bytes.map_or_else(
                        || "-".to_owned(),
                        |bytes| format!("{:.1} MB", bytes as f64 / 1e6),
                    );
                    let _ = writeln!(text, "{:<56} {size:>12}", dataset.id);
                }
                print(&text)
            }
            What::Download { id, json } => {
                let bar = bar(0, "bytes");
                let path = remote.download(&id, &mut |_, done, total| {
                    bar.set_length(total.unwrap_or(done));
                    bar.set_position(done);
                })?;
                bar.finish_and_clear();
                if json {
                    return print_json(&json!({ "id": id, "path": path }));
                }
                print(&format!("{}\n", path.display()))
            }
        }
    }
}
