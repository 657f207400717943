//! The kernels, from the WGSL files of `shaders`.

use wgpu::ComputePipeline;

use super::device::Gpu;
use super::template::{Constant, expand};
use crate::conv::winograd;
use crate::data::{CHANNELS, SIDE};
use crate::loss::{FACTOR, SQUARE_ROOT_FROM};
use crate::optim::Adam;

/// Threads of a workgroup of the kernels in which every thread has its own result.
pub(super) const THREADS: usize = 64;

/// Side of the tiles of pixels that one thread computes; a ReLU mask has 16 bits for each tile and channel.
pub(super) const TILE: usize = 4;

/// Side of the blocks of the matrix products: large ones where the matrices fill them.
const BLOCKS: [usize; 2] = [64, 32];

/// Least terms of a part of a sum over tiles.
pub(super) const PART: usize = 256;

/// Matrix products in blocks of one size.
pub(super) struct Gemm {
    pub(super) block: usize,
    pub(super) plain: ComputePipeline,
    pub(super) transposed: ComputePipeline,
    pub(super) add_parts: ComputePipeline,
}

/// Direct convolution with one size of kernel.
pub(super) struct Direct {
    pub(super) convolve: ComputePipeline,
    pub(super) convolve_to_few: ComputePipeline,
    pub(super) weight_gradient: ComputePipeline,
    pub(super) add_pieces: ComputePipeline,
}

/// All kernels, compiled for a device; named as in the shaders.
pub(super) struct Kernels {
    pub(super) input_transform: ComputePipeline,
    pub(super) weight_transform: ComputePipeline,
    pub(super) output_transform: ComputePipeline,
    pub(super) output_gradient_transform: ComputePipeline,
    pub(super) weight_gradient_transform: ComputePipeline,
    pub(super) gemm: [Gemm; 2],
    pub(super) direct3: Direct,
    pub(super) direct5: Direct,
    pub(super) apply_mask: ComputePipeline,
    pub(super) clear_dropped: ComputePipeline,
    pub(super) bias_gradient: ComputePipeline,
    pub(super) loss_and_gradient: ComputePipeline,
    pub(super) sgd: ComputePipeline,
    pub(super) adam: ComputePipeline,
}

impl Kernels {
    pub(super) fn new(gpu: &Gpu) -> Self {
        let winograd = Module::new(
            gpu,
            concat!(include_str!("shaders/convolution.wgsl"), include_str!("shaders/winograd.wgsl")),
            [count("KERNEL", 3), ("NOISE", format!("{:?}f", winograd::NOISE))],
        );
        let activation = Module::new(gpu, include_str!("shaders/activation.wgsl"), []);
        let loss = Module::new(
            gpu,
            include_str!("shaders/loss.wgsl"),
            [
                count("IMAGE_LEN", SIDE * SIDE * CHANNELS),
                ("FACTOR", format!("{FACTOR:?}")),
                ("SQUARE_ROOT_FROM", format!("{SQUARE_ROOT_FROM:?}")),
            ],
        );
        let optim = Module::new(
            gpu,
            include_str!("shaders/optim.wgsl"),
            [
                ("BETA1", format!("{:?}f", Adam::BETA1)),
                ("BETA2", format!("{:?}f", Adam::BETA2)),
                ("EPSILON", format!("{:?}f", Adam::EPSILON)),
            ],
        );
        Self {
            input_transform: winograd.kernel("input_transform"),
            weight_transform: winograd.kernel("weight_transform"),
            output_transform: winograd.kernel("output_transform"),
            output_gradient_transform: winograd.kernel("output_gradient_transform"),
            weight_gradient_transform: winograd.kernel("weight_gradient_transform"),
            gemm: BLOCKS.map(|block| Gemm::new(gpu, block)),
            direct3: Direct::new(gpu, 3),
            direct5: Direct::new(gpu, 5),
            apply_mask: activation.kernel("apply_mask"),
            clear_dropped: activation.kernel("clear_dropped"),
            bias_gradient: activation.kernel("bias_gradient"),
            loss_and_gradient: loss.kernel("loss_and_gradient"),
            sgd: optim.kernel("sgd"),
            adam: optim.kernel("adam"),
        }
    }

    /// Matrix products for results of this size.
    pub(super) fn gemm(&self, rows: usize, columns: usize) -> &Gemm {
        let [large, small] = &self.gemm;
        if rows.min(columns) >= large.block { large } else { small }
    }
}

impl Gemm {
    fn new(gpu: &Gpu, block: usize) -> Self {
        let module = |is_transposed: bool| {
            let constants = [
                count("BLOCK", block),
                count("SIDE", block / 4),
                count("QUADS", block / 16),
                ("A_IS_TRANSPOSED", is_transposed.to_string()),
            ];
            Module::new(gpu, include_str!("shaders/gemm.wgsl"), constants)
        };
        let transposed = module(true);
        Self {
            block,
            plain: module(false).kernel("multiply"),
            transposed: transposed.kernel("multiply"),
            add_parts: transposed.kernel("add_parts"),
        }
    }
}

impl Direct {
    fn new(gpu: &Gpu, kernel: usize) -> Self {
        let template = concat!(include_str!("shaders/convolution.wgsl"), include_str!("shaders/direct.wgsl"));
        let constants =
            [count("KERNEL", kernel), count("LAST_TAP", kernel - 1), count("PATCH", TILE + kernel - 1)];
        let direct = Module::new(gpu, template, constants);
        Self {
            convolve: direct.kernel("convolve"),
            convolve_to_few: direct.kernel("convolve_to_few"),
            weight_gradient: direct.kernel("weight_gradient"),
            add_pieces: direct.kernel("add_pieces"),
        }
    }
}

fn count(name: &'static str, value: usize) -> Constant {
    (name, format!("{value}u"))
}

/// A compiled template.
struct Module<'a> {
    gpu: &'a Gpu,
    module: wgpu::ShaderModule,
}

impl<'a> Module<'a> {
    fn new(gpu: &'a Gpu, template: &str, constants: impl IntoIterator<Item = Constant>) -> Self {
        let constants: Vec<_> =
            [count("THREADS", THREADS), count("TILE", TILE)].into_iter().chain(constants).collect();
        let template = [include_str!("shaders/common.wgsl"), template].concat();
        let source = wgpu::ShaderSource::Wgsl(expand(&template, &constants).into());
        let descriptor = wgpu::ShaderModuleDescriptor { label: None, source };
        Self { gpu, module: gpu.device.create_shader_module(descriptor) }
    }

    fn kernel(&self, entry_point: &str) -> ComputePipeline {
        self.gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry_point),
            layout: None,
            module: &self.module,
            entry_point: Some(entry_point),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Every kernel writes what it reads there.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        })
    }
}
