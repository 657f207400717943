//! Learning curves as SVG and PNG.

use std::sync::Once;

use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use thiserror::Error;

/// Width and height of a panel, in pixels.
const PANEL: (u32, u32) = (900, 330);

/// The only font: a part of DejaVu Sans, whose licence lies beside it.
static FONT: &[u8] = include_bytes!("DejaVuSans-subset.ttf");

/// A picture could not be drawn.
#[derive(Debug, Error)]
#[error("cannot draw a plot: {0}")]
pub struct PlotError(String);

impl PlotError {
    fn new(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// One run of a panel.
#[derive(Clone, Debug)]
pub struct Curve {
    /// What the legend says.
    pub label: String,
    /// Loss of every step; not all finite.
    pub losses: Vec<f64>,
}

/// Runs to be compared in one plot.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Its title.
    pub title: String,
    /// Its runs, up to three.
    pub curves: Vec<Curve>,
}

/// Panels below each other as SVG; every loss is a pale line, its boxcar average over `window` steps a strong one.
pub fn svg(panels: &[Panel], window: usize) -> Result<String, PlotError> {
    register();
    let mut text = String::new();
    draw(SVGBackend::with_string(&mut text, size(panels)).into_drawing_area(), panels, window)?;
    Ok(text)
}

/// The same as PNG.
pub fn png(panels: &[Panel], window: usize) -> Result<Vec<u8>, PlotError> {
    register();
    let (width, height) = size(panels);
    let mut pixels = vec![0; (3 * width * height) as usize];
    draw(BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area(), panels, window)?;
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(&pixels, width, height, ExtendedColorType::Rgb8)
        .map_err(PlotError::new)?;
    Ok(bytes)
}

/// Means over the last `window` finite losses; shorter at the start.
pub fn boxcar(losses: &[f64], window: usize) -> Vec<f64> {
    let mean = |end: usize| {
        let part = losses[(end + 1).saturating_sub(window)..=end].iter().filter(|loss| loss.is_finite());
        let (count, sum) = part.fold((0.0, 0.0), |(count, sum), loss| (count + 1.0, sum + loss));
        sum / count
    };
    (0..losses.len()).map(mean).collect()
}

fn size(panels: &[Panel]) -> (u32, u32) {
    (PANEL.0, PANEL.1 * panels.len() as u32)
}

fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Fails only for a font that cannot be parsed; a test draws with this one.
        let _ = register_font("sans-serif", FontStyle::Normal, FONT);
    });
}

/// Vermilion, blue, green: told apart by every kind of eye (Okabe and Ito).
const COLORS: [RGBColor; 3] = [RGBColor(213, 94, 0), RGBColor(0, 114, 178), RGBColor(0, 158, 115)];

fn draw<B: DrawingBackend>(
    area: DrawingArea<B, Shift>,
    panels: &[Panel],
    window: usize,
) -> Result<(), PlotError> {
    area.fill(&WHITE).map_err(PlotError::new)?;
    for (area, panel) in area.split_evenly((panels.len(), 1)).iter().zip(panels) {
        draw_panel(area, panel, window)?;
    }
    area.present().map_err(PlotError::new)
}

fn draw_panel<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    panel: &Panel,
    window: usize,
) -> Result<(), PlotError> {
    let losses = || {
        panel
            .curves
            .iter()
            .flat_map(|curve| &curve.losses)
            .copied()
            .filter(|&loss| loss > 0.0 && loss.is_finite())
    };
    let low = losses().fold(f64::INFINITY, f64::min).clamp(1e-6, 1e6);
    let high = losses().fold(0.0, f64::max).clamp(10.0 * low, 1e12);
    let steps = panel.curves.iter().map(|curve| curve.losses.len()).max().unwrap_or(0).max(1);
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(0..steps, (low..high).log_scale())
        .map_err(PlotError::new)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.12))
        .label_style(("sans-serif", 14))
        .x_desc("step")
        .y_desc("unclipped loss")
        .draw()
        .map_err(PlotError::new)?;
    // All pale lines first, so that no average is hidden.
    for (curve, color) in panel.curves.iter().zip(COLORS) {
        let points = curve.losses.iter().copied().enumerate().filter(|(_, loss)| loss.is_finite());
        chart.draw_series(LineSeries::new(points, color.mix(0.25))).map_err(PlotError::new)?;
    }
    for (curve, color) in panel.curves.iter().zip(COLORS) {
        let average =
            boxcar(&curve.losses, window).into_iter().enumerate().filter(|(_, loss)| loss.is_finite());
        chart
            .draw_series(LineSeries::new(average, color.stroke_width(2)))
            .map_err(PlotError::new)?
            .label(&curve.label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .label_font(("sans-serif", 14))
        .draw()
        .map_err(PlotError::new)
}
