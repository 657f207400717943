//! Where the moments start: at estimates, or after a warm-up, which takes their place.

use toml::{Table, Value};

use super::{Config, ConfigError};

const WARM_UP: &str = "warm-up";

/// The options of the estimates.
pub const ESTIMATES: [&str; 2] = ["mu1-start", "mu2-start"];

/// An error if an estimate is given beside a warm-up of so many steps, where it has no effect.
pub fn check_start(warm_up: u32, mu1: Option<f32>, mu2: Option<f32>) -> Result<(), ConfigError> {
    let [first, second] = ESTIMATES;
    match mu1.map(|mu1| (first, mu1)).or_else(|| mu2.map(|mu2| (second, mu2))) {
        Some((option, value)) if warm_up > 0 => {
            let permitted = format!(
                "nothing beside --warm-up {warm_up}, which takes the place of --{first} and --{second}; leave out \
                 the one or the other"
            );
            Err(ConfigError { option, value: value.to_string(), permitted: permitted.into() })
        }
        _ => Ok(()),
    }
}

/// Puts the options of `other` in the place of those of `table`: a warm-up also in that of estimates, and estimates in
/// that of a warm-up.
pub fn overrule(table: &mut Table, other: Table) {
    let has_warm_up =
        |table: &Table| table.get(WARM_UP).and_then(Value::as_integer).is_some_and(|steps| steps > 0);
    if has_warm_up(&other) {
        table.retain(|name, _| !ESTIMATES.contains(&name));
    } else if has_warm_up(table) && ESTIMATES.iter().any(|&estimate| other.contains_key(estimate)) {
        table.insert(WARM_UP.to_owned(), 0.into());
    }
    table.extend(other);
}

impl Config {
    /// An error if it has a warm-up, and estimates that are not those of every configuration by default.
    pub fn check_start(&self) -> Result<(), ConfigError> {
        let default = Self::default();
        let mu1 = Some(self.mu1_start).filter(|&mu1| mu1 != default.mu1_start);
        let mu2 = Some(self.mu2_start).filter(|&mu2| mu2 != default.mu2_start);
        check_start(self.warm_up, mu1, mu2)
    }

    /// With the estimates of every configuration by default where they have no effect, beside a warm-up.
    #[must_use]
    pub fn without_idle_estimates(self) -> Self {
        if self.warm_up == 0 {
            return self;
        }
        let Self { mu1_start, mu2_start, .. } = Self::default();
        Self { mu1_start, mu2_start, ..self }
    }
}
