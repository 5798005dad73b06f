//! Compares runs: tables and learning curves from run directories, and nothing else.
//!
//! [`read`] takes what a run left behind, finished or not; [`table`], [`curves_svg`] and
//! [`html`] show it. Runs whose experiments differ in the seed alone belong to one [`Group`].

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use crate::metrics::{
    EVAL_LENGTH_MEAN, EVAL_RETURN_MEAN, EVAL_RETURN_STD, EVAL_SCORE, TRAIN_LOSS, for_target,
    json_lines, target_of,
};
use crate::run::{Error, Evaluation, Run};

mod chart;
mod curves;
mod html;
mod inspection;
mod table;

pub use curves::curves_svg;
pub use html::html;
pub use inspection::inspection_svg;
pub use table::table;

/// Keys of an experiment that do not change what is learnt, only how often or where.
const NOT_THE_EXPERIMENT: [&str; 4] = ["seed", "threads", "run_dir", "device"];

/// What a report knows of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunReport {
    /// Name of the run directory.
    pub name: String,
    /// Environment id.
    pub env: String,
    /// Dataset id or path.
    pub dataset: String,
    /// Name of the recipe, behind that of an algorithm other than the Decision Transformer.
    pub recipe: String,
    /// Seed of the run.
    pub seed: i64,
    /// Steps that the experiment asks for.
    pub planned_steps: u64,
    /// Steps done.
    pub steps: u64,
    /// Milliseconds of one step; none while the run has not ended.
    pub ms_per_step: Option<f64>,
    /// Every evaluation, in the order of the steps.
    pub evaluations: Vec<Evaluation>,
    /// Step and training loss, in the order of the steps.
    pub losses: Vec<(u64, f64)>,
    /// The experiment without its seed: equal for runs that repeat each other.
    plan: toml::Table,
}

impl RunReport {
    /// The targets that were evaluated, in the order of their first evaluation.
    pub fn targets(&self) -> Vec<Option<f64>> {
        let mut targets = Vec::new();
        for evaluation in &self.evaluations {
            if !targets.contains(&evaluation.target) {
                targets.push(evaluation.target);
            }
        }
        targets
    }

    /// The evaluations of one target, in the order of the steps.
    pub fn of_target(&self, target: Option<f64>) -> impl Iterator<Item = &Evaluation> {
        self.evaluations
            .iter()
            .filter(move |evaluation| evaluation.target == target)
    }
}

/// Runs of one experiment under different seeds.
#[derive(Debug)]
pub struct Group<'a> {
    /// At least one run.
    pub runs: Vec<&'a RunReport>,
}

impl Group<'_> {
    fn first(&self) -> &RunReport {
        self.runs[0]
    }

    fn targets(&self) -> Vec<Option<f64>> {
        let mut targets = Vec::new();
        for target in self.runs.iter().flat_map(|run| run.targets()) {
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        targets
    }
}

/// Sorts runs into groups, in the order in which they were given.
pub fn groups(runs: &[RunReport]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for run in runs {
        match groups
            .iter_mut()
            .find(|group| group.first().plan == run.plan)
        {
            Some(group) => group.runs.push(run),
            None => groups.push(Group { runs: vec![run] }),
        }
    }
    groups
}

/// Reads run directories, in the order given.
pub fn read<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<RunReport>, Error> {
    paths.iter().map(|path| read_run(path.as_ref())).collect()
}

fn read_run(path: &Path) -> Result<RunReport, Error> {
    let run = Run::open(path)?;
    let damaged = |message: String| Error::Damaged {
        message,
        path: path.join("experiment.toml"),
    };
    let mut plan: toml::Table = run
        .experiment()?
        .parse()
        .map_err(|error: toml::de::Error| damaged(error.message().to_owned()))?;
    let text = |key| {
        let value = plan.get(key).and_then(toml::Value::as_str);
        value
            .map(str::to_owned)
            .ok_or_else(|| damaged(format!("it has no text `{key}`")))
    };
    let integer = |key| {
        let value = plan.get(key).and_then(toml::Value::as_integer);
        value.ok_or_else(|| damaged(format!("it has no integer `{key}`")))
    };
    let (env, dataset, recipe) = (text("env")?, text("dataset")?, text("recipe")?);
    let recipe = match text("algorithm").as_deref() {
        Ok("decision_transformer") | Err(_) => recipe,
        Ok(other) => format!("{other} {recipe}"),
    };
    let (seed, planned_steps) = (integer("seed")?, integer("steps")?.max(0).cast_unsigned());
    for key in NOT_THE_EXPERIMENT {
        plan.remove(key);
    }
    let measured = read_metrics(&run)?;
    let summary = run.summary()?;
    Ok(RunReport {
        name: run.name(),
        env,
        dataset,
        recipe,
        seed,
        planned_steps,
        steps: summary.as_ref().map_or(measured.steps, |s| s.steps),
        ms_per_step: summary.as_ref().map(|s| s.ms_per_step),
        evaluations: summary.map_or(measured.evaluations, |s| s.evaluations),
        losses: measured.losses,
        plan,
    })
}

#[derive(Default)]
struct Measured {
    steps: u64,
    evaluations: Vec<Evaluation>,
    losses: Vec<(u64, f64)>,
}

/// A run without metrics is one that has just begun.
fn read_metrics(run: &Run) -> Result<Measured, Error> {
    let path = run.metrics();
    let mut measured = Measured::default();
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(measured),
        Err(source) => return Err(Error::Read { path, source }),
    };
    let mut input = BufReader::new(file);
    let mut number = 1;
    loop {
        let line = json_lines::read_line(&mut input).map_err(|error| Error::Damaged {
            message: format!("line {number}: {error}"),
            path: path.clone(),
        })?;
        let Some(line) = line else {
            return Ok(measured);
        };
        number += 1;
        measured.steps = measured.steps.max(line.step);
        for (name, value) in &line.scalars {
            if name == TRAIN_LOSS {
                measured.losses.push((line.step, *value));
            } else if let Some(target) = target_of(name, EVAL_RETURN_MEAN) {
                measured.evaluations.push(evaluation(&line, target));
            }
        }
    }
}

fn evaluation(line: &json_lines::Line, target: Option<f64>) -> Evaluation {
    let value = |metric| {
        let name = for_target(metric, target);
        line.scalars
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| *v)
    };
    Evaluation {
        step: line.step,
        target,
        return_mean: value(EVAL_RETURN_MEAN).unwrap_or(f64::NAN),
        return_std: value(EVAL_RETURN_STD).unwrap_or(f64::NAN),
        length_mean: value(EVAL_LENGTH_MEAN).unwrap_or(f64::NAN),
        score: value(EVAL_SCORE),
        returns: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Recorder;
    use crate::run::Summary;

    /// Three runs on disk: seeds 1 and 2 of one experiment, ended; another one in progress.
    pub(super) fn runs() -> Vec<RunReport> {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a|1", "a2", "b"].map(|name| folder.path().join(name));
        for (i, path) in paths.iter().enumerate() {
            let recipe = if i == 2 { "official" } else { "corl" };
            let experiment = format!(
                "dataset = \"builtin/cartpole/mixed\"\nenv = \"CartPole-v1\"\n\
                 recipe = \"{recipe}\"\nseed = {i}\nsteps = 40\n[optimiser]\nbatch = 64\n"
            );
            let run = Run::create(path, &experiment).unwrap();
            let mut recorder = Recorder::new(run.open_metrics(None).unwrap());
            let mut evaluations = Vec::new();
            for step in [10, 20, 30] {
                let loss = if step == 20 { f64::NAN } else { 0.5 };
                recorder.scalars(step, &[(TRAIN_LOSS, loss)]).unwrap();
                let evaluation = Evaluation {
                    step,
                    target: Some(500.0),
                    return_mean: 100.0 + 10.0 * i as f64 - (step as f64 - 20.0).abs(),
                    return_std: 2.0,
                    length_mean: 90.0,
                    score: None,
                    returns: vec![],
                };
                recorder.scalars(step, &evaluation.scalars()).unwrap();
                evaluations.push(evaluation);
            }
            recorder.flush().unwrap();
            if i < 2 {
                run.write_summary(&Summary {
                    steps: 40,
                    train_seconds: 1.0,
                    ms_per_step: 4.25,
                    final_loss: 0.5,
                    evaluations,
                })
                .unwrap();
            }
        }
        read(&paths).unwrap()
    }

    #[test]
    fn a_run_in_progress_is_read_like_one_that_has_ended() {
        let runs = runs();
        assert_eq!((runs[0].steps, runs[2].steps), (40, 30));
        assert_eq!(
            (runs[0].ms_per_step, runs[2].ms_per_step),
            (Some(4.25), None)
        );
        let returns = |run: &RunReport| {
            let of_target = run.of_target(Some(500.0));
            of_target
                .map(|e| (e.step, e.return_mean))
                .collect::<Vec<_>>()
        };
        assert_eq!(returns(&runs[2]), [(10, 110.0), (20, 120.0), (30, 110.0)]);
        assert_eq!(returns(&runs[0])[1], (20, 100.0));
        assert_eq!(runs[2].losses.len(), 3);
    }

    #[test]
    fn runs_that_differ_in_the_seed_alone_are_one_group() {
        let runs = runs();
        let sizes: Vec<_> = groups(&runs).iter().map(|group| group.runs.len()).collect();
        assert_eq!(sizes, [2, 1]);
    }

    #[test]
    fn a_hostile_run_directory_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::create(folder.path(), "").unwrap();
        let nested = format!("a = {}", "[".repeat(100_000));
        for text in ["seed = 1", "= 3", "env = 1\nseed = 1", &nested] {
            run.write_experiment(text).unwrap();
            let error = read(&[folder.path()]).unwrap_err();
            assert!(error.to_string().ends_with("experiment.toml"), "{error}");
        }
        let experiment = "dataset = \"d\"\nenv = \"e\"\nrecipe = \"r\"\nseed = 1\nsteps = -4\n";
        run.write_experiment(experiment).unwrap();
        assert_eq!(read(&[folder.path()]).unwrap()[0].planned_steps, 0);
        std::fs::write(run.metrics(), "{\"step\":1,\"wall_secs\":2}\nnonsense\n").unwrap();
        let error = read(&[folder.path()]).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}
