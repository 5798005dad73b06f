//! `rtg devices`: processors and GPUs.

use std::fmt::Write;

use clap::Args;
use serde_json::json;

use super::{print, print_json};
use crate::error::Error;
use crate::experiment::default_threads;
use rtg_kernels::{Level, Precision, device};

/// List the processors and GPUs that rtg can use.
#[derive(Args)]
#[command(after_help = "Example: rtg devices --json")]
pub(super) struct Devices {
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Devices {
    pub(super) fn run(self) -> Result<(), Error> {
        let (level, threads) = (Level::detect().name(), default_threads());
        let bfloat16 = Precision::Bf16.is_available();
        // A machine without a GPU is not an error here.
        let gpus = device::devices();
        if self.json {
            let (gpus, reason) = match &gpus {
                Ok(gpus) => (gpus.as_slice(), None),
                Err(error) => (&[][..], Some(error.to_string())),
            };
            let cuda: Vec<_> = (gpus.iter())
                .map(|gpu| {
                    json!({
                        "device": format!("cuda:{}", gpu.ordinal),
                        "name": gpu.name,
                        "compute_capability": format!("{}.{}", gpu.compute_capability.0, gpu.compute_capability.1),
                        "memory_bytes": gpu.memory,
                        "driver": gpu.driver,
                    })
                })
                .collect();
            return print_json(&json!({
                "cpu": { "instructions": level, "threads": threads, "bfloat16": bfloat16 },
                "cuda": cuda,
                "cuda_missing": reason,
            }));
        }
        let mut text = format!(
            "{:<8} {threads} threads, {level}{}\n",
            "cpu",
            if bfloat16 { ", bfloat16 products" } else { "" }
        );
        match gpus {
            Ok(gpus) => {
                for gpu in gpus {
                    let _ = writeln!(
                        text,
                        "{:<8} {}, {:.0} GiB, compute capability {}.{}, driver for CUDA {}",
                        format!("cuda:{}", gpu.ordinal),
                        gpu.name,
                        gpu.memory as f64 / f64::from(1 << 30),
                        gpu.compute_capability.0,
                        gpu.compute_capability.1,
                        gpu.driver
                    );
                }
            }
            Err(error) => {
                let _ = writeln!(text, "{:<8} none: {error}", "cuda");
            }
        }
        print(&text)
    }
}
