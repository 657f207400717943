//! alrc-train
fn main() {}
