//! A dataset on one page: returns, lengths, returns-to-go along an episode, and findings.

use std::fmt::Write as _;

use rtg_datasets::Dataset;
use rtg_datasets::doctor::{Checkup, Finding, Histogram, ReplayKind, Severity};

use super::chart::{
    Axis, BOTTOM, Chart, Frame, HEIGHT, INK, LEFT, Level, Line, SOFT, TOP, WIDTH, short,
};
use super::escape::html as escape;

const BLUE: &str = "#0072b2";
const ORANGE: &str = "#d55e00";
const GREEN: &str = "#009e73";
const YELLOW: &str = "#b8860b";

const MARGIN: f64 = 20.0;
const TITLE_HEIGHT: f64 = 54.0;
const PAGE_WIDTH: f64 = 2.0 * WIDTH + 60.0;
/// The most findings that are listed, and the most letters of one.
const LISTED: usize = 9;
const LETTERS: usize = 46;

/// The image of `rtg inspect --plot`.
pub fn inspection_svg(id: &str, data: &Dataset, checkup: &Checkup) -> String {
    let height = TITLE_HEIGHT + 2.0 * (HEIGHT + MARGIN) + MARGIN;
    let (left, right) = (MARGIN, MARGIN + WIDTH + 20.0);
    let (top, below) = (TITLE_HEIGHT, TITLE_HEIGHT + HEIGHT + MARGIN);
    let env = data.info().env_id().unwrap_or("unknown environment");
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {PAGE_WIDTH} {height}\" \
         width=\"{PAGE_WIDTH}\" height=\"{height}\" font-family=\"system-ui, -apple-system, \
         'Segoe UI', 'DejaVu Sans', sans-serif\">\n<rect width=\"100%\" height=\"100%\" \
         fill=\"#ffffff\"/>\n<text x=\"{MARGIN}\" y=\"32\" font-size=\"17\" font-weight=\"600\" \
         fill=\"{INK}\">{}<tspan dx=\"10\" font-size=\"12\" font-weight=\"400\" \
         fill=\"{SOFT}\">{} · {} episodes · {} steps</tspan></text>\n",
        escape(id),
        escape(env),
        data.episodes(),
        data.steps()
    );
    svg += &Bars {
        title: "Returns",
        subtitle: "episodes; dotted: the suggested targets",
        unit: "return",
        histogram: &checkup.return_histogram,
        colour: BLUE,
        levels: &checkup.suggested_targets,
    }
    .svg(left, top);
    svg += &Bars {
        title: "Lengths",
        subtitle: "episodes; dotted: the time limit",
        unit: "steps",
        histogram: &checkup.length_histogram,
        colour: GREEN,
        levels: &data
            .info()
            .max_episode_steps
            .map(|limit| limit as f64)
            .into_iter()
            .collect::<Vec<_>>(),
    }
    .svg(right, top);
    let points = checkup.return_to_go_curve.iter();
    let curve = Chart {
        title: "Returns-to-go along an episode",
        subtitle: "mean over episodes of at least this length; band: ± std; dotted: targets",
        lines: vec![Line {
            colour: BLUE,
            dash: "",
            width: 2.0,
            opacity: 1.0,
            points: points.map(|p| (p.step as f64, p.mean, p.std)).collect(),
        }],
        levels: checkup
            .suggested_targets
            .iter()
            .map(|&value| Level {
                colour: ORANGE,
                value,
            })
            .collect(),
    };
    svg += &curve.svg(left, below);
    svg += &facts(checkup, right + LEFT, below);
    svg + "</svg>\n"
}

/// A histogram with reference levels.
struct Bars<'a> {
    title: &'static str,
    subtitle: &'static str,
    unit: &'static str,
    histogram: &'a Histogram,
    colour: &'static str,
    levels: &'a [f64],
}

impl Bars<'_> {
    fn svg(&self, x: f64, y: f64) -> String {
        let Histogram { low, high, counts } = self.histogram;
        let most = counts.iter().copied().max().unwrap_or(0).max(1);
        let mut svg = format!(
            "<g transform=\"translate({x} {y})\">\n<text x=\"{LEFT}\" y=\"16\" fill=\"{INK}\" \
             font-size=\"13\" font-weight=\"600\">{}</text>\n<text x=\"{LEFT}\" y=\"33\" \
             fill=\"{SOFT}\" font-size=\"11\">{}</text>\n",
            self.title, self.subtitle
        );
        let frame = Frame {
            x: Axis::around([*low, *high].into_iter(), 0.03),
            y: Axis {
                low: 0.0,
                high: 1.06 * most as f64,
            },
            unit: self.unit,
        };
        frame.axes(&mut svg);
        let bars = counts.len() as f64;
        // A single value gets a narrow bar.
        let (from, width) = if low.to_bits() == high.to_bits() {
            let room = 0.1 * (frame.x.high - frame.x.low);
            (low - room / 2.0, room)
        } else {
            (*low, (high - low) / bars.max(1.0))
        };
        for (bar, &count) in counts.iter().enumerate() {
            let begin = frame.x(from + bar as f64 * width);
            let end = frame.x(from + (bar as f64 + 1.0) * width);
            let top = frame.y(count as f64);
            if count > 0 {
                let _ = writeln!(
                    svg,
                    "<rect x=\"{begin:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" \
                     fill=\"{}\" opacity=\"0.75\"/>",
                    (end - begin - 1.0).max(0.5),
                    HEIGHT - BOTTOM - top,
                    self.colour
                );
            }
        }
        for &level in self.levels {
            if (frame.x.low..=frame.x.high).contains(&level) {
                let x = frame.x(level);
                let _ = writeln!(
                    svg,
                    "<path d=\"M{x:.1} {TOP}V{}\" stroke=\"{ORANGE}\" stroke-width=\"1.4\" \
                     stroke-dasharray=\"1 4\" stroke-linecap=\"round\"/>",
                    HEIGHT - BOTTOM
                );
            }
        }
        svg + "</g>\n"
    }
}

/// Figures and findings as text.
fn facts(checkup: &Checkup, x: f64, y: f64) -> String {
    let mut svg = format!("<g transform=\"translate({x} {y})\" font-size=\"12\" fill=\"{INK}\">\n");
    let _ = writeln!(
        svg,
        "<text x=\"0\" y=\"16\" font-size=\"13\" font-weight=\"600\">Before training</text>"
    );
    let (least, most) = checkup.returns_to_go;
    let targets = checkup.suggested_targets.iter();
    let targets: Vec<String> = targets.map(|&target| figure(target)).collect();
    let mut row = 40.0;
    let mut line = |name: &str, value: &str, colour: &str| {
        let _ = writeln!(
            svg,
            "<text x=\"0\" y=\"{row}\" fill=\"{colour}\">{}</text><text x=\"128\" y=\"{row}\">{}</text>",
            escape(name),
            escape(&clipped(value))
        );
        row += 20.0;
    };
    line(
        "returns-to-go",
        &format!("{} to {}", figure(least), figure(most)),
        SOFT,
    );
    line("suggested targets", &targets.join(", "), SOFT);
    line(
        "suggested scale",
        &figure(checkup.suggested_return_scale),
        SOFT,
    );
    line("replay", &played(checkup), SOFT);
    if checkup.findings.is_empty() {
        line("findings", "none", SOFT);
    }
    for finding in checkup.findings.iter().take(LISTED) {
        let Finding {
            code,
            severity,
            count,
            ..
        } = finding;
        let colour = match severity {
            Severity::Error => ORANGE,
            Severity::Warning => YELLOW,
            Severity::Note => SOFT,
        };
        line(&severity.to_string(), &format!("{count} × {code}"), colour);
    }
    let more = checkup.findings.len().saturating_sub(LISTED);
    if more > 0 {
        line("", &format!("and {more} more"), SOFT);
    }
    svg + "</g>\n"
}

/// The result of the replay in a few words.
fn played(checkup: &Checkup) -> String {
    let replay = &checkup.replay;
    let from = match replay.kind {
        Some(ReplayKind::Seed) => "from recorded seeds",
        Some(ReplayKind::State) => "from recorded states",
        None => return replay.skipped.clone().unwrap_or_default(),
    };
    let wrong = replay.reward_mismatches + replay.observation_mismatches;
    let verdict = if wrong == 0 {
        "all equal".to_owned()
    } else {
        format!("{wrong} differ")
    };
    format!("{} steps {from}: {verdict}", replay.steps)
}

/// A number rounded for readers, to three digits or to an integer.
fn figure(value: f64) -> String {
    if value.fract() == 0.0 || value.abs() >= 1000.0 {
        short(value.round())
    } else {
        short(format!("{value:.2e}").parse().unwrap_or(value))
    }
}

fn clipped(text: &str) -> String {
    if text.chars().count() <= LETTERS {
        return text.to_owned();
    }
    let kept: String = text.chars().take(LETTERS - 1).collect();
    kept + "…"
}

#[cfg(test)]
mod tests {
    use rtg_datasets::doctor::check_up;

    use super::*;

    #[test]
    fn the_picture_shows_every_episode_and_no_number_that_is_none() {
        let data = crate::builtin::make("builtin/pendulum/random", 0).unwrap();
        let checkup = check_up(&data);
        let svg = inspection_svg("a <dataset>", &data, &checkup);
        assert!(svg.contains("a &lt;dataset&gt;") && svg.contains("Pendulum-v1"));
        assert!(
            svg.contains("steps from recorded seeds: all equal"),
            "{svg}"
        );
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        let bars = svg.matches("<rect x=").count();
        let filled = |histogram: &Histogram| histogram.counts.iter().filter(|&&n| n > 0).count();
        let both = filled(&checkup.return_histogram) + filled(&checkup.length_histogram);
        assert_eq!(bars, both);
    }

    #[test]
    fn an_empty_dataset_has_a_figure_too() {
        let info = crate::builtin::make("builtin/pendulum/random", 0).unwrap();
        let data = Dataset::new(info.info().clone());
        let svg = inspection_svg("nothing", &data, &check_up(&data));
        assert!(svg.contains("no data yet") && !svg.contains("NaN"));
    }
}
