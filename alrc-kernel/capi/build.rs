//! Writes the interface for f64: that for f32 with the types exchanged.

use std::{env, fs, path::Path};

fn main() -> std::io::Result<()> {
    println!("cargo:rerun-if-changed=src/interface_f32.rs");
    let interface = fs::read_to_string("src/interface_f32.rs")?.replace("f32", "f64");
    let folder = env::var_os("OUT_DIR").unwrap_or_default();
    fs::write(Path::new(&folder).join("interface_f64.rs"), interface)
}
