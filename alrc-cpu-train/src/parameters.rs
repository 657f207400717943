//! All weights and biases of a network in one buffer, with a name for each part.
//!
//! In memory a weight is `[kernel, kernel, in_channels, out_channels]`; files hold `[out_channels, in_channels,
//! kernel, kernel]` (OIHW), and [`Part::to_file_order`] and [`Part::from_file_order`] convert.

use std::ops::Range;

use crate::conv::Shape;
use crate::tensor::{Buffer, zeros};

/// One weight or bias tensor of the arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Name in checkpoints, such as `conv_in.weight`.
    pub name: String,
    /// Where it lies in the arena.
    pub range: Range<usize>,
    /// Shape in checkpoints: OIHW for a weight, `[out_channels]` for a bias.
    pub file_shape: Vec<usize>,
}

impl Part {
    /// The values in the order of checkpoints.
    pub fn to_file_order(&self, values: &[f32]) -> Vec<f32> {
        self.file_order().map(|index| values[index]).collect()
    }

    /// Stores values that come in the order of checkpoints.
    pub fn from_file_order(&self, file: &[f32], values: &mut [f32]) {
        for (index, &value) in self.file_order().zip(file) {
            values[index] = value;
        }
    }

    /// For each value in the order of checkpoints, its place in memory.
    fn file_order(&self) -> Box<dyn Iterator<Item = usize>> {
        let &[outputs, inputs, kernel, _] = self.file_shape.as_slice() else {
            return Box::new(0..self.range.len());
        };
        let taps = kernel * kernel;
        Box::new((0..self.range.len()).map(move |index| {
            let (output, input, tap) = (index / (inputs * taps), index / taps % inputs, index % taps);
            (tap * inputs + input) * outputs + output
        }))
    }
}

/// The layout of an arena: for each layer its weight, then its bias.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    parts: Vec<Part>,
}

impl Layout {
    /// The layout for layers of these names and shapes.
    pub fn new<'a>(layers: impl IntoIterator<Item = (&'a str, Shape)>) -> Self {
        let mut layout = Self::default();
        for (name, Shape { kernel, in_channels, out_channels }) in layers {
            layout.push(format!("{name}.weight"), vec![out_channels, in_channels, kernel, kernel]);
            layout.push(format!("{name}.bias"), vec![out_channels]);
        }
        layout
    }

    fn push(&mut self, name: String, file_shape: Vec<usize>) {
        let start = self.len();
        self.parts.push(Part {
            name,
            range: start..start + file_shape.iter().product::<usize>(),
            file_shape,
        });
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.parts.last().map_or(0, |part| part.range.end)
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every weight and bias, in order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// An arena of zeros.
    pub fn zeros(&self) -> Buffer {
        zeros(self.len())
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.parts.len() / 2
    }

    /// Where the weight and the bias of layer `layer` lie.
    pub fn layer_range(&self, layer: usize) -> Range<usize> {
        self.parts[2 * layer].range.start..self.parts[2 * layer + 1].range.end
    }

    /// The weight and the bias of layer `layer`.
    pub fn layer<'a>(&self, layer: usize, arena: &'a [f32]) -> (&'a [f32], &'a [f32]) {
        let (weight, bias) = (&self.parts[2 * layer].range, &self.parts[2 * layer + 1].range);
        (&arena[weight.clone()], &arena[bias.clone()])
    }

    /// The weight and the bias of layer `layer`, to write.
    pub fn layer_mut<'a>(&self, layer: usize, arena: &'a mut [f32]) -> (&'a mut [f32], &'a mut [f32]) {
        arena[self.layer_range(layer)].split_at_mut(self.parts[2 * layer].range.len())
    }
}
