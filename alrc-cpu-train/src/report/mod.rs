//! Pictures of results.

pub mod plots;
