//! The numbers of the page's charts, in the form that the script reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::super::aggregate::{Aggregate, Estimate};
use super::super::calibration::curve;
use super::super::{Comparison, Group, RunReport};
use crate::run::Evaluation;
use crate::statistics::{Bootstrap, CurvePoint, by_step, by_time, thin};

/// Bootstrap draws for a curve's bands: there are many points, and a band needs little precision.
const REPETITIONS: usize = 500;
/// Points of a curve over seconds.
const MOMENTS: usize = 60;
/// The most points of all curves of one training metric together, and the fewest of one curve, so
/// that a page with hundreds of groups remains small.
const POINTS: (usize, usize) = (20_000, 40);
/// The most points of a curve of a training metric.
const MOST_POINTS: usize = 200;

/// The data of the script.
#[derive(Serialize)]
pub(super) struct PageData<'a> {
    /// Positions on horizontal axes; a series refers to them by index.
    xs: Vec<Vec<f64>>,
    tasks: Vec<TaskCharts>,
    calibration: Vec<Calibration>,
    profile: Option<Profile>,
    /// Names of the methods that are compared in pairs.
    methods: Vec<&'a str>,
    pairs: Vec<PairBar>,
}

#[derive(Serialize)]
struct TaskCharts {
    name: String,
    metrics: Vec<Metric>,
}

#[derive(Serialize)]
struct Metric {
    name: String,
    axes: Vec<Axis>,
}

#[derive(Serialize)]
struct Axis {
    name: &'static str,
    series: Vec<Series>,
}

#[derive(Serialize)]
struct Calibration {
    name: String,
    /// The range of the data's returns.
    range: Option<[f64; 2]>,
    series: Vec<Series>,
}

#[derive(Serialize)]
struct Profile {
    unit: &'static str,
    series: Vec<Series>,
}

/// One line with its band.
#[derive(Serialize)]
struct Series {
    label: String,
    colour: usize,
    dash: usize,
    shown: bool,
    x: usize,
    y: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    low: Option<Vec<Option<f64>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high: Option<Vec<Option<f64>>>,
}

#[derive(Serialize)]
struct PairBar {
    x: usize,
    y: usize,
    p: f64,
    low: Option<f64>,
    high: Option<f64>,
    text: String,
}

/// The style of a line.
struct Look {
    label: String,
    colour: usize,
    dash: usize,
    shown: bool,
}

/// Collects the page's numbers.
#[derive(Default)]
pub(super) struct Collector {
    xs: Vec<Vec<f64>>,
    known: BTreeMap<Vec<u64>, usize>,
}

/// Metrics of an evaluation, the most common first.
type EvaluationMetric = (&'static str, fn(&Evaluation) -> Option<f64>);
const EVALUATION: [EvaluationMetric; 3] = [
    ("score", |evaluation| evaluation.score),
    ("return", |evaluation| Some(evaluation.return_mean)),
    ("episode length", |evaluation| Some(evaluation.length_mean)),
];
/// The position of a step of a run on a horizontal axis.
type Place = fn(&RunReport, u64) -> Option<f64>;
const AXES: [(&str, Place); 3] = [
    ("updates", RunReport::updates_at),
    ("environment steps", RunReport::environment_steps_at),
    ("seconds", RunReport::seconds_at),
];

impl Collector {
    pub(super) fn collect<'a>(
        mut self,
        comparison: &Comparison<'a>,
        aggregate: Option<&Aggregate>,
        names: &'a [String],
    ) -> PageData<'a> {
        let tasks = (0..comparison.tasks.len())
            .map(|task| self.task(comparison, task))
            .collect();
        let calibration = self.calibration(comparison);
        let profile = aggregate.map(|aggregate| self.profile(comparison, aggregate));
        let pairs = aggregate.map_or(&[][..], |aggregate| &aggregate.pairs);
        let (methods, pairs) = (
            aggregate.map_or(&[][..], |aggregate| &aggregate.methods),
            pairs
                .iter()
                .map(|pair| pair_bar(pair.x, pair.y, pair.probability))
                .collect(),
        );
        PageData {
            xs: self.xs,
            tasks,
            calibration,
            profile,
            methods: methods
                .iter()
                .map(|method| names[method.method].as_str())
                .collect(),
            pairs,
        }
    }

    fn task(&mut self, comparison: &Comparison<'_>, task: usize) -> TaskCharts {
        let groups: Vec<&Group<'_>> = comparison.of_task(task).collect();
        let mut metrics = Vec::new();
        for metric in EVALUATION {
            let axes = AXES.map(|axis| self.evaluations(comparison, &groups, metric, axis));
            let axes: Vec<Axis> = axes.into_iter().flatten().collect();
            if !axes.is_empty() {
                metrics.push(Metric {
                    name: metric.0.to_owned(),
                    axes,
                });
            }
        }
        let runs = groups.iter().flat_map(|group| &group.runs);
        let mut names: Vec<&String> = runs.flat_map(|run| run.metrics.keys()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            // Over seconds, only evaluations are shown.
            let axes = AXES[..2].iter();
            let axes = axes.map(|&axis| self.measurements(comparison, &groups, name, axis));
            let axes = axes.flatten().collect();
            metrics.push(Metric {
                name: name.clone(),
                axes,
            });
        }
        TaskCharts {
            name: comparison.task_name(task),
            metrics,
        }
    }

    /// The curves of one metric of the evaluations; none if no run has it.
    fn evaluations(
        &mut self,
        comparison: &Comparison<'_>,
        groups: &[&Group<'_>],
        (_, value): EvaluationMetric,
        (name, place): (&'static str, Place),
    ) -> Option<Axis> {
        let bootstrap = Bootstrap {
            repetitions: REPETITIONS,
            ..Bootstrap::default()
        };
        let mut series = Vec::new();
        for group in groups {
            for (t, target) in group.targets().into_iter().enumerate() {
                let points = |run: &&RunReport| -> Vec<(f64, f64)> {
                    let evaluations = run.of_target(target);
                    let point = |e: &Evaluation| Some((place(run, e.step)?, value(e)?));
                    evaluations.filter_map(point).collect()
                };
                let task = [group.runs.iter().map(points).collect()];
                let curve = if name == "seconds" {
                    by_time(&task, MOMENTS, &bootstrap)
                } else {
                    by_step(&task, &bootstrap)
                };
                if !curve.is_empty() {
                    series.push(self.curve(look(comparison, groups, group, (t, target)), &curve));
                }
            }
        }
        (!series.is_empty()).then_some(Axis { name, series })
    }

    /// The curves of a metric of the training, thinned and without bands.
    fn measurements(
        &mut self,
        comparison: &Comparison<'_>,
        groups: &[&Group<'_>],
        metric: &str,
        (name, place): (&'static str, Place),
    ) -> Option<Axis> {
        let bootstrap = Bootstrap {
            repetitions: 1,
            ..Bootstrap::default()
        };
        let count = (POINTS.0 / comparison.groups.len().max(1)).clamp(POINTS.1, MOST_POINTS);
        let mut series = Vec::new();
        for group in groups {
            let points = group.runs.iter().flat_map(|run| run.metric(metric));
            let last = points.map(|&(step, _)| step).max().unwrap_or(0) as f64;
            let thinned = |run: &&RunReport| -> Vec<(f64, f64)> {
                let points = run.metric(metric).iter();
                let points: Vec<_> = points.map(|&(step, v)| (step as f64, v)).collect();
                let thinned = thin(&points, last, count.min(last as usize)).into_iter();
                thinned
                    .filter_map(|(step, value)| Some((place(run, step as u64)?, value)))
                    .collect()
            };
            let curve = by_step(&[group.runs.iter().map(thinned).collect()], &bootstrap);
            if !curve.is_empty() {
                let mut line = self.curve(look(comparison, groups, group, (0, None)), &curve);
                (line.low, line.high) = (None, None);
                series.push(line);
            }
        }
        (!series.is_empty()).then_some(Axis { name, series })
    }

    /// Achieved over target returns, for groups with several targets.
    fn calibration(&mut self, comparison: &Comparison<'_>) -> Vec<Calibration> {
        let mut charts = Vec::new();
        for task in 0..comparison.tasks.len() {
            let groups: Vec<&Group<'_>> = comparison.of_task(task).collect();
            let mut series = Vec::new();
            for group in &groups {
                let points = curve(group);
                if points.len() > 1 {
                    series.push(self.curve(look(comparison, &groups, group, (0, None)), &points));
                }
            }
            if !series.is_empty() {
                let mut runs = groups.iter().flat_map(|group| &group.runs);
                let range = runs.find_map(|run| run.return_range);
                charts.push(Calibration {
                    name: comparison.task_name(task),
                    range: range.map(|range| [short(range.low), short(range.high)]),
                    series,
                });
            }
        }
        charts
    }

    fn profile(&mut self, comparison: &Comparison<'_>, aggregate: &Aggregate) -> Profile {
        let x = self.place(aggregate.thresholds.clone());
        let series = aggregate.methods.iter().map(|method| {
            let profile = &method.profile;
            let ends = |end: fn(&crate::statistics::Interval) -> f64| {
                let ends = profile
                    .intervals
                    .iter()
                    .map(|interval| Some(short(end(interval))));
                (!profile.intervals.is_empty()).then(|| ends.collect())
            };
            Series {
                label: comparison.methods[method.method].clone(),
                colour: method.method,
                dash: method.method / 8,
                shown: true,
                x,
                y: profile.shares.iter().copied().map(short).collect(),
                low: ends(|interval| interval.low),
                high: ends(|interval| interval.high),
            }
        });
        Profile {
            unit: if aggregate.normalised {
                "normalised score"
            } else {
                "return"
            },
            series: series.collect(),
        }
    }

    fn curve(&mut self, look: Look, points: &[CurvePoint]) -> Series {
        let banded = points.iter().any(|point| point.interval.is_some());
        let ends = |end: fn(crate::statistics::Interval) -> f64| -> Option<Vec<Option<f64>>> {
            let ends = points
                .iter()
                .map(|point| point.interval.map(|i| short(end(i))));
            banded.then(|| ends.collect())
        };
        Series {
            label: look.label,
            colour: look.colour,
            dash: look.dash,
            shown: look.shown,
            x: self.place(points.iter().map(|point| short(point.x)).collect()),
            y: points.iter().map(|point| short(point.value)).collect(),
            low: ends(|interval| interval.low),
            high: ends(|interval| interval.high),
        }
    }

    /// The index of these positions, which many series share.
    fn place(&mut self, places: Vec<f64>) -> usize {
        let key = places.iter().map(|place| place.to_bits()).collect();
        *self.known.entry(key).or_insert_with(|| {
            self.xs.push(places);
            self.xs.len() - 1
        })
    }
}

/// With one group, colours distinguish its targets; with several, colours distinguish methods and
/// dashes targets, of which only the headline's is shown at first.
fn look(
    comparison: &Comparison<'_>,
    groups: &[&Group<'_>],
    group: &Group<'_>,
    (t, target): (usize, Option<f64>),
) -> Look {
    let alone = groups.len() == 1;
    let mut label = comparison.label(group).to_owned();
    if let Some(target) = target {
        let _ = write!(label, " · target {target}");
    }
    if group.runs.len() > 1 {
        let _ = write!(label, " · {} seeds", group.runs.len());
    }
    Look {
        label,
        colour: if alone { t } else { group.method },
        dash: if alone { t / 8 } else { t + group.method / 8 },
        shown: alone || t == 0,
    }
}

fn pair_bar(x: usize, y: usize, (p, interval): Estimate) -> PairBar {
    let text = match interval {
        Some(interval) => format!("{p:.2} [{:.2}, {:.2}]", interval.low, interval.high),
        None => format!("{p:.2}"),
    };
    PairBar {
        x,
        y,
        p: short(p),
        low: interval.map(|interval| short(interval.low)),
        high: interval.map(|interval| short(interval.high)),
        text,
    }
}

/// Six significant digits: more than a screen can show, in half the bytes.
fn short(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{many_runs, runs};
    use super::*;

    fn json(runs: &[RunReport]) -> serde_json::Value {
        let comparison = Comparison::of(runs);
        let aggregate = Aggregate::of(&comparison);
        let names = comparison.methods.clone();
        let data = Collector::default().collect(&comparison, aggregate.as_ref(), &names);
        serde_json::to_value(&data).unwrap()
    }

    #[test]
    fn a_curve_is_the_iqm_over_seeds_with_its_band() {
        let data = json(&runs());
        let metric = &data["tasks"][0]["metrics"][0];
        assert_eq!(metric["name"], "return");
        let axis = &metric["axes"][0];
        assert_eq!(axis["name"], "updates");
        let series = &axis["series"][0];
        assert_eq!(series["label"], "corl · target 500 · 2 seeds");
        assert_eq!(series["y"], serde_json::json!([95.0, 105.0, 95.0]));
        assert_eq!(series["low"][0], 90.0);
        assert_eq!(data["xs"][0], serde_json::json!([10.0, 20.0, 30.0]));
        // One run has no band.
        assert!(axis["series"][1].get("low").is_none());
        assert_eq!(metric["axes"][1]["name"], "seconds");
        let names = data["tasks"][0]["metrics"].as_array().unwrap().iter();
        let names: Vec<&str> = names
            .map(|metric| metric["name"].as_str().unwrap())
            .collect();
        assert!(names.contains(&"speed/ms_per_step"), "{names:?}");
        assert!(data["calibration"].as_array().unwrap().is_empty());
    }

    #[test]
    fn pairs_and_profiles_appear_where_methods_can_be_compared() {
        let data = json(&many_runs());
        assert_eq!(data["methods"], serde_json::json!(["official", "corl"]));
        assert_eq!(data["pairs"][0]["text"], "1.00 [1.00, 1.00]");
        let profile = &data["profile"];
        assert_eq!(profile["unit"], "return");
        assert_eq!(profile["series"][0]["y"][0], 1.0);
        assert_eq!(json(&[])["profile"], serde_json::Value::Null);
    }

    #[test]
    fn several_targets_have_a_calibration_and_extra_ones_begin_hidden() {
        let mut runs = runs();
        for run in &mut runs {
            run.return_range = Some(crate::statistics::Interval {
                low: 9.0,
                high: 450.0,
            });
            let mut again = run.evaluations.clone();
            for evaluation in &mut again {
                evaluation.target = Some(100.0);
            }
            run.evaluations.extend(again);
        }
        let data = json(&runs);
        let series = &data["calibration"][0]["series"][0];
        assert_eq!(
            data["xs"][series["x"].as_u64().unwrap() as usize],
            serde_json::json!([100.0, 500.0])
        );
        assert_eq!(
            data["calibration"][0]["range"],
            serde_json::json!([9.0, 450.0])
        );
        let shown: Vec<_> = data["tasks"][0]["metrics"][0]["axes"][0]["series"]
            .as_array()
            .unwrap()
            .iter()
            .map(|series| series["shown"].as_bool().unwrap())
            .collect();
        assert_eq!(shown, [true, false, true, false]);
    }
}
