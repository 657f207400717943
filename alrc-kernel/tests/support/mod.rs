//! Configurations and losses of every kind, for property tests.

use alrc_kernel::{Config, NonFinite, Scaling, Start};
use proptest::prelude::*;

/// Every value that could be mistreated.
pub(crate) const SPECIAL: [f32; 20] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    1e-45,
    -1e-45,
    f32::MIN_POSITIVE,
    1e-30,
    1e15,
    1.4e17,
    -1.4e17,
    // The bound of the moments and the number after it.
    1.441_151_8e17,
    1.441_151_9e17,
    1e30,
    -1e30,
    f32::MAX,
    -f32::MAX,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

/// Losses: usual ones, ones of any size, and special ones.
pub(crate) fn losses() -> impl Strategy<Value = Vec<f32>> {
    let loss = prop_oneof![
        8 => 0.0_f32..100.0,
        2 => any::<f32>(),
        1 => prop::sample::select(SPECIAL.to_vec()),
    ];
    prop_oneof![
        4 => prop::collection::vec(loss, 0..40),
        1 => prop::collection::vec(0.0_f32..100.0, 2_000..9_000),
    ]
}

/// Losses that are all finite and positive, and a factor of two in size.
pub(crate) fn usual_losses() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(10.0_f32..20.0, 1..5_000)
}

/// Any valid configuration.
pub(crate) fn config() -> impl Strategy<Value = Config<f32>> {
    let start = prop_oneof![
        (-50.0_f32..50.0, 1e-6_f32..1e4)
            .prop_map(|(mu1, variance)| Start::Estimate { mu1, mu2: mu1 * mu1 * 1.0001 + variance }),
        (1_u32..20).prop_map(|steps| Start::WarmUp { steps }),
    ];
    let decay = prop_oneof![Just(0.0_f32), 0.0_f32..0.999_9, Just(0.999)];
    let epsilon = prop_oneof![Just(0.0_f32), Just(1e-8), 0.0_f32..1.0];
    let scaling = prop::sample::select(vec![Scaling::Ratio, Scaling::Deviation]);
    let non_finite = prop::sample::select(vec![NonFinite::Skip, NonFinite::Reject]);
    (0.0_f32..6.0, prop::option::of(0.0_f32..6.0), decay.clone(), decay, start, epsilon, scaling, non_finite)
        .prop_map(|(num_stddev, num_stddev_below, decay1, decay2, start, epsilon, scaling, non_finite)| {
            Config { num_stddev, num_stddev_below, decay1, decay2, start, epsilon, scaling, non_finite }
        })
}
