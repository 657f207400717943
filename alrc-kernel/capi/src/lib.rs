//! The C interface of [`alrc_kernel`]: what `include/alrc.h` declares.
//!
//! Each function reads plain structs, checks them, lets the kernel work on its own types and writes the results:
//! `memory` is where pointers are followed, `status` what can go wrong, `structs_f32` and `functions_f32` the interface.
//! That for f64 is written by `build.rs`: the same text with the types exchanged.
//!
//! Of a state only the tag is looked at, which a struct has that was initialised. To validate all of its numbers anew
//! costs as much time as a step takes, and more code than a microcontroller has to spare. What is in them can do no harm:
//! the kernel is safe code that computes with any numbers.
#![no_std]
#![allow(non_camel_case_types)]

#[cfg(feature = "std")]
extern crate std;

mod choices;
mod functions_f32;
mod functions_f64 {
    include!(concat!(env!("OUT_DIR"), "/functions_f64.rs"));
}
mod memory;
mod status;
mod structs_f32;
mod structs_f64 {
    include!(concat!(env!("OUT_DIR"), "/structs_f64.rs"));
}

pub use choices::{ALRC_NON_FINITE_REJECT, ALRC_NON_FINITE_SKIP, ALRC_SCALING_DEVIATION, ALRC_SCALING_RATIO};
pub use functions_f32::*;
pub use functions_f64::*;
pub use status::*;
pub use structs_f32::*;
pub use structs_f64::*;

/// Version of this header: 65536 major + 256 minor + patch. Compare with `alrc_version()`, that of the library.
pub const ALRC_VERSION: u32 = 0x000100;

/// Length of a snapshot in bytes.
pub const ALRC_SNAPSHOT_LEN: usize = 100;

const _: () = assert!(ALRC_SNAPSHOT_LEN == alrc_kernel::SNAPSHOT_LEN);

/// Version of the library, to be compared with `ALRC_VERSION`: 65536 major + 256 minor + patch.
#[unsafe(no_mangle)]
pub extern "C" fn alrc_version() -> u32 {
    ALRC_VERSION
}

/// Never called: no function of the library has a path to a panic.
#[cfg(not(feature = "std"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
