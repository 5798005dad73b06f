//! Runs that are divided among ranks.

use super::*;
use crate::algorithms::{self, AlgorithmRef, Input};
use crate::evaluate;
use crate::keys::Value;
use crate::labels;
use crate::parallel::threads;
use crate::policy::ActingMode;
use crate::run::Evaluation;

const STEPS: i64 = 6;

/// A short plan of an algorithm with this number of parts.
fn plan(algorithm: AlgorithmRef, parts: usize) -> Experiment {
    let card = algorithm.card();
    let env = if card.continuous {
        "pendulum"
    } else {
        "cartpole"
    };
    let mut plan: Table = format!(
        "algorithm = '{}'\nparts = {parts}\nthreads = 1\n\
        evaluation = {{ episodes = 3, final_episodes = 3 }}",
        card.name
    )
    .parse()
    .unwrap();
    let mut steps = STEPS;
    let small = [
        ("batch_size", 13),
        ("context", 5),
        ("width", 16),
        ("accumulation", 2),
        ("learning_starts", 20),
        ("update_every", 1),
    ];
    for keys in algorithm.tables() {
        let own = |(name, _): &&(&str, i64)| keys.keys.iter().any(|key| key.name == *name);
        let values: Table = (small.iter().filter(own))
            .map(|(name, value)| ((*name).to_owned(), Value::Integer(*value)))
            .collect();
        if values.contains_key("learning_starts") {
            steps += 20;
        }
        plan.insert(keys.table.to_owned(), Value::Table(values));
    }
    plan.insert("steps".to_owned(), Value::Integer(steps));
    let (key, value) = match card.input {
        Input::Environment if card.continuous => ("env", "Pendulum-v1".to_owned()),
        Input::Environment => ("env", "CartPole-v1".to_owned()),
        _ => ("dataset", format!("builtin/{env}/random")),
    };
    plan.insert(key.to_owned(), Value::String(value));
    Experiment::from_layers(&[plan]).unwrap()
}

/// The result of a run without a directory: its learner's bytes and its evaluations.
fn end(planned: Experiment, world: World) -> Result<(Vec<u8>, Vec<Evaluation>), Error> {
    let opened = labels::open(&planned, None)?;
    let experiment = planned.resolve(&opened.spec, opened.data.as_ref()).unwrap();
    let learner = new_learner(&experiment, &world, &opened, None)?;
    let recorder = Recorder::new(Vec::new());
    let place = (world, None);
    let mut training = Training::new(&experiment, &opened, place, (learner, None), recorder)?;
    let summary = training.run_steps()?;
    let content = checkpoint::content(&*training.learner)?;
    Ok((content, summary.evaluations))
}

#[test]
fn ranks_share_a_run_of_any_algorithm_that_divides_its_batches() {
    let mut refused = Vec::new();
    for algorithm in AlgorithmRef::all() {
        let alone = match end(plan(algorithm, 3), World::alone()) {
            Err(Error::Algorithm(algorithms::Error::Undivided { .. })) => {
                refused.push(algorithm.card().name);
                continue;
            }
            alone => alone.unwrap(),
        };
        for ranks in 2..=3 {
            let all = threads::run(ranks, |world| end(plan(algorithm, 3), world).unwrap());
            let same = all.iter().all(|end| *end == alone);
            assert!(same, "{algorithm:?} on {ranks} ranks");
        }
        let whole = end(plan(algorithm, 1), World::alone()).unwrap();
        assert!(whole.0 != alone.0, "{algorithm:?}: parts are other sums");
    }
    refused.sort_unstable();
    assert_eq!(refused, ["edac", "ppo"]);
}

#[test]
fn ranks_without_parts_and_parts_without_rows_are_refused() {
    let algorithm = AlgorithmRef::default();
    let refused = |parts, world| end(plan(algorithm, parts), world).map(|_| ()).unwrap_err();
    let errors = threads::run(2, |world| refused(1, world).to_string());
    assert!(errors[0].contains("2 ranks"), "{}", errors[0]);
    let error = refused(14, World::alone()).to_string();
    assert!(error.contains("parts") && error.contains("13"), "{error}");
}

#[test]
fn a_greedy_policy_is_not_changed_by_later_updates() {
    for algorithm in AlgorithmRef::all() {
        let planned = plan(algorithm, 1);
        let opened = labels::open(&planned, None).unwrap();
        let experiment = planned.resolve(&opened.spec, opened.data.as_ref()).unwrap();
        let learner = new_learner(&experiment, &World::alone(), &opened, None).unwrap();
        let recorder = Recorder::new(Vec::new());
        let place = (World::alone(), None);
        let mut training =
            Training::new(&experiment, &opened, place, (learner, None), recorder).unwrap();
        let plan = training.evaluation_plan(2, 1);
        let policy = |training: &Training<'_>| {
            let model = training.learner.model();
            model.greedy(ActingMode::Exact, plan.rows(1), 1)
        };
        let returns = |policy| {
            let results = evaluate::with_policy(&World::alone(), policy, &plan, |_, _| ());
            results.unwrap().targets
        };
        let (before, kept) = (returns(policy(&training)), policy(&training));
        training.run_steps().unwrap();
        assert_eq!(before, returns(kept), "{algorithm:?}");
    }
}

#[test]
fn a_rank_that_diverges_stops_the_run() {
    let outcomes = threads::run(2, |world| {
        let seed = Value::Integer(world.rank() as i64);
        let mut table = plan(AlgorithmRef::default(), 2).plan().unwrap();
        table.insert("seed".to_owned(), seed);
        let other = Experiment::from_layers(&[table]).unwrap();
        end(other, world).map(|_| ()).unwrap_err().to_string()
    });
    assert!(
        outcomes[0].contains("rank 1 has a different state"),
        "{outcomes:?}"
    );
}

#[test]
fn a_device_stops_at_every_event() {
    assert_eq!(steps_to_next(0, 1000, [20, 200, 0, 50]), 20);
    assert_eq!(steps_to_next(40, 1000, [20, 200, 0, 50]), 10);
    assert_eq!(steps_to_next(15, 18, [20, 0, 0, 0]), 3);
    assert_eq!(steps_to_next(5, 30, [0; 4]), 25);
}

#[test]
fn ranks_that_share_a_run_have_no_evaluation_beside_it() {
    let errors = threads::run(2, |world| {
        let mut table = plan(AlgorithmRef::default(), 2).plan().unwrap();
        let evaluation = table.get_mut("evaluation").and_then(Value::as_table_mut);
        evaluation
            .unwrap()
            .insert("beside".to_owned(), Value::Boolean(true));
        let planned = Experiment::from_layers(&[table]).unwrap();
        end(planned, world).map(|_| ()).unwrap_err().to_string()
    });
    assert!(errors[0].contains("evaluation.beside"), "{}", errors[0]);
}
