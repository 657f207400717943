//! What to tell a user whose losses are not finite.

use std::path::Path;

use indicatif::HumanCount;

use super::shell::shell_word;
use super::{Failure, counted};
use crate::checkpoint;
use crate::config::Config;
use crate::experiment::run::LOST_STEPS;
use crate::optim::OptimizerKind;
use crate::record::files::CHECKPOINTS;
use crate::record::summary::Summary;

/// Whether no image had a finite loss, not even before the parameters were changed.
fn is_lost_from_the_start(summary: &Summary, config: &Config) -> bool {
    config.init.is_some() && summary.non_finite_images == summary.steps * summary.batch_size as u64
}

/// What helps where the losses at the end are not finite.
fn remedy(summary: &Summary, config: &Config) -> String {
    match &config.init {
        Some(init) if is_lost_from_the_start(summary, config) => format!(
            "not even the first loss was finite: the parameters of --init {} are too large; begin a new run from others",
            shell_word(init)
        ),
        _ => format!("begin a new run with a --learning-rate below {}", config.learning_rate),
    }
}

/// What became of a run that came to its last step, where the losses before it are not finite.
pub(super) fn lost_end(summary: &Summary, config: &Config) -> String {
    format!("training diverged: the last losses are not finite; {}", remedy(summary, config))
}

/// What a run that came to its last step has lost; nothing if every loss was finite.
pub(super) fn losses_that_are_lost(summary: &Summary, config: &Config) -> Option<String> {
    let lost = summary.non_finite_images;
    if lost == 0 {
        return None;
    }
    if summary.mean_last_unclipped_loss.is_none() {
        return Some(lost_end(summary, config));
    }
    let images = summary.steps * summary.batch_size as u64;
    let are = if lost == 1 { "has" } else { "have" };
    Some(format!(
        "{} {are} no finite loss, of {} in all; a lower --learning-rate may help",
        counted(lost, "image", "images"),
        HumanCount(images)
    ))
}

/// Steps of a warm-up that is proposed.
pub(super) const WARM_UP: u64 = 20;

/// What became of a run that diverged, and what may help.
pub(super) fn diverged(summary: &Summary, config: &Config, directory: &Path) -> Failure {
    let first = summary.steps.saturating_sub(LOST_STEPS.into());
    let lost = format!(
        "training diverged: no image had a finite loss from step {first} to step {}",
        summary.steps - 1
    );
    if is_lost_from_the_start(summary, config) {
        return Failure::Diverged(format!("{lost}; {}", remedy(summary, config)));
    }
    // Adam's first step is as long however small clipping makes the gradient.
    let is_lost_by_first_step = first <= 1 && config.optimizer == OptimizerKind::Adam;
    let clipping = match config.num_stddev {
        _ if is_lost_by_first_step => String::new(),
        Some(0.0) => String::new(),
        Some(_) if first > 1 && config.warm_up > 0 && u64::from(config.warm_up) >= first => {
            ", or with a shorter --warm-up, in which nothing is clipped".to_owned()
        }
        Some(n) if summary.clipped_fraction > 0.0 || config.warm_up > 0 => {
            format!(", or with a --num-stddev below {n}")
        }
        Some(n) => {
            // Nothing is clipped in a warm-up.
            let warm_up = if first > WARM_UP {
                format!(", or --warm-up {WARM_UP} instead of these")
            } else {
                String::new()
            };
            format!(
                ", or with clipping that sets in, as it never did: by a --num-stddev below {n}, or a lower --mu1-start \
                 and --mu2-start{warm_up}"
            )
        }
        None => ", or with clipping (--num-stddev 3, or lower)".to_owned(),
    };
    let checkpoints = checkpoint::Directory::new(directory.join(CHECKPOINTS), config.keep);
    let before = checkpoints.newest_before(first).map_or_else(String::new, |path| {
        format!("; --init {} starts from the parameters before", shell_word(&path))
    });
    Failure::Diverged(format!("{lost}; {}{clipping}{before}", remedy(summary, config)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::summary::Ending;

    /// Losses that were lost on the way to a finite end are told, too.
    #[test]
    fn lost_losses_are_counted() {
        let config = Config::default();
        let told = |lost: u64| {
            let summary = Summary {
                ending: Ending::Finished,
                steps: 1_000,
                batch_size: 16,
                images_crc32: None,
                images_per_second: None,
                wall_seconds: 1.0,
                peak_rss_bytes: None,
                clipped_fraction: 0.0,
                non_finite_images: lost,
                scale_histogram: Vec::new(),
                mean_last_unclipped_loss: Some(2.0),
                final_checkpoint: None,
            };
            losses_that_are_lost(&summary, &config)
        };
        assert_eq!(told(0), None);
        let advice = "of 16,000 in all; a lower --learning-rate may help";
        assert_eq!(told(1), Some(format!("1 image has no finite loss, {advice}")));
        assert_eq!(told(2_000), Some(format!("2,000 images have no finite loss, {advice}")));
    }
}
