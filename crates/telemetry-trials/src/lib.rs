//! What tests put programs and parsers through: system calls that fail, take long or are the last
//! one, and input that is nearly right. For tests only; a failure here is a panic.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test says how it went")]

pub mod mutation;
pub mod program;
#[cfg(target_os = "linux")]
pub mod strace;

/// How many of the trials of a kind a test makes: so many among all other tests, and what the
/// environment variable says where somebody wants more (`cargo xtask mutate`, `kills`, `faults`).
///
/// # Panics
/// If the variable holds no number.
pub fn trials(variable: &str, usual: usize) -> usize {
    match std::env::var(variable) {
        Ok(count) => count.parse().unwrap_or_else(|_| panic!("{variable} = {count:?} is no number")),
        Err(_) => usual,
    }
}
