//! A training loop of burn, with adaptive learning rate clipping and without.
//!
//! The kernel sees the loss of each example; the mean that is differentiated has the scales as weights. So each
//! example's gradient is scaled on its own, and nothing else of the loop changes.
//!
//! `cargo run --manifest-path alrc-kernel/examples/burn/Cargo.toml`

use std::error::Error;

use alrc_kernel::{Alrc, Config, Start};
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Tensor, TensorData};

const STEPS: usize = 3000;
const BATCH: usize = 16;
const HIDDEN: usize = 16;
const LEARNING_RATE: f64 = 0.05;

#[derive(Module, Debug)]
struct Network {
    hidden: Linear,
    output: Linear,
}

impl Network {
    fn new(device: &Device) -> Self {
        device.seed(1);
        Self {
            hidden: LinearConfig::new(1, HIDDEN).init(device),
            output: LinearConfig::new(HIDDEN, 1).init(device),
        }
    }

    /// Outputs, BATCH x 1, of inputs, BATCH x 1.
    fn forward(&self, inputs: Tensor<2>) -> Tensor<2> {
        self.output.forward(self.hidden.forward(inputs).tanh())
    }
}

/// Inputs and targets of a step; every 50th step has an example that is far off.
fn batch(step: usize) -> (Vec<f32>, Vec<f32>) {
    let inputs: Vec<f32> = (0..BATCH).map(|i| ((step * BATCH + i) * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let mut targets: Vec<f32> = inputs.iter().map(|x| (3.0 * x).sin()).collect();
    if step % 50 == 49 {
        targets[step / 50 % BATCH] += 30.0;
    }
    (inputs, targets)
}

/// The mean loss of the last third of the steps, those with an example that is far off left out.
fn train(mut alrc: Option<Alrc<f32>>) -> Result<f32, Box<dyn Error>> {
    let device = Device::flex().autodiff();
    let column = |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, [BATCH, 1]), &device);
    let mut network = Network::new(&device);
    let mut optimizer = SgdConfig::new().init();
    let (mut sum, mut count) = (0.0, 0.0);
    for step in 0..STEPS {
        let (inputs, targets) = batch(step);
        let losses = (network.forward(column(inputs)) - column(targets)).square();

        let mut loss = losses.clone().mean();
        if step >= STEPS * 2 / 3 && step % 50 != 49 {
            sum += loss.clone().into_scalar::<f32>();
            count += 1.0;
        }
        if let Some(alrc) = &mut alrc {
            let values = losses.to_data().try_to_vec::<f32>()?;
            let mut scales = vec![0.0; values.len()];
            alrc.step_batch(&values, &mut [], &mut scales);
            loss = (losses * column(scales)).mean();
        }

        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        network = optimizer.step(LEARNING_RATE, network, gradients);
    }
    Ok(sum / count)
}

fn main() -> Result<(), Box<dyn Error>> {
    let start = Start::WarmUp { steps: 40 };
    let config = Config { num_stddev: 3.0, decay1: 0.99, decay2: 0.99, start, ..Config::default() };
    let (without, with) = (train(None)?, train(Some(Alrc::new(config)?))?);
    println!("burn, mean loss at the end: {without:.5} without ALRC, {with:.5} with it");
    assert!(with < without / 4.0);
    Ok(())
}
