//! Grids: every combination of some options, several times.
//!
//! A grid is a TOML file:
//!
//! ```toml
//! repeats = 10                  # seeds for each combination; default 1
//!
//! [options]                     # of every run; what is absent has its default
//! loss = "quartic"
//! steps = 20000
//!
//! [vary]                        # a list of values for each option that varies
//! batch-size = [1, 4]
//! num-stddev = [2, 3, "off"]
//! ```
//!
//! The published grids are files of the same form in the folder `grids`.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use thiserror::Error;
use toml::{Table, Value};

use crate::config::{Config, ConfigError, ESTIMATES, TableError, as_argument, determines_results, overrule};

/// The published grids.
pub const PUBLISHED: [(&str, &str); 4] = [
    ("stability-squared", include_str!("grids/stability-squared.toml")),
    ("stability-quartic", include_str!("grids/stability-quartic.toml")),
    ("unstable-adam", include_str!("grids/unstable-adam.toml")),
    ("unstable-sgd", include_str!("grids/unstable-sgd.toml")),
];

/// Most runs of a grid.
const MOST_RUNS: u64 = 100_000;

/// A grid of runs.
#[derive(Clone, Debug, Deserialize)]
pub struct Grid {
    /// Runs of each combination, with seeds from the configured one on.
    #[serde(default = "once")]
    pub repeats: u64,
    /// Options of every run.
    #[serde(default)]
    options: Table,
    /// Values of the options that vary.
    #[serde(default)]
    vary: BTreeMap<String, Vec<Value>>,
}

/// What a grid consists of.
const PARTS: [&str; 3] = ["repeats", "options", "vary"];

fn once() -> u64 {
    1
}

/// Why a grid cannot be used.
#[derive(Debug, Error)]
pub enum GridError {
    /// The text is no grid.
    #[error("{0}")]
    Format(#[from] toml::de::Error),
    /// The text holds nothing.
    #[error(
        "it is empty; a grid lists values to try, such as `num-stddev = [2, \"off\"]` below a line `[vary]`; the end \
         of `alrc-train sweep --help` shows a whole one"
    )]
    Nothing,
    /// There are only headings.
    #[error("its tables are empty; list values to try below [vary], such as `num-stddev = [2, \"off\"]`")]
    EmptyTables,
    /// An option stands outside the tables.
    #[error(
        "the option '{0}' stands in no table; put it below [options], or with a list of values below [vary]"
    )]
    Misplaced(String),
    /// An option has no value to try.
    #[error("vary: {0} has no value; list at least one")]
    Empty(String),
    /// An option below `[vary]` has one value instead of a list.
    #[error(
        "vary: {name} needs a list of values: {name} = [{value}], or more of them; one value for all goes below [options]"
    )]
    NoList {
        /// The option.
        name: String,
        /// Its value.
        value: String,
    },
    /// Starting parameters are those of one network.
    #[error(
        "vary: width cannot vary beside init: {0} holds parameters of one width; leave out the one or the other"
    )]
    WidthsOfInit(String),
    /// Seeds are not for the grid to vary.
    #[error("vary: seeds are counted by `repeats`, from the option `seed` on")]
    Seed,
    /// There are no runs, or far too many.
    #[error("{0} runs, permitted: 1 to {MOST_RUNS}; change repeats or the lists of values")]
    Size(u64),
    /// Two runs would have one directory.
    #[error(
        "vary: {first} and {second} are both called {name}; leave one out, or give it a value that looks otherwise"
    )]
    SameName {
        /// Options and values of one.
        first: String,
        /// Options and values of the other.
        second: String,
        /// The name of both.
        name: String,
    },
    /// An option is unknown or of the wrong kind.
    #[error(transparent)]
    Option(#[from] TableError),
    /// A value is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// One run of a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct GridRun {
    /// What distinguishes it, such as `batch-size-4_num-stddev-off_seed-0`; the name of its directory.
    pub name: String,
    /// Its configuration.
    pub config: Config,
}

impl Grid {
    /// Reads a grid.
    pub fn parse(text: &str) -> Result<Self, GridError> {
        let table: Table = text.parse()?;
        if table.is_empty() {
            return Err(GridError::Nothing);
        }
        if table.values().all(|part| part.as_table().is_some_and(Table::is_empty)) {
            return Err(GridError::EmptyTables);
        }
        let options = Config::every_option();
        if let Some(name) = table.keys().find(|name| !PARTS.contains(&name.as_str())) {
            if options.contains_key(name) {
                return Err(GridError::Misplaced(name.clone()));
            }
            let known = options.keys().map(String::as_str).chain(PARTS);
            return Err(TableError::unknown(name, known).into());
        }
        let varied = table.get("vary").and_then(Value::as_table);
        for (name, value) in varied.into_iter().flatten() {
            if name == "seed" {
                return Err(GridError::Seed);
            }
            if !options.contains_key(name) {
                return Err(TableError::unknown(name, options.keys().map(String::as_str)).into());
            }
            if !value.is_array() {
                return Err(GridError::NoList { name: name.clone(), value: value.to_string() });
            }
        }
        // From the text, so that an error tells the line.
        Ok(toml::from_str(text)?)
    }

    /// Gives every run the options of `table`, which then do not vary. The names of runs go on telling the one value of what
    /// varied, if it determines the results, so that runs with another value are others.
    pub fn set(&mut self, table: Table) {
        self.vary.retain(|name, _| determines_results(name) || !table.contains_key(name));
        for (name, values) in &mut self.vary {
            if let Some(value) = table.get(name) {
                *values = vec![value.clone()];
            }
        }
        overrule(&mut self.options, table);
    }

    /// The options that are varied.
    pub fn varied(&self) -> impl Iterator<Item = &str> {
        self.vary.keys().map(String::as_str)
    }

    /// Varies an option over `values`.
    pub fn vary(&mut self, option: &str, values: Vec<Value>) {
        self.vary.insert(option.to_owned(), values);
    }

    /// All runs: every combination with the first seed, then with the next, so that a table fills evenly. No two have one
    /// name.
    pub fn runs(&self, defaults: &Config) -> Result<Vec<GridRun>, GridError> {
        let combinations = self.combinations()?;
        let runs = self.repeats.saturating_mul(combinations.len() as u64);
        if !(1..=MOST_RUNS).contains(&runs) {
            return Err(GridError::Size(runs));
        }
        let base = defaults.with(&self.options)?;
        base.check_start()?;
        self.check_widths(&base)?;
        let mut runs = Vec::new();
        let mut named = HashMap::new();
        for repeat in 0..self.repeats {
            for combination in &combinations {
                let config = base.with(combination)?;
                let config = Config { seed: config.seed.saturating_add(repeat), ..config };
                config.validate()?;
                // One value beside that of [options] was given for all runs.
                let is_varied = |name: &str| {
                    self.vary
                        .get(name)
                        .is_some_and(|values| values.len() > 1 || !self.options.contains_key(name))
                };
                if ESTIMATES.into_iter().any(is_varied) {
                    config.check_start()?;
                }
                // Among [options] they may stand for those runs that have no warm-up.
                let config = config.without_idle_estimates();
                let name = name(&config, combination.keys());
                if let Some(first) = named.insert(name.clone(), combination) {
                    let [first, second] = [first, combination].map(arguments);
                    return Err(GridError::SameName { first, second, name });
                }
                runs.push(GridRun { name, config });
            }
        }
        Ok(runs)
    }

    /// An error where one network's parameters would be those of networks of several widths.
    fn check_widths(&self, base: &Config) -> Result<(), GridError> {
        let varied = self.vary.get("init").and_then(|values| values.first()).map(as_argument);
        let init = varied.or_else(|| base.init.as_ref().map(|init| init.display().to_string()));
        match (init, self.vary.get("width")) {
            (Some(init), Some(widths)) if widths.len() > 1 => Err(GridError::WidthsOfInit(init)),
            _ => Ok(()),
        }
    }

    /// Every combination of the values that vary, the last option fastest.
    fn combinations(&self) -> Result<Vec<Table>, GridError> {
        let mut combinations = vec![Table::new()];
        for (name, values) in &self.vary {
            if values.is_empty() {
                return Err(GridError::Empty(name.clone()));
            }
            let extended = |combination: &Table| {
                let combination = combination.clone();
                values.iter().map(move |value| {
                    let mut combination = combination.clone();
                    combination.insert(name.clone(), value.clone());
                    combination
                })
            };
            combinations = combinations.iter().flat_map(extended).collect();
            if combinations.len() as u64 > MOST_RUNS {
                return Err(GridError::Size(combinations.len() as u64));
            }
        }
        Ok(combinations)
    }
}

/// A combination as it would be written on the command line.
fn arguments(combination: &Table) -> String {
    let arguments = combination.iter().map(|(option, value)| format!("--{option} {}", as_argument(value)));
    arguments.collect::<Vec<_>>().join(" ")
}

/// The options that distinguish a run, as a file name.
fn name<'a>(config: &Config, varied: impl Iterator<Item = &'a String>) -> String {
    // From the configuration, so that 2 and 2.0 give one name.
    let table = config.to_table();
    let part = |option: &str| {
        let value = table.get(option).map_or("none".to_owned(), as_argument);
        let value = value.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-', "-");
        format!("{option}-{value}")
    };
    varied.map(String::as_str).chain(["seed"]).map(part).collect::<Vec<_>>().join("_")
}
