//! Writes the interface for f64: that for f32 with the types exchanged.
//!
//! So the text stays Rust that cbindgen can read; it cannot look into a macro.

use std::{env, fs, path::Path};

fn main() -> std::io::Result<()> {
    println!("cargo:rerun-if-changed=src");
    let folder = env::var_os("OUT_DIR").unwrap_or_default();
    for file in ["structs", "functions"] {
        let text = fs::read_to_string(format!("src/{file}_f32.rs"))?.replace("f32", "f64");
        fs::write(Path::new(&folder).join(format!("{file}_f64.rs")), text)?;
    }
    Ok(())
}
