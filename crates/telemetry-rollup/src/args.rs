//! The command line.

use chrono::NaiveDate;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use telemetry_app::{CommonFlags, PrintFormat};

const EXAMPLES: &str = "\
Examples:
  telemetry-rollup
      Builds what is new: every date whose samples have changed.
  telemetry-rollup plan
      Shows what that would be.
  telemetry-rollup --from 2026-11-01 --to 2026-11-07 --force
      Builds these dates again.
  telemetry-rollup --print table
      Also shows the latest rollups.
  telemetry-rollup compact && telemetry-rollup && telemetry-rollup expire
      Merges small files, and removes dates that are older than they are kept.
  telemetry-rollup verify
      Reads everything, as a check of the disk; what is damaged goes to .quarantine.
  telemetry-rollup alerts --fail-on critical
      Shows what is wrong with which host; ends with code 4 if it is critical.
  telemetry-rollup check-rules --from 2026-11-01
      What the alert rules of the configuration would have found since.
  telemetry-rollup sql > views.sql && duckdb -init views.sql
      Opens the lake in DuckDB.
  telemetry-rollup sql --rollup --engine spark > rollup.sql
      The rollup as a query, for a lake that has outgrown one machine.

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done, but samples were left out, or kept \
though they are old; 4 an alert of --fail-on fires; 72 the lake's directory or file system is \
missing; 73 no room; 74 the disk fails; 75 another rollup is at work; 77 no permission; \
78 bad configuration.";

/// Builds LAKE/gold from the samples in LAKE/silver: rollups of 5 minutes per host, a date at a time.
#[derive(Debug, Parser)]
#[command(name = "telemetry-rollup", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Args {
    /// What to do [default: build].
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// First UTC date, as 2026-11-21 [default: the first with samples]
    #[arg(long, value_name = "DATE", global = true, value_parser = date)]
    pub from: Option<NaiveDate>,
    /// Last UTC date, inclusive [default: the last with samples]
    #[arg(long, value_name = "DATE", global = true, value_parser = date)]
    pub to: Option<NaiveDate>,
    /// Also build dates that are up to date; let most of a dataset expire
    #[arg(long, global = true)]
    pub force: bool,
    /// Evaluate the alert rules again from --from on, as they are now, on the rollups as they are now
    #[arg(long, requires = "from", conflicts_with = "to")]
    pub reevaluate: bool,
    /// Show the rollups of the range (without --from and --to: of the last date), or the plan
    #[arg(long, value_name = "FORMAT", value_enum, global = true)]
    pub print: Option<PrintFormat>,
    /// Flags of all programs.
    #[command(flatten)]
    pub common: CommonFlags,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// Build what is new, or the range (the default)
    Build,
    /// Show what would be built, compacted and removed, and why; writes nothing
    Plan,
    /// Merge small files of samples: those of closed hours, and of dates closed for long into one
    Compact,
    /// Remove dates that are older than they are kept (section `retention` of the configuration)
    Expire,
    /// Read all files of the range, set damaged ones aside, and build again what can be computed
    Verify,
    /// Show the alerts that fire, or those of a time
    Alerts(AlertFlags),
    /// Check the alert rules, and show what they would have found from --from (default: a week ago) on
    CheckRules(CheckFlags),
    /// Print SQL: the DuckDB statements that make a view of each dataset, or the rollup itself
    Sql(SqlFlags),
}

/// Which alerts to show, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct AlertFlags {
    /// Show all alerts from --from to --to, not only those that fire
    #[arg(long, conflicts_with = "since")]
    pub history: bool,
    /// Show the events that came after this one (event_id); `none` shows all
    #[arg(long, value_name = "EVENT_ID")]
    pub since: Option<String>,
    /// End with code 4 if an alert of this severity, or a worse one, fires
    #[arg(long, value_name = "SEVERITY", value_enum)]
    pub fail_on: Option<SeverityFlag>,
    /// How to show them
    #[arg(long, value_enum, default_value_t)]
    pub format: AlertFormat,
}

/// How to show what the rules would have found.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct CheckFlags {
    /// How to show the alerts
    #[arg(long, value_enum, default_value_t)]
    pub format: AlertFormat,
}

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SeverityFlag {
    /// To be known
    Info,
    /// To be looked at
    Warning,
    /// To be acted on
    Critical,
}

/// How alerts are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum AlertFormat {
    /// For people
    #[default]
    Table,
    /// One JSON object a line: the rows of ops_host_alerts
    Json,
    /// The body of Alertmanager's POST /api/v2/alerts
    Alertmanager,
}

/// What SQL to print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::Args)]
pub struct SqlFlags {
    /// Print the query that computes the rollup from the samples, for a lake that one machine is too
    /// small for; its result is that of `build`, to the bit
    #[arg(long)]
    pub rollup: bool,
    /// Engine that will run the query [default: duckdb]
    #[arg(long, value_name = "ENGINE", value_enum, requires = "rollup")]
    pub engine: Option<SqlEngine>,
}

/// What runs the query of the rollup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum SqlEngine {
    /// DuckDB 2
    #[default]
    Duckdb,
    /// DataFusion 55
    Datafusion,
    /// Spark 4
    Spark,
}

/// The dates that a run looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DateRange {
    pub(crate) from: Option<NaiveDate>,
    pub(crate) to: Option<NaiveDate>,
    pub(crate) force: bool,
}

impl DateRange {
    pub(crate) const ALL: Self = Self { from: None, to: None, force: false };

    pub(crate) fn contains(&self, date: NaiveDate) -> bool {
        self.from.is_none_or(|from| from <= date) && self.to.is_none_or(|to| date <= to)
    }
}

impl Args {
    pub(crate) fn range(&self) -> Result<DateRange, clap::Error> {
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from > to
        {
            let message = format!("--from {from} is after --to {to}");
            return Err(Args::command().error(ErrorKind::ValueValidation, message));
        }
        Ok(DateRange { from: self.from, to: self.to, force: self.force })
    }
}

fn date(text: &str) -> Result<NaiveDate, String> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| "expected a date as 2026-11-21".to_owned())
}
