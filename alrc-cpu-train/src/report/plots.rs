//! Draws panels of lines or bars as SVG and PNG. What a panel shows is decided elsewhere.

use std::sync::Once;

use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use thiserror::Error;

use super::axis::Axis;

/// The only font: a part of DejaVu Sans, whose licence lies beside it.
static FONT: &[u8] = include_bytes!("DejaVuSans-subset.ttf");

/// Pixels of a PNG file for each pixel of the figure: letters and lines lie on whole pixels there, and look it if those
/// are large.
const PNG_SCALE: u32 = 2;

/// Pixels around a panel.
const MARGIN: i32 = 10;

/// Pixels that the names of the lines take.
const LEGEND_HEIGHT: i32 = 20;

/// Pixels that the labels of the ordinate take.
const ORDINATE_WIDTH: i32 = 58;

/// Colours that every kind of eye can tell apart (Okabe and Ito). The style sheet of the report knows their values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hue {
    /// For what is not clipped.
    Vermilion,
    /// For what is clipped.
    Blue,
    /// For limits.
    Green,
}

impl Hue {
    fn rgb(self) -> RGBColor {
        match self {
            Self::Vermilion => RGBColor(213, 94, 0),
            Self::Blue => RGBColor(0, 114, 178),
            Self::Green => RGBColor(0, 158, 115),
        }
    }
}

/// A picture could not be drawn.
#[derive(Debug, Error)]
#[error("cannot draw a plot: {0}")]
pub struct PlotError(String);

impl PlotError {
    fn new(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// A line of a panel.
#[derive(Clone, Debug)]
pub struct Line {
    /// What the legend says; none: nothing.
    pub label: Option<String>,
    /// Its colour.
    pub color: Hue,
    /// Thin and pale, for single values; or strong, for averages.
    pub is_pale: bool,
    /// Abscissas, ascending, and ordinates, finite.
    pub points: Vec<(f64, f64)>,
}

/// What a panel shows.
#[derive(Clone, Debug)]
pub enum Content {
    /// Lines, the first undermost.
    Lines(Vec<Line>),
    /// Bars of equal width side by side over the abscissa.
    Bars(Hue, Vec<f64>),
}

/// One coordinate system.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Its title.
    pub title: String,
    /// What abscissa and ordinate are.
    pub names: (String, String),
    /// End of the abscissa, which begins at 0.
    pub end: f64,
    /// The ordinate.
    pub axis: Axis,
    /// What it shows.
    pub content: Content,
}

/// Panels in rows.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The panels, row after row.
    pub panels: Vec<Panel>,
    /// Panels in a row.
    pub columns: usize,
    /// Width and height of a panel in pixels.
    pub panel_size: (u32, u32),
}

impl Figure {
    /// All panels as one SVG file.
    pub fn svg(&self) -> Result<String, PlotError> {
        register();
        let mut text = String::new();
        self.draw(SVGBackend::with_string(&mut text, self.size()).into_drawing_area(), 1)?;
        Ok(text)
    }

    /// All panels as one PNG file.
    pub fn png(&self) -> Result<Vec<u8>, PlotError> {
        register();
        let (width, height) = self.size();
        let (width, height) = (PNG_SCALE * width, PNG_SCALE * height);
        let mut pixels = vec![0; (3 * width * height) as usize];
        self.draw(BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area(), PNG_SCALE)?;
        let mut bytes = Vec::new();
        PngEncoder::new(&mut bytes)
            .write_image(&pixels, width, height, ExtendedColorType::Rgb8)
            .map_err(PlotError::new)?;
        Ok(bytes)
    }

    fn rows(&self) -> usize {
        self.panels.len().div_ceil(self.columns)
    }

    fn size(&self) -> (u32, u32) {
        (self.panel_size.0 * self.columns as u32, self.panel_size.1 * self.rows() as u32)
    }

    fn draw<B: DrawingBackend>(&self, area: DrawingArea<B, Shift>, scale: u32) -> Result<(), PlotError> {
        area.fill(&WHITE).map_err(PlotError::new)?;
        for (area, panel) in area.split_evenly((self.rows(), self.columns)).iter().zip(&self.panels) {
            panel.draw(area, scale)?;
        }
        area.present().map_err(PlotError::new)
    }
}

fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Fails only for a font that cannot be parsed; a test draws with this one.
        let _ = register_font("sans-serif", FontStyle::Normal, FONT);
    });
}

impl Panel {
    /// `scale`: pixels for each pixel of the figure.
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, scale: u32) -> Result<(), PlotError> {
        let pixels = |size: i32| size * scale as i32;
        let margin = pixels(MARGIN);
        let area = area.margin(margin, margin, margin, 0);
        let mut area = area.titled(&self.title, ("sans-serif", pixels(18))).map_err(PlotError::new)?;
        if let Content::Lines(lines) = &self.content
            && lines.iter().any(|line| line.label.is_some())
        {
            let (legend, below) = area.split_vertically(pixels(LEGEND_HEIGHT));
            draw_legend(&legend, lines, scale)?;
            area = below;
        }
        let mut chart = ChartBuilder::on(&area)
            // Half a label stands out.
            .margin_right(pixels(28))
            .x_label_area_size(pixels(40))
            .y_label_area_size(pixels(ORDINATE_WIDTH))
            .build_cartesian_2d(0.0..self.end.max(1.0), self.axis)
            .map_err(PlotError::new)?;
        chart
            .configure_mesh()
            .max_light_lines(0)
            .bold_line_style(BLACK.mix(0.1).stroke_width(scale))
            .axis_style(BLACK.mix(0.6).stroke_width(scale))
            .label_style(("sans-serif", pixels(14)))
            .set_all_tick_mark_size(pixels(5))
            .x_labels(5)
            .x_label_formatter(&|value| step_label(*value))
            .x_desc(&self.names.0)
            .y_desc(&self.names.1)
            .draw()
            .map_err(PlotError::new)?;
        match &self.content {
            Content::Bars(color, heights) => {
                let width = self.end / heights.len() as f64;
                let bars = heights.iter().enumerate().map(|(index, &height)| {
                    let (left, right) = (index as f64 + 0.08, index as f64 + 0.92);
                    let corners = [(left * width, 0.0), (right * width, height)];
                    Rectangle::new(corners, color.rgb().filled())
                });
                chart.draw_series(bars).map_err(PlotError::new)?;
            }
            Content::Lines(lines) => {
                for line in lines {
                    // Where wide stretches join, pixels have holes and spikes, unless each stretch is drawn alone.
                    let is_apart = scale > 1 && !line.is_pale;
                    let points_together = if is_apart { 2 } else { line.points.len().max(1) };
                    let stretches = line.points.windows(points_together);
                    let series = stretches.map(|points| PathElement::new(points, line.style(scale)));
                    chart.draw_series(series).map_err(PlotError::new)?;
                }
            }
        }
        Ok(())
    }
}

impl Line {
    fn style(&self, scale: u32) -> ShapeStyle {
        let color = self.color.rgb();
        // A hair of one pixel, the darker the thinner that is.
        let pale = color.mix(0.25 * f64::from(scale).sqrt());
        if self.is_pale { pale.into() } else { color.stroke_width(2 * scale) }
    }
}

/// Draws what the lines are called from left to right: beside the plot, where it hides nothing.
fn draw_legend<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    lines: &[Line],
    scale: u32,
) -> Result<(), PlotError> {
    let pixels = |size: i32| size * scale as i32;
    let font = ("sans-serif", pixels(14)).into_text_style(area);
    let mut x = pixels(ORDINATE_WIDTH);
    for line in lines {
        let Some(label) = &line.label else { continue };
        let middle = pixels(LEGEND_HEIGHT) / 2;
        let sample = PathElement::new([(x, middle), (x + pixels(20), middle)], line.style(scale));
        area.draw(&sample).map_err(PlotError::new)?;
        let (width, height) = area.estimate_text_size(label, &font).map_err(PlotError::new)?;
        area.draw_text(label, &font, (x + pixels(26), middle - height as i32 / 2)).map_err(PlotError::new)?;
        x += pixels(26 + 24) + width as i32;
    }
    Ok(())
}

/// A number of steps, with a comma for thousands; or a fraction.
fn step_label(value: f64) -> String {
    if value.fract() != 0.0 || value < 1000.0 {
        return format!("{value}");
    }
    let digits = format!("{value:.0}");
    let mut label = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            label.push(',');
        }
        label.push(digit);
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(step_label(100_000.0), "100,000");
        assert_eq!(step_label(1_500.0), "1,500");
        assert_eq!(step_label(500.0), "500");
        assert_eq!(step_label(0.25), "0.25");
    }
}
