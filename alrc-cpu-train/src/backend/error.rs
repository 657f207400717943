//! How a backend fails.

use thiserror::Error;

/// Why a backend cannot be used, or can no longer be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BackendError {
    /// The program was built without it.
    #[error(
        "invalid value 'wgpu' for '--backend': this program was built without the feature `wgpu`; build it with \
         `cargo build --release --features wgpu`, or use `--backend cpu`"
    )]
    NotBuilt,
    /// Several ranks were to train together.
    #[error(
        "invalid value 'wgpu' for '--backend': of {ranks} processes that train together each must use `--backend cpu`; \
         start one process alone to use a graphics processor"
    )]
    SeveralRanks {
        /// How many.
        ranks: usize,
    },
    /// There is no adapter.
    #[error(
        "invalid value 'wgpu' for '--backend': no graphics adapter was found; install a Vulkan driver (on Debian \
         without a GPU: mesa-vulkan-drivers and libvulkan1), or use `--backend cpu`"
    )]
    NoAdapter,
    /// No adapter has this name.
    #[error("invalid value '{name}' for '--adapter': no adapter is called so; present: {present}")]
    UnknownAdapter {
        /// What was asked for.
        name: String,
        /// What there is.
        present: String,
    },
    /// The adapter gives no device.
    #[error("{adapter} cannot be opened: {problem}; choose another --adapter, or use `--backend cpu`")]
    Refused {
        /// Its name.
        adapter: String,
        /// What it says.
        problem: String,
    },
    /// The machine's memory is too small.
    #[error(
        "a network of --width {width} with --batch-size {batch_size} takes at least {:.1} GiB of memory, which the \
         system does not give; choose a smaller --width, or a machine with more memory",
        *needed as f64 / f64::from(1 << 30)
    )]
    NoMemory {
        /// Channels of the trunk.
        width: usize,
        /// Images a step.
        batch_size: usize,
        /// Bytes.
        needed: u64,
    },
    /// A buffer would be larger than the adapter permits.
    #[error(
        "the {buffer} need {size} bytes; the adapter permits {permitted} in one buffer: choose a smaller --width, \
         another --adapter, or `--backend cpu`"
    )]
    LimitTooSmall {
        /// What it is for.
        buffer: &'static str,
        /// Bytes needed.
        size: u64,
        /// Bytes permitted.
        permitted: u64,
    },
    /// The adapter's memory is full.
    #[error(
        "the adapter's memory is full; choose a smaller --batch-size or --width, or close other programs, and go on \
         from the last checkpoint with --resume"
    )]
    OutOfMemory,
    /// The device is gone.
    #[error("the device was lost ({0}); go on from the last checkpoint with --resume")]
    Lost(String),
    /// Anything else.
    #[error("the device failed: {0}; go on from the last checkpoint with --resume")]
    Failed(String),
}

impl BackendError {
    /// Whether the user can mend it with other options.
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::OutOfMemory | Self::Lost(_) | Self::Failed(_))
    }
}
