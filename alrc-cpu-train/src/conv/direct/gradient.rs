//! The gradients of weights and bias.

use rayon::prelude::*;

use super::is_narrow;
use super::padded::Padded;
use crate::conv::Shape;
use crate::conv::images::{Images, Source};
use crate::conv::workspace::Workspace;
use crate::simd::Simd;
use crate::simd::product::{Left, Order, Product, Right};
use crate::tensor::ImageSize;

/// Images whose copies are held at a time.
const IMAGES: usize = 4;

/// Adds the gradient of the weights.
///
/// With the output gradient as the side that slides, tap and turned tap, inputs and outputs change places.
pub(super) fn add_to_weights<S: Simd>(
    simd: S,
    shape: Shape,
    size: ImageSize,
    input: Images<'_>,
    output_gradient: Images<'_>,
    weight_gradient: &mut [f32],
    workspace: &mut Workspace,
) {
    let Shape { kernel, in_channels: inputs, out_channels: outputs } = shape;
    let taps = kernel * kernel;
    let narrow = is_narrow::<S>(outputs);
    let products = if narrow {
        let exchanged = Shape { in_channels: outputs, out_channels: inputs, ..shape };
        slide(simd, exchanged, size, output_gradient, input, workspace)
    } else {
        slide(simd, shape, size, input, output_gradient, workspace)
    };
    for (index, weight) in weight_gradient.iter_mut().enumerate() {
        let (tap, input, output) = (index / outputs / inputs, index / outputs % inputs, index % outputs);
        *weight += if narrow {
            products.sum(taps - 1 - tap, output, input)
        } else {
            products.sum(tap, input, output)
        };
    }
}

/// Sums over all pixels of products of two channels, shifted against each other by each tap.
struct Products<'a> {
    shape: Shape,
    panel: usize,
    /// `[rows of the kernel, panels of outputs, columns of the kernel, in, PANEL]`.
    sums: &'a [f32],
}

impl Products<'_> {
    fn sum(&self, tap: usize, input: usize, output: usize) -> f32 {
        let Shape { kernel, in_channels, out_channels } = self.shape;
        let (down, right) = (tap / kernel, tap % kernel);
        let panels = out_channels.div_ceil(self.panel);
        let row = ((down * panels + output / self.panel) * kernel + right) * in_channels + input;
        self.sums[row * self.panel + output % self.panel]
    }
}

/// Slides `sliding`, with `shape.in_channels` channels, over `fixed`, with `shape.out_channels`.
///
/// Some images at a time are copied; then the products are computed, each piece of work one row of the kernel and one
/// panel of channels. So no sum is divided between threads.
fn slide<'a, S: Simd>(
    simd: S,
    shape: Shape,
    size: ImageSize,
    sliding: Images<'_>,
    fixed: Images<'_>,
    workspace: &'a mut Workspace,
) -> Products<'a> {
    let images = sliding.count(size);
    let held = images.min(IMAGES);
    let depth = shape.kernel * shape.in_channels;
    let panels = shape.out_channels.div_ceil(S::PANEL);
    let (padded_len, panel_len) = (Padded::len(shape, size, size.height), size.pixels() * S::PANEL);
    let [padded, packed, sums] = workspace.lend([
        held * padded_len,
        held * panels * panel_len,
        shape.kernel * panels * depth * S::PANEL,
    ]);
    for first in (0..images).step_by(IMAGES) {
        let group = first..images.min(first + IMAGES);
        let padded: Vec<_> = padded
            .par_chunks_exact_mut(padded_len)
            .zip(packed.par_chunks_exact_mut(panels * panel_len))
            .zip(group)
            .with_max_len(1)
            .map(|((padded, packed), image)| {
                pack(simd, fixed.image(size, image), packed);
                Padded::new(simd, shape.reach(), size, 0..size.height, sliding.image(size, image), padded)
            })
            .collect();
        let packed = &*packed;
        sums.par_chunks_exact_mut(depth * S::PANEL).enumerate().with_max_len(1).for_each(|(index, sums)| {
            let (down, panel) = (index / panels, index % panels);
            for (image, padded) in padded.iter().enumerate() {
                simd.product(Product {
                    rows: depth,
                    segments: size.height,
                    depth: size.width,
                    a: Left {
                        values: &padded.values[down * padded.row_stride..],
                        order: Order::Depths(shape.in_channels),
                        segment: padded.row_stride,
                    },
                    b: Right {
                        values: &packed[(image * panels + panel) * panel_len..][..panel_len],
                        segment: size.width * S::PANEL,
                    },
                    c: sums,
                    accumulate: first + image > 0,
                    next: [&[]; 3],
                });
            }
        });
    }
    Products { shape, panel: S::PANEL, sums }
}

/// Copies an image as `[panels, pixels, PANEL]`.
fn pack<S: Simd>(simd: S, source: Source<'_>, packed: &mut [f32]) {
    let panel_len = packed.len() / source.channels.div_ceil(S::PANEL);
    simd.run(
        #[inline(always)]
        || {
            for pixel in 0..panel_len / S::PANEL {
                for (panel, packed) in packed.chunks_exact_mut(panel_len).enumerate() {
                    let to = &mut packed[pixel * S::PANEL..][..S::PANEL];
                    for (vector, to) in to.chunks_exact_mut(S::LANES).enumerate() {
                        let channel = panel * S::PANEL + vector * S::LANES;
                        simd.store(source.load(simd, pixel, channel), to);
                    }
                }
            }
        },
    );
}

/// Adds the gradient of the bias.
pub(super) fn add_to_bias<S: Simd>(
    simd: S,
    size: ImageSize,
    output_gradient: Images<'_>,
    bias_gradient: &mut [f32],
) {
    let images = 0..output_gradient.count(size);
    let sums: Vec<_> = images
        .into_par_iter()
        .with_max_len(1)
        .map(|image| {
            let mut sums = vec![0.0; output_gradient.channels];
            let image = output_gradient.image(size, image);
            simd.run(
                #[inline(always)]
                || image.sum_pixels(simd, &mut sums),
            );
            sums
        })
        .collect();
    for sums in sums {
        for (gradient, sum) in bias_gradient.iter_mut().zip(sums) {
            *gradient += sum;
        }
    }
}
