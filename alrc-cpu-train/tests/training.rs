//! What the training loop and the data path promise.

use std::collections::HashSet;
use std::path::Path;
use std::sync::LazyLock;

use alrc_cpu_train::checkpoint;
use alrc_cpu_train::config::{Config, Switch};
use alrc_cpu_train::data::sampler::{Order, Sampler};
use alrc_cpu_train::data::{Dataset, RECORD_SIZE, Record, preprocess, synthetic};
use alrc_cpu_train::loss::Loss;
use alrc_cpu_train::optim::Schedule;
use alrc_cpu_train::record::summary::Counters;
use alrc_cpu_train::train::Trainer;
use alrc_kernel::{Alrc, NonFinite, Scaling};
use proptest::prelude::*;

/// An image without structure, and one with.
const FLAT: Record = [100; RECORD_SIZE];

fn textured() -> Record {
    std::array::from_fn(|index| (index * 31 % 256) as u8)
}

/// A trainer whose parameters are so large that every image but a flat one overflows.
fn overflowing(records: Vec<Record>) -> Trainer {
    let config = Config {
        batch_size: records.len(),
        width: 8,
        augment: Switch::Off,
        order: Order::Sequential,
        ..Config::default()
    };
    let mut trainer = Trainer::new(config, Dataset { records });
    trainer.parameters.iter_mut().for_each(|parameter| *parameter *= 1e30);
    let bias = trainer.network.layout().parts().last().unwrap().range.clone();
    trainer.parameters[bias].fill(1.0);
    trainer
}

#[test]
fn a_non_finite_image_contributes_exactly_no_gradient() {
    let mut alone = overflowing(vec![FLAT]);
    assert_eq!(alone.step().non_finite, 0);
    let mut both = overflowing(vec![FLAT, textured()]);
    let record = both.step();
    assert_eq!((record.non_finite, record.images[1].scale, record.images[1].loss), (1, 0.0, 0.0));
    assert!(record.loss.is_finite() && !record.is_lost());
    assert!(alone.parameter_gradients().iter().any(|&gradient| gradient != 0.0));
    for (&alone, &both) in alone.parameter_gradients().iter().zip(both.parameter_gradients()) {
        assert_eq!(both, alone / 2.0);
    }
    assert_eq!(both.alrc().unwrap().mu1(), alone.alrc().unwrap().mu1());
}

#[test]
fn a_step_without_a_finite_image_is_lost() {
    let mut trainer = overflowing(vec![textured()]);
    let record = trainer.step();
    assert!(record.is_lost() && record.loss.is_nan());
    assert!(trainer.parameter_gradients().iter().all(|&gradient| gradient == 0.0));
}

/// A checkpoint brings no clipping that the backends do not know, nor one with another threshold than it says.
#[test]
fn only_the_clipping_of_the_configuration_is_restored() {
    let config = Config { width: 2, batch_size: 1, ..Config::default() };
    let clipping = config.alrc().unwrap();
    let mut trainer = Trainer::new(config, Dataset { records: vec![FLAT] });
    let path = Path::new("a checkpoint");
    let bytes = checkpoint::to_bytes(path, &trainer, &Counters::default()).unwrap();
    let own = trainer.alrc().unwrap().to_bytes();
    let place = bytes.windows(own.len()).position(|window| window == own).unwrap();
    for (config, is_own) in [
        (clipping, true),
        (alrc_kernel::Config { num_stddev: 2.0, ..clipping }, false),
        (alrc_kernel::Config { num_stddev_below: Some(1.0), ..clipping }, false),
        (alrc_kernel::Config { scaling: Scaling::Deviation, ..clipping }, false),
        (alrc_kernel::Config { non_finite: NonFinite::Reject, ..clipping }, false),
    ] {
        let mut bytes = bytes.clone();
        bytes[place..place + own.len()].copy_from_slice(&Alrc::new(config).unwrap().to_bytes());
        checkpoint::seal(&mut bytes);
        let restored = checkpoint::restore_bytes(&bytes, path, &mut trainer);
        assert_eq!(restored.is_ok(), is_own, "{config:?}");
        assert_eq!(*trainer.alrc().unwrap().config(), clipping);
    }
}

/// The gradient of a batch does not depend on how many images go through the network together.
#[test]
fn a_large_batch_is_the_mean_of_its_parts() {
    let records = synthetic::generate(3).records[..20].to_vec();
    let gradient = |records: Vec<Record>| {
        let config = Config {
            batch_size: records.len(),
            width: 4,
            num_stddev: None,
            augment: Switch::Off,
            order: Order::Sequential,
            ..Config::default()
        };
        let mut trainer = Trainer::new(config, Dataset { records });
        trainer.step();
        trainer.parameter_gradients().to_vec()
    };
    let whole = gradient(records.clone());
    let halves = records.chunks(10).map(|half| gradient(half.to_vec())).collect::<Vec<_>>();
    let scale = whole.iter().fold(0.0, |max: f32, gradient| max.max(gradient.abs()));
    for (index, &gradient) in whole.iter().enumerate() {
        let mean = (halves[0][index] + halves[1][index]) / 2.0;
        assert!((gradient - mean).abs() <= 1e-5 * scale, "{gradient} {mean}");
    }
}

#[test]
fn made_up_images_are_a_function_of_the_seed() {
    let (a, b) = (synthetic::generate(1), synthetic::generate(2));
    assert_eq!(a, synthetic::generate(1));
    assert_eq!(a.records.len(), synthetic::IMAGES);
    let distinct: HashSet<_> = a.records.iter().chain(&b.records).collect();
    assert_eq!(distinct.len(), 2 * synthetic::IMAGES);
}

/// As in photographs, neighbouring pixels are alike and distant ones much less.
#[test]
fn made_up_images_have_natural_correlations() {
    let records = synthetic::generate(0).records;
    let difference = |distance: usize| {
        let rows = records.iter().flat_map(|record| record.chunks(32));
        let pairs = rows.flat_map(|row| row.iter().zip(&row[distance..]));
        let (count, sum) = pairs.fold((0.0, 0.0), |(count, sum), (&a, &b)| {
            (count + 1.0, sum + (f64::from(a) - f64::from(b)).powi(2))
        });
        f64::sqrt(sum / count)
    };
    assert!(difference(1) < 0.6 * difference(8), "{} {}", difference(1), difference(8));
    assert!(difference(1) > 10.0 && difference(8) > 30.0, "{} {}", difference(1), difference(8));
}

#[test]
fn the_published_schedule_falls_tenfold() {
    let rate = |step| Schedule::Published.learning_rate(1.0, step, 64);
    assert_eq!((rate(0), rate(54_686)), (1.0, 1.0));
    assert!((rate(54_687) - 0.1).abs() < 1e-7 && (rate(2 * 54_687) - 0.01).abs() < 1e-8);
    assert_eq!(Schedule::Constant.learning_rate(1.0, 1_000_000, 64), 1.0);
}

proptest! {
    /// Every epoch meets every image once, and a sampler that starts anywhere continues the same order.
    #[test]
    fn an_epoch_is_a_permutation(seed: u64, images in 1_usize..50, epoch in 0_u64..5, order in prop::sample::select(vec![Order::Shuffled, Order::Sequential])) {
        let mut sampler = Sampler::new(order, seed, images);
        let before: Vec<_> = (0..images as u64 * 6).map(|sample| sampler.image(sample)).collect();
        let first = epoch * images as u64;
        let mut fresh = Sampler::new(order, seed, images);
        let met: Vec<_> = (first..first + images as u64).map(|sample| fresh.image(sample)).collect();
        prop_assert_eq!(&met, &before[first as usize..][..images]);
        prop_assert_eq!(met.into_iter().collect::<HashSet<_>>().len(), images);
    }

    /// Mean 0 and deviation 1, but for an image without structure.
    #[test]
    fn standardized_images(image in 0..synthetic::IMAGES, level in 0.0_f32..255.0) {
        static DATASET: LazyLock<Dataset> = LazyLock::new(|| synthetic::generate(0));
        let record = DATASET.records[image];
        let mut image = vec![0.0; RECORD_SIZE];
        preprocess::unpack(&record, &mut image);
        preprocess::standardize(&mut image);
        let count = image.len() as f64;
        let mean = image.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let square = image.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / count;
        prop_assert!(mean.abs() < 1e-6 && (square - 1.0).abs() < 1e-5);
        let mut flat = vec![level; RECORD_SIZE];
        preprocess::standardize(&mut flat);
        prop_assert!(flat.iter().all(|&x| x.abs() < 1e-3));
    }

    /// The gradient of the loss is that of its value, on both sides of the square-root rule.
    #[test]
    fn loss_gradient_agrees_with_finite_differences(
        output in prop::collection::vec(-3.0..3.0, 12),
        target in prop::collection::vec(-1.0..1.0, 12),
        size in 0.1..4.0,
        loss in prop::sample::select(vec![Loss::Squared, Loss::Quartic]),
    ) {
        let output: Vec<f64> = output.into_iter().map(|x: f64| x * size).collect();
        let value = loss.of_image(&output, &target);
        prop_assume!((value.raw - 50.0).abs() > 1e-2);
        let mut gradient = vec![0.0; output.len()];
        loss.gradient(value, 1.0, &output, &target, &mut gradient);
        for index in 0..output.len() {
            let at = |delta: f64| {
                let mut output = output.clone();
                output[index] += delta;
                loss.of_image(&output, &target).value
            };
            let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
            prop_assert!((gradient[index] - expected).abs() <= 1e-6 * expected.abs().max(1.0));
        }
    }
}
