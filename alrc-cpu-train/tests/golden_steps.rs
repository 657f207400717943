//! Whole training steps against those computed in float64 by PyTorch (`golden/training_steps_*.safetensors`).

mod common;

use std::path::{Path, PathBuf};

use alrc_cpu_train::checkpoint;
use alrc_cpu_train::config::{Config, Switch};
use alrc_cpu_train::conv::{Algorithm, Workspace};
use alrc_cpu_train::data::sampler::Order;
use alrc_cpu_train::data::{Dataset, Record};
use alrc_cpu_train::loss::Loss;
use alrc_cpu_train::model::CHANNELS;
use alrc_cpu_train::optim::{OptimizerKind, Schedule};
use alrc_cpu_train::simd;
use alrc_cpu_train::train::Trainer;
use common::{assert_close, rms, tolerance};
use safetensors::{Dtype, SafeTensors};

/// A golden file.
struct Golden {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Golden {
    fn open(path: PathBuf) -> Option<Self> {
        let bytes = std::fs::read(&path).ok()?;
        Some(Self { path, bytes })
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).unwrap()
    }

    fn metadata(&self, name: &str) -> String {
        let (_, header) = SafeTensors::read_metadata(&self.bytes).unwrap();
        header.metadata().as_ref().unwrap()[name].clone()
    }

    fn number(&self, name: &str) -> f32 {
        self.metadata(name).parse().unwrap()
    }

    fn values(&self, name: &str) -> Vec<f64> {
        let tensors = self.tensors();
        let tensor = tensors.tensor(name).unwrap();
        let bytes = tensor.data();
        match tensor.dtype() {
            Dtype::F32 => {
                bytes.as_chunks().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect()
            }
            Dtype::F64 => bytes.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect(),
            other => panic!("{name} is {other:?}"),
        }
    }

    fn dataset(&self) -> Dataset {
        let tensors = self.tensors();
        let images = tensors.tensor("image_u8").unwrap();
        let (records, rest) = images.data().as_chunks::<{ size_of::<Record>() }>();
        assert!(rest.is_empty());
        Dataset { records: records.to_vec() }
    }

    fn config(&self, conv: Algorithm) -> Config {
        let num_stddev = self.number("num_stddev");
        Config {
            loss: if self.metadata("power") == "4" { Loss::Quartic } else { Loss::Squared },
            optimizer: match self.metadata("optimizer").as_str() {
                "adam" => OptimizerKind::Adam,
                _ => OptimizerKind::Sgd,
            },
            learning_rate: self.number("learning_rate"),
            schedule: Schedule::Constant,
            batch_size: self.dataset().records.len(),
            num_stddev: (num_stddev != 0.0).then_some(num_stddev),
            decay: self.number("decay"),
            mu1_start: 8.0,
            mu2_start: 80.0,
            width: self.values("init.res1_a.bias").len(),
            conv,
            augment: Switch::Off,
            order: Order::Sequential,
            ..Config::default()
        }
    }
}

/// `[rows, columns, channels]` in the order of PyTorch, `[channels, rows, columns]`.
fn channels_first(image: &[f32]) -> Vec<f32> {
    (0..image.len()).map(|index| image[index % 1024 * CHANNELS + index / 1024]).collect()
}

/// The other way round.
fn channels_last(image: &[f32]) -> Vec<f32> {
    (0..image.len()).map(|index| image[index % CHANNELS * 1024 + index / CHANNELS]).collect()
}

/// Replays on the fast path of every instruction set that this processor has.
fn replay_fast(golden: &Golden) {
    for simd in simd::Choice::SETS.into_iter().filter(|set| set.resolve().is_some()) {
        println!("{} on {simd:?}", golden.path.display());
        replay(golden, Algorithm::Auto, simd);
    }
}

fn replay(golden: &Golden, algorithm: Algorithm, simd: simd::Choice) {
    let config = Config { simd, ..golden.config(algorithm) };
    let update_bound = match (config.optimizer, algorithm) {
        (OptimizerKind::Adam, _) => tolerance::ADAM_UPDATE,
        (OptimizerKind::Sgd, Algorithm::Auto | Algorithm::Winograd) => tolerance::WINOGRAD_SGD_UPDATE,
        (OptimizerKind::Sgd, Algorithm::Direct | Algorithm::Reference) => tolerance::SGD_UPDATE,
    };
    let mut trainer = Trainer::new(config, golden.dataset());
    let layout = trainer.network.layout().clone();
    checkpoint::read_parameters(&golden.path, &layout, &mut trainer.parameters).unwrap();

    for step in 0..golden.metadata("steps").parse().unwrap() {
        let record = trainer.step();
        let column = |values: &dyn Fn(&alrc_cpu_train::train::ImageRecord) -> f64| {
            record.images.iter().map(|image| values(image) as f32).collect::<Vec<_>>()
        };
        let close = |name: &str, actual: Vec<f32>| {
            let name = format!("step{step}.{name}");
            let bound = if step == 0 { tolerance::LOSS } else { tolerance::LATER_LOSS };
            assert_close(&name, &actual, &golden.values(&name), bound, bound);
        };
        close("raw_loss", column(&|image| image.raw_loss));
        close("loss", column(&|image| image.loss.into()));
        if let Some(alrc) = &trainer.alrc {
            close("grad_scale", column(&|image| image.scale.into()));
            close("mu", vec![alrc.mu1(), alrc.mu2()]);
        }
        if step == 0 {
            check_first_step(golden, &trainer);
        }
    }

    // The distance from the expected parameters, relative to the way that they went in all steps.
    for part in layout.parts() {
        let after = golden.values(&format!("final.{}", part.name));
        let before = golden.values(&format!("init.{}", part.name));
        let actual = part.to_file_order(&trainer.parameters[part.range.clone()]);
        let error = rms(actual.iter().zip(&after).map(|(&a, e)| f64::from(a) - e));
        let update = rms(after.iter().zip(&before).map(|(a, b)| a - b));
        assert!(error <= update_bound * update, "{}: error {error:e} of an update of {update:e}", part.name);
    }
}

/// Preprocessing, output and gradients.
fn check_first_step(golden: &Golden, trainer: &Trainer) {
    for (tensor, bound) in
        [("input", tolerance::LOSS), ("step0.output", tolerance::OUTPUT), ("target", tolerance::LOSS)]
    {
        let index = ["input", "step0.output", "target"].iter().position(|&name| name == tensor).unwrap();
        let images =
            (0..trainer.config.batch_size).flat_map(|image| channels_first(trainer.sample(image)[index]));
        assert_close(tensor, &images.collect::<Vec<_>>(), &golden.values(tensor), bound, 10.0 * bound);
    }
    for part in trainer.network.layout().parts() {
        let actual = part.to_file_order(&trainer.parameter_gradients()[part.range.clone()]);
        let expected = golden.values(&format!("step0.grad.{}", part.name));
        // Single entries move where rounding flips a ReLU; the root mean square hardly does.
        assert_close(&part.name, &actual, &expected, tolerance::GRADIENT_RMS, tolerance::GRADIENT_MAX);
    }
}

/// By the same ReLUs, the fast path's gradients are those of the reference, entry by entry.
fn compare_gradients_by_the_same_relus(golden: &Golden) {
    let networks = [Algorithm::Auto, Algorithm::Reference].map(|algorithm| {
        let mut trainer = Trainer::new(golden.config(algorithm), golden.dataset());
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

fn small(name: &str) -> Golden {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    Golden::open(path.with_extension("safetensors")).unwrap()
}

#[test]
fn squared_sgd_reference() {
    replay(&small("training_steps_small_squared_sgd"), Algorithm::Reference, simd::Choice::Auto);
}

#[test]
fn squared_sgd_fast() {
    replay_fast(&small("training_steps_small_squared_sgd"));
}

/// Products of the definition by another library, so that an error of the products here shows.
#[test]
fn matrix_products_of_the_library() {
    for name in ["training_steps_small_squared_sgd", "training_steps_small_quartic_adam_alrc"] {
        replay(&small(name), Algorithm::Direct, simd::Choice::Auto);
    }
}

#[test]
fn quartic_adam_alrc_reference() {
    replay(&small("training_steps_small_quartic_adam_alrc"), Algorithm::Reference, simd::Choice::Auto);
}

#[test]
fn quartic_adam_alrc_fast() {
    replay_fast(&small("training_steps_small_quartic_adam_alrc"));
}

/// The network at its published width; its file is too large for this repository.
#[test]
fn published_width() {
    let path = "../../shared/golden/training_steps_squared_adam.safetensors";
    match Golden::open(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)) {
        Some(golden) => {
            replay_fast(&golden);
            replay(&golden, Algorithm::Reference, simd::Choice::Auto);
        }
        None => eprintln!("SKIPPED published_width: no {path}"),
    }
}
