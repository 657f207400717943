//! The golden training steps, and how a trainer is held against them.

use std::path::{Path, PathBuf};

use alrc_cpu_train::checkpoint;
use alrc_cpu_train::config::{Config, Switch};
use alrc_cpu_train::conv::Algorithm;
use alrc_cpu_train::data::sampler::Order;
use alrc_cpu_train::data::{CHANNELS, Dataset, Record};
use alrc_cpu_train::loss::Loss;
use alrc_cpu_train::optim::{OptimizerKind, Schedule};
use alrc_cpu_train::train::Trainer;
use safetensors::{Dtype, SafeTensors};

use super::{assert_close, rms, tolerance};

/// A golden file.
pub(crate) struct Golden {
    pub(crate) path: PathBuf,
    bytes: Vec<u8>,
}

impl Golden {
    pub(crate) fn open(path: PathBuf) -> Option<Self> {
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

    pub(crate) fn values(&self, name: &str) -> Vec<f64> {
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

    pub(crate) fn dataset(&self) -> Dataset {
        let tensors = self.tensors();
        let images = tensors.tensor("image_u8").unwrap();
        let (records, rest) = images.data().as_chunks::<{ size_of::<Record>() }>();
        assert!(rest.is_empty());
        Dataset { records: records.to_vec() }
    }

    pub(crate) fn config(&self, base: Config) -> Config {
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
            augment: Switch::Off,
            order: Order::Sequential,
            ..base
        }
    }
}

/// `[rows, columns, channels]` in the order of PyTorch, `[channels, rows, columns]`.
fn channels_first(image: &[f32]) -> Vec<f32> {
    (0..image.len()).map(|index| image[index % 1024 * CHANNELS + index / 1024]).collect()
}

/// The other way round.
pub(crate) fn channels_last(image: &[f32]) -> Vec<f32> {
    (0..image.len()).map(|index| image[index % CHANNELS * 1024 + index / CHANNELS]).collect()
}

/// Trains as the golden file did, with the options of `base` that do not determine the results.
pub(crate) fn replay(golden: &Golden, base: Config) {
    let config = golden.config(base);
    let update_bound = match (config.optimizer, config.conv) {
        (OptimizerKind::Adam, _) => tolerance::ADAM_UPDATE,
        (OptimizerKind::Sgd, Algorithm::Auto | Algorithm::Winograd) => tolerance::WINOGRAD_SGD_UPDATE,
        (OptimizerKind::Sgd, Algorithm::Direct | Algorithm::Reference) => tolerance::SGD_UPDATE,
    };
    let mut trainer = Trainer::open(config, golden.dataset()).unwrap();
    let layout = trainer.network.layout().clone();
    checkpoint::read_parameters(&golden.path, &layout, &mut trainer.parameters).unwrap();

    for step in 0..golden.metadata("steps").parse().unwrap() {
        let record = trainer.try_step().unwrap();
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
        if let Some(alrc) = trainer.alrc() {
            close("grad_scale", column(&|image| image.scale.into()));
            close("mu", vec![alrc.mu1(), alrc.mu2()]);
        }
        trainer.fetch().unwrap();
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
    // In the order of `Trainer::sample`.
    let tensors =
        [("input", tolerance::LOSS), ("step0.output", tolerance::OUTPUT), ("target", tolerance::LOSS)];
    for (index, (tensor, bound)) in tensors.into_iter().enumerate() {
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

pub(crate) fn small(name: &str) -> Golden {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    Golden::open(path.with_extension("safetensors")).unwrap()
}

/// Of the network at its published width, from the folder that `ALRC_GOLDEN` names.
pub(crate) fn published() -> Golden {
    let folder = std::env::var_os("ALRC_GOLDEN").expect("ALRC_GOLDEN");
    Golden::open(Path::new(&folder).join("training_steps_squared_adam.safetensors")).expect("a golden file")
}
