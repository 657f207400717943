//! A training loop of candle, with adaptive learning rate clipping and without.
//!
//! The kernel sees the loss of each example; the mean that is differentiated has the scales as weights. So each
//! example's gradient is scaled on its own, and nothing else of the loop changes.
//!
//! `cargo run --manifest-path alrc-kernel/examples/candle/Cargo.toml`

use std::error::Error;

use alrc_kernel::{Alrc, Config, Start};
use candle_core::{DType, Device, Tensor, Var};

const STEPS: usize = 3000;
const BATCH: usize = 16;
const HIDDEN: usize = 16;
const LEARNING_RATE: f64 = 0.05;

/// y = sum over j of v_j tanh(w_j x + b_j)
struct Network {
    /// w, 1 x HIDDEN.
    input_weights: Var,
    /// b, HIDDEN.
    biases: Var,
    /// v, HIDDEN x 1.
    output_weights: Var,
}

impl Network {
    fn new() -> candle_core::Result<Self> {
        let index = Tensor::arange(0.0_f32, HIDDEN as f32, &Device::Cpu)?;
        let spread = ((index * (4.0 / HIDDEN as f64))? - 2.0)?;
        Ok(Self {
            input_weights: Var::ones((1, HIDDEN), DType::F32, &Device::Cpu)?,
            biases: Var::from_tensor(&spread)?,
            output_weights: Var::zeros((HIDDEN, 1), DType::F32, &Device::Cpu)?,
        })
    }

    /// Outputs, BATCH x 1, of inputs, BATCH x 1.
    fn forward(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        inputs.matmul(&self.input_weights)?.broadcast_add(&self.biases)?.tanh()?.matmul(&self.output_weights)
    }

    fn variables(&self) -> [&Var; 3] {
        [&self.input_weights, &self.biases, &self.output_weights]
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
    let network = Network::new()?;
    let (mut sum, mut count) = (0.0, 0.0);
    for step in 0..STEPS {
        let (inputs, targets) = batch(step);
        let inputs = Tensor::from_vec(inputs, (BATCH, 1), &Device::Cpu)?;
        let targets = Tensor::from_vec(targets, (BATCH, 1), &Device::Cpu)?;
        let losses = (network.forward(&inputs)? - targets)?.sqr()?;

        let mut loss = losses.mean_all()?;
        if step >= STEPS * 2 / 3 && step % 50 != 49 {
            sum += loss.to_scalar::<f32>()?;
            count += 1.0;
        }
        if let Some(alrc) = &mut alrc {
            let values = losses.flatten_all()?.to_vec1::<f32>()?;
            let mut scales = vec![0.0; values.len()];
            alrc.step_batch(&values, &mut [], &mut scales);
            let scales = Tensor::from_vec(scales, losses.shape(), losses.device())?;
            loss = (losses * scales)?.mean_all()?;
        }

        let gradients = loss.backward()?;
        for variable in network.variables() {
            let gradient = gradients.get(variable).ok_or("a variable has no gradient")?;
            variable.set(&(variable.as_tensor() - (gradient * LEARNING_RATE)?)?)?;
        }
    }
    Ok(sum / count)
}

fn main() -> Result<(), Box<dyn Error>> {
    let start = Start::WarmUp { steps: 40 };
    let config = Config { num_stddev: 3.0, decay1: 0.99, decay2: 0.99, start, ..Config::default() };
    let (without, with) = (train(None)?, train(Some(Alrc::new(config)?))?);
    println!("candle, mean loss at the end: {without:.5} without ALRC, {with:.5} with it");
    assert!(with < without / 4.0);
    Ok(())
}
