//! Trainer.
pub mod conv;
pub mod tensor;
