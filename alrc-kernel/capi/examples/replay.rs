//! The results that every caller of the C interface must reproduce to the bit, from the Rust kernel alone.
//!
//! `cargo run -p alrc-capi --example replay -- TRACE.csv RESULTS.bin [PARAMETER=VALUE ...]`; `c/replay.c` is the same
//! program in C.

use std::{collections::HashMap, env, error::Error, fs};

use alrc_kernel::{Alrc, Config, NonFinite, Report, Scaling, Start};

type Parameters = HashMap<String, f64>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [trace, results, overrides @ ..] = &arguments[..] else {
        return Err("usage: replay TRACE.csv RESULTS.bin [PARAMETER=VALUE ...]".into());
    };
    let text = fs::read_to_string(trace)?;
    let mut lines = text.lines();
    let mut parameters = Parameters::new();
    for word in lines.next().unwrap_or_default().split(' ').chain(overrides.iter().map(String::as_str)) {
        if let Some((name, value)) = word.split_once('=') {
            parameters.insert(name.to_owned(), value.parse()?);
        }
    }
    let mut batches: Vec<(String, Vec<f64>)> = Vec::new();
    for row in lines.skip(1) {
        let mut fields = row.split(',');
        let (Some(step), Some(loss)) = (fields.next(), fields.nth(1)) else {
            return Err("a short row".into());
        };
        if batches.last().is_none_or(|(last, _)| last != step) {
            batches.push((step.to_owned(), Vec::new()));
        }
        batches.last_mut().ok_or("no batch")?.1.push(loss.parse()?);
    }
    let mut bytes = replay_f32::replay(&parameters, &batches)?;
    bytes.extend(replay_f64::replay(&parameters, &batches)?);
    Ok(fs::write(results, bytes)?)
}

macro_rules! replay {
    ($module:ident, $float:ident) => {
        mod $module {
            use super::*;

            pub(super) fn replay(
                parameters: &Parameters,
                batches: &[(String, Vec<f64>)],
            ) -> Result<Vec<u8>, Box<dyn Error>> {
                let config = config(parameters);
                let (mut whole, mut parts) = (Alrc::new(config)?, Alrc::new(config)?);
                let mut single = whole;
                let mut results = Vec::new();
                for (_, losses) in batches {
                    let losses: Vec<$float> = losses.iter().map(|&loss| loss as $float).collect();
                    let (mut clipped, mut scales) = (losses.clone(), losses.clone());
                    let report = whole.step_batch(&losses, &mut clipped, &mut scales);
                    write(&mut results, &clipped);
                    write(&mut results, &scales);
                    let Report { clipped: count, non_finite, largest_excess, limit, updated } = report;
                    results.extend([count, non_finite].map(u64::to_le_bytes).concat());
                    write(&mut results, &[largest_excess, limit]);
                    results.extend(u32::from(updated).to_le_bytes());
                    write(&mut results, &[whole.mu1(), whole.mu2()]);

                    let half = losses.len() / 2;
                    let limits = parts.limits();
                    let mut sums =
                        limits.clip_batch(&losses[..half], &mut clipped[..half], &mut scales[..half]);
                    sums.merge(&limits.clip_batch(
                        &losses[half..],
                        &mut clipped[half..],
                        &mut scales[half..],
                    ));
                    parts.update(&sums);
                    write(&mut results, &clipped);
                    write(&mut results, &scales);
                    results.extend(parts.to_bytes());

                    for &loss in &losses {
                        let one = single.step(loss);
                        write(&mut results, &[one.loss, one.scale]);
                    }
                    results.extend(single.to_bytes());
                }
                Ok(results)
            }

            fn write(results: &mut Vec<u8>, numbers: &[$float]) {
                results.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            }

            fn config(parameters: &Parameters) -> Config<$float> {
                let get = |name: &str| parameters.get(name).map(|&value| value as $float);
                let default = Config::default();
                let decay1 = get("decay").unwrap_or(default.decay1);
                let start = match get("warm_up_steps") {
                    Some(steps) if steps > 0.0 => Start::WarmUp { steps: steps as u32 },
                    _ => Start::Estimate {
                        mu1: get("mu1_start").unwrap_or(25.0),
                        mu2: get("mu2_start").unwrap_or(900.0),
                    },
                };
                Config {
                    num_stddev: get("num_stddev").unwrap_or(default.num_stddev),
                    num_stddev_below: get("num_stddev_below"),
                    decay1,
                    decay2: get("decay2").unwrap_or(decay1),
                    start,
                    scaling: if get("scaling") == Some(1.0) { Scaling::Deviation } else { Scaling::Ratio },
                    non_finite: if get("non_finite") == Some(1.0) {
                        NonFinite::Reject
                    } else {
                        NonFinite::Skip
                    },
                    ..default
                }
            }
        }
    };
}

replay!(replay_f32, f32);
replay!(replay_f64, f64);
