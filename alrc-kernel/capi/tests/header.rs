//! `include/alrc.h` declares what the crate defines.
//!
//! `ALRC_WRITE_HEADER=1 cargo test -p alrc-capi --test header` writes it.

use std::{env, fs, path::Path};

#[test]
fn header_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut builder = cbindgen::Builder::new()
        .with_config(cbindgen::Config::from_root_or_default(root))
        .with_src(root.join("src/lib.rs"));
    // cbindgen does not follow `include!` into the files that build.rs writes.
    for file in ["structs", "functions"] {
        let text = fs::read_to_string(root.join(format!("src/{file}_f32.rs"))).unwrap().replace("f32", "f64");
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{file}_f64.rs"));
        fs::write(&path, text).unwrap();
        builder = builder.with_src(path);
    }
    let bindings = builder.generate().unwrap();
    let mut generated = Vec::new();
    bindings.write(&mut generated);
    // The duty of the caller stands at the top of the header, once.
    let generated =
        String::from_utf8(generated).unwrap().replace("//\n// # Safety\n// As the header says.\n", "");

    let header = root.join("include/alrc.h");
    if env::var_os("ALRC_WRITE_HEADER").is_some() {
        fs::write(&header, &generated).unwrap();
    }
    let committed = fs::read_to_string(&header).unwrap_or_default();
    assert!(
        committed == generated,
        "include/alrc.h has drifted; write it with\n    ALRC_WRITE_HEADER=1 cargo test -p alrc-capi --test header"
    );
}

#[test]
fn version_is_that_of_the_package() {
    let number = |text: &str| text.parse::<u32>().unwrap();
    let (major, minor) = (env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"));
    let version = (number(major) << 16) + (number(minor) << 8) + number(env!("CARGO_PKG_VERSION_PATCH"));
    assert_eq!(alrc::ALRC_VERSION, version);
    assert_eq!(alrc::alrc_version(), version);
}
