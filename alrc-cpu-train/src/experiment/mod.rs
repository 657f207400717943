//! Whole experiments: a run with its files, comparisons of runs, and grids of runs.

pub mod compare;
pub mod files;
pub mod grid;
pub mod log;
pub mod plan;
pub mod replay;
pub mod run;
pub mod side_by_side;
pub mod sweep;
