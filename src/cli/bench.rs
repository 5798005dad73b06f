//! `rtg bench`: benchmarks of single parts.

use std::fmt::Write;
use std::io;
use std::num::NonZeroUsize;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::{print, print_json};
use crate::algorithms::AlgorithmRef;
use crate::algorithms::decision_transformer::checks::{
    check_acting, check_heads, check_precision, check_switches,
};
use crate::algorithms::decision_transformer::config::{ConditionName, EngineKind, ModelConfig};
use crate::bench::{self, DeviceStep, DeviceStepPlan, Milliseconds, Sizes};
use crate::device::Device;
use crate::error::Error;
use crate::experiment::{Experiment, default_threads};
use crate::keys::{Range, Table, Value};
use crate::policy::{Acting, ActingMode};
use rtg_kernels::decision_transformer::MixerKind;
use rtg_kernels::{Precision, device};

/// Benchmark one part of rtg on this machine.
#[derive(Args)]
#[command(after_help = "Example: rtg bench train-step --width 512 --layers 4 --heads 4 --json")]
pub(super) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// One training step: forward pass, backward pass, clipping, AdamW.
    #[command(after_help = "Example: rtg bench train-step --width 512 --layers 4 --heads 4")]
    TrainStep {
        #[command(flatten)]
        sizes: SizeArgs,
        /// rtg's kernels, or dfdx's operations.
        #[arg(long, value_enum, default_value_t = Engine::Fused)]
        engine: Engine,
        /// Number format of the factors in large products.
        #[arg(long, value_enum, default_value_t = Factors::F32)]
        precision: Factors,
        #[command(flatten)]
        run: RunArgs,
        #[command(flatten)]
        pace: PaceArgs,
    },
    /// The same step on a GPU, with the time of each kernel.
    #[command(after_help = "Example: rtg bench device-step --precision bf16 --json")]
    DeviceStep {
        #[command(flatten)]
        sizes: SizeArgs,
        /// Index of the GPU.
        #[arg(long, default_value_t = 0)]
        ordinal: usize,
        /// Number format of the factors in large products.
        #[arg(long, value_enum, default_value_t = DeviceFactors::F32)]
        precision: DeviceFactors,
        /// Most queues of up to 64 steps that are timed.
        #[arg(long, default_value = "20")]
        repeats: NonZeroUsize,
        /// Seconds after which no further queue is timed.
        #[arg(long, default_value_t = 10.0, value_parser = seconds)]
        seconds: f64,
        /// Compute the first steps on the CPU, too, in f32.
        #[arg(long)]
        reference: bool,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
    /// One action with a full context.
    #[command(after_help = "Example: rtg bench act --rows 100 --threads 1")]
    Act {
        #[command(flatten)]
        sizes: SizeArgs,
        /// Episodes that act in lock-step.
        #[arg(long, default_value = "1")]
        rows: NonZeroUsize,
        /// How the model acts past the first K steps.
        #[arg(long, value_enum, default_value_t = ActingMode::Exact)]
        acting: ActingMode,
        /// Where it acts: cpu, cuda, cuda:N, or auto (a GPU if one is usable).
        #[arg(long, default_value_t = Device::Cpu)]
        device: Device,
        #[command(flatten)]
        run: RunArgs,
        #[command(flatten)]
        pace: PaceArgs,
    },
    /// One update of an algorithm on synthetic data with Hopper's sizes.
    #[command(after_help = "Example: rtg bench update td3_bc --set td3_bc.width=512")]
    Update {
        /// The algorithm's name; `rtg algorithms` lists them.
        algorithm: String,
        /// Published code whose conventions and defaults are used [default: the algorithm's first].
        #[arg(long)]
        recipe: Option<String>,
        /// Any key of the algorithm, e.g. `td3_bc.width=512`. May be repeated.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
        #[command(flatten)]
        run: RunArgs,
    },
    /// Environment steps with random actions, including resets.
    #[command(after_help = "Example: rtg bench env CartPole-v1 --rows 64")]
    Env {
        /// Environment id.
        id: String,
        /// Copies of the environment, distributed over the threads.
        #[arg(long, default_value = "64")]
        rows: NonZeroUsize,
        #[command(flatten)]
        run: RunArgs,
    },
    /// Opening a dataset and drawing batches of 64 x 20 from it.
    #[command(after_help = "Example: rtg bench load builtin/cartpole/mixed --json")]
    Load {
        /// Minari id, path of a Minari or D4RL file, or builtin/<env>/<kind>.
        dataset: String,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct SizeArgs {
    /// Windows in a batch.
    #[arg(long, default_value = "64")]
    batch: NonZeroUsize,
    /// Steps in a window.
    #[arg(long, default_value = "20")]
    context: NonZeroUsize,
    /// Channels of a token.
    #[arg(long, default_value = "128")]
    width: NonZeroUsize,
    /// Transformer blocks.
    #[arg(long, default_value = "3")]
    layers: NonZeroUsize,
    /// Attention heads; must divide the width.
    #[arg(long, default_value = "1")]
    heads: NonZeroUsize,
    /// Dropout probability.
    #[arg(long, default_value_t = 0.1)]
    dropout: f32,
    /// Numbers in an observation.
    #[arg(long, default_value = "11")]
    observation: NonZeroUsize,
    /// Numbers in an action.
    #[arg(long, default_value = "3")]
    action: NonZeroUsize,
    /// Where the return-to-go enters.
    #[arg(long, value_enum, default_value_t = ConditionArg::Token)]
    condition: ConditionArg,
    /// How tokens are mixed.
    #[arg(long, value_enum, default_value_t = MixerArg::Attention)]
    mixer: MixerArg,
}

#[derive(Clone, Copy, ValueEnum)]
enum ConditionArg {
    Token,
    Adaln,
    Predicted,
}

#[derive(Clone, Copy, ValueEnum)]
enum MixerArg {
    Attention,
    Convolution,
    Scan,
    Linear,
    Lstm,
}

#[derive(Args)]
struct RunArgs {
    /// Threads [default: all cores].
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct PaceArgs {
    /// Run once for each line of standard input and print the milliseconds.
    #[arg(long, conflicts_with = "json")]
    on_request: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Engine {
    Fused,
    Composed,
}

#[derive(Clone, Copy, ValueEnum)]
enum Factors {
    F32,
    Bf16,
}

#[derive(Clone, Copy, ValueEnum)]
enum DeviceFactors {
    F32,
    Tf32,
    Bf16,
}

impl Bench {
    pub(super) fn run(self) -> Result<(), Error> {
        match self.what {
            What::TrainStep {
                sizes,
                engine,
                precision,
                run,
                pace,
            } => {
                let precision = match precision {
                    Factors::F32 => Precision::F32,
                    Factors::Bf16 => Precision::Bf16,
                };
                check_precision(precision)?;
                let engine = match engine {
                    Engine::Fused => EngineKind::Fused,
                    Engine::Composed => EngineKind::Composed,
                };
                let (sizes, threads) = (sizes.checked(engine, false)?, run.threads());
                if pace.on_request {
                    return answered(bench::train_step_on_request(
                        sizes, threads, engine, precision,
                    ));
                }
                let answer = bench::train_step(sizes, threads, engine, precision);
                let line = format!(
                    "{} per step with {}: {:.1} GFLOP at {:.0} GFLOP/s, {:.0} % of the {:.0} that large matrix products reach\n",
                    times(&answer.step),
                    answer.instructions,
                    answer.gigaflops_per_step,
                    answer.gigaflops,
                    100.0 * answer.peak_share,
                    answer.peak_gigaflops
                );
                say(run.json, &answer, &line)
            }
            What::DeviceStep {
                sizes,
                ordinal,
                precision,
                repeats,
                seconds,
                reference,
                json,
            } => {
                let precision = match precision {
                    DeviceFactors::F32 => Precision::F32,
                    DeviceFactors::Tf32 => Precision::Tf32,
                    DeviceFactors::Bf16 => Precision::Bf16,
                };
                let sizes = sizes.checked(EngineKind::Fused, true)?;
                let plan = DeviceStepPlan {
                    ordinal,
                    precision,
                    repeats: repeats.get(),
                    seconds,
                    reference_threads: reference.then(default_threads),
                };
                let answer = bench::device_step(sizes, plan)?;
                say(json, &answer, &device_step_text(&answer))
            }
            What::Act {
                sizes,
                rows,
                acting: mode,
                device,
                run,
                pace,
            } => {
                let sizes = sizes.checked(EngineKind::Fused, false)?;
                let device = match device {
                    Device::Auto if device::check(0).is_ok() => Device::Cuda(0),
                    Device::Auto => Device::Cpu,
                    device => device,
                };
                let acting = Acting { mode, device };
                act(sizes, (acting, rows.get()), &run, &pace)
            }
            What::Update {
                algorithm,
                recipe,
                set,
                run,
            } => update(&algorithm, recipe, &set, &run),
            What::Env { id, rows, run } => {
                let answer = bench::env(&id, rows.get(), run.threads())?;
                say(
                    run.json,
                    &answer,
                    &format!("{:.0} steps per second\n", answer.per_second),
                )
            }
            What::Load { dataset, json } => {
                let answer = bench::load(&dataset)?;
                let line = format!(
                    "opened in {:.1} ms; {:.4} ms per batch, {:.0} batches per second\n",
                    answer.open_ms, answer.median_ms, answer.per_second
                );
                say(json, &answer, &line)
            }
        }
    }
}

/// What `bench device-step` prints.
fn device_step_text(answer: &DeviceStep) -> String {
    let mut text = format!(
        "{:.3} ms per step on {} (deciles {:.3} and {:.3}, all kernels {:.3}): \
         {:.1} GFLOP at {:.1} TFLOP/s\n",
        answer.median_ms,
        answer.device,
        answer.deciles_ms[0],
        answer.deciles_ms[1],
        answer.kernels_ms,
        answer.gigaflops_per_step,
        answer.teraflops
    );
    for (number, step) in answer.first_steps.iter().enumerate() {
        let of = answer.reference.as_ref().map(|steps| steps[number]);
        let of = of.map_or_else(String::new, |of| {
            format!(", on the CPU {:.6} and {:.6}", of.loss, of.norm)
        });
        let _ = writeln!(
            text,
            "step {}: loss {:.6}, gradient norm {:.6}{of}",
            number + 1,
            step.loss,
            step.norm
        );
    }
    for kernel in &answer.kernels {
        let _ = writeln!(
            text,
            "{:>22} {:>3} x {:>9.4} ms {:>8.1} GB/s {:>8.2} TFLOP/s",
            kernel.name, kernel.launches, kernel.ms, kernel.gigabytes_per_second, kernel.teraflops
        );
    }
    text
}

fn act(sizes: Sizes, rows: (Acting, usize), run: &RunArgs, pace: &PaceArgs) -> Result<(), Error> {
    check_acting(&bench::config(&sizes), rows.0)?;
    let (device, on_gpu) = (rows.0.device.to_string(), rows.0.device != Device::Cpu);
    let threads = run.threads();
    if pace.on_request {
        return answered(bench::act_on_request(sizes, rows, threads)?);
    }
    let answer = bench::act(sizes, rows, threads)?;
    let line = format!(
        "{} per action, {:.0} actions per second with {}\n",
        times(&answer.decision),
        answer.per_second,
        if on_gpu { &device } else { answer.instructions }
    );
    say(run.json, &answer, &line)
}

/// The result of requests on standard input.
fn answered(ended: io::Result<()>) -> Result<(), Error> {
    ended.map_err(|source| Error::Read {
        path: "standard input".into(),
        source,
    })
}

fn update(
    algorithm: &str,
    recipe: Option<String>,
    settings: &[String],
    run: &RunArgs,
) -> Result<(), Error> {
    let recipe = recipe.map(|recipe| Table::from_iter([("recipe".to_owned(), recipe.into())]));
    let mut layers: Vec<Table> = recipe.into_iter().collect();
    for setting in settings {
        layers.push(Experiment::parse_setting(setting)?);
    }
    let answer = bench::update(AlgorithmRef::named(algorithm)?, &layers, run.threads())?;
    let mut line = format!("{} per update", times(&answer.times));
    if let (Some(work), Some(share)) = (answer.gigaflops_each, answer.peak_share) {
        let _ = write!(
            line,
            ": {work:.3} GFLOP at {:.0} % of the {:.0} GFLOP/s that large matrix products reach",
            100.0 * share,
            answer.peak_gigaflops
        );
    }
    say(run.json, &answer, &format!("{line}\n"))
}

/// Median, minimum and quartiles.
fn times(times: &Milliseconds) -> String {
    let Milliseconds {
        median_ms,
        least_ms,
        quartiles_ms: [first, third],
    } = times;
    format!("{median_ms:.3} ms (least {least_ms:.3}, quartiles {first:.3} and {third:.3})")
}

impl SizeArgs {
    /// The sizes, if this engine or the GPU supports such a model.
    fn checked(&self, engine: EngineKind, on_gpu: bool) -> Result<Sizes, Error> {
        let sizes = Sizes {
            batch: self.batch.get(),
            context: self.context.get(),
            width: self.width.get(),
            layers: self.layers.get(),
            heads: self.heads.get(),
            dropout: self.dropout,
            observation: self.observation.get(),
            action: self.action.get(),
            condition: match self.condition {
                ConditionArg::Token => ConditionName::Token,
                ConditionArg::Adaln => ConditionName::Adaln,
                ConditionArg::Predicted => ConditionName::Predicted,
            },
            mixer: match self.mixer {
                MixerArg::Attention => MixerKind::Attention,
                MixerArg::Convolution => MixerKind::Convolution,
                MixerArg::Scan => MixerKind::Scan,
                MixerArg::Linear => MixerKind::Linear,
                MixerArg::Lstm => MixerKind::Lstm,
            },
        };
        check_heads(sizes.width, sizes.heads)?;
        let config = ModelConfig {
            engine,
            ..bench::config(&sizes)
        };
        check_switches(&config, on_gpu)?;
        Range::BELOW_ONE.check("dropout", &Value::Float(sizes.dropout.into()))?;
        Ok(sizes)
    }
}

impl RunArgs {
    fn threads(&self) -> usize {
        self.threads.map_or_else(default_threads, usize::from)
    }
}

/// A positive number of seconds.
fn seconds(text: &str) -> Result<f64, String> {
    let found = text.parse().ok().filter(|secs: &f64| *secs > 0.0);
    found.ok_or_else(|| "expected a number of seconds above 0".to_owned())
}

fn say(json: bool, answer: &impl Serialize, line: &str) -> Result<(), Error> {
    if json {
        print_json(answer)
    } else {
        print(line)
    }
}
