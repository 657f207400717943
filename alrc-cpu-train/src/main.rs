//! `alrc-train`; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    alrc_cpu_train::cli::main()
}
