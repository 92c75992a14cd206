//! `telemetry-rollup`: builds Gold from Silver.

mod args;
mod build;
mod digest;
mod plan;
mod show;
mod silver;

use std::process::ExitCode;

use chrono::Utc;
use clap::CommandFactory;
use telemetry_app::{Exit, Loaded, holder, main_with, print_text, with_lake_hint};
use telemetry_rollup_engine::RollupConfig;
use telemetry_schema::HOST_METRICS_ROLLUP;
use telemetry_schema::host_metrics_rollup::dataset_name;

pub use args::{Args, Verb};
use build::Builder;
use plan::{Action, Plan};
use silver::Silver;

/// The program.
pub fn main() -> ExitCode {
    main_with(|args: &Args| &args.common, run)
}

/// The command line, for documentation and completions.
pub fn command() -> clap::Command {
    Args::command()
}

fn run(args: Args, loaded: Loaded) -> anyhow::Result<Exit> {
    let range = args.range()?;
    let rollup = loaded.config.rollup()?;
    let lake = loaded.open_lake()?;
    let silver = lake.host_metrics();
    let gold = lake.store(&HOST_METRICS_ROLLUP, dataset_name(rollup.interval_minutes()));
    let now = Utc::now();
    let make_plan = || {
        let files = Silver::list(silver.store()).map_err(with_lake_hint)?;
        Plan::make(&files, &gold, &range, rollup, now).map_err(with_lake_hint)
    };
    match args.verb.unwrap_or(Verb::Build) {
        Verb::Sql => {
            print_text(&lake.views_sql(rollup.interval_minutes())?)?;
            Ok(Exit::Done)
        }
        Verb::Plan => {
            show::plan(&make_plan()?, args.print)?;
            Ok(Exit::Done)
        }
        Verb::Build if !loaded.config.enabled => {
            tracing::warn!("telemetry is switched off (enabled = false), nothing is built");
            Ok(Exit::Done)
        }
        Verb::Build if !silver.store().directory().exists() => {
            tracing::warn!(lake = %lake.root().display(), "lake holds no samples yet, nothing is built");
            Ok(Exit::Done)
        }
        Verb::Build => {
            let _lock = lake.lock_rollup(&holder(now)).map_err(with_lake_hint)?;
            lake.clean_staging(now).map_err(with_lake_hint)?;
            let exit = build(&make_plan()?, &Builder::new(silver.store(), &gold, rollup, now))?;
            if let Some(format) = args.print {
                show::rollups(&gold, &range, format)?;
            }
            Ok(exit)
        }
    }
}

fn build(plan: &Plan, builder: &Builder<'_>) -> anyhow::Result<Exit> {
    let progress = show::progress(plan);
    let mut exit = Exit::Done;
    for date in &plan.dates {
        match &date.action {
            Action::Build(_) => {
                if !builder.build(date)? {
                    exit = Exit::Incomplete;
                }
                progress.inc(1);
            }
            Action::UpToDate | Action::KeepWithoutSilver => {}
        }
    }
    progress.finish_and_clear();
    Ok(exit)
}

/// The engine's reach as a span of time.
fn reach(config: RollupConfig) -> chrono::TimeDelta {
    chrono::TimeDelta::microseconds(config.reach_us())
}
