//! The adapter, the device, and what can go wrong with them.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use wgpu::{
    Adapter, BufferDescriptor, BufferUsages, CommandEncoderDescriptor, ComputePassDescriptor,
    DeviceDescriptor, DeviceType, ExperimentalFeatures, MemoryHints, PollType,
};

use super::kernels::THREADS;
use crate::backend::BackendError;

/// Workgroups in one dimension of a dispatch, at most: what every adapter permits.
pub(super) const MAX_WORKGROUPS: usize = 65_535;

/// One for the whole process, and held while a device is opened and its kernels are compiled: the drivers of NVIDIA crash
/// or hang where several threads do so at once (gfx-rs/wgpu, issues 5930 and 10234).
static INSTANCE: LazyLock<wgpu::Instance> =
    LazyLock::new(|| wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle()));
static OPENING: Mutex<()> = Mutex::new(());

/// To be held from before [`Gpu::open`] until all kernels are compiled.
pub(super) fn opening() -> MutexGuard<'static, ()> {
    OPENING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An open device, its queue, and what went wrong with them.
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    failure: Failure,
}

/// The first thing that went wrong; but the loss of the device is the reason for any other failure.
#[derive(Clone, Default)]
struct Failure(Arc<Mutex<Option<BackendError>>>);

impl Failure {
    fn note(&self, error: BackendError) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*first, &error) {
            (None, _) | (Some(BackendError::Failed(_)), BackendError::Lost(_)) => *first = Some(error),
            _ => {}
        }
    }

    fn first(&self) -> Option<BackendError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A kernel with its operands, ready to be enqueued.
pub(super) struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
    workgroups: [u32; 3],
}

/// The adapters of this machine, the most powerful kind first.
fn adapters() -> Vec<Adapter> {
    let mut adapters = pollster::block_on(INSTANCE.enumerate_adapters(wgpu::Backends::PRIMARY));
    adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Cpu => 3,
        DeviceType::Other => 4,
    });
    adapters
}

/// What an adapter is called, with the interface by which it is reached.
fn describe(adapter: &Adapter) -> String {
    let info = adapter.get_info();
    format!("{} ({:?}, {:?})", info.name, info.backend, info.device_type)
}

/// The names of all adapters, the one that is chosen by default first.
pub fn adapter_names() -> Vec<String> {
    adapters().iter().map(describe).collect()
}

impl Gpu {
    /// Opens the first adapter whose name contains `name`, whatever the case; without a name the most powerful one.
    pub fn open(name: Option<&str>) -> Result<Self, BackendError> {
        let adapters = adapters();
        let asked = name.unwrap_or_default().to_lowercase();
        let Some(adapter) = adapters.iter().find(|adapter| describe(adapter).to_lowercase().contains(&asked))
        else {
            return Err(match name {
                Some(name) if !adapters.is_empty() => BackendError::UnknownAdapter {
                    name: name.to_owned(),
                    present: adapters.iter().map(describe).collect::<Vec<_>>().join(", "),
                },
                _ => BackendError::NoAdapter,
            });
        };
        let descriptor = DeviceDescriptor {
            label: Some("alrc-train"),
            required_features: wgpu::Features::empty(),
            required_limits: adapter.limits(),
            experimental_features: ExperimentalFeatures::disabled(),
            memory_hints: MemoryHints::Performance,
            trace: wgpu::Trace::Off,
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).map_err(|error| {
            BackendError::Refused { adapter: describe(adapter), problem: error.to_string() }
        })?;
        let failure = Failure::default();
        let lost = failure.clone();
        device.set_device_lost_callback(move |_, message| lost.note(BackendError::Lost(message)));
        let failed = failure.clone();
        device.on_uncaptured_error(Arc::new(move |error| {
            failed.note(match error {
                wgpu::Error::OutOfMemory { .. } => BackendError::OutOfMemory,
                other => BackendError::Failed(other.to_string()),
            });
        }));
        Ok(Self { device, queue, failure })
    }

    /// What went wrong since the device was opened.
    pub(super) fn check(&self) -> Result<(), BackendError> {
        if matches!(self.failure.first(), Some(BackendError::Failed(_))) {
            // Where the device is lost, it may fail before it says so.
            _ = self.device.poll(PollType::Poll);
        }
        self.failure.first().map_or(Ok(()), Err)
    }

    /// Most bytes that a buffer may have.
    pub(super) fn max_buffer(&self) -> u64 {
        let limits = self.device.limits();
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
    }

    /// A buffer of `len` 32-bit numbers, all zero.
    pub(super) fn buffer(&self, label: &'static str, len: usize) -> Result<wgpu::Buffer, BackendError> {
        let (size, permitted) = (4 * len.max(4) as u64, self.max_buffer());
        if size > permitted {
            return Err(BackendError::LimitTooSmall { buffer: label, size, permitted });
        }
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let descriptor = BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        let buffer = self.device.create_buffer(&descriptor);
        self.check()?;
        Ok(buffer)
    }

    /// A small buffer of constants.
    pub(super) fn uniform(&self, words: &[u32]) -> wgpu::Buffer {
        let buffer = self.device.create_buffer(&BufferDescriptor {
            label: None,
            size: 4 * words.len() as u64,
            usage: BufferUsages::UNIFORM | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.write(&buffer, words);
        buffer
    }

    /// Enqueues the copy of `values` to the start of `buffer`.
    pub(super) fn write<T: bytemuck::NoUninit>(&self, buffer: &wgpu::Buffer, values: &[T]) {
        self.queue.write_buffer(buffer, 0, bytemuck::cast_slice(values));
    }

    /// A kernel with the constants in `uniform` and its operands in the order of their bindings.
    pub(super) fn dispatch(
        &self,
        pipeline: &wgpu::ComputePipeline,
        uniform: &wgpu::Buffer,
        operands: &[&wgpu::Buffer],
        workgroups: [u32; 3],
    ) -> Dispatch {
        let entries: Vec<_> = [uniform]
            .iter()
            .chain(operands)
            .zip(0..)
            .map(|(buffer, binding)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let bindings = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Dispatch { pipeline: pipeline.clone(), bindings, workgroups }
    }

    /// Enqueues kernels, one after the other.
    pub(super) fn submit(&self, dispatches: &[Dispatch]) {
        let mut encoder = self.device.create_command_encoder(&CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
        for dispatch in dispatches {
            let [x, y, z] = dispatch.workgroups;
            pass.set_pipeline(&dispatch.pipeline);
            pass.set_bind_group(0, &dispatch.bindings, &[]);
            pass.dispatch_workgroups(x, y, z);
        }
        drop(pass);
        self.queue.submit([encoder.finish()]);
    }

    /// Enqueues filling `buffer` with zeros.
    pub(super) fn clear(&self, buffer: &wgpu::Buffer) {
        let mut encoder = self.device.create_command_encoder(&CommandEncoderDescriptor::default());
        encoder.clear_buffer(buffer, 0, None);
        self.queue.submit([encoder.finish()]);
    }

    /// Enqueues the copy of the first `len` numbers of `from` to the place `at` in `to`.
    pub(super) fn copy(&self, from: &wgpu::Buffer, to: &wgpu::Buffer, at: usize, len: usize) {
        let mut encoder = self.device.create_command_encoder(&CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(from, 0, to, 4 * at as u64, 4 * len as u64);
        self.queue.submit([encoder.finish()]);
    }

    /// Waits for everything that was enqueued, and copies the start of `buffer` to `values`.
    pub(super) fn read(&self, buffer: &wgpu::Buffer, values: &mut [f32]) -> Result<(), BackendError> {
        self.check()?;
        let size = size_of_val(values) as u64;
        let staging = self.device.create_buffer(&BufferDescriptor {
            label: Some("staging"),
            size,
            usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, size);
        self.queue.submit([encoder.finish()]);
        staging.map_async(wgpu::MapMode::Read, .., |_| {});
        let waited = self.device.poll(PollType::wait_indefinitely());
        self.check()?;
        waited.map_err(|error| BackendError::Failed(error.to_string()))?;
        let view = staging.get_mapped_range(..).map_err(|error| BackendError::Failed(error.to_string()))?;
        bytemuck::cast_slice_mut(values).copy_from_slice(&view);
        Ok(())
    }
}

/// The grid of workgroups for so many threads, folded into two dimensions.
pub(super) fn grid(threads: usize) -> [u32; 3] {
    let groups = threads.div_ceil(THREADS).max(1);
    let columns = groups.min(MAX_WORKGROUPS);
    [columns as u32, groups.div_ceil(columns) as u32, 1]
}
