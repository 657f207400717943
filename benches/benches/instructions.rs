//! Instructions of the passes of each layer of the published network on AVX2, for one image on one thread: a regression
//! shows in them on any machine, however busy. Valgrind, which counts them, knows no AVX-512.
//!
//! `.ci/instructions` runs this. A pass that needs more than its limit fails; who has made one faster lowers its limit.
#![allow(missing_docs, reason = "gungraun's macros make undocumented functions")]

use alrc_benches::{LAYERS, Layer, use_one_thread};
use alrc_cpu_train::simd::Choice;
use gungraun::{
    Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};

/// By how much a count may exceed what was measured: compilers differ.
const TOLERANCE: f64 = 0.03;

/// At most so many millions of instructions, and the tolerance.
fn at_most(millions: f64) -> LibraryBenchmarkConfig {
    let limit = (1e6 * millions * (1.0 + TOLERANCE)) as u64;
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(Callgrind::default().hard_limits([(EventKind::Ir, limit)]));
    config
}

/// A layer whose passes have been gone through once: memory is there.
fn layer(name: &str) -> Layer {
    use_one_thread();
    let set = Choice::Avx2.resolve().expect("a processor with AVX2");
    let (_, shape) = LAYERS.into_iter().find(|layer| layer.0 == name).expect("a layer's name");
    let mut layer = Layer::new(set, shape, 1);
    layer.forward();
    layer.backward(true);
    layer
}

// Passes return the layer, so that it is not dropped while instructions are counted.

#[library_benchmark(setup = layer)]
#[bench::conv_in(args = ("conv_in"), config = at_most(2.43))]
#[bench::conv_up(args = ("conv_up"), config = at_most(7.51))]
#[bench::residual(args = ("residual"), config = at_most(13.31))]
#[bench::conv_down(args = ("conv_down"), config = at_most(6.98))]
#[bench::conv_out(args = ("conv_out"), config = at_most(4.10))]
fn forward(mut layer: Layer) -> Layer {
    layer.forward();
    layer
}

#[library_benchmark(setup = layer)]
#[bench::conv_in(args = ("conv_in"), config = at_most(6.90))]
#[bench::conv_up(args = ("conv_up"), config = at_most(15.47))]
#[bench::residual(args = ("residual"), config = at_most(28.80))]
#[bench::conv_down(args = ("conv_down"), config = at_most(15.47))]
#[bench::conv_out(args = ("conv_out"), config = at_most(4.40))]
fn both_gradients(mut layer: Layer) -> Layer {
    layer.backward(true);
    layer
}

library_benchmark_group!(name = passes, benchmarks = [forward, both_gradients]);
main!(library_benchmark_groups = passes);
