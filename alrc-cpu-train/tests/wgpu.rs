//! The backend wgpu against the processor. Needs a graphics adapter; Mesa's lavapipe, which computes on the processor,
//! suffices.

mod common;
#[path = "common/ranks.rs"]
mod ranks;

use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alrc_cpu_train::backend::wgpu::{Gpu, Method, Wgpu, WgpuConvolution, adapter_names};
use alrc_cpu_train::backend::{Backend, BackendError, BackendKind};
use alrc_cpu_train::checkpoint;
use alrc_cpu_train::config::Config;
use alrc_cpu_train::conv::{Algorithm, Backward, Forward, InputGradient, Shape, reference};
use alrc_cpu_train::data::synthetic;
use alrc_cpu_train::data::{Dataset, RECORD_SIZE, Record};
use alrc_cpu_train::experiment::run::{Resumed, Run, RunError};
use alrc_cpu_train::loss::Loss;
use alrc_cpu_train::model::Network;
use alrc_cpu_train::optim::{Optimizer, OptimizerKind};
use alrc_cpu_train::random::{Purpose, Random};
use alrc_cpu_train::record::summary::Counters;
use alrc_cpu_train::signal::Stop;
use alrc_cpu_train::tensor::ImageSize;
use alrc_cpu_train::train::{StepRecord, Trainer};
use common::golden::{replay, small};
use common::{assert_close, tolerance};
use ranks::on_ranks;

/// To be held by a test with a device: one after the other, as the drivers of NVIDIA may hang where several threads open
/// and close devices at once.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn random_values(random: &mut Random, len: usize) -> Vec<f32> {
    (0..len).map(|_| random.between(-1.0, 1.0)).collect()
}

fn in_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| x.into()).collect()
}

/// Both passes of random layers, with and without ReLU, skip connection and input gradient.
#[test]
fn kernels_agree_with_the_reference() {
    let _alone = alone();
    let mut random = Random::new(7, Purpose::Weights, 0);
    let mut one_to = |limit: u32| 1 + random.below(limit) as usize;
    let mut layers = Vec::new();
    for (method, kernel) in [(Method::Direct, 3), (Method::Direct, 5), (Method::Winograd, 3)] {
        for _ in 0..12 {
            let shape = Shape { kernel, in_channels: one_to(40), out_channels: one_to(40) };
            layers.push((method, shape, one_to(3), ImageSize { height: one_to(12), width: one_to(12) }));
        }
    }
    // Matrices that fill the large blocks, and more than one.
    let wide = Shape { kernel: 3, in_channels: 70, out_channels: 130 };
    layers.push((Method::Winograd, wide, 2, ImageSize { height: 32, width: 32 }));
    // So many tiles and rows that their sums come in several parts and pieces.
    for (method, kernel) in [(Method::Winograd, 3), (Method::Direct, 5)] {
        let shape = Shape { kernel, in_channels: 9, out_channels: 6 };
        layers.push((method, shape, 5, ImageSize { height: 30, width: 31 }));
    }

    let gpu = Gpu::open(None).unwrap();
    let series = WgpuConvolution::series(gpu, layers.iter().map(|&(method, shape, ..)| (method, shape)));
    for (number, (convolution, &(method, shape, images, size))) in series.zip(&layers).enumerate() {
        let (relu, skip) = (number % 2 == 0, number % 3 == 0);
        check(&convolution, method, shape, images, size, relu, skip);
    }
}

fn check(
    convolution: &WgpuConvolution,
    method: Method,
    shape: Shape,
    images: usize,
    size: ImageSize,
    relu: bool,
    skip: bool,
) {
    let mut random = Random::new(8, Purpose::Weights, shape.weights() as u64);
    let pixels = images * size.pixels();
    let [input, weights, bias, skip_values, output_gradient, old_gradient] = [
        pixels * shape.in_channels,
        shape.weights(),
        shape.out_channels,
        pixels * shape.out_channels,
        pixels * shape.out_channels,
        pixels * shape.in_channels,
    ]
    .map(|len| random_values(&mut random, len));

    let mut mask = vec![0xff; pixels * shape.mask_bytes()];
    let mut output = vec![f32::NAN; pixels * shape.out_channels];
    convolution
        .forward(Forward {
            size,
            input: &input,
            weights: &weights,
            bias: &bias,
            skip: skip.then_some(&skip_values),
            mask: relu.then_some(&mut mask),
            output: &mut output,
        })
        .unwrap();
    let [input64, weights64, bias64, skip64, gradient64] =
        [&input, &weights, &bias, &skip_values, &output_gradient].map(|values| in_f64(values));
    let mut expected_output = vec![0.0; output.len()];
    let mut expected_mask = mask.clone();
    reference::forward(
        shape,
        Forward {
            size,
            input: &input64,
            weights: &weights64,
            bias: &bias64,
            skip: skip.then_some(&skip64),
            mask: relu.then_some(&mut expected_mask),
            output: &mut expected_output,
        },
    );
    let (rms, max) = (tolerance::CONVOLUTION_RMS, tolerance::CONVOLUTION_MAX);
    let weight_max = match method {
        Method::Direct => max,
        Method::Winograd => tolerance::WINOGRAD_WEIGHT_MAX,
    };
    let what = format!("{method:?} {shape:?} {images} x {size:?}, ReLU {relu}, skip {skip}");
    assert_close(&format!("output of {what}"), &output, &expected_output, rms, max);
    let flipped: u32 = mask.iter().zip(&expected_mask).map(|(a, b)| (a ^ b).count_ones()).sum();
    assert!(flipped as usize <= output.len() / 1000, "{flipped} bits of the mask differ: {what}");

    // The gradients with the mask of the device, as a flipped ReLU would drown everything else.
    let old64 = in_f64(&old_gradient);
    let (mut dx, mut dx64) = (vec![f32::NAN; input.len()], vec![f64::NAN; input.len()]);
    let (mut dw, mut db) = (random_values(&mut random, weights.len()), bias);
    let (mut dw64, mut db64) = (in_f64(&dw), in_f64(&db));
    convolution
        .backward(Backward {
            size,
            input: &input,
            weights: &weights,
            mask: relu.then_some(&mask),
            output_gradient: &output_gradient,
            input_gradient: Some(InputGradient { skip: skip.then_some(&old_gradient), gradient: &mut dx }),
            weight_gradient: &mut dw,
            bias_gradient: &mut db,
        })
        .unwrap();
    reference::backward(
        shape,
        Backward {
            size,
            input: &input64,
            weights: &weights64,
            mask: relu.then_some(&mask),
            output_gradient: &gradient64,
            input_gradient: Some(InputGradient { skip: skip.then_some(&old64), gradient: &mut dx64 }),
            weight_gradient: &mut dw64,
            bias_gradient: &mut db64,
        },
    );
    assert_close(&format!("input gradient of {what}"), &dx, &dx64, rms, max);
    assert_close(&format!("weight gradient of {what}"), &dw, &dw64, rms, weight_max);
    assert_close(&format!("bias gradient of {what}"), &db, &db64, rms, max);
}

/// A weight that no product reached has a gradient of exactly zero, which Adam would enlarge otherwise.
#[test]
fn no_rounding_where_the_gradient_is_zero() {
    let _alone = alone();
    let shape = Shape { kernel: 3, in_channels: 9, out_channels: 12 };
    let size = ImageSize { height: 11, width: 10 };
    let mut random = Random::new(9, Purpose::Weights, 0);
    let mut row_of = |channels: usize, kept: usize| {
        let mut values = random_values(&mut random, size.pixels() * channels);
        for (row, values) in values.chunks_exact_mut(size.width * channels).enumerate() {
            if row != kept {
                values.fill(0.0);
            }
        }
        values
    };
    let gpu = Gpu::open(None).unwrap();
    let convolution = WgpuConvolution::series(gpu, [(Method::Winograd, shape)]).next().unwrap();
    let weights = vec![1.0; shape.weights()];
    let per_tap = shape.in_channels * shape.out_channels;
    for kept in 0..size.height {
        let (input, output_gradient) = (row_of(shape.in_channels, kept), row_of(shape.out_channels, 5));
        let mut gradient = vec![0.0; shape.weights()];
        convolution
            .backward(Backward {
                size,
                input: &input,
                weights: &weights,
                mask: None,
                output_gradient: &output_gradient,
                input_gradient: None,
                weight_gradient: &mut gradient,
                bias_gradient: &mut vec![0.0; shape.out_channels],
            })
            .unwrap();
        for (tap, gradient) in gradient.chunks_exact(per_tap).enumerate() {
            let is_reached = kept + 1 == 5 + tap / 3;
            assert!(gradient.iter().all(|&x| (x != 0.0) == is_reached), "row {kept}, tap {tap}");
        }
    }
}

const GOLDEN: [&str; 2] = ["training_steps_small_squared_sgd", "training_steps_small_quartic_adam_alrc"];

fn on_wgpu() -> Config {
    Config { backend: BackendKind::Wgpu, ..Config::default() }
}

/// With plain loops on the device, within the bounds of the processor.
#[test]
fn golden_steps_direct() {
    let _alone = alone();
    for name in GOLDEN {
        let config = Config { conv: Algorithm::Reference, ..on_wgpu() };
        replay(&small(name), config);
    }
}

#[test]
fn golden_steps_winograd() {
    let _alone = alone();
    for name in GOLDEN {
        replay(&small(name), on_wgpu());
    }
}

/// A trainer of width 32 on made-up images.
fn trainer(backend: BackendKind, config: Config) -> Trainer {
    let records = synthetic::generate(5).records[..64].to_vec();
    let config = Config { width: 32, batch_size: 4, backend, ..config };
    Trainer::open(config, Dataset { records }).unwrap()
}

#[test]
fn fifty_steps_follow_the_processor() {
    let _alone = alone();
    for (loss, optimizer) in [(Loss::Squared, OptimizerKind::Sgd), (Loss::Quartic, OptimizerKind::Adam)] {
        let config = || Config {
            loss,
            optimizer,
            learning_rate: 1e-4,
            num_stddev: Some(1.0),
            mu1_start: 5.0,
            mu2_start: 30.0,
            ..Config::default()
        };
        let mut processor = trainer(BackendKind::Cpu, config());
        let mut device = trainer(BackendKind::Wgpu, config());
        let mut clipped = 0;
        let (mut expected, mut actual) = (Vec::new(), Vec::new());
        for _ in 0..50 {
            let record = processor.step();
            clipped += record.clipped;
            expected.push(record.unclipped_loss);
            actual.push(device.try_step().unwrap().unclipped_loss as f32);
        }
        assert!(clipped > 0, "no loss was clipped");
        let bound = tolerance::FIFTY_STEPS_LOSS;
        assert_close("losses", &actual, &expected, bound, tolerance::FIFTY_STEPS_LOSS_MAX);
    }
}

/// A batch that goes through the device in several groups, the last one smaller.
#[test]
fn a_batch_of_several_groups_follows_the_processor() {
    let _alone = alone();
    let records = synthetic::generate(6).records[..70].to_vec();
    let gradient = |backend| {
        let config = Config { width: 8, batch_size: 70, backend, ..Config::default() };
        let mut trainer = Trainer::open(config, Dataset { records: records.clone() }).unwrap();
        trainer.try_step().unwrap();
        trainer.fetch().unwrap();
        trainer.parameter_gradients().to_vec()
    };
    let expected = in_f64(&gradient(BackendKind::Cpu));
    let actual = gradient(BackendKind::Wgpu);
    assert_close("gradient", &actual, &expected, tolerance::GRADIENT_RMS, tolerance::GRADIENT_MAX);
}

#[test]
fn the_same_bits_run_after_run() {
    let _alone = alone();
    let run = || {
        let mut trainer = trainer(BackendKind::Wgpu, Config::default());
        let losses: Vec<_> = (0..3).map(|_| trainer.try_step().unwrap().unclipped_loss.to_bits()).collect();
        trainer.fetch().unwrap();
        (losses, trainer.parameters.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
    };
    assert!(run() == run());
}

/// In both directions: the steps after a checkpoint are those that the backend which wrote it would have done, and a
/// backend continues its own checkpoints to the same bits.
#[test]
fn either_backend_continues_the_others_checkpoints() {
    let _alone = alone();
    let (cpu, wgpu) = (BackendKind::Cpu, BackendKind::Wgpu);
    for (writer, reader) in [(cpu, wgpu), (wgpu, cpu), (wgpu, wgpu)] {
        let directory = tempfile::tempdir().unwrap();
        let config = || Config { learning_rate: 1e-4, ..Config::default() };
        let mut written = trainer(writer, config());
        for _ in 0..3 {
            written.try_step().unwrap();
        }
        written.fetch().unwrap();
        let path = checkpoint::Directory::new(directory.path().to_owned(), 1)
            .write(&written, &Counters::default())
            .unwrap();
        let mut read = trainer(reader, config());
        read.try_step().unwrap();
        checkpoint::restore(&path, &mut read).unwrap();
        assert!(read.parameters == written.parameters && read.step == written.step);
        let (mut expected, mut actual) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            expected.push(written.try_step().unwrap().unclipped_loss);
            actual.push(read.try_step().unwrap().unclipped_loss as f32);
        }
        let bound = if writer == reader { 1e-7 } else { tolerance::LATER_LOSS };
        assert_close("losses", &actual, &expected, bound, bound);
        if writer == reader {
            written.fetch().unwrap();
            read.fetch().unwrap();
            assert!(read.parameters == written.parameters);
        }
    }
}

/// An image without structure, and one with; the parameters are so large that only the former stays finite.
#[test]
fn a_non_finite_image_contributes_exactly_no_gradient() {
    let _alone = alone();
    let flat: Record = [100; RECORD_SIZE];
    let textured: Record = std::array::from_fn(|index| (index * 31 % 256) as u8);
    let step = |records: Vec<Record>| {
        let config = Config {
            batch_size: records.len(),
            width: 8,
            augment: alrc_cpu_train::config::Switch::Off,
            order: alrc_cpu_train::data::sampler::Order::Sequential,
            ..on_wgpu()
        };
        let mut trainer = Trainer::open(config, Dataset { records }).unwrap();
        trainer.parameters.iter_mut().for_each(|parameter| *parameter *= 1e30);
        let bias = trainer.network.layout().parts().last().unwrap().range.clone();
        trainer.parameters[bias].fill(1.0);
        let record = trainer.try_step().unwrap();
        trainer.fetch().unwrap();
        (record, trainer.parameter_gradients().to_vec())
    };
    let (record, alone) = step(vec![flat]);
    assert_eq!(record.non_finite, 0);
    let (record, both) = step(vec![flat, textured]);
    assert_eq!((record.non_finite, record.images[1].scale, record.images[1].loss), (1, 0.0, 0.0));
    assert!(alone.iter().any(|&gradient| gradient != 0.0));
    for (&alone, &both) in alone.iter().zip(&both) {
        assert_eq!(both, alone / 2.0);
    }
    let (record, gradient) = step(vec![textured]);
    assert!(record.is_lost() && gradient.iter().all(|&gradient| gradient == 0.0));
}

/// A device that is lost gives an error, then and afterwards, and no panic.
#[test]
fn a_lost_device_is_an_error() {
    let _alone = alone();
    let config = Config { width: 4, batch_size: 1, ..on_wgpu() };
    let network = Network::of(&config);
    let mut backend = Wgpu::new(&config, &network).unwrap();
    let parameters = network.initial_parameters(0);
    backend.upload(&parameters, &Optimizer::new(config.optimizer, parameters.len())).unwrap();
    backend.begin(0..1, None).unwrap();
    backend.accumulate(&network, &parameters, 0..1).unwrap();
    assert!(backend.losses().is_ok());
    backend.device_loss()();
    for _ in 0..2 {
        let error = match backend.accumulate(&network, &parameters, 0..1) {
            Ok(()) => backend.losses().unwrap_err(),
            Err(error) => error,
        };
        assert!(!error.is_usage() && error.to_string().contains("--resume"), "{error}");
    }
}

/// A run whose device is lost keeps its last checkpoint, and goes on from there as if nothing had happened.
#[test]
fn a_run_survives_the_loss_of_its_device() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let [whole, broken] = ["whole", "broken"].map(|name| directory.path().join(name));
    let config = Config { width: 8, batch_size: 2, steps: 8, checkpoint_every: 3, threads: 1, ..on_wgpu() };
    let dataset = Arc::new(Dataset { records: synthetic::generate(5).records[..16].to_vec() });
    let finish = |run: Run| run.train(None, &Stop::default(), |_| {}).unwrap();
    finish(Run::create(config.clone(), Arc::clone(&dataset), &whole).unwrap());

    let mut run = Run::create(config.clone(), Arc::clone(&dataset), &broken).unwrap();
    let network = Network::of(&config);
    let backend = Wgpu::new(&config, &network).unwrap();
    let lose = backend.device_loss();
    run.trainer = Trainer::with_backend(config.clone(), Arc::clone(&dataset), network, Box::new(backend));
    let observe = |record: &StepRecord| {
        if record.step == 4 {
            lose();
        }
    };
    let error = run.train(None, &Stop::default(), observe).unwrap_err();
    assert!(matches!(error, RunError::Backend(BackendError::Lost(_))) && !error.is_usage(), "{error}");
    assert!(error.to_string().contains("go on from the last checkpoint with --resume"), "{error}");
    let checkpoints: Vec<_> =
        fs::read_dir(broken.join("checkpoints")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(checkpoints, ["step-00000003.safetensors"]);

    let Resumed::Unfinished(run) = Run::resume(config, dataset, &broken).unwrap() else {
        panic!("nothing is left to do");
    };
    finish(*run);
    for file in ["losses.csv", "checkpoints/step-00000008.safetensors"] {
        assert!(fs::read(whole.join(file)).unwrap() == fs::read(broken.join(file)).unwrap(), "{file}");
    }
}

/// Lavapipe takes its memory from the process, whose memory a shell can limit: to less than half of what this network
/// needs, but more than what the program needs before it.
#[test]
fn full_memory_is_an_error_before_anything_is_written() {
    let _alone = alone();
    if !cfg!(target_os = "linux") || !adapter_names().iter().any(|name| name.contains("llvmpipe")) {
        eprintln!("SKIPPED full_memory_is_an_error_before_anything_is_written: needs llvmpipe on Linux");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new("sh")
        .args(["-c", "ulimit -v 1400000; exec \"$0\" \"$@\""])
        .arg(assert_cmd::cargo::cargo_bin!("alrc-train"))
        .args(["run", "--backend", "wgpu", "--adapter", "llvmpipe", "--threads", "1", "--out", "out"])
        .args(["--width", "512", "--batch-size", "64", "--steps", "1"])
        .envs([("LP_NUM_THREADS", "1"), ("MALLOC_ARENA_MAX", "1")])
        .current_dir(&directory)
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("the adapter's memory is full; choose a smaller --batch-size"), "{message}");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "something was written");
}

/// Gradients that stay on a device are not summed over ranks.
#[test]
fn several_ranks_are_refused() {
    let _alone = alone();
    let errors = on_ranks(2, |communicator| {
        let joined = trainer(BackendKind::Wgpu, Config::default()).join(communicator.clone(), true);
        communicator.leave();
        joined.unwrap_err()
    });
    for error in errors {
        assert_eq!(error, BackendError::SeveralRanks { ranks: 2 });
        assert!(error.is_usage() && error.to_string().contains("--backend cpu"), "{error}");
    }
}

#[test]
fn errors_name_the_option() {
    let _alone = alone();
    let open = |config| Trainer::open(config, Dataset { records: vec![[0; RECORD_SIZE]] }).err().unwrap();
    let unknown = open(Config { adapter: Some("no such adapter".to_owned()), ..on_wgpu() });
    assert!(matches!(unknown, BackendError::UnknownAdapter { .. }), "{unknown}");
    assert!(unknown.to_string().contains("--adapter") && unknown.is_usage());
    // Which network is too large depends on the adapter; the widest is too large for any.
    let mut widths = [1024, 2048, 4096].into_iter();
    let large = widths.find_map(|width| {
        let config = Config { width, batch_size: 1, ..on_wgpu() };
        Trainer::open(config, Dataset { records: vec![[0; RECORD_SIZE]] }).err()
    });
    let large = large.unwrap();
    assert!(matches!(large, BackendError::LimitTooSmall { .. }), "{large}");
    assert!(large.to_string().contains("--width"));
}

#[test]
#[ignore = "its file is too large for this repository: ALRC_GOLDEN names its folder"]
fn published_width() {
    let _alone = alone();
    replay(&common::golden::published(), on_wgpu());
}
