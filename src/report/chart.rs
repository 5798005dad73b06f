//! One chart as SVG: axes with round ticks, lines with bands, reference levels.
//!
//! No plotting library is used, because a chart is a few dozen elements; the file needs no fonts,
//! and text remains text.

use std::fmt::Write as _;

/// Width of a chart with its tick labels, in user units.
pub(super) const WIDTH: f64 = 450.0;
/// Height of a chart with its titles and tick labels.
pub(super) const HEIGHT: f64 = 300.0;
pub(super) const LEFT: f64 = 56.0;
pub(super) const RIGHT: f64 = 14.0;
pub(super) const TOP: f64 = 46.0;
pub(super) const BOTTOM: f64 = 42.0;

pub(super) const INK: &str = "#1f2933";
pub(super) const SOFT: &str = "#66727f";
const GRID: &str = "#e4e8ec";

/// A line over steps.
pub(super) struct Line {
    /// CSS colour.
    pub(super) colour: &'static str,
    /// SVG dash pattern; empty for a solid line.
    pub(super) dash: &'static str,
    /// Width of the stroke.
    pub(super) width: f64,
    /// Opacity of the stroke.
    pub(super) opacity: f64,
    /// Step, value and half the height of the band around it. Points that are not finite are
    /// omitted.
    pub(super) points: Vec<(f64, f64, f64)>,
}

/// A dotted horizontal line, shown if it is near the data.
pub(super) struct Level {
    /// CSS colour.
    pub(super) colour: &'static str,
    /// Its height.
    pub(super) value: f64,
}

/// The content of a chart.
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) subtitle: &'static str,
    pub(super) lines: Vec<Line>,
    pub(super) levels: Vec<Level>,
}

impl Chart {
    /// The chart as an SVG group with its top left corner at `(x, y)`.
    pub(super) fn svg(mut self, x: f64, y: f64) -> String {
        for line in &mut self.lines {
            line.points
                .retain(|(step, value, _)| step.is_finite() && value.is_finite());
        }
        let frame = Frame::around(&self);
        let mut svg = format!("<g transform=\"translate({x} {y})\">\n");
        let _ = writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"16\" fill=\"{INK}\" font-size=\"13\" font-weight=\"600\">{}\
             </text>\n<text x=\"{LEFT}\" y=\"33\" fill=\"{SOFT}\" font-size=\"11\">{}</text>",
            self.title, self.subtitle
        );
        frame.axes(&mut svg);
        for level in &self.levels {
            if (frame.y.low..=frame.y.high).contains(&level.value) {
                let (y, right) = (frame.y(level.value), WIDTH - RIGHT);
                let _ = writeln!(
                    svg,
                    "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"{}\" stroke-width=\"1.2\" \
                     stroke-dasharray=\"1 4\" stroke-linecap=\"round\" opacity=\"0.8\"/>",
                    level.colour
                );
            }
        }
        // Bands are drawn below lines.
        for line in &self.lines {
            frame.band(line, &mut svg);
        }
        for line in &self.lines {
            frame.line(line, &mut svg);
        }
        if self.lines.iter().all(|line| line.points.is_empty()) {
            let (x, y) = (f64::midpoint(LEFT, WIDTH - RIGHT), HEIGHT / 2.0);
            let _ = writeln!(
                svg,
                "<text x=\"{x}\" y=\"{y}\" fill=\"{SOFT}\" font-size=\"12\" \
                 text-anchor=\"middle\">no data yet</text>"
            );
        }
        svg + "</g>\n"
    }
}

/// Maps numbers to positions.
pub(super) struct Frame {
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// The unit of the horizontal axis.
    pub(super) unit: &'static str,
}

impl Frame {
    fn around(chart: &Chart) -> Self {
        let points = || chart.lines.iter().flat_map(|line| &line.points);
        let steps = Axis::around(points().map(|&(step, _, _)| step).chain([0.0]), 0.0);
        let ends = points().flat_map(|&(_, value, spread)| {
            let spread = if spread.is_finite() { spread } else { 0.0 };
            [value - spread, value + spread]
        });
        let data = Axis::around(ends.clone(), 0.04);
        let height = data.high - data.low;
        // A target far from all achieved returns would compress the curves.
        let near = chart
            .levels
            .iter()
            .map(|level| level.value)
            .filter(|value| (data.low - 0.4 * height..=data.high + 0.4 * height).contains(value));
        Self {
            x: steps,
            y: Axis::around(ends.chain(near), 0.04),
            unit: "steps",
        }
    }

    pub(super) fn x(&self, step: f64) -> f64 {
        LEFT + self.x.fraction(step) * (WIDTH - LEFT - RIGHT)
    }

    pub(super) fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.fraction(value) * (HEIGHT - TOP - BOTTOM)
    }

    pub(super) fn axes(&self, svg: &mut String) {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for tick in self.y.ticks(5) {
            let y = self.y(tick);
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"{GRID}\"/><text x=\"{}\" y=\"{:.1}\" \
                 fill=\"{SOFT}\" font-size=\"11\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                short(tick)
            );
        }
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {bottom}H{right}\" stroke=\"{SOFT}\"/>"
        );
        for tick in self.x.ticks(6) {
            let x = self.x(tick);
            let _ = writeln!(
                svg,
                "<path d=\"M{x:.1} {bottom}v4\" stroke=\"{SOFT}\"/><text x=\"{x:.1}\" y=\"{}\" \
                 fill=\"{SOFT}\" font-size=\"11\" text-anchor=\"middle\">{}</text>",
                bottom + 17.0,
                short(tick)
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{right}\" y=\"{}\" fill=\"{SOFT}\" font-size=\"11\" \
             text-anchor=\"end\">{}</text>",
            bottom + 34.0,
            self.unit
        );
    }

    fn band(&self, line: &Line, svg: &mut String) {
        let points = || {
            line.points
                .iter()
                .filter(|(_, _, spread)| spread.is_finite())
        };
        if points().count() < 2 || points().all(|&(_, _, spread)| spread <= 0.0) {
            return;
        }
        let upper = points().map(|&(step, value, spread)| (step, value + spread));
        let lower = points().map(|&(step, value, spread)| (step, value - spread));
        let path = self.path(upper.chain(lower.rev()));
        let _ = writeln!(
            svg,
            "<path d=\"{path}Z\" fill=\"{}\" opacity=\"0.13\"/>",
            line.colour
        );
    }

    fn line(&self, line: &Line, svg: &mut String) {
        let Line {
            colour,
            dash,
            width,
            opacity,
            points,
        } = line;
        if let [(step, value, _)] = points[..] {
            let (x, y) = (self.x(step), self.y(value));
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
            );
        } else if !points.is_empty() {
            let path = self.path(points.iter().map(|&(step, value, _)| (step, value)));
            let _ = writeln!(
                svg,
                "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" \
                 stroke-dasharray=\"{}\" stroke-linejoin=\"round\" opacity=\"{opacity}\"/>",
                if dash.is_empty() { "none" } else { dash }
            );
        }
    }

    fn path(&self, points: impl Iterator<Item = (f64, f64)>) -> String {
        let mut path = String::new();
        for (i, (step, value)) in points.enumerate() {
            let letter = if i == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", self.x(step), self.y(value));
        }
        path
    }
}

/// The range of one axis, never empty.
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Axis {
    /// The range of `values` with `margin` of its length added at both ends.
    pub(super) fn around(values: impl Iterator<Item = f64>, margin: f64) -> Self {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        if low > high {
            return Self {
                low: 0.0,
                high: 1.0,
            };
        }
        let length = high - low;
        // A margin around a single value, and a finite range around the largest possible ones.
        let room = if length > 0.0 {
            length * margin
        } else {
            low.abs().max(1.0) * 0.1
        };
        Self {
            low: (low - room).max(-1e300),
            high: (high + room).min(1e300),
        }
    }

    fn fraction(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// About `count` round numbers in the range: steps of 1, 2 or 5 times a power of ten.
    fn ticks(&self, count: u32) -> Vec<f64> {
        let rough = (self.high - self.low) / f64::from(count);
        let power = 10_f64.powf(rough.log10().floor());
        let factor = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .find(|factor| factor * power >= rough)
            .unwrap_or(10.0);
        let step = factor * power;
        let first = (self.low / step).ceil();
        (0..=count + 1)
            .map(|i| (first + f64::from(i)) * step)
            .filter(|tick| *tick <= self.high + step * 1e-9)
            .collect()
    }
}

/// `1500000` as `1.5M`, with a real minus sign.
pub(super) fn short(value: f64) -> String {
    let size = value.abs();
    let (scaled, unit) = match size {
        _ if size >= 1e12 => return format!("{value:.0e}").replace('-', "−"),
        _ if size >= 1e6 => (value / 1e6, "M"),
        _ if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    if size > 0.0 && size < 1e-3 {
        return format!("{value:.0e}").replace('-', "−");
    }
    // Ticks are sums of round numbers; this removes their rounding errors.
    let rounded = (scaled * 1e4).round() / 1e4 + 0.0;
    format!("{rounded}{unit}").replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_within_the_range() {
        let ticks = |low, high| Axis { low, high }.ticks(5);
        assert_eq!(ticks(0.0, 500.0), [0.0, 100.0, 200.0, 300.0, 400.0, 500.0]);
        assert_eq!(ticks(-1300.0, -100.0), [-1000.0, -500.0]);
        assert!(ticks(1.0, 1.0 + 1e-15).len() <= 7);
        let labels: Vec<_> = ticks(0.0, 0.55).into_iter().map(short).collect();
        assert_eq!(labels, ["0", "0.2", "0.4"]);
    }

    #[test]
    fn tick_labels_are_short() {
        let labels = [0.0, -0.0, -1500.0, 20_000.0, 1.5e6, 2e-5, 3e12].map(short);
        assert_eq!(labels, ["0", "0", "−1500", "20k", "1.5M", "2e−5", "3e12"]);
    }

    #[test]
    fn odd_data_makes_a_chart_without_nan() {
        let odd = [
            vec![],
            vec![(0.0, 5.0, 0.0)],
            vec![
                (1.0, f64::NAN, 1.0),
                (2.0, 1.0, f64::NAN),
                (3.0, f64::INFINITY, 0.0),
            ],
            vec![(1.0, f64::MAX, 0.0), (2.0, f64::MIN, f64::MAX)],
            vec![(1.0, 3.0, 0.0), (2.0, 3.0, 0.0)],
        ];
        for points in odd {
            let chart = Chart {
                title: "Return",
                subtitle: "",
                lines: vec![Line {
                    colour: "#000",
                    dash: "",
                    width: 2.0,
                    opacity: 1.0,
                    points: points.clone(),
                }],
                levels: vec![Level {
                    colour: "#000",
                    value: 500.0,
                }],
            };
            let svg = chart.svg(0.0, 0.0);
            assert!(
                !svg.contains("NaN") && !svg.contains("inf"),
                "{points:?}: {svg}"
            );
        }
    }
}
