//! `telemetry-rollup`: builds Gold from Silver.

mod alerts;
mod args;
mod build;
mod compact;
mod damaged;
mod digest;
mod expire;
mod expired;
mod hours;
mod next_final;
mod plan;
mod read_ahead;
mod rollup_sql;
mod schedule;
mod show;
mod show_alerts;
mod silver;
mod spool;
mod ticks;
mod traces;
mod verify;

use std::process::ExitCode;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use clap::CommandFactory;
use telemetry_app::{
    Exit, Loaded, PrintFormat, TelemetryConfig, holder, main_with, print_text, with_lake_hint,
};
use telemetry_repository::{DatasetStore, Lake, Listings, RepositoryError};
use telemetry_rollup_engine::RollupConfig;
use telemetry_schema::HOST_METRICS_ROLLUP;
use telemetry_schema::host_metrics_rollup::dataset_name;

use alerts::Alerts;
use args::DateRange;
pub use args::{AlertFlags, AlertFormat, Args, CheckFlags, SeverityFlag, SqlEngine, SqlFlags, Verb};
use build::Builder;
use compact::CompactPlan;
use expire::{Expiry, ExpiryPlan};
use expired::Expired;
use next_final::NextFinal;
use plan::{Action, Listed, Plan, PlannedDate};
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
    let rules = loaded.alert_rules()?;
    let alerts = Alerts::new(&lake, &gold, &rules, now);
    let job =
        Job { config: &loaded.config, range, rollup, lake: &lake, silver: silver.store(), gold: &gold, now };
    let verb = args.verb.unwrap_or(Verb::Build);
    let is_built = matches!(verb, Verb::Build | Verb::Verify) && loaded.config.enabled;
    let published = if is_built { spool::publish_overdue(&loaded, &lake, now)? } else { Exit::Done };
    match verb {
        Verb::Sql(flags) => {
            let text = if flags.rollup {
                rollup_sql::text(flags.engine.unwrap_or_default(), silver.store(), rollup)?
            } else {
                lake.views_sql(rollup.interval_minutes())?
            };
            print_text(&text)?;
            Ok(Exit::Done)
        }
        Verb::Plan => {
            job.show_plan(args.print)?;
            Ok(Exit::Done)
        }
        Verb::Alerts(flags) => show_alerts::alerts_of(&alerts, &flags, &range),
        Verb::CheckRules(flags) => {
            show_alerts::rehearsal(&alerts, &range, flags.format)?;
            Ok(alerts.exit())
        }
        Verb::Build | Verb::Compact | Verb::Expire if !loaded.config.enabled => {
            tracing::warn!("telemetry is switched off (enabled = false), nothing is done");
            Ok(Exit::Done)
        }
        verb => {
            if !silver.store().exists().map_err(with_lake_hint)? {
                tracing::warn!(lake = %lake.root().display(), "no samples yet, nothing is done: telemetry-collect takes them");
                return Ok(published);
            }
            let _lock = lake.lock_rollup(&holder(now)).map_err(with_lake_hint)?;
            lake.clean_staging(now).map_err(with_lake_hint)?;
            silver.store().finish_interrupted().map_err(with_lake_hint)?;
            let mended = job.mend_expired().map_err(with_lake_hint)?;
            match verb {
                Verb::Compact => Ok(mended.or(job.compact()?)),
                Verb::Expire => Ok(mended.or(job.expire()?)),
                verb => {
                    let verified = mended.or(if verb == Verb::Verify { job.verify()? } else { Exit::Done });
                    if !loaded.config.enabled {
                        return Ok(verified);
                    }
                    let built = verified.or(job.build(args.print)?);
                    match args.from.filter(|_| args.reevaluate) {
                        Some(from) => alerts.reevaluate(from)?,
                        None => alerts.evaluate()?,
                    }
                    Ok(published.or(built).or(alerts.exit()))
                }
            }
        }
    }
}

/// What a verb works on.
struct Job<'a> {
    config: &'a TelemetryConfig,
    range: DateRange,
    rollup: RollupConfig,
    lake: &'a Lake,
    silver: &'a DatasetStore,
    gold: &'a DatasetStore,
    now: DateTime<Utc>,
}

impl Job<'_> {
    fn list(&self, listings: &mut Listings) -> Result<Listed, RepositoryError> {
        Listed::list((self.silver, self.gold), listings, self.now)
    }

    fn plan(&self, listed: &Listed, expired: &Expired, range: &DateRange) -> Result<Plan, RepositoryError> {
        let next_final = NextFinal::load(self.lake);
        Plan::make(listed, self.gold, (expired, &next_final), range, self.rollup, self.now)
    }

    /// The record of what has expired; if it is damaged, what the lake tells of that.
    fn expired(&self, silver: &Silver) -> Result<Expired, RepositoryError> {
        match Expired::load(self.lake) {
            Err(error @ RepositoryError::Damaged { .. }) => {
                tracing::warn!(%error, "record of expired dates is damaged, the next run makes it anew");
                traces::expired(self.lake, silver, self.gold, self.rollup)
            }
            result => result,
        }
    }

    /// Makes a damaged record of what has expired anew, from what the lake tells of it. The copy of it
    /// comes first: a run that ends in between finds it damaged once more.
    fn mend_expired(&self) -> Result<Exit, RepositoryError> {
        match Expired::load(self.lake) {
            Ok(_) => Ok(Exit::Done),
            Err(error @ RepositoryError::Damaged { .. }) => {
                let silver = Silver::list(self.silver)?;
                let expired = traces::expired(self.lake, &silver, self.gold, self.rollup)?;
                let quarantine = Expired::set_aside(self.lake)?.display().to_string();
                expired.save(self.lake)?;
                let dates = expired.dates().count();
                tracing::error!(%error, quarantine, dates, "damaged record of expired dates made anew");
                Ok(Exit::Incomplete)
            }
            Err(error) => Err(error),
        }
    }

    fn compact_plan(&self, silver: &Silver, expired: &Expired) -> CompactPlan {
        CompactPlan::make(silver, &self.range, expired, self.config.compact.closed_after(), self.now)
    }

    fn expiry(&self) -> Expiry<'_> {
        Expiry {
            lake: self.lake,
            silver: self.silver,
            gold: self.gold,
            retention: &self.config.retention,
            rollup: self.rollup,
            now: self.now,
        }
    }

    fn expiry_plan(&self, listed: &Listed, expired: &Expired) -> Result<ExpiryPlan, RepositoryError> {
        let all = self.plan(listed, expired, &DateRange::ALL)?;
        self.expiry().plan(&listed.silver, &all, expired, &self.range)
    }

    fn show_plan(&self, format: Option<PrintFormat>) -> anyhow::Result<()> {
        let mut listed = self.list(&mut Listings::load(self.lake)).map_err(with_lake_hint)?;
        let expired = self.expired(&listed.silver).map_err(with_lake_hint)?;
        listed.leave_alone(&expired);
        let plan = self.plan(&listed, &expired, &self.range).map_err(with_lake_hint)?;
        let expiry = self.expiry_plan(&listed, &expired).map_err(with_lake_hint)?;
        show::plan(&plan, &self.compact_plan(&listed.silver, &expired), &expiry, format)
    }

    fn compact(&self) -> anyhow::Result<Exit> {
        let silver = Silver::list(self.silver).map_err(with_lake_hint)?;
        let expired = Expired::load(self.lake).map_err(with_lake_hint)?;
        let plan = self.compact_plan(&silver, &expired);
        compact::run(&plan, self.silver, self.config.compact.closed_after(), self.now).map_err(with_lake_hint)
    }

    fn expire(&self) -> anyhow::Result<Exit> {
        let mut expired = Expired::load(self.lake).map_err(with_lake_hint)?;
        self.expiry().finish_interrupted(&mut expired).map_err(with_lake_hint)?;
        // What goes for ever is decided by what stands there now.
        let mut listed = self.list(&mut Listings::default()).map_err(with_lake_hint)?;
        listed.leave_alone(&expired);
        let plan = self.expiry_plan(&listed, &expired).map_err(with_lake_hint)?;
        self.expiry().run(&plan, Arc::unwrap_or_clone(listed.silver), &mut expired).map_err(with_lake_hint)
    }

    fn build(&self, print: Option<PrintFormat>) -> anyhow::Result<Exit> {
        let mut listings = Listings::load(self.lake);
        let mut listed = self.list(&mut listings).map_err(with_lake_hint)?;
        let expired = Expired::load(self.lake).map_err(with_lake_hint)?;
        listed.leave_alone(&expired);
        let plan = self.plan(&listed, &expired, &self.range).map_err(with_lake_hint)?;
        listings.save(self.lake);
        let silver = Arc::clone(&listed.silver);
        let builder = Builder::new((self.silver, listed.silver), self.gold, self.rollup, self.now);
        let mut exit = build(&plan, &builder)?;
        self.remember(&plan, builder.into_next_final());
        for late in silver.late().filter(|file| self.range.contains(file.date)) {
            let path = late.path.display();
            tracing::error!(%path, "samples of an expired date came late and are left alone");
            exit = Exit::Incomplete;
        }
        if let Some(format) = print {
            show::rollups(self.gold, &self.range, format)?;
        }
        Ok(exit)
    }
}

impl Job<'_> {
    /// Keeps the cache of open dates: what was built now, and what stands as it was.
    fn remember(&self, plan: &Plan, mut next_final: NextFinal) {
        let old = NextFinal::load(self.lake);
        let standing = plan.dates.iter().filter_map(|planned| planned.built.as_ref());
        let standing = standing.filter(|name| !name.is_final);
        let built = plan.dates.iter().filter(|planned| matches!(planned.action, Action::Build(_))).count();
        next_final.keep(&old, standing);
        if built > 0 && next_final != old {
            next_final.save(self.lake);
        }
    }
}

fn build(plan: &Plan, builder: &Builder<'_>) -> anyhow::Result<Exit> {
    let is_built = |planned: &&PlannedDate| matches!(planned.action, Action::Build(_));
    let progress = show::progress(plan);
    let (mut whole, mut is_complete) = (Vec::new(), true);
    for planned in plan.dates.iter().filter(is_built) {
        match builder.build_hours(planned)? {
            Some(is_hour_complete) => {
                is_complete &= is_hour_complete;
                progress.inc(1);
            }
            None => whole.push(planned),
        }
    }
    is_complete &= schedule::build(builder, &whole, &progress)?;
    progress.finish_and_clear();
    Ok(if is_complete { Exit::Done } else { Exit::Incomplete })
}

/// The engine's reach as a span of time.
fn reach(config: RollupConfig) -> chrono::TimeDelta {
    chrono::TimeDelta::microseconds(config.reach_us())
}
