//! `alrc-train info`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use serde_json::{Map, Value, json};

use super::Failure;
use crate::backend;
use crate::comm::{Communicator, GradientSum, Transport};
use crate::config::Config;
use crate::data::SIDE;
use crate::model::Network;
use crate::parameters::Layout;
use crate::tensor::ImageSize;

/// What this machine offers and what would be used.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  alrc-train info\n  alrc-train info --json\n  mpirun -n 4 alrc-train info --comm mpi"
)]
pub(super) struct Info {
    /// The processes that would train together: this one, or those that MPI has started
    #[arg(long, default_value = "single")]
    comm: Transport,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Sums that are timed.
const SUMS: usize = 21;

impl Info {
    pub(super) fn execute(self) -> Result<ExitCode, Failure> {
        let communicator = self.comm.start()?;
        let config = Config::default();
        let size = ImageSize { height: SIDE, width: SIDE };
        let set = config.instruction_set()?;
        let network = Network::new(config.width, size, config.conv, set);
        let (rank, ranks) = (communicator.rank(), communicator.size());
        let sum = (ranks > 1).then(|| time_sum(&communicator, network.layout()));
        communicator.leave();
        if rank > 0 {
            return Ok(ExitCode::SUCCESS);
        }
        let layers: Map<String, Value> =
            network.implementations().map(|(layer, name)| (layer.to_owned(), name.into())).collect();
        let adapters = backend::adapters();
        let info = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "processor": { "architecture": std::env::consts::ARCH, "features": features() },
            "threads": config.threads,
            "adapters": adapters,
            "ranks": ranks,
            "gradient_sum_seconds": sum,
            "parameters": network.layout().len(),
            "gflop_per_image": network.flop() / 1e9,
            "convolutions": layers,
        });
        if self.json {
            say!("{}", serde_json::to_string_pretty(&info)?)?;
        } else {
            say!("alrc-train {}", env!("CARGO_PKG_VERSION"))?;
            say!("processor     {} {}", std::env::consts::ARCH, features().join(" "))?;
            say!("threads       {}", config.threads)?;
            if let Some(seconds) = sum {
                say!("ranks         {ranks}, which sum a gradient in {:.2} ms", 1e3 * seconds)?;
            }
            for adapter in &adapters {
                say!("adapter       {adapter}")?;
            }
            if !cfg!(feature = "wgpu") {
                say!("adapter       unknown: built without the feature `wgpu`")?;
            }
            say!("network       {} parameters, width {}", network.layout().len(), config.width)?;
            say!("training step {:.2} GFLOP an image", network.flop() / 1e9)?;
            for (layer, name) in network.implementations() {
                say!("{layer:<13} {name}")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Seconds that the ranks take to sum the gradients of a step when nothing else goes on, the median of some.
fn time_sum(communicator: &Arc<dyn Communicator>, layout: &Layout) -> f64 {
    let mut gradient = layout.zeros();
    let mut sum = GradientSum::new(Arc::clone(communicator), layout, false);
    let mut seconds: Vec<f64> = (0..SUMS)
        .map(|_| {
            let start = Instant::now();
            sum.complete(&mut gradient);
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[SUMS / 2]
}

/// The processor's vector instructions that matter here.
fn features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        let found = [
            ("sse2", is_x86_feature_detected!("sse2")),
            ("avx", is_x86_feature_detected!("avx")),
            ("avx2", is_x86_feature_detected!("avx2")),
            ("fma", is_x86_feature_detected!("fma")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
        ];
        found.into_iter().filter(|(_, present)| *present).map(|(name, _)| name).collect()
    }
    #[cfg(not(target_arch = "x86_64"))]
    Vec::new()
}
