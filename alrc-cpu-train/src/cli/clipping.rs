//! What to tell a user in whose run nothing was clipped.

use std::borrow::Cow;
use std::path::Path;

use crate::config::Config;

/// Why no loss of a run with these options was clipped, and what to change; `losses` is its `losses.csv`.
pub(super) fn why_nothing_was_clipped(options: &Config, losses: &Path) -> String {
    let Config { decay, .. } = options;
    let n = options.num_stddev.unwrap_or_default();
    let start = if options.warm_up > 0 {
        format!("It followed the losses from step {} on (--warm-up)", options.warm_up)
    } else {
        let (mu1, mu2) = (options.mu1_start, options.mu2_start);
        let limit = mu1 + n * (mu2 - mu1 * mu1).sqrt();
        format!(
            "It starts at {limit:.0} (--mu1-start {mu1}, --mu2-start {mu2}) and takes about {:.0} steps to come down to \
             the losses (--decay {decay})",
            1.0 / (1.0 - decay)
        )
    };
    format!(
        "no loss came above the limit, the running mean plus {n} standard deviations. {start}. To see clipping, give \
         more --steps, --mu1-start and --mu2-start that suit the losses (`alrc-train replay {} --num-stddev {n} --decay \
         {decay}` suggests them) or --warm-up 20 instead of them, or a lower --num-stddev",
        shell_word(losses)
    )
}

/// A path as one word of a command that is to be pasted into a shell.
pub(super) fn shell_word(path: &Path) -> String {
    let path = path.to_string_lossy();
    shlex::try_quote(&path).map_or_else(|_| path.to_string(), Cow::into_owned)
}
