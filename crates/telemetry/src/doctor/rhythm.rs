//! In what rhythm samples come, from the names of their files alone.

use chrono::{DateTime, TimeDelta, Utc};

use super::facts::Run;

/// So many times the usual distance between two runs is a gap.
const GAP_FACTOR: i32 = 5;
const GAP_DIVISOR: i32 = 2;
/// One run that a scheduler leaves out is none: a machine that restarts does so.
const SHORTEST_GAP: TimeDelta = TimeDelta::seconds(90);
/// Two runs late, and what a run takes.
const LATE_RUNS: i32 = 2;
const LATENESS: TimeDelta = TimeDelta::minutes(2);
/// Fewer distances than these are no rhythm: somebody has tried the program.
const FEWEST_DISTANCES: usize = 10;
/// What is said of merged files only, which tell nothing of runs.
const USUAL_RUN: TimeDelta = TimeDelta::minutes(5);

/// A time without samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    /// The last sample before it.
    pub(super) from: DateTime<Utc>,
    /// The first sample after it.
    pub(super) to: DateTime<Utc>,
}

impl Gap {
    pub(super) fn length(self) -> TimeDelta {
        self.to - self.from
    }
}

/// The rhythm of some runs, which are in time order.
#[derive(Debug, PartialEq)]
pub(super) struct Rhythm {
    /// Times without samples between the runs, longest first.
    pub(super) gaps: Vec<Gap>,
    /// The share of the samples that the interval promises, gaps left out; `None` in the first minutes.
    pub(super) coverage: Option<f64>,
    /// Age of the last sample from which on a run is overdue.
    pub(super) overdue: TimeDelta,
}

impl Rhythm {
    /// `waits` is how long samples are configured to wait for their publication.
    pub(super) fn of(runs: &[Run], interval: TimeDelta, waits: TimeDelta) -> Self {
        let mut steps: Vec<Gap> = Vec::new();
        let mut until: Option<DateTime<Utc>> = None;
        for run in runs {
            // Files overlap where clocks were set, or several runs were merged.
            if let Some(until) = until.filter(|until| *until < run.first) {
                steps.push(Gap { from: until, to: run.first });
            }
            until = until.max(Some(run.last));
        }
        let distances: Vec<TimeDelta> = steps.iter().copied().map(Gap::length).collect();
        let rhythm = if distances.len() < FEWEST_DISTANCES { None } else { median(distances) };
        let usual = rhythm.unwrap_or(interval).max(interval);
        let mut gaps = steps;
        gaps.retain(|gap| gap.length() > (usual * GAP_FACTOR / GAP_DIVISOR).max(SHORTEST_GAP));
        gaps.sort_by_key(|gap| (-gap.length(), gap.from));
        let own = runs.iter().filter(|run| !run.is_merged);
        let length = median(own.map(|run| run.last - run.first).collect()).unwrap_or(USUAL_RUN);
        Self {
            coverage: coverage(runs, &gaps, interval),
            gaps,
            overdue: (length.max(waits) + usual) * LATE_RUNS + LATENESS,
        }
    }
}

fn coverage(runs: &[Run], gaps: &[Gap], interval: TimeDelta) -> Option<f64> {
    const FIRST_MINUTES: TimeDelta = TimeDelta::minutes(10);
    let (first, last) = (runs.first()?.first, runs.iter().map(|run| run.last).max()?);
    let without = gaps.iter().fold(TimeDelta::zero(), |sum, gap| sum + gap.length());
    let time = last - first - without;
    let rows: u64 = runs.iter().map(|run| run.rows).sum();
    (time >= FIRST_MINUTES).then(|| rows as f64 * interval.as_seconds_f64() / time.as_seconds_f64())
}

fn median(mut spans: Vec<TimeDelta>) -> Option<TimeDelta> {
    spans.sort_unstable();
    spans.get(spans.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs as (first second, last second, rows).
    fn runs(of: impl IntoIterator<Item = (i64, i64, u64)>) -> Vec<Run> {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap_or_default();
        let run = |(first, last, rows)| Run { first: at(first), last: at(last), rows, is_merged: false };
        of.into_iter().map(run).collect()
    }

    /// Lengths of the gaps and age from which on a run is overdue, in seconds.
    fn rhythm(runs: &[Run], interval_seconds: i64) -> (Vec<i64>, i64) {
        let rhythm = Rhythm::of(runs, TimeDelta::seconds(interval_seconds), TimeDelta::zero());
        let gaps = rhythm.gaps.iter().map(|gap| gap.length().num_seconds());
        (gaps.collect(), rhythm.overdue.num_seconds())
    }

    /// Minutes of six samples, but for those that are left out.
    fn minutes(without: impl Fn(i64) -> bool) -> Vec<Run> {
        runs((0..60).filter(|minute| !without(*minute)).map(|minute| (minute * 60, minute * 60 + 50, 6)))
    }

    #[test]
    fn one_run_left_out_is_no_gap_but_two_are() {
        assert_eq!(rhythm(&minutes(|_| false), 10), (vec![], 240));
        assert_eq!(rhythm(&minutes(|minute| minute == 7), 10), (vec![], 240));
        assert_eq!(rhythm(&minutes(|minute| minute == 7 || minute == 8), 10), (vec![130], 240));
        assert_eq!(
            rhythm(&minutes(|minute| [3, 4, 20, 21, 22].contains(&minute)), 10),
            (vec![190, 130], 240)
        );
    }

    #[test]
    fn samples_that_wait_for_their_publication_are_not_overdue() {
        let hourly = Rhythm::of(&minutes(|_| false), TimeDelta::seconds(10), TimeDelta::hours(1));
        assert!(hourly.overdue > TimeDelta::hours(2), "{}", hourly.overdue);
    }

    #[test]
    fn the_schedule_is_learnt_from_many_runs_only() {
        let quarters = |number: i64| runs((0..number).map(|run| (run * 900, run * 900, 1)));
        assert_eq!(rhythm(&quarters(11), 10), (vec![], 1_920));
        assert_eq!(rhythm(&quarters(4), 10), (vec![900, 900, 900], 140));
        assert_eq!(rhythm(&quarters(4), 900), (vec![], 1_920));
        let without = |left_out: &[i64]| {
            runs((0..60).filter(|run| !left_out.contains(run)).map(|run| (run * 300, run * 300, 1)))
        };
        assert_eq!(rhythm(&without(&[30]), 10).0, Vec::<i64>::new());
        assert_eq!(rhythm(&without(&[30, 31]), 10).0, [900]);
    }

    #[test]
    fn overlapping_files_have_no_gap_between_them() {
        let merged = runs([(0, 3_600, 360), (600, 660, 6), (3_610, 3_660, 6)]);
        assert_eq!(rhythm(&merged, 10).0, Vec::<i64>::new());
        assert_eq!(rhythm(&[], 10), (vec![], 740));
    }

    #[test]
    fn coverage_leaves_gaps_out() {
        let coverage = |runs: &[Run]| Rhythm::of(runs, TimeDelta::seconds(10), TimeDelta::zero()).coverage;
        let near =
            |coverage: Option<f64>, expected: f64| coverage.is_some_and(|c| (c - expected).abs() < 0.02);
        assert!(near(coverage(&minutes(|_| false)), 1.0));
        assert!(near(coverage(&minutes(|minute| (10..40).contains(&minute))), 1.0));
        let each_minute = runs((0..60).map(|minute| (minute * 60, minute * 60, 1)));
        assert!(near(coverage(&each_minute), 1.0 / 6.0), "{:?}", coverage(&each_minute));
        assert_eq!(coverage(&runs([(0, 50, 6), (60, 110, 6)])), None);
    }
}
