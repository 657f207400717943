//! `alrc-train info`.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value, json};

use super::Failure;
use crate::backend;
use crate::config::Config;
use crate::conv::Algorithm;
use crate::data::SIDE;
use crate::model::Network;
use crate::tensor::ImageSize;

/// What this machine offers and what would be used.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  alrc-train info\n  alrc-train info --json")]
pub(super) struct Info {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl Info {
    pub(super) fn execute(self) -> Result<ExitCode, Failure> {
        let config = Config::default();
        let size = ImageSize { height: SIDE, width: SIDE };
        let network = Network::new(config.width, size, Algorithm::Auto);
        let layers: Map<String, Value> =
            network.implementations().map(|(layer, name)| (layer.to_owned(), name.into())).collect();
        let adapters = backend::adapters();
        let info = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "processor": { "architecture": std::env::consts::ARCH, "features": features() },
            "threads": config.threads,
            "adapters": adapters,
            "parameters": network.layout().len(),
            "gflop_per_image": network.flop() / 1e9,
            "convolutions": layers,
        });
        if self.json {
            println!("{}", serde_json::to_string_pretty(&info)?);
        } else {
            println!("alrc-train {}", env!("CARGO_PKG_VERSION"));
            println!("processor     {} {}", std::env::consts::ARCH, features().join(" "));
            println!("threads       {}", config.threads);
            for adapter in &adapters {
                println!("adapter       {adapter}");
            }
            if !cfg!(feature = "wgpu") {
                println!("adapter       unknown: built without the feature `wgpu`");
            }
            println!("network       {} parameters, width {}", network.layout().len(), config.width);
            println!("training step {:.2} GFLOP an image", network.flop() / 1e9);
            for (layer, name) in network.implementations() {
                println!("{layer:<13} {name}");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
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
