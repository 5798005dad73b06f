//! Steps an environment by commands on standard input and prints its exact results: the other half
//! of `golden/live_check.py`.
//!
//! ```text
//! cargo run -p rtg-envs --example trajectory -- CartPole-v1                   one environment
//! cargo run -p rtg-envs --example trajectory -- CartPole-v1 3 same-step   three rows
//! cargo run -p rtg-envs --example trajectory -- CartPole-v1 options       no environment
//! ```
//!
//! Options may follow an id, as in `Pendulum-v1?g=2`. The last call prints the options of the
//! environment with their default values.
//!
//! The modes are `next-step`, `same-step` and `disabled`. A line is `reset`, `reset SEED`, the
//! numbers of an action (of all rows' actions) or, for one environment, `state` and its numbers.
//! The program prints one line of JSON for each.

use rtg_envs::{Autoreset, Env, VecEnv, make, make_vec, registry};
use serde_json::{Value, json};
use std::{
    error::Error,
    io::{BufRead, Write, stdin, stdout},
};

/// The result of a command, or why it failed.
type Answer = Result<Value, Box<dyn Error>>;

enum Command {
    Reset(Option<u64>),
    Step(Vec<f64>),
    State(Vec<f64>),
}

fn parse(line: &str) -> Result<Command, Box<dyn Error>> {
    let mut words = line.split_whitespace().peekable();
    if words.next_if_eq(&"reset").is_some() {
        return Ok(Command::Reset(words.next().map(str::parse).transpose()?));
    }
    let make = match words.next_if_eq(&"state") {
        Some(_) => Command::State,
        None => Command::Step,
    };
    Ok(make(words.map(str::parse).collect::<Result<_, _>>()?))
}

fn answer_one(env: &mut dyn Env, command: &Command) -> Answer {
    let mut observation = vec![0.0; env.spec().observation_space.width()];
    let mut answer = json!({});
    match command {
        Command::Reset(seed) => env.reset(*seed, &mut observation),
        Command::Step(action) => {
            let step = env.step(action, &mut observation);
            answer = json!({
                "reward": step.reward, "terminated": step.terminated, "truncated": step.truncated
            });
        }
        Command::State(state) => {
            env.set_state(state)?;
            env.observe(&mut observation);
        }
    }
    answer["observation"] = json!(observation);
    answer["state"] = json!(env.state());
    answer["instabilities"] = json!(env.instabilities());
    Ok(answer)
}

fn answer_rows(envs: &mut VecEnv, command: &Command) -> Answer {
    match command {
        Command::Reset(seed) => envs.reset(*seed),
        Command::Step(actions) => envs.step(actions),
        Command::State(_) => return Err("the state of rows cannot be set".into()),
    }
    Ok(json!({
        "observations": envs.observations(),
        "rewards": envs.rewards(),
        "terminated": envs.terminated(),
        "truncated": envs.truncated(),
        "final_observations": envs.final_observations(),
    }))
}

#[expect(clippy::print_stdout, reason = "the output of an example program")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut answer: Box<dyn FnMut(&Command) -> Answer> =
        match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [id, "options"] => {
                for (name, value) in registry::options(id) {
                    println!("{name}={value}");
                }
                return Ok(());
            }
            [id] => {
                let mut env = make(id)?;
                Box::new(move |command| answer_one(&mut *env, command))
            }
            [id, rows, autoreset] => {
                let autoreset = match autoreset {
                    "next-step" => Autoreset::NextStep,
                    "same-step" => Autoreset::SameStep,
                    "disabled" => Autoreset::Disabled,
                    _ => {
                        return Err(format!(
                            "autoreset must be next-step, same-step or disabled, not {autoreset}"
                        )
                        .into());
                    }
                };
                let mut envs = make_vec(id, rows.parse()?, autoreset)?;
                Box::new(move |command| answer_rows(&mut envs, command))
            }
            _ => return Err("usage: trajectory ID [options | ROWS AUTORESET] < COMMANDS".into()),
        };
    let mut out = stdout().lock();
    for line in stdin().lock().lines() {
        writeln!(out, "{}", answer(&parse(&line?)?)?)?;
    }
    Ok(())
}
