//! See the library of this crate.

use std::process::ExitCode;

/// That of the program that is measured against the bare decode.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    telemetry_bench::main()
}
