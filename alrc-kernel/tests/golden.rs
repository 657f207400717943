//! The published implementation's results, element by element (`golden/*.csv`).
//!
//! The first line of a file holds its parameters; rows with one `step` are one call on a vector of losses.

use std::path::Path;

use alrc_kernel::{Alrc, Config, Float, Start};

/// float32 rounding differs between implementations by this much, relatively.
const TOLERANCE: f64 = 1e-5;

const FILES: [&str; 4] = ["lognormal_batch16_n3", "spiky_batch4_n2", "stem75_mse_n3", "stem77_wassd_n2"];

struct Row {
    step: usize,
    loss_in: f64,
    loss_out: f64,
    grad_scale: f64,
    mu1: f64,
    mu2: f64,
}

fn read(name: &str) -> (String, Vec<Row>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).with_extension("csv");
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let parameters = lines.next().unwrap().to_owned();
    let rows = lines.skip(1).map(|line| {
        let field = |index| line.split(',').nth(index).unwrap();
        let number = |index| field(index).parse::<f64>().unwrap();
        Row {
            step: field(0).parse().unwrap(),
            loss_in: number(2),
            loss_out: number(3),
            grad_scale: number(4),
            mu1: number(5),
            mu2: number(6),
        }
    });
    (parameters, rows.collect())
}

fn parameter(parameters: &str, name: &str) -> f64 {
    let value = parameters.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    value.unwrap().parse().unwrap()
}

#[track_caller]
fn assert_near<F: Float>(actual: F, expected: f64, what: &str) {
    let error = (actual.to_f64() - expected).abs();
    assert!(error <= TOLERANCE * expected.abs(), "{what}: {actual:?}, expected {expected}");
}

fn replay<F: Float>(name: &str) {
    let (parameters, rows) = read(name);
    let get = |name| F::from_f64(parameter(&parameters, name));
    let config = Config {
        num_stddev: get("num_stddev"),
        decay1: get("decay"),
        decay2: get("decay"),
        start: Start::Estimate { mu1: get("mu1_start"), mu2: get("mu2_start") },
        ..Config::default()
    };
    let mut alrc = Alrc::new(config).unwrap();
    let mut rest = &rows[..];
    while let Some(first) = rest.first() {
        let batch_size = rest.iter().take_while(|row| row.step == first.step).count();
        let (rows, later) = rest.split_at(batch_size);
        rest = later;
        let losses: Vec<F> = rows.iter().map(|row| F::from_f64(row.loss_in)).collect();
        let (mut clipped, mut scales) = (losses.clone(), losses.clone());
        let report = alrc.step_batch(&losses, &mut clipped, &mut scales);
        for (index, row) in rows.iter().enumerate() {
            let what = format!("{name}, step {}, element {index}", row.step);
            assert_near(clipped[index], row.loss_out, &what);
            // Within the tolerance of the limit either side is right.
            if (row.loss_in / report.limit.to_f64() - 1.0).abs() > TOLERANCE {
                assert_near(scales[index], row.grad_scale, &what);
            }
            assert_near(alrc.mu1(), row.mu1, &what);
            assert_near(alrc.mu2(), row.mu2, &what);
        }
    }
}

#[test]
fn f32_agrees_with_the_published_implementation() {
    FILES.iter().for_each(|name| replay::<f32>(name));
}

#[test]
fn f64_agrees_with_the_published_implementation() {
    FILES.iter().for_each(|name| replay::<f64>(name));
}
