//! `telemetry-collect`: samples this host and appends the samples to Silver.

mod args;
mod clock;
mod collector;
mod schedule;
mod stop;
mod store;

use std::process::ExitCode;

use chrono::Utc;
use clap::CommandFactory;
use telemetry_app::{Exit, Loaded, holder, main_with, with_lake_hint};
use telemetry_provider::{CpuBaseline, ProviderSettings, Sampler, Stamp};

pub use args::Args;
use collector::Collector;
use schedule::Schedule;
use stop::Stop;
use store::Store;

/// Name of the state in which a run leaves its last reading of the processor for the next run.
const CPU_STATE: &str = "cpu";

/// The program.
pub fn main() -> ExitCode {
    main_with(|args: &Args| &args.common, run)
}

/// The command line, for documentation and completions.
pub fn command() -> clap::Command {
    Args::command()
}

fn run(args: Args, loaded: Loaded) -> anyhow::Result<Exit> {
    if !loaded.config.enabled {
        tracing::warn!("telemetry is switched off (enabled = false), nothing is sampled");
        return Ok(Exit::Done);
    }
    let stop = Stop::on_signals()?;
    let host_id = loaded.host_id()?;
    let lake = loaded.open_lake()?;
    let started = Utc::now();
    let _lock = lake.lock_collector(&host_id, &holder(started)).map_err(with_lake_hint)?;
    lake.clean_staging(started).map_err(with_lake_hint)?;

    let settings = provider_settings(&loaded);
    if args.publish {
        return store::publish_waiting(&lake, &host_id, &settings);
    }
    let store = Store::open(lake, host_id.clone(), loaded.config.collect.clone(), settings.clone())?;
    let stamp = Stamp {
        host_id,
        run_id: args.run_id.clone(),
        sample_interval_seconds: args.interval_seconds(&loaded.config),
    };
    let baseline = store.baseline()?.and_then(|text| read_baseline(&text));
    let sampler = Sampler::new(&settings, stamp, baseline);
    let interval_seconds = args.interval_seconds(&loaded.config);
    let mut collector = Collector::new(sampler, store, args.print);
    let schedule = if args.watch {
        Schedule::endless(interval_seconds)
    } else {
        Schedule::burst(args.samples, interval_seconds, started)
    };
    collector.run(&schedule, &stop)
}

fn provider_settings(loaded: &Loaded) -> ProviderSettings {
    let config = &loaded.config;
    ProviderSettings {
        disk_mount: config.disk_mount.clone(),
        network_interface: config.network_interface.clone(),
        include_process_metrics: config.include_process_metrics,
        config: config.providers(),
        ..ProviderSettings::default()
    }
}

fn read_baseline(text: &str) -> Option<CpuBaseline> {
    serde_json::from_str(text)
        .inspect_err(|error| tracing::debug!(%error, "reading of the last run cannot be used"))
        .ok()
}
