//! Adaptive learning rate clipping.
#![no_std]
#![forbid(unsafe_code)]
