//! Whole training steps against those computed in float64 by PyTorch (`golden/training_steps_*.safetensors`).

mod common;

use alrc_cpu_train::checkpoint;
use alrc_cpu_train::config::Config;
use alrc_cpu_train::conv::{Algorithm, Workspace};
use alrc_cpu_train::data::CHANNELS;
use alrc_cpu_train::simd;
use alrc_cpu_train::train::Trainer;
use common::golden::{Golden, channels_last, replay, small};
use common::{assert_close, tolerance};

fn check(golden: &Golden, conv: Algorithm) {
    replay(golden, Config { conv, ..Config::default() });
}

/// On every instruction set that this processor has.
fn check_fast(golden: &Golden) {
    for simd in simd::Choice::SETS.into_iter().filter(|set| set.resolve().is_some()) {
        println!("{} on {simd:?}", golden.path.display());
        replay(golden, Config { simd, ..Config::default() });
    }
}

/// By the same ReLUs, the fast path's gradients are those of the reference, entry by entry.
fn compare_gradients_by_the_same_relus(golden: &Golden) {
    let networks = [Algorithm::Auto, Algorithm::Reference].map(|algorithm| {
        let mut trainer =
            Trainer::new(golden.config(Config { conv: algorithm, ..Config::default() }), golden.dataset());
        let layout = trainer.network.layout().clone();
        checkpoint::read_parameters(&golden.path, &layout, &mut trainer.parameters).unwrap();
        trainer
    });
    let [fast, reference] = networks;
    let images = reference.config.batch_size;
    let Trainer { network, parameters, .. } = &reference;
    let mut workspace = Workspace::default();
    let mut activations = network.activations(images);
    let inputs = golden.values("input").into_iter().map(|x| x as f32).collect::<Vec<_>>();
    for (index, input) in inputs.chunks_exact(CHANNELS * 1024).enumerate() {
        activations.input.image_mut(index).copy_from_slice(&channels_last(input));
    }
    network.forward(parameters, images, &mut activations, &mut workspace);
    let [actual, expected] = [&fast, &reference].map(|trainer| {
        let mut gradients = network.gradients(images);
        let mut parameter_gradients = network.layout().zeros();
        let errors = activations.output().images(0..images);
        gradients.current[..errors.len()].copy_from_slice(errors);
        trainer.network.backward(
            parameters,
            images,
            &activations,
            &mut gradients,
            &mut parameter_gradients,
            &mut workspace,
            |_, _| {},
        );
        parameter_gradients
    });
    for part in network.layout().parts() {
        let expected: Vec<_> = expected[part.range.clone()].iter().map(|&x| f64::from(x)).collect();
        let (rms_bound, max_bound) = (tolerance::MASKED_GRADIENT_RMS, tolerance::MASKED_GRADIENT_MAX);
        assert_close(&part.name, &actual[part.range.clone()], &expected, rms_bound, max_bound);
    }
}

#[test]
fn gradients_by_the_same_relus() {
    compare_gradients_by_the_same_relus(&small("training_steps_small_squared_sgd"));
    compare_gradients_by_the_same_relus(&small("training_steps_small_quartic_adam_alrc"));
}

#[test]
fn squared_sgd_reference() {
    check(&small("training_steps_small_squared_sgd"), Algorithm::Reference);
}

#[test]
fn squared_sgd_fast() {
    check_fast(&small("training_steps_small_squared_sgd"));
}

/// Products of the definition by another library, so that an error of the products here shows.
#[test]
fn matrix_products_of_the_library() {
    for name in ["training_steps_small_squared_sgd", "training_steps_small_quartic_adam_alrc"] {
        check(&small(name), Algorithm::Direct);
    }
}

#[test]
fn quartic_adam_alrc_reference() {
    check(&small("training_steps_small_quartic_adam_alrc"), Algorithm::Reference);
}

#[test]
fn quartic_adam_alrc_fast() {
    check_fast(&small("training_steps_small_quartic_adam_alrc"));
}

#[test]
#[ignore = "its file is too large for this repository: ALRC_GOLDEN names its folder"]
fn published_width() {
    let golden = common::golden::published();
    check_fast(&golden);
    check(&golden, Algorithm::Reference);
}
