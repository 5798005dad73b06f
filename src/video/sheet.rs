//! A frame of a video: the scene next to the episode's curves up to this step.

use std::convert::Infallible;

use embedded_graphics::mono_font::iso_8859_1::{FONT_8X13, FONT_8X13_BOLD};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::prelude::{Dimensions, DrawTarget, OriginDimensions, Pixel, Point, Size};
use embedded_graphics::primitives::{
    Line, Polyline, Primitive, PrimitiveStyle, Rectangle, StyledDrawable,
};
use embedded_graphics::text::{Baseline, Text};
use embedded_graphics::{Drawable, primitives};
use rtg_datasets::Episode;
use rtg_envs::Frame;

const PAPER: Rgb888 = Rgb888::new(250, 249, 246);
const DARK: Rgb888 = Rgb888::new(38, 43, 51);
const PALE: Rgb888 = Rgb888::new(139, 147, 156);
const GRID: Rgb888 = Rgb888::new(226, 229, 222);
/// Colours of the curves; an action has one for each of its numbers.
const CURVES: [Rgb888; 6] = [
    Rgb888::new(47, 93, 138),
    Rgb888::new(214, 106, 63),
    Rgb888::new(86, 140, 90),
    Rgb888::new(142, 96, 160),
    Rgb888::new(184, 150, 40),
    Rgb888::new(90, 160, 170),
];
/// Pixels of the panel of curves.
const PANEL: u32 = 320;
const MARGIN: i32 = 14;
/// Height of a line of text.
const LINE: i32 = 17;
/// The smallest height of a frame, for three curves with their titles.
const LEAST_HEIGHT: u32 = 320;

/// The caption of a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Caption<'a> {
    /// Environment id.
    pub env: &'a str,
    /// The target return, of a policy that takes one.
    pub target: Option<f64>,
    /// Number of the episode from 1, and how many there are.
    pub episode: (usize, usize),
    /// Steps taken so far.
    pub step: usize,
}

/// The scene with the episode's return-to-go, rewards and actions up to the caption's step. Without
/// a target there is no return-to-go: the return so far is drawn instead.
pub fn compose(scene: &Frame, episode: &Episode, caption: &Caption) -> Frame {
    let height = (scene.height as u32).max(LEAST_HEIGHT);
    // Mp4 codecs need even sizes.
    let mut sheet = Sheet::new(
        (scene.width as u32 + PANEL).next_multiple_of(2),
        height.next_multiple_of(2),
    );
    sheet.paste(scene);
    let left = scene.width as i32 + MARGIN;
    let right = sheet.size().width as i32 - MARGIN;
    let (episode_number, count) = caption.episode;
    let mut title = format!("episode {episode_number} of {count}");
    if let Some(target) = caption.target {
        title.insert_str(0, &format!("target {}   ", short(target)));
    }
    sheet.write(caption.env, (left, MARGIN), &FONT_8X13_BOLD, DARK);
    sheet.write(&title, (left, MARGIN + LINE), &FONT_8X13, DARK);
    let steps = format!("step {} of {}", caption.step, episode.len());
    sheet.write(&steps, (left, MARGIN + 2 * LINE), &FONT_8X13, PALE);

    let top = MARGIN + 3 * LINE + 6;
    let each = (sheet.size().height as i32 - top - MARGIN) / 3;
    let curves = curves(episode, caption);
    for (curve, index) in curves.iter().zip(0..) {
        let top = top + index * each;
        let now = curve.now(caption.step);
        let title = format!("{} {now}", curve.name);
        let (low, high) = curve.range();
        let range = format!("{} .. {}", short(low), short(high));
        let wide = |text: &str| FONT_8X13.character_size.width as i32 * text.len() as i32;
        sheet.write(&title, (left, top), &FONT_8X13, DARK);
        if wide(&title) + wide(&range) < right - left {
            sheet.write(&range, (right - wide(&range), top), &FONT_8X13, PALE);
        }
        let area = Rectangle::with_corners(
            Point::new(left, top + LINE),
            Point::new(right, top + each - 8),
        );
        sheet.plot(curve, area, caption.step);
    }
    sheet.into_frame()
}

/// A quantity over the steps of an episode: `width` numbers a step.
struct Curve {
    name: &'static str,
    values: Vec<f64>,
    width: usize,
    /// Whether the first value is known before the first step.
    from_start: bool,
}

impl Curve {
    /// Points that are known after this many steps.
    fn known(&self, step: usize) -> usize {
        (step + usize::from(self.from_start)).min(self.values.len() / self.width)
    }

    /// The last known values as text.
    fn now(&self, step: usize) -> String {
        let Some(last) = self.known(step).checked_sub(1) else {
            return String::new();
        };
        let row = &self.values[last * self.width..][..self.width];
        let mut words: Vec<String> = row.iter().take(4).map(|&value| short(value)).collect();
        if self.width > 4 {
            words.push("..".to_owned());
        }
        words.join(" ")
    }

    fn range(&self) -> (f64, f64) {
        let finite = self
            .values
            .iter()
            .copied()
            .filter(|value| value.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        if low < high {
            (low, high)
        } else if low.is_finite() {
            (low - 1.0, high + 1.0)
        } else {
            (-1.0, 1.0)
        }
    }
}

fn curves(episode: &Episode, caption: &Caption) -> [Curve; 3] {
    let (name, first, sign) = match caption.target {
        Some(target) => ("return-to-go", target, -1.0),
        None => ("return", 0.0, 1.0),
    };
    let mut returns = vec![first];
    for (step, reward) in episode.rewards.iter().enumerate() {
        returns.push(returns[step] + sign * reward);
    }
    let curve = |name, values: Vec<f64>, width, from_start| Curve {
        name,
        values,
        width,
        from_start,
    };
    let width = episode.actions.len() / episode.len().max(1);
    [
        curve(name, returns, 1, true),
        curve("reward", episode.rewards.clone(), 1, false),
        curve("action", episode.actions.clone(), width.max(1), false),
    ]
}

/// A number with about four digits.
fn short(value: f64) -> String {
    let size = value.abs();
    if value.fract() == 0.0 && size < 1e6 {
        format!("{value}")
    } else if size >= 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// A picture being drawn.
struct Sheet {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl Sheet {
    fn new(width: u32, height: u32) -> Self {
        let paper = [PAPER.r(), PAPER.g(), PAPER.b()];
        Self {
            width,
            height,
            pixels: paper.repeat((width * height) as usize),
        }
    }

    /// Puts a picture into the left of the sheet, in the middle of its height.
    fn paste(&mut self, scene: &Frame) {
        let above = (self.height as usize - scene.height) / 2;
        let row = 3 * scene.width;
        for (y, pixels) in scene.pixels.chunks_exact(row).enumerate() {
            let start = 3 * (above + y) * self.width as usize;
            self.pixels[start..start + row].copy_from_slice(pixels);
        }
    }

    fn write(&mut self, text: &str, at: (i32, i32), font: &MonoFont<'_>, colour: Rgb888) {
        let style = MonoTextStyle::new(font, colour);
        let Ok(_) =
            Text::with_baseline(text, Point::new(at.0, at.1), style, Baseline::Top).draw(self);
    }

    fn stroke(
        &mut self,
        shape: &impl StyledDrawable<PrimitiveStyle<Rgb888>, Color = Rgb888, Output = ()>,
        colour: Rgb888,
        width: u32,
    ) {
        let Ok(()) = shape.draw_styled(&PrimitiveStyle::with_stroke(colour, width), self);
    }

    /// Draws what is known of a curve on the scale of the whole episode.
    fn plot(&mut self, curve: &Curve, area: Rectangle, step: usize) {
        self.stroke(&area, GRID, 1);
        let (low, high) = curve.range();
        let points = curve.values.len() / curve.width;
        let x = |index: usize| {
            let share = index as f64 / (points - 1).max(1) as f64;
            area.top_left.x + (share * f64::from(area.size.width - 1)).round() as i32
        };
        let y = |value: f64| {
            let share = (high - value) / (high - low);
            area.top_left.y + (share * f64::from(area.size.height - 1)).round() as i32
        };
        if low < 0.0 && high > 0.0 {
            let zero = Line::new(
                Point::new(area.top_left.x, y(0.0)),
                Point::new(x(points.saturating_sub(1)), y(0.0)),
            );
            self.stroke(&zero, GRID, 1);
        }
        let known = curve.known(step);
        for (lane, colour) in (0..curve.width).zip(CURVES.iter().cycle()) {
            let line: Vec<Point> = (0..known)
                .map(|index| (index, curve.values[index * curve.width + lane]))
                .filter(|(_, value)| value.is_finite())
                .map(|(index, value)| Point::new(x(index), y(value)))
                .collect();
            self.stroke(&Polyline::new(&line), *colour, 2);
            if let Some(&end) = line.last() {
                let Ok(()) = primitives::Circle::with_center(end, 7)
                    .into_styled(PrimitiveStyle::with_fill(*colour))
                    .draw(self);
            }
        }
    }

    fn into_frame(self) -> Frame {
        Frame {
            width: self.width as usize,
            height: self.height as usize,
            pixels: self.pixels,
        }
    }
}

impl OriginDimensions for Sheet {
    fn size(&self) -> Size {
        Size::new(self.width, self.height)
    }
}

impl DrawTarget for Sheet {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(
        &mut self,
        pixels: I,
    ) -> Result<(), Infallible> {
        let inside = self.bounding_box();
        for Pixel(at, colour) in pixels {
            if inside.contains(at) {
                let start = 3 * (at.y as usize * self.width as usize + at.x as usize);
                self.pixels[start..start + 3].copy_from_slice(&[
                    colour.r(),
                    colour.g(),
                    colour.b(),
                ]);
            }
        }
        Ok(())
    }
}
