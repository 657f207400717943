//! `report.html`: one file that needs no other.

use base64::prelude::{BASE64_STANDARD, Engine};
use indicatif::HumanCount;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::curves::{SPIKE, STEPS_OF_WINDOW, WINDOW};
use super::figures::{self, Described};
use super::groups::{Collection, Group, Setting};
use super::plots::{Figure, PlotError};
use super::runs::{Run, State};
use super::table::{COLUMNS, number, percent};

const STYLE: &str = include_str!("page.css");

/// Figures of one kind in a section.
struct Part {
    heading: &'static str,
    explanation: String,
    panels: Vec<Described>,
}

/// The page. `problems` says what could not be read.
pub fn page(collection: &Collection, problems: &[String]) -> Result<String, PlotError> {
    let sections = collection
        .settings
        .iter()
        .enumerate()
        .map(|(index, setting)| section(collection, index, setting))
        .collect::<Result<Vec<Markup>, PlotError>>()?;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Adaptive learning rate clipping: results" }
                // An empty icon, or browsers look for one beside the page.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "Adaptive learning rate clipping" }
                    p.lede { (counts(collection)) }
                    @if collection.settings.len() > 1 {
                        nav aria-label="Settings" {
                            ul {
                                @for (index, setting) in collection.settings.iter().enumerate() {
                                    li { a href={ "#setting-" (index) } { (collection.title(setting)) } }
                                }
                            }
                        }
                    }
                }
                main {
                    (overview(collection))
                    @for section in sections { (section) }
                    (runs(collection))
                    (common(collection))
                    @if !problems.is_empty() {
                        section {
                            h2 { "Left out" }
                            ul { @for problem in problems { li { (problem) } } }
                        }
                    }
                }
                footer { p { "alrc-train " (env!("CARGO_PKG_VERSION")) } }
            }
        }
    };
    Ok(page.into_string())
}

/// How much there is.
fn counts(collection: &Collection) -> String {
    let count = |state| collection.runs().filter(|run| run.state == state).count();
    let plural = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let mut text = plural(collection.runs().count(), "run");
    text += &format!(" of {}", plural(collection.settings.len(), "setting"));
    for state in [State::Unfinished, State::Diverged] {
        if count(state) > 0 {
            text += &format!(", {} {}", count(state), state.name());
        }
    }
    text + "."
}

/// The table of the paper.
fn overview(collection: &Collection) -> Markup {
    html! {
        section {
            h2 #table { "Loss at the end of training" }
            p {
                "Mean and standard deviation, over the finished repeats, of the mean of the last 5,000 unclipped "
                "losses of a run (of the last tenth of a run of less than 50,000 steps). The difference is that of "
                "the means with and without clipping, with its 95 % interval; p is that of Welch’s t-test. Options of "
                "the clipping, such as its decay, do not matter to the runs without. A spike "
                "is a step whose unclipped loss is finite and above " (SPIKE) " times the average of the finite losses "
                "of the " (WINDOW) " steps before it (in a run of fewer than "
                (HumanCount(STEPS_OF_WINDOW as u64)) " steps, of as many as a thirtieth of them). Spikes and the share "
                "of clipped images are means over the same repeats."
            }
            div.scroll tabindex="0" role="region" aria-labelledby="table" {
                table.merits {
                    thead {
                        tr {
                            @for column in &COLUMNS { th scope="col" { (column.heading) } }
                        }
                    }
                    @for setting in &collection.settings {
                        tbody {
                            tr { th.setting scope="rowgroup" colspan=(COLUMNS.len()) { span { (collection.title(setting)) } } }
                            @for group in &setting.groups { (row(group)) }
                        }
                    }
                }
            }
        }
    }
}

fn row(group: &Group) -> Markup {
    let [clipping, figures @ ..] = &COLUMNS;
    html! {
        tr {
            th scope="row" { (clipping.cell(group)) }
            @for column in figures {
                td {
                    (with_minus(&column.cell(group)))
                    @if let Some(detail) = &column.detail && let Some(cell) = detail.cell(group) {
                        br; small { (detail.sign) (with_minus(&cell)) }
                    }
                }
            }
        }
    }
}

/// Numbers with a proper minus sign.
fn with_minus(numbers: &str) -> String {
    numbers.replace('-', "−")
}

/// Everything about one setting.
fn section(collection: &Collection, index: usize, setting: &Setting) -> Result<Markup, PlotError> {
    let parts = [
        Part {
            heading: "Learning curves",
            explanation: format!(
                "Strong: every run’s average over {} steps. Pale: the range of the single steps of all runs.",
                super::curves::window(setting.steps())
            ),
            panels: figures::curves(setting),
        },
        Part {
            heading: "Limit against loss",
            explanation: "Losses above the limit are clipped. One run for each threshold.".to_owned(),
            panels: figures::limits(setting),
        },
        Part {
            heading: "Scales of the gradient",
            explanation: "1: not clipped. Shares of all images of all runs, on a logarithmic scale."
                .to_owned(),
            panels: figures::scales(setting),
        },
    ];
    let parts = parts
        .into_iter()
        .filter(|part| !part.panels.is_empty())
        .map(|part| {
            Ok(html! {
                h3 { (part.heading) }
                p.explanation { (part.explanation) }
                div.panels.thirds[part.panels.len().is_multiple_of(3)] { @for panel in &part.panels { (chart(panel)?) } }
            })
        })
        .collect::<Result<Vec<Markup>, PlotError>>()?;
    Ok(html! {
        section id={ "setting-" (index) } {
            h2 { (collection.title(setting)) }
            @for part in parts { (part) }
            (samples(setting))
        }
    })
}

/// One panel, drawn in the page.
fn chart(described: &Described) -> Result<Markup, PlotError> {
    let figure = Figure { columns: 1, ..figures::figure(std::slice::from_ref(described)) };
    Ok(html! {
        div.chart role="img" aria-label=(described.description) { (PreEscaped(figure.svg()?)) }
    })
}

/// The pictures that the first runs of the groups have left.
fn samples(setting: &Setting) -> Markup {
    let read = |run: &Run| std::fs::read(run.samples.as_ref()?).ok();
    let pictures: Vec<(&Group, Vec<u8>)> =
        setting.groups.iter().filter_map(|group| Some((group, read(&group.runs[0])?))).collect();
    if pictures.is_empty() {
        return html! {};
    }
    html! {
        h3 { "Samples" }
        p.explanation { "Input, output and target of images of the last step. One run for each threshold." }
        div.samples {
            @for (group, png) in pictures {
                @let clipping = figures::clipping(group.num_stddev);
                figure {
                    img alt={ "Columns of input, output and target " (clipping) }
                        src={ "data:image/png;base64," (BASE64_STANDARD.encode(png)) };
                    figcaption { (clipping) }
                }
            }
        }
    }
}

/// A row for each run.
fn runs(collection: &Collection) -> Markup {
    html! {
        section {
            h2 #runs { "Runs" }
            details {
                summary { "All runs, with their directories" }
                div.scroll tabindex="0" role="region" aria-labelledby="runs" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "directory" }
                                th scope="col" { "seed" }
                                th scope="col" { "state" }
                                th scope="col" { "steps" }
                                th scope="col" { "mean of the last losses" }
                                th scope="col" { "spikes" }
                                th scope="col" { "largest loss" }
                                th scope="col" { "clipped" }
                            }
                        }
                        tbody { @for run in collection.runs() { (run_row(collection, run)) } }
                    }
                }
            }
        }
    }
}

fn run_row(collection: &Collection, run: &Run) -> Markup {
    html! {
        tr {
            th scope="row" { code { (collection.name(run)) } }
            td { (run.config.seed) }
            td { (run.state.name()) }
            td {
                (run.steps)
                @if run.state != State::Finished { " of " (run.config.steps) }
            }
            td { strong { (run.last_loss.map_or("–".to_owned(), number)) } }
            td { (run.curve.spikes) }
            td { (number(run.curve.largest)) }
            td { (percent(run.clipped_fraction)) }
        }
    }
}

/// What all runs have in common.
fn common(collection: &Collection) -> Markup {
    let first = &collection.settings[0];
    let is_common =
        |key: &str| collection.settings.iter().all(|setting| setting.value(key) == first.value(key));
    html! {
        section {
            h2 { "Configuration" }
            details {
                summary { "What all runs have in common" }
                dl {
                    @for (key, value) in first.values.iter().filter(|(key, _)| is_common(key)) {
                        div { dt { (key) } dd { (value) } }
                    }
                }
            }
        }
    }
}
