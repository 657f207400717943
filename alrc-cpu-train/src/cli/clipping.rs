//! What to tell a user in whose run nothing was clipped.

use std::path::Path;

use super::divergence::WARM_UP;
use super::shell::shell_word;
use crate::config::Config;

/// Why no loss of a run with these options, whose losses stayed finite, was clipped, and what to change; `losses` is its
/// `losses.csv`.
pub(super) fn why_nothing_was_clipped(options: &Config, losses: &Path) -> String {
    let Config { decay, steps, warm_up, .. } = options;
    let n = options.num_stddev.unwrap_or_default();
    if u64::from(*warm_up) >= *steps {
        return format!("nothing is clipped during the warm-up (--warm-up {warm_up}); give more --steps");
    }
    let start = if *warm_up > 0 {
        format!("It followed the losses from step {warm_up} on (--warm-up)")
    } else {
        let (mu1, mu2) = (options.mu1_start, options.mu2_start);
        let limit = mu1 + n * (mu2 - mu1 * mu1).sqrt();
        format!(
            "It starts at {limit:.0} (--mu1-start {mu1}, --mu2-start {mu2}) and comes down by about a third at most in \
             {:.0} steps (--decay {decay})",
            1.0 / (1.0 - decay)
        )
    };
    let other_start = if *warm_up > 0 {
        String::new()
    } else {
        format!(
            " --mu1-start and --mu2-start that suit the losses (`alrc-train replay {} --num-stddev {n} --decay {decay}` \
             suggests them), --warm-up {WARM_UP} instead of them, or",
            shell_word(losses)
        )
    };
    format!(
        "no loss came above the limit, the running mean plus {n} standard deviations. {start}. To see clipping, give \
         more --steps; or, with another --out,{other_start} a lower --num-stddev"
    )
}
