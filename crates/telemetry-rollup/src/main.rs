//! See the library of this crate.

use std::process::ExitCode;

/// Frames are made on one thread and given back on another: decision 0012.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    telemetry_rollup::main()
}
