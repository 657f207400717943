//! The figure of merit of every group, as Markdown and as CSV.

use serde::Serialize;

use super::groups::{Collection, Group, MAIN_KEYS, Setting};
use super::runs::State;

/// A number with four significant digits.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let exponent = value.abs().max(1e-300).log10().floor();
    match exponent {
        _ if value == 0.0 => "0".to_owned(),
        -4.0..6.0 => format!("{value:.*}", (3.0 - exponent).max(0.0) as usize),
        _ => format!("{value:.3e}"),
    }
}

/// A probability.
fn probability(p: f64) -> String {
    if p < 0.0001 { "< 0.0001".to_owned() } else { format!("{p:.4}") }
}

/// A share as percentage.
pub fn percent(fraction: f64) -> String {
    format!("{:.2} %", 100.0 * fraction)
}

/// A column of figures: a cell for each group, empty if there is nothing to tell.
pub struct Column {
    /// Its heading.
    pub heading: &'static str,
    cell: fn(&Group) -> Option<String>,
    /// A column that goes with it, for which the page has no room beside it.
    pub detail: Option<Detail>,
}

/// A column in which the page has no heading, but a sign before each cell.
pub struct Detail {
    heading: &'static str,
    /// The sign.
    pub sign: &'static str,
    cell: fn(&Group) -> Option<String>,
}

/// The columns of figures, that of the threshold first.
pub const COLUMNS: [Column; 7] = [
    Column { heading: "clipping", cell: |group| Some(group.clipping()), detail: None },
    Column { heading: "repeats", cell: |group| Some(repeats(group)), detail: None },
    Column {
        heading: "mean",
        cell: |group| Some(number(group.sample.mean)),
        detail: Some(Detail {
            heading: "std. dev.",
            sign: "±\u{a0}",
            cell: |group| group.sample.std_dev.map(number),
        }),
    },
    Column {
        heading: "difference from off",
        cell: |group| group.test.map(|test| number(test.difference)),
        detail: Some(Detail {
            heading: "95 % interval",
            sign: "",
            cell: |group| {
                let interval = group.test?.interval;
                Some(format!("{} to {}", number(interval.0), number(interval.1)))
            },
        }),
    },
    Column { heading: "p", cell: |group| group.test.map(|test| probability(test.p)), detail: None },
    Column {
        heading: "spikes a run",
        cell: |group| group.mean(|run| run.curve.spikes as f64).map(number),
        detail: None,
    },
    Column {
        heading: "clipped",
        cell: |group| group.mean(|run| run.clipped_fraction).map(percent),
        detail: None,
    },
];

impl Column {
    /// The cell of a group.
    pub fn cell(&self, group: &Group) -> String {
        or_dash((self.cell)(group))
    }
}

impl Detail {
    /// The cell of a group; none if there is nothing to tell.
    pub fn cell(&self, group: &Group) -> Option<String> {
        (self.cell)(group)
    }
}

fn or_dash(cell: Option<String>) -> String {
    cell.unwrap_or_else(|| "–".to_owned())
}

/// Headings of the whole table: text and whether the column holds numbers.
fn headings(collection: &Collection) -> Vec<(&'static str, bool)> {
    let mut headings = vec![("loss", false), ("optimiser", false), ("learning rate", true), ("batch", true)];
    if !collection.varying.is_empty() {
        headings.push(("other settings", false));
    }
    for Column { heading, detail, .. } in &COLUMNS {
        headings.push((heading, true));
        headings.extend(detail.as_ref().map(|detail| (detail.heading, true)));
    }
    headings
}

/// A row for each group, cell by cell under [`headings`].
fn rows(collection: &Collection) -> impl Iterator<Item = Vec<String>> {
    groups(collection).map(|(setting, group)| {
        let mut row: Vec<String> = MAIN_KEYS.map(|key| setting.value(key).to_owned()).into();
        if !collection.varying.is_empty() {
            row.push(collection.others(setting));
        }
        for column in &COLUMNS {
            row.push(column.cell(group));
            row.extend(column.detail.as_ref().map(|detail| or_dash(detail.cell(group))));
        }
        row
    })
}

fn groups(collection: &Collection) -> impl Iterator<Item = (&Setting, &Group)> {
    collection.settings.iter().flat_map(|setting| setting.groups.iter().map(move |group| (setting, group)))
}

/// The number of finished runs, and of the others, if any.
fn repeats(group: &Group) -> String {
    let mut text = group.count(State::Finished).to_string();
    for state in [State::Diverged, State::Unfinished] {
        let count = group.count(state);
        if count > 0 {
            text += &format!(", {count} {}", state.name());
        }
    }
    text
}

/// The table as Markdown.
pub fn markdown(collection: &Collection) -> String {
    let headings = headings(collection);
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut table = line(headings.iter().map(|heading| heading.0).collect());
    table += &line(headings.iter().map(|heading| if heading.1 { "---:" } else { "---" }).collect());
    for row in rows(collection) {
        table += &line(row.iter().map(String::as_str).collect());
    }
    table
}

/// The figures of a group, for programs. What is not known is none, or an empty cell.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    loss: String,
    optimizer: String,
    learning_rate: f32,
    batch_size: usize,
    other_settings: String,
    num_stddev: Option<f32>,
    repeats: usize,
    diverged: usize,
    unfinished: usize,
    mean: Option<f64>,
    std_dev: Option<f64>,
    difference_from_off: Option<f64>,
    interval_low: Option<f64>,
    interval_high: Option<f64>,
    t: Option<f64>,
    degrees_of_freedom: Option<f64>,
    p: Option<f64>,
    spikes_per_run: Option<f64>,
    clipped_fraction: Option<f64>,
}

/// A record for each group.
pub fn records(collection: &Collection) -> Vec<Record> {
    let record = |(setting, group): (&Setting, &Group)| {
        let config = &group.runs[0].config;
        let test = group.test;
        Record {
            loss: setting.value("loss").to_owned(),
            optimizer: setting.value("optimizer").to_owned(),
            learning_rate: config.learning_rate,
            batch_size: config.batch_size,
            other_settings: collection.others(setting),
            num_stddev: group.num_stddev,
            repeats: group.sample.count,
            diverged: group.count(State::Diverged),
            unfinished: group.count(State::Unfinished),
            mean: Some(group.sample.mean).filter(|mean| mean.is_finite()),
            std_dev: group.sample.std_dev,
            difference_from_off: test.map(|test| test.difference),
            interval_low: test.map(|test| test.interval.0),
            interval_high: test.map(|test| test.interval.1),
            t: test.map(|test| test.t),
            degrees_of_freedom: test.map(|test| test.degrees_of_freedom),
            p: test.map(|test| test.p),
            spikes_per_run: group.mean(|run| run.curve.spikes as f64),
            clipped_fraction: group.mean(|run| run.clipped_fraction),
        }
    };
    groups(collection).map(record).collect()
}

/// The records as CSV.
pub fn csv(collection: &Collection) -> csv::Result<Vec<u8>> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    for record in records(collection) {
        csv.serialize(record)?;
    }
    csv.into_inner().map_err(|error| error.into_error().into())
}
