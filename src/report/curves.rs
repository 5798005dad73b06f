//! Learning curves as an SVG: for each task, the returns by target, and the training loss.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::chart::{Chart, HEIGHT, Level, Line, WIDTH};
use super::escape::html as escape;
use super::groups::Task;
use super::{Comparison, Group, RunReport};
use crate::statistics::{mean, sample_std, thin};

/// Distinguishable with every kind of colour vision (Okabe and Ito), on white.
const COLOURS: [&str; 6] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9",
];
const DASHES: [&str; 4] = ["", "6 3", "2 3", "8 3 2 3"];
const SINGLE_LOSS: &str = "#3e4c59";

const PAGE_WIDTH: f64 = 2.0 * WIDTH + 60.0;
const MARGIN: f64 = 20.0;
const TITLE_HEIGHT: f64 = 40.0;
const LEGEND_ROW: f64 = 20.0;
/// Points of a loss curve; neighbouring steps are averaged into one.
const LOSS_POINTS: usize = 200;

/// The learning curves of `runs`. With one experiment, colours distinguish targets; with several,
/// colours distinguish experiments, and dashes targets. A curve is the mean over an experiment's
/// seeds, with the standard deviation over the seeds as a band; the band of a single run is the
/// standard deviation over its episodes.
pub fn curves_svg(runs: &[RunReport]) -> String {
    let comparison = Comparison::of(runs);
    let mut body = String::new();
    let mut y = MARGIN;
    for task in 0..comparison.tasks.len() {
        y = draw_task(&mut body, y, &comparison, task);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {PAGE_WIDTH} {y}\" \
         width=\"{PAGE_WIDTH}\" height=\"{y}\" font-family=\"system-ui, -apple-system, 'Segoe UI', \
         'DejaVu Sans', sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         {body}</svg>\n"
    )
}

/// Draws the charts of one task at `y` and returns the position of the next one.
fn draw_task(svg: &mut String, y: f64, comparison: &Comparison<'_>, task: usize) -> f64 {
    let groups: Vec<&Group<'_>> = comparison.of_task(task).collect();
    let Task { env, dataset } = &comparison.tasks[task];
    let _ = writeln!(
        svg,
        "<text x=\"{MARGIN}\" y=\"{}\" font-size=\"17\" font-weight=\"600\" fill=\"#1f2933\">{}\
         <tspan dx=\"10\" font-size=\"12\" font-weight=\"400\" fill=\"#66727f\">{}</tspan></text>",
        y + 16.0,
        escape(env),
        escape(dataset)
    );
    let top = y + TITLE_HEIGHT;
    let (returns, legend) = returns(comparison, &groups);
    *svg += &returns.svg(MARGIN, top);
    *svg += &losses(&groups).svg(MARGIN + WIDTH + 20.0, top);
    legend_rows(svg, top + HEIGHT + 8.0, &legend) + MARGIN
}

/// A line of the legend: colour, dash, label.
type Entry = (&'static str, &'static str, String);

fn returns(comparison: &Comparison<'_>, groups: &[&Group<'_>]) -> (Chart, Vec<Entry>) {
    let (mut lines, mut legend) = (Vec::new(), Vec::new());
    let mut levels: Vec<Level> = Vec::new();
    let mut over_seeds = false;
    for (g, group) in groups.iter().enumerate() {
        over_seeds |= group.runs.len() > 1;
        for (t, target) in group.targets().into_iter().enumerate() {
            let (colour, dash) = if groups.len() == 1 {
                (
                    COLOURS[t % COLOURS.len()],
                    DASHES[t / COLOURS.len() % DASHES.len()],
                )
            } else {
                (COLOURS[g % COLOURS.len()], DASHES[t % DASHES.len()])
            };
            if let Some(value) = target
                && levels
                    .iter()
                    .all(|level| level.value.to_bits() != value.to_bits())
            {
                let colour = if groups.len() == 1 {
                    colour
                } else {
                    SINGLE_LOSS
                };
                levels.push(Level { colour, value });
            }
            lines.push(Line {
                colour,
                dash,
                width: 2.0,
                opacity: 1.0,
                points: return_points(group, target),
            });
            legend.push((colour, dash, label(comparison, groups, group, target)));
        }
    }
    let chart = Chart {
        title: "Return",
        subtitle: if over_seeds {
            "mean over seeds; band: ± std over seeds; dotted: the target"
        } else {
            "mean of the episodes; band: ± std over episodes; dotted: the target"
        },
        lines,
        levels,
    };
    (chart, legend)
}

fn return_points(group: &Group<'_>, target: Option<f64>) -> Vec<(f64, f64, f64)> {
    if let [run] = group.runs[..] {
        return run
            .of_target(target)
            .map(|e| (e.step as f64, e.return_mean, e.return_std))
            .collect();
    }
    let mut by_step: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for evaluation in group.runs.iter().flat_map(|run| run.of_target(target)) {
        let values = by_step.entry(evaluation.step).or_default();
        values.push(evaluation.return_mean);
    }
    by_step
        .into_iter()
        .map(|(step, values)| {
            let std = sample_std(&values).unwrap_or(0.0);
            (step as f64, mean(&values), std)
        })
        .collect()
}

fn losses(groups: &[&Group<'_>]) -> Chart {
    let mut lines = Vec::new();
    for (g, group) in groups.iter().enumerate() {
        let colour = if groups.len() == 1 {
            SINGLE_LOSS
        } else {
            COLOURS[g % COLOURS.len()]
        };
        let line = |runs: &[&RunReport], width, opacity| Line {
            colour,
            dash: "",
            width,
            opacity,
            points: loss_points(runs),
        };
        if group.runs.len() > 1 {
            lines.extend(group.runs.iter().map(|run| line(&[run], 1.0, 0.3)));
        }
        lines.push(line(&group.runs, 1.8, 1.0));
    }
    Chart {
        title: "Training loss",
        subtitle: "averaged over neighbouring steps",
        lines,
        levels: Vec::new(),
    }
}

/// The finite losses of `runs`, averaged over intervals of steps.
fn loss_points(runs: &[&RunReport]) -> Vec<(f64, f64, f64)> {
    let mut losses: Vec<(f64, f64)> = runs
        .iter()
        .flat_map(|run| run.loss())
        .map(|&(step, loss)| (step as f64, loss))
        .collect();
    losses.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let last = losses.last().map_or(0.0, |&(step, _)| step);
    let stretches = LOSS_POINTS.min(last as usize);
    let thinned = thin(&losses, last, stretches).into_iter();
    thinned.map(|(step, loss)| (step, loss, 0.0)).collect()
}

/// The label of a line: the method, if there are several, and the target.
fn label(
    comparison: &Comparison<'_>,
    groups: &[&Group<'_>],
    group: &Group<'_>,
    target: Option<f64>,
) -> String {
    let mut parts = Vec::new();
    if groups.len() > 1 {
        parts.push(comparison.label(group).to_owned());
    }
    parts.extend(target.map(|target| format!("target {}", target.to_string().replace('-', "−"))));
    if group.runs.len() > 1 {
        parts.push(format!("{} seeds", group.runs.len()));
    }
    if parts.is_empty() {
        parts.push(comparison.label(group).to_owned());
    }
    parts.join(" · ")
}

/// Draws the legend at `y` in as many rows as needed and returns its lower end.
fn legend_rows(svg: &mut String, mut y: f64, legend: &[Entry]) -> f64 {
    let left = MARGIN + 56.0;
    let mut x = left;
    for (colour, dash, label) in legend {
        // Without fonts, the width of a text is estimated generously.
        let width = 34.0 + 6.6 * label.chars().count() as f64 + 18.0;
        if x > left && x + width > PAGE_WIDTH - MARGIN {
            x = left;
            y += LEGEND_ROW;
        }
        let dash = if dash.is_empty() { "none" } else { dash };
        let _ = writeln!(
            svg,
            "<path d=\"M{x} {}h26\" stroke=\"{colour}\" stroke-width=\"2.5\" \
             stroke-dasharray=\"{dash}\"/><text x=\"{}\" y=\"{}\" font-size=\"12\" \
             fill=\"#1f2933\">{}</text>",
            y + 8.0,
            x + 34.0,
            y + 12.0,
            escape(label)
        );
        x += width;
    }
    y + LEGEND_ROW
}

#[cfg(test)]
mod tests {
    use super::super::tests::runs;
    use super::*;

    #[test]
    fn seeds_become_their_mean_and_the_nan_of_a_loss_is_left_out() {
        let runs = runs();
        let comparison = Comparison::of(&runs);
        let group = &comparison.groups[0];
        let points = return_points(group, Some(500.0));
        assert_eq!(points[1], (20.0, 105.0, 50_f64.sqrt()));
        let losses = loss_points(&group.runs);
        assert_eq!(losses, [(10.0, 0.5, 0.0), (30.0, 0.5, 0.0)]);
    }

    #[test]
    fn labels_distinguish_methods_and_are_escaped() {
        let mut runs = runs();
        let comparison = Comparison::of(&runs);
        let groups: Vec<_> = comparison.of_task(0).collect();
        let text = label(&comparison, &groups, groups[0], Some(500.0));
        assert_eq!(text, "corl · target 500 · 2 seeds");
        assert_eq!(
            label(&comparison, &groups[1..], groups[1], None),
            "official"
        );
        drop(groups);
        runs[2].settings.insert("recipe".into(), "<&\"".into());
        let svg = curves_svg(&runs);
        assert!(svg.contains("&lt;&amp;&quot; · target 500"), "{svg}");
        assert_eq!(svg.matches("<g ").count(), 2);
        assert!(curves_svg(&[]).ends_with("</svg>\n"));
    }
}
