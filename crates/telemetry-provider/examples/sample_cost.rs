//! Prints what one sample costs in a running process: CPU time of all providers together, per
//! sample, over many samples, and the resident memory.
//!
//! `cargo run --release -p telemetry-provider --example sample_cost [SAMPLES [PAUSE_MS]]`
//!
//! With a pause between the samples, as in practice, caches are cold and a sample costs more.

#![allow(clippy::print_stdout, reason = "the result of this program")]

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::time::{Duration, Instant};

    use chrono::Utc;
    use rustix::time::{ClockId, clock_gettime};
    use telemetry_provider::{ProviderSettings, Sampler, Stamp};
    use telemetry_schema::{HostId, host_metrics::names};

    let cpu_time = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    };
    let argument =
        |position, default| std::env::args().nth(position).map_or(Ok(default), |text| text.parse());
    let samples: u32 = argument(1, 1000)?;
    let pause = Duration::from_millis(argument(2, 0)?.into());
    let settings = ProviderSettings { include_process_metrics: true, ..ProviderSettings::default() };
    let stamp = Stamp { host_id: HostId::parse("local")?, run_id: None, sample_interval_seconds: 10 };
    let mut sampler = Sampler::new(&settings, stamp, None);
    sampler.prime();
    let mut sample = sampler.sample(Utc::now());
    let (cpu_before, before) = (cpu_time(), Instant::now());
    for _ in 0..samples {
        std::thread::sleep(pause);
        sample = sampler.sample(Utc::now());
    }
    let per_sample = |time: Duration| time.as_secs_f64() * 1000.0 / f64::from(samples.max(1));
    println!("samples            {samples}");
    println!("cpu_ms_per_sample  {:.3}", per_sample(cpu_time().saturating_sub(cpu_before)));
    println!("wall_ms_per_sample {:.3}", per_sample(before.elapsed().saturating_sub(pause * samples)));
    println!("{:<18} {}", names::process_rss_mb, sample.process_rss_mb.unwrap_or_default());
    println!("{:<18} {}", names::process_count, sample.process_count.unwrap_or_default());
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("this measurement is written for Linux");
}
