//! Whole experiments: a run with its files, and comparisons of runs.

pub mod compare;
pub mod run;
