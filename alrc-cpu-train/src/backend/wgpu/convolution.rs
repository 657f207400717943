//! One layer as a sequence of kernels.

use std::array::from_fn;

use wgpu::{Buffer, ComputePipeline};

use super::device::{Dispatch, Gpu, MAX_WORKGROUPS, grid};
use super::kernels::{Direct, Kernels, PART, THREADS, TILE};
use crate::backend::BackendError;
use crate::conv::{Algorithm, Shape};
use crate::tensor::ImageSize;

/// Points of Winograd's transform: 6 x 6.
const POINTS: usize = 36;

/// Into how many pieces the rows of all images are cut for direct weight gradients, and numbers of all pieces together,
/// at most: a piece may have more.
const PIECES: usize = 128;
const PIECES_LEN: usize = 1 << 22;

/// Channels of a transformed buffer: rows of whole vectors.
pub(super) fn padded(channels: usize) -> usize {
    channels.next_multiple_of(4)
}

/// In how many parts to compute products of `rows` x `columns` that are sums over `tiles`: the more, the more of the device
/// is occupied, but the parts must not take more room than what is multiplied.
fn parts(rows: usize, columns: usize, tiles: usize) -> usize {
    (tiles / PART.max(rows.min(columns))).clamp(1, MAX_WORKGROUPS / POINTS)
}

/// How a layer is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// F(4x4, 3x3), for kernels of 3x3.
    Winograd,
    /// Plain loops, for kernels of 3x3 and 5x5: slow, the oracle of the other.
    Direct,
}

impl Method {
    /// What `algorithm` means for a layer of `shape`.
    pub fn choose(algorithm: Algorithm, shape: Shape) -> Self {
        match algorithm {
            Algorithm::Auto | Algorithm::Winograd if shape.kernel == 3 => Self::Winograd,
            _ => Self::Direct,
        }
    }
}

/// A layer, and the images that go through it together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layer {
    pub(super) method: Method,
    pub(super) shape: Shape,
    pub(super) size: ImageSize,
    pub(super) images: usize,
    /// Where its weights, then its bias, begin in the arena.
    pub(super) weights: usize,
    pub(super) has_relu: bool,
}

/// Buffers for what does not outlive a layer.
pub(super) struct Scratch {
    /// V of Winograd's transform.
    inputs: Buffer,
    /// U, or the parts of its gradient.
    weights: Buffer,
    /// M, or the transformed gradient of the output.
    outputs: Buffer,
    /// The gradient of the output behind the mask, and its sum over each tile.
    masked: Buffer,
    tile_sums: Buffer,
    /// The weight gradients of direct convolution, of each piece.
    pieces: Buffer,
    /// Operands that a kernel does not use, to read and to write.
    unread: Buffer,
    unwritten: Buffer,
}

/// Operands of a forward pass; see [`crate::conv::Forward`]. The mask has a word for each tile and channel.
pub(super) struct Forward<'a> {
    pub(super) input: &'a Buffer,
    pub(super) parameters: &'a Buffer,
    pub(super) skip: Option<&'a Buffer>,
    pub(super) mask: &'a Buffer,
    pub(super) output: &'a Buffer,
}

/// Operands of a backward pass; see [`crate::conv::Backward`].
pub(super) struct Backward<'a> {
    pub(super) input: &'a Buffer,
    pub(super) parameters: &'a Buffer,
    pub(super) mask: &'a Buffer,
    pub(super) output_gradient: &'a Buffer,
    /// None: unwanted.
    pub(super) input_gradient: Option<&'a Buffer>,
    /// Added to the gradient of the input.
    pub(super) skip_gradient: Option<&'a Buffer>,
    pub(super) parameter_gradients: &'a Buffer,
}

impl Layer {
    fn tiles(&self) -> usize {
        self.images * self.size.height.div_ceil(TILE) * self.size.width.div_ceil(TILE)
    }

    /// Rows of all images.
    fn rows(&self) -> usize {
        self.images * self.size.height
    }

    fn rows_of_piece(&self) -> usize {
        self.rows().div_ceil((PIECES_LEN / self.shape.weights()).clamp(1, PIECES))
    }

    /// Pieces of the rows.
    fn pieces(&self) -> usize {
        self.rows().div_ceil(self.rows_of_piece())
    }

    /// Words of the mask.
    pub(super) fn mask_len(&self) -> usize {
        self.tiles() * self.shape.out_channels
    }

    /// The struct `Layer` of the shaders, for kernels that only look at the layer's input.
    pub(super) fn constants_of_input(&self) -> [u32; 12] {
        self.constants(Kind::WeightGradient, false)
    }

    /// The struct `Layer` of the shaders.
    fn constants(&self, kind: Kind, has_skip: bool) -> [u32; 12] {
        let Shape { in_channels, out_channels, .. } = self.shape;
        let is_transposed = kind == Kind::InputGradient;
        let (from, to) =
            if is_transposed { (out_channels, in_channels) } else { (in_channels, out_channels) };
        let is_forward = kind == Kind::Forward;
        [
            self.images as u32,
            self.size.height as u32,
            self.size.width as u32,
            from as u32,
            to as u32,
            self.weights as u32,
            (self.weights + self.shape.weights()) as u32,
            is_forward.into(),
            (is_forward && self.has_relu).into(),
            has_skip.into(),
            is_transposed.into(),
            self.rows_of_piece() as u32,
        ]
    }
}

/// Which pass a kernel belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Forward,
    InputGradient,
    WeightGradient,
}

impl Scratch {
    /// Buffers that suffice for each of `layers`.
    pub(super) fn new(gpu: &Gpu, layers: &[Layer]) -> Result<Self, BackendError> {
        let [tiles, weights, masked, tile_sums, pieces] = Self::lens(layers);
        Ok(Self {
            inputs: gpu.buffer("transformed inputs", tiles)?,
            weights: gpu.buffer("transformed weights", weights)?,
            outputs: gpu.buffer("transformed outputs", tiles)?,
            masked: gpu.buffer("masked gradient", masked)?,
            tile_sums: gpu.buffer("sums over tiles", tile_sums)?,
            pieces: gpu.buffer("weight gradients of each piece", pieces)?,
            unread: gpu.buffer("unused", 0)?,
            unwritten: gpu.buffer("unused", 0)?,
        })
    }

    /// Numbers in the buffers: transformed tiles, transformed weights, masked gradient, its sums over tiles, pieces.
    pub(super) fn lens(layers: &[Layer]) -> [usize; 5] {
        let lens = layers.iter().map(|layer| {
            let [from, to] = [layer.shape.in_channels, layer.shape.out_channels].map(padded);
            let tiles = layer.tiles();
            let (winograd, direct) = match layer.method {
                Method::Winograd => (POINTS, 0),
                Method::Direct => (0, 1),
            };
            [
                winograd * tiles * from.max(to),
                winograd * parts(from, to, tiles) * from * to,
                layer.images * layer.size.pixels() * layer.shape.out_channels,
                layer.mask_len(),
                direct * layer.pieces() * layer.shape.weights(),
            ]
        });
        lens.fold([0; 5], |largest, lens| from_fn(|index| largest[index].max(lens[index])))
    }
}

/// Turns layers into kernels.
pub(super) struct Planner<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) kernels: &'a Kernels,
    pub(super) scratch: &'a Scratch,
    pub(super) plan: Vec<Dispatch>,
}

impl Planner<'_> {
    pub(super) fn forward(&mut self, layer: Layer, pass: &Forward<'_>) {
        let Forward { input, parameters, skip, mask, output } = *pass;
        self.convolve(layer, Kind::Forward, input, parameters, skip, mask, output);
    }

    pub(super) fn backward(&mut self, layer: Layer, pass: &Backward<'_>) {
        let scratch = self.scratch;
        let plain = self.gpu.uniform(&layer.constants_of_input());
        let operands = [pass.output_gradient, &scratch.masked, pass.mask, &scratch.tile_sums];
        self.push(&self.kernels.apply_mask, &plain, &operands, grid(layer.mask_len()));
        let gradient = &scratch.masked;
        let channels = [layer.shape.out_channels as u32, 1, 1];
        let operands = [&scratch.tile_sums, pass.parameter_gradients];
        self.push(&self.kernels.bias_gradient, &plain, &operands, channels);
        match layer.method {
            Method::Winograd => self.winograd_weight_gradient(layer, &plain, gradient, pass),
            Method::Direct => self.direct_weight_gradient(layer, &plain, gradient, pass),
        }
        if let Some(input_gradient) = pass.input_gradient {
            let (skip, mask) = (pass.skip_gradient, &scratch.unwritten);
            let kind = Kind::InputGradient;
            self.convolve(layer, kind, gradient, pass.parameters, skip, mask, input_gradient);
        }
    }

    /// The convolution of the forward pass, or that of the output's gradient which gives the input's.
    #[expect(clippy::too_many_arguments, reason = "the operands of a layer")]
    fn convolve(
        &mut self,
        layer: Layer,
        kind: Kind,
        input: &Buffer,
        parameters: &Buffer,
        skip: Option<&Buffer>,
        mask: &Buffer,
        output: &Buffer,
    ) {
        let constants = layer.constants(kind, skip.is_some());
        let (from, to) = (constants[3] as usize, constants[4] as usize);
        let (scratch, uniform) = (self.scratch, self.gpu.uniform(&constants));
        let skip = skip.unwrap_or(&scratch.unread);
        let tiles = layer.tiles();
        match layer.method {
            Method::Winograd => {
                let kernels = self.kernels;
                let (padded_from, padded_to) = (padded(from), padded(to));
                let operands = [input, &scratch.inputs];
                self.push(&kernels.input_transform, &uniform, &operands, grid(tiles * padded_from));
                let operands = [parameters, &scratch.weights];
                self.push(&kernels.weight_transform, &uniform, &operands, grid(padded_from * padded_to));
                let operands = [&scratch.inputs, &scratch.weights, &scratch.outputs];
                self.multiply(false, [tiles, padded_to, padded_from], operands);
                let operands = [&scratch.outputs, output, parameters, skip, mask];
                self.push(&kernels.output_transform, &uniform, &operands, grid(tiles * to));
            }
            Method::Direct => {
                let operands = [input, output, parameters, skip, mask];
                let Direct { convolve, convolve_to_few, .. } = direct(self.kernels, layer);
                if to < from {
                    self.push(convolve_to_few, &uniform, &operands, grid(tiles * to * THREADS));
                } else {
                    self.push(convolve, &uniform, &operands, grid(tiles * to));
                }
            }
        }
    }

    fn winograd_weight_gradient(
        &mut self,
        layer: Layer,
        uniform: &Buffer,
        gradient: &Buffer,
        pass: &Backward<'_>,
    ) {
        let (kernels, scratch, tiles) = (self.kernels, self.scratch, layer.tiles());
        let Shape { in_channels, out_channels, .. } = layer.shape;
        let (inputs, outputs) = (padded(in_channels), padded(out_channels));
        let operands = [pass.input, &scratch.inputs];
        self.push(&kernels.input_transform, uniform, &operands, grid(tiles * inputs));
        let operands = [gradient, &scratch.outputs];
        self.push(&kernels.output_gradient_transform, uniform, &operands, grid(tiles * outputs));
        let operands = [&scratch.inputs, &scratch.outputs, &scratch.weights];
        self.multiply(true, [inputs, outputs, tiles], operands);
        let operands = [&scratch.weights, pass.parameter_gradients];
        let threads = in_channels * out_channels;
        self.push(&kernels.weight_gradient_transform, uniform, &operands, grid(threads));
    }

    fn direct_weight_gradient(
        &mut self,
        layer: Layer,
        uniform: &Buffer,
        gradient: &Buffer,
        pass: &Backward<'_>,
    ) {
        let (scratch, Shape { kernel, in_channels, out_channels }) = (self.scratch, layer.shape);
        let direct = direct(self.kernels, layer);
        let operands = [pass.input, &scratch.pieces, gradient];
        let threads = layer.pieces() * kernel * in_channels * out_channels;
        self.push(&direct.weight_gradient, uniform, &operands, grid(threads));
        let operands = [&scratch.pieces, pass.parameter_gradients];
        self.push(&direct.add_pieces, uniform, &operands, grid(layer.shape.weights()));
    }

    /// 36 matrix products C = A B with sizes `[rows, columns, depth]` and operands A, B, C; a transposed A, whose rows
    /// are those of the tiles, is multiplied in parts.
    fn multiply(
        &mut self,
        a_is_transposed: bool,
        [rows, columns, depth]: [usize; 3],
        operands: [&Buffer; 3],
    ) {
        let gemm = self.kernels.gemm(rows, columns);
        let (pipeline, parts) =
            if a_is_transposed { (&gemm.transposed, parts(rows, columns, depth)) } else { (&gemm.plain, 1) };
        let part = depth.div_ceil(parts);
        let uniform = self.gpu.uniform(&[rows, columns, depth, part].map(|size| size as u32));
        let blocks = |len: usize| len.div_ceil(gemm.block) as u32;
        let products = (POINTS * parts) as u32;
        self.push(pipeline, &uniform, &operands, [blocks(columns), blocks(rows), products]);
        if parts > 1 {
            let vectors = POINTS * rows * columns / 4;
            self.push(&gemm.add_parts, &uniform, &[operands[2]], grid(vectors));
        }
    }

    pub(super) fn push(
        &mut self,
        pipeline: &ComputePipeline,
        uniform: &Buffer,
        operands: &[&Buffer],
        workgroups: [u32; 3],
    ) {
        self.plan.push(self.gpu.dispatch(pipeline, uniform, operands, workgroups));
    }
}

fn direct(kernels: &Kernels, layer: Layer) -> &Direct {
    if layer.shape.kernel == 3 { &kernels.direct3 } else { &kernels.direct5 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fit_where_the_tiles_do() {
        for (rows, columns) in [(4, 64), (64, 128), (128, 128), (512, 512), (2048, 4096)] {
            for tiles in [1, 64, 255, 4096, 5000] {
                let parts = parts(rows, columns, tiles);
                assert!(parts == 1 || parts * rows * columns <= tiles * rows.max(columns));
                assert!(parts == 1 || tiles.div_ceil(parts) >= PART, "{rows} x {columns}, {tiles} tiles");
            }
        }
        assert_eq!(parts(128, 128, 4096), 16);
    }
}
