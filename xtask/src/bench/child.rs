//! Measuring a program: a process of its own starts it, so that the resource usage of children is that
//! of this one program.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde_json::{Value, json};

use crate::process;

/// What one run took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cost {
    pub(super) seconds: f64,
    pub(super) cpu_ms: f64,
    pub(super) memory_mb: f64,
}

/// Runs a program to its end and says what it took.
pub(super) fn measure(program: &Path, arguments: &[&str]) -> Result<Cost> {
    let this = process::this_program()?;
    let mut command = Command::new(this);
    command.args(["bench", "--child"]).arg(program).args(arguments);
    let text = process::output(&mut command)?;
    let cost: Value = serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))?;
    let number = |name: &str| cost[name].as_f64().with_context(|| format!("no {name} in {text}"));
    Ok(Cost { seconds: number("seconds")?, cpu_ms: number("cpu_ms")?, memory_mb: number("memory_mb")? })
}

/// The measuring process: runs the command line, prints a line of JSON.
pub(super) fn measure_here(command_line: &[String]) -> Result<()> {
    let (program, arguments) = command_line.split_first().context("no program")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    let started = Instant::now();
    let status = command.status().with_context(|| format!("cannot start {program}"))?;
    let seconds = started.elapsed().as_secs_f64();
    if !status.success() {
        bail!("`{}` ended with {status}", process::show(&command));
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("cannot read the resource usage of children")?;
    let cpu_ms = (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1_000.0;
    println!(
        "{}",
        json!({"seconds": seconds, "cpu_ms": cpu_ms, "memory_mb": usage.max_rss() as f64 / 1024.0})
    );
    Ok(())
}

/// The median of each quantity; the largest memory.
pub(super) fn median(costs: &[Cost]) -> Cost {
    let middle = |quantity: fn(&Cost) -> f64| {
        let mut values: Vec<f64> = costs.iter().map(quantity).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Cost {
        seconds: middle(|cost| cost.seconds),
        cpu_ms: middle(|cost| cost.cpu_ms),
        memory_mb: costs.iter().map(|cost| cost.memory_mb).fold(0.0, f64::max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_of_each_quantity() {
        let cost = |seconds, cpu_ms, memory_mb| Cost { seconds, cpu_ms, memory_mb };
        let middle = median(&[cost(3.0, 1.0, 5.0), cost(1.0, 9.0, 7.0), cost(2.0, 4.0, 6.0)]);
        assert_eq!((middle.seconds, middle.cpu_ms, middle.memory_mb), (2.0, 4.0, 7.0));
    }
}
