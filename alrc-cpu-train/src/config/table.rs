//! Configurations as tables of options: read from files, merged and compared.

use std::path::PathBuf;

use thiserror::Error;
use toml::{Table, Value};

use super::{Config, permitted};

/// Options that a resumed run may change: those that do not determine its results, or only how they are rounded.
const NEUTRAL: [&str; 10] = [
    "data",
    "steps",
    "threads",
    "conv",
    "simd",
    "sum-order",
    "backend",
    "adapter",
    "checkpoint-every",
    "keep",
];

/// The option that names the starting parameters.
const INIT: &str = "init";

/// Options in which ranks that train together may differ.
const OWN: [&str; 3] = ["data", "threads", "keep"];

/// Why a table of options is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TableError {
    /// There is no such option.
    #[error("unknown option '{name}'; did you mean '{nearest}'?")]
    Unknown {
        /// What it was called.
        name: String,
        /// The option whose name is most alike.
        nearest: String,
    },
    /// A value is of the wrong kind.
    #[error("{name}: {problem}")]
    Value {
        /// The option's name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl TableError {
    /// That `name` is none of the options that are `known`.
    pub(crate) fn unknown<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let similarity = |known: &&str| (1e6 * strsim::jaro_winkler(known, name)) as u32;
        let nearest = known.into_iter().max_by_key(similarity).unwrap_or_default();
        Self::Unknown { name: name.to_owned(), nearest: nearest.to_owned() }
    }

    /// That an option cannot have a value of this kind: with what is permitted where that is known, else with what TOML's
    /// reader says.
    fn value(name: &str, value: &Value, error: &toml::de::Error) -> Self {
        let kind = match value {
            Value::String(_) => "is text, not a number",
            Value::Float(_) => "is no whole number",
            _ => "is of the wrong kind",
        };
        let problem = match permitted(name) {
            "" => error.message().to_owned(),
            permitted => format!("{value} {kind}; permitted: {permitted}"),
        };
        Self::Value { name: name.to_owned(), problem }
    }
}

/// Whether runs that differ in an option have other results, so that none of them continues the other.
pub fn determines_results(option: &str) -> bool {
    !NEUTRAL.contains(&option)
}

impl Config {
    /// This configuration with the options of `table` instead of its own; they need not lie in their ranges.
    pub fn with(&self, table: &Table) -> Result<Self, TableError> {
        let mut merged = self.to_table();
        let known = Self::every_option();
        for (name, value) in table {
            if !known.contains_key(name) {
                return Err(TableError::unknown(name, known.keys().map(String::as_str)));
            }
            merged.insert(name.clone(), value.clone());
            // One after the other, so that the error can tell which.
            merged.clone().try_into::<Self>().map_err(|error| TableError::value(name, value, &error))?;
        }
        merged.try_into().map_err(|error: toml::de::Error| TableError::Value {
            name: "configuration".to_owned(),
            problem: error.message().to_owned(),
        })
    }

    /// As a table of options.
    ///
    /// # Panics
    /// Where the configuration is not valid.
    pub fn to_table(&self) -> Table {
        // By way of text, where an f32 has as few digits as it needs.
        let text = toml::to_string(self).expect("a valid configuration");
        text.parse().expect("TOML, as it was written")
    }

    /// A table with a value for every option that there is, those that a configuration need not have included.
    pub fn every_option() -> Table {
        Self { init: Some(PathBuf::new()), adapter: Some(String::new()), ..Self::default() }.to_table()
    }

    /// What determines the results, as a table: everything but where the data lie, how long the run goes, how its
    /// work is carried out and what it leaves behind.
    pub fn defining(&self) -> Table {
        let mut table = self.to_table();
        table.retain(|name, _| determines_results(name));
        table
    }

    /// The first option in which `other`, a table of [`defining`](Self::defining) options, differs from this
    /// configuration, there and here. Two paths to one file of starting parameters are no difference.
    pub fn first_difference(&self, other: &Table) -> Option<(String, String)> {
        let mut own = self.defining();
        if let (Some(init), Some(other)) = (&self.init, other.get(INIT).and_then(Value::as_str))
            && same_file::is_same_file(init, other).unwrap_or(false)
        {
            own.insert(INIT.to_owned(), other.into());
        }
        difference(other, &own)
    }

    /// What ranks that train together have in common, as a table: everything but where each finds the data, its
    /// threads, and what rank 0 leaves behind.
    pub fn common(&self) -> Table {
        let mut table = self.to_table();
        table.retain(|name, _| !OWN.contains(&name));
        table
    }
}

/// The first option in which two tables of options differ, as arguments.
pub fn difference(a: &Table, b: &Table) -> Option<(String, String)> {
    let option = a.keys().chain(b.keys()).find(|name| a.get(*name) != b.get(*name))?;
    let describe = |table: &Table| match table.get(option) {
        Some(value) => format!("--{option} {}", as_argument(value)),
        None => format!("no --{option}"),
    };
    Some((describe(a), describe(b)))
}

/// A value as it is written on the command line.
pub fn as_argument(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Float(number) => number.to_string(),
        other => other.to_string(),
    }
}
