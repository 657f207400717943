//! What a run leaves behind, and what it shows while it goes.

pub mod events;
pub mod files;
pub mod losses;
pub mod merit;
pub mod progress;
pub mod samples;
pub mod summary;
