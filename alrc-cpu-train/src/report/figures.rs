//! What the plots of a report show.

use super::axis::Axis;
use super::curves::{Envelope, LossCurve};
use super::groups::{Group, Setting};
use super::plots::{Content, Figure, Hue, Line, Panel};
use super::table::number;

/// Width and height of a panel: two are side by side on a desktop, one fills a phone.
const PANEL: (u32, u32) = (440, 310);

/// Most panels in a row of a picture file.
const COLUMNS: usize = 4;

/// A panel with what it shows in words, for those who cannot see it.
#[derive(Clone, Debug)]
pub struct Described {
    /// The panel.
    pub panel: Panel,
    /// Its description.
    pub description: String,
}

/// Panels as one picture.
pub fn figure(panels: &[Described]) -> Figure {
    let columns = panels.len().clamp(1, COLUMNS);
    let panels = panels.iter().map(|described| described.panel.clone()).collect();
    Figure { panels, columns, panel_size: PANEL }
}

/// The threshold in words.
pub fn clipping(num_stddev: Option<f32>) -> String {
    match num_stddev {
        Some(n) => format!("clipped at {n} standard deviations"),
        None => "without clipping".to_owned(),
    }
}

/// The colour of runs at a threshold.
pub fn color(num_stddev: Option<f32>) -> Hue {
    if num_stddev.is_some() { Hue::Blue } else { Hue::Vermilion }
}

/// A pale line through the losses and a strong one through their average.
pub fn lines(curve: &LossCurve, label: &str, color: Hue) -> [Line; 2] {
    let pale = Line { label: None, color, is_pale: true, points: curve.losses.points() };
    let label = Some(label.to_owned());
    let strong = Line { label, color, is_pale: false, points: curve.average.points() };
    [pale, strong]
}

/// Lines over steps, the pale ones undermost.
pub fn loss_panel(title: String, mut lines: Vec<Line>, axis: Axis, end: f64) -> Panel {
    lines.sort_by_key(|line| !line.is_pale);
    let names = ("step".to_owned(), "unclipped loss".to_owned());
    Panel { title, names, end, axis, content: Content::Lines(lines) }
}

/// Learning curves: a panel for each threshold, all repeats in one.
pub fn curves(setting: &Setting) -> Vec<Described> {
    let all: Vec<Envelope> = setting.groups.iter().map(losses).collect();
    let axis = Axis::of_losses(all.iter().flat_map(Envelope::points).map(|point| point.1));
    let panels = setting.groups.iter().zip(&all).map(|(group, losses)| {
        let color = color(group.num_stddev);
        let mut lines = vec![Line { label: None, color, is_pale: true, points: losses.points() }];
        for run in &group.runs {
            let points = run.curve.average.points();
            lines.push(Line { label: None, color, is_pale: false, points });
        }
        let title = clipping(group.num_stddev);
        let (runs, s) = (group.runs.len(), if group.runs.len() == 1 { "" } else { "s" });
        let spikes: u64 = group.runs.iter().map(|run| run.curve.spikes).sum();
        let end = number(group.sample.mean);
        let description =
            format!("Learning curves of {runs} run{s} {title}: {spikes} spikes, mean loss at the end {end}.");
        Described { panel: loss_panel(title, lines, axis, setting.steps() as f64), description }
    });
    panels.collect()
}

fn losses(group: &Group) -> Envelope {
    let mut losses = Envelope::default();
    for run in &group.runs {
        losses.merge(run.curve.losses.clone());
    }
    losses
}

/// The limit over the course of training against the loss: a panel for each threshold, with its first run.
pub fn limits(setting: &Setting) -> Vec<Described> {
    let clipped = || setting.groups.iter().filter(|group| group.num_stddev.is_some());
    let points = clipped().flat_map(|group| {
        let run = &group.runs[0];
        run.limits.points().into_iter().chain(run.curve.losses.points())
    });
    let axis = Axis::of_losses(points.map(|point| point.1));
    let panels = clipped().map(|group| {
        let run = &group.runs[0];
        let mut lines = Vec::from(lines(&run.curve, "average loss", Hue::Blue));
        let label = Some("limit".to_owned());
        lines.push(Line { label, color: Hue::Green, is_pale: false, points: run.limits.points() });
        let title = format!("{}, seed {}", clipping(group.num_stddev), run.config.seed);
        let clipped = super::table::percent(run.clipped_fraction);
        let description = format!("Limit and loss of a run {title}: {clipped} of the images were clipped.");
        Described { panel: loss_panel(title, lines, axis, setting.steps() as f64), description }
    });
    panels.collect()
}

/// Shares of images by the scale of their gradient: a panel for each threshold.
pub fn scales(setting: &Setting) -> Vec<Described> {
    let shares: Vec<(&Group, Vec<f64>)> = setting
        .groups
        .iter()
        .filter(|group| group.num_stddev.is_some())
        .filter_map(|group| Some((group, shares(group)?)))
        .collect();
    let lowest = shares.iter().flat_map(|(_, shares)| shares).copied().filter(|&share| share > 0.0);
    let axis = Axis::logarithmic(0.5 * lowest.fold(0.1, f64::min), 1.0);
    let panels = shares.into_iter().map(|(group, shares)| {
        let whole = shares.last().copied().unwrap_or_default();
        let title = clipping(group.num_stddev);
        let bins = shares.len();
        let description = format!(
            "Histogram of the scales of runs {title}: {:.2} % of the images have a scale above {}.",
            100.0 * whole,
            1.0 - 1.0 / bins as f64
        );
        let names = ("scale of the gradient".to_owned(), "share of the images".to_owned());
        let content = Content::Bars(Hue::Blue, shares);
        Described { panel: Panel { title, names, end: 1.0, axis, content }, description }
    });
    panels.collect()
}

/// Shares of a group's images; none if no run has counted them.
fn shares(group: &Group) -> Option<Vec<f64>> {
    let mut sums: Vec<u64> = Vec::new();
    for scales in group.runs.iter().filter_map(|run| run.scales.as_ref()) {
        sums.resize(sums.len().max(scales.len()), 0);
        sums.iter_mut().zip(scales).for_each(|(sum, count)| *sum += count);
    }
    let total = sums.iter().sum::<u64>();
    (total > 0).then(|| sums.iter().map(|&count| count as f64 / total as f64).collect())
}
