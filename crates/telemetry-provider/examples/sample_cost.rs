//! Prints what one sample costs in a running process: CPU time of all providers together, per
//! sample, over many samples, and the resident memory.
//!
//! `cargo run --release -p telemetry-provider --example sample_cost [SAMPLES]`

#![allow(clippy::print_stdout, reason = "the result of this program")]

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::time::{Duration, Instant};

    use chrono::Utc;
    use rustix::time::{ClockId, clock_gettime};
    use telemetry_provider::{ProviderSettings, Sampler, Stamp};
    use telemetry_schema::HostId;

    let cpu_time = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    };
    let samples: u32 = std::env::args().nth(1).map_or(Ok(1000), |text| text.parse())?;
    let settings = ProviderSettings { include_process_metrics: true, ..ProviderSettings::default() };
    let stamp = Stamp { host_id: HostId::parse("local")?, run_id: None, sample_interval_seconds: 10 };
    let mut sampler = Sampler::new(&settings, stamp, None);
    sampler.prime();
    let first = sampler.sample(Utc::now());
    let (cpu_before, before) = (cpu_time(), Instant::now());
    let mut last = first.clone();
    for _ in 0..samples {
        last = sampler.sample(Utc::now());
    }
    let per_sample = |time: Duration| time.as_secs_f64() * 1000.0 / f64::from(samples.max(1));
    println!("samples            {samples}");
    println!("cpu_ms_per_sample  {:.3}", per_sample(cpu_time().saturating_sub(cpu_before)));
    println!("wall_ms_per_sample {:.3}", per_sample(before.elapsed()));
    println!("process_rss_mb     {:?} -> {:?}", first.process_rss_mb, last.process_rss_mb);
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("this measurement is written for Linux");
}
