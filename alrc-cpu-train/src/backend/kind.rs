//! What a configuration says of the backend; the backends themselves are made from a configuration.

use serde::{Deserialize, Serialize};

use super::error::BackendError;

/// Which backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum BackendKind {
    /// The processor.
    #[default]
    Cpu,
    /// A graphics processor of any make, by way of Vulkan, Metal or Direct3D 12.
    Wgpu,
}

impl BackendKind {
    /// Refuses more ranks than the backend can serve: gradients that stay on a device are not summed over ranks.
    pub fn permit(self, ranks: usize) -> Result<(), BackendError> {
        if self == Self::Wgpu && ranks > 1 { Err(BackendError::SeveralRanks { ranks }) } else { Ok(()) }
    }
}
