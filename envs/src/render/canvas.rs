//! The environments' drawing operations: antialiased polygons, lines and circles in pixels, y
//! downwards.

use super::frame::Frame;
use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, Transform,
};

/// The palette.
pub(crate) mod colour {
    /// Red, green, blue.
    pub(crate) type Rgb = [u8; 3];
    pub(crate) const PAPER: Rgb = [250, 249, 246];
    pub(crate) const GROUND: Rgb = [226, 229, 222];
    pub(crate) const LINE: Rgb = [139, 147, 156];
    pub(crate) const DARK: Rgb = [38, 43, 51];
    pub(crate) const BODY: Rgb = [47, 93, 138];
    pub(crate) const ACCENT: Rgb = [214, 106, 63];
}

type Point = (f64, f64);

/// A canvas of a given size. Whatever is outside it is not drawn.
pub(crate) struct Canvas {
    width: u32,
    height: u32,
    /// `None` for a size without area.
    sheet: Option<Pixmap>,
}

impl Canvas {
    pub(crate) fn new(width: u32, height: u32) -> Self {
        let mut sheet = Pixmap::new(width, height);
        if let Some(sheet) = &mut sheet {
            let [red, green, blue] = colour::PAPER;
            sheet.fill(Color::from_rgba8(red, green, blue, 255));
        }
        Self {
            width,
            height,
            sheet,
        }
    }

    /// Fills a closed polygon.
    pub(crate) fn polygon(&mut self, points: &[Point], colour: colour::Rgb) {
        if let Some(path) = path(points, true) {
            self.fill(&path, colour);
        }
    }

    /// Draws an open line with round ends.
    pub(crate) fn line(&mut self, points: &[Point], width: f64, colour: colour::Rgb) {
        if let Some(path) = path(points, false) {
            self.stroke(&path, width, colour);
        }
    }

    /// Fills a circle.
    pub(crate) fn circle(&mut self, centre: Point, radius: f64, colour: colour::Rgb) {
        if let Some(path) = circle(centre, radius) {
            self.fill(&path, colour);
        }
    }

    /// Draws a circle's outline.
    pub(crate) fn ring(&mut self, centre: Point, radius: f64, width: f64, colour: colour::Rgb) {
        if let Some(path) = circle(centre, radius) {
            self.stroke(&path, width, colour);
        }
    }

    /// Fills a rectangle with rounded corners around `centre`.
    pub(crate) fn rounded_rectangle(
        &mut self,
        centre: Point,
        size: (f64, f64),
        corner: f64,
        colour: colour::Rgb,
    ) {
        let (across, down) = (size.0 / 2.0 - corner, size.1 / 2.0 - corner);
        let (left, right, top, bottom) = (
            centre.0 - across,
            centre.0 + across,
            centre.1 - down,
            centre.1 + down,
        );
        let inner = [(left, top), (right, top), (right, bottom), (left, bottom)];
        self.polygon(&inner, colour);
        if let Some(path) = path(&inner, true) {
            self.stroke(&path, 2.0 * corner, colour);
        }
    }

    fn fill(&mut self, path: &Path, colour: colour::Rgb) {
        if let Some(sheet) = &mut self.sheet {
            sheet.fill_path(
                path,
                &paint(colour),
                FillRule::Winding,
                Transform::identity(),
                None,
            );
        }
    }

    fn stroke(&mut self, path: &Path, width: f64, colour: colour::Rgb) {
        if let Some(sheet) = &mut self.sheet {
            let stroke = Stroke {
                width: width as f32,
                line_cap: LineCap::Round,
                line_join: LineJoin::Round,
                ..Stroke::default()
            };
            sheet.stroke_path(path, &paint(colour), &stroke, Transform::identity(), None);
        }
    }

    /// The finished picture.
    pub(crate) fn into_frame(self) -> Frame {
        let (width, height) = (self.width as usize, self.height as usize);
        let pixels = self.sheet.map_or_else(Vec::new, |sheet| {
            // The canvas is opaque, so premultiplied colours are the colours.
            sheet
                .pixels()
                .iter()
                .flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()])
                .collect()
        });
        Frame {
            width,
            height,
            pixels,
        }
    }
}

fn paint(rgb: colour::Rgb) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(rgb[0], rgb[1], rgb[2], 255);
    paint.anti_alias = true;
    paint
}

/// A coordinate, kept where the rasteriser's fixed point numbers can hold it.
fn coordinate(value: f64) -> f32 {
    value.clamp(-10_000.0, 10_000.0) as f32
}

fn path(points: &[Point], closed: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for (i, &(x, y)) in points.iter().enumerate() {
        let (x, y) = (coordinate(x), coordinate(y));
        if i == 0 {
            builder.move_to(x, y);
        } else {
            builder.line_to(x, y);
        }
    }
    if closed {
        builder.close();
    }
    builder.finish()
}

fn circle(centre: Point, radius: f64) -> Option<Path> {
    let (x, y, radius) = (
        coordinate(centre.0),
        coordinate(centre.1),
        coordinate(radius),
    );
    PathBuilder::from_oval(Rect::from_ltrb(
        x - radius,
        y - radius,
        x + radius,
        y + radius,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_land_where_they_are_told_to() {
        let mut canvas = Canvas::new(40, 20);
        canvas.polygon(
            &[(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)],
            colour::BODY,
        );
        canvas.circle((30.0, 10.0), 5.0, colour::ACCENT);
        canvas.line(&[(0.0, 15.0), (20.0, 15.0)], 4.0, colour::DARK);
        let frame = canvas.into_frame();
        assert_eq!(
            (frame.width, frame.height, frame.pixels.len()),
            (40, 20, 2400)
        );
        assert_eq!(frame.pixel(5, 5), Some(colour::BODY));
        assert_eq!(frame.pixel(30, 10), Some(colour::ACCENT));
        assert_eq!(frame.pixel(10, 15), Some(colour::DARK));
        assert_eq!(frame.pixel(39, 0), Some(colour::PAPER));
        assert_eq!(frame.pixel(40, 0), None);
    }

    #[test]
    fn shapes_outside_and_nan_are_omitted() {
        let mut canvas = Canvas::new(10, 10);
        canvas.circle((1e300, -1e300), 5.0, colour::BODY);
        canvas.line(&[(f64::NAN, 0.0), (f64::INFINITY, 3.0)], 1.0, colour::BODY);
        canvas.polygon(&[], colour::BODY);
        assert_eq!(canvas.into_frame().pixels.len(), 300);
    }
}
