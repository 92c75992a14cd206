//! The rollup table as positions: which Silver column feeds which accumulator, and which Gold
//! column is read from where.

use telemetry_schema::host_metrics::names;
use telemetry_schema::host_metrics_rollup::{DEDUPLICATION, silver_columns};
use telemetry_schema::{Column, ColumnType, Formula, HOST_METRICS, HOST_METRICS_ROLLUP, Source};

/// Positions are those in [`Plan::columns`] unless said otherwise.
pub(crate) struct Plan {
    /// The Silver columns that are read, in schema order.
    pub(crate) columns: Vec<&'static Column>,
    /// Columns with levels.
    pub(crate) gauges: Vec<Gauge>,
    /// Columns with counters.
    pub(crate) counters: Vec<Counter>,
    /// Bit masks that are counted in the throttle word.
    pub(crate) throttle_masks: Vec<u32>,
    /// One a Gold column, in schema order.
    pub(crate) outputs: Vec<PlannedOutput>,
    /// The columns that decide between duplicates, most important first.
    pub(crate) deduplication: Vec<usize>,
    pub(crate) host_id: usize,
    pub(crate) as_of: usize,
    pub(crate) boot_id: usize,
    pub(crate) uptime: usize,
    pub(crate) sample_interval: usize,
    pub(crate) interfaces: usize,
    pub(crate) throttle: usize,
    pub(crate) clock_synced: usize,
}

pub(crate) struct Gauge {
    pub(crate) column: usize,
    pub(crate) is_float: bool,
    pub(crate) needs: Needs,
    /// The outputs that are made of it, as positions.
    pub(crate) outputs: Vec<usize>,
}

/// What a gauge has to collect for its Gold columns.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Needs {
    pub(crate) sum: bool,
    pub(crate) min: bool,
    pub(crate) max: bool,
    pub(crate) values: bool,
}

/// Counters have their place in arrays of this length; a test counts them.
pub(crate) const MOST_COUNTERS: usize = 4;
/// The same of the masks of the throttle word.
pub(crate) const MOST_MASKS: usize = 2;

pub(crate) struct Counter {
    pub(crate) column: usize,
    /// Summed over interfaces, so that a change of their set breaks it.
    pub(crate) is_network: bool,
}

/// A Gold column: its formula, and which gauge, counter or mask it reads (0 where it reads none).
pub(crate) struct PlannedOutput {
    pub(crate) column: &'static Column,
    pub(crate) formula: Formula,
    pub(crate) slot: usize,
}

impl PlannedOutput {
    /// Whether the cells are integers; instants are.
    pub(crate) fn is_int(&self) -> bool {
        matches!(self.column.ty, ColumnType::Int64 | ColumnType::TimestampUs)
    }
}

impl Plan {
    pub(crate) fn new() -> Self {
        let columns: Vec<&'static Column> = silver_columns()
            .into_iter()
            .filter_map(|name| HOST_METRICS.column(name))
            .map(|(_, c)| c)
            .collect();
        let at = |name: &str| position(&columns, name);
        let mut plan = Plan {
            gauges: Vec::new(),
            counters: Vec::new(),
            throttle_masks: Vec::new(),
            outputs: Vec::new(),
            deduplication: deduplication(&columns),
            host_id: at(names::host_id),
            as_of: at(names::as_of),
            boot_id: at(names::boot_id),
            uptime: at(names::uptime_seconds),
            sample_interval: at(names::sample_interval_seconds),
            interfaces: at(names::net_interfaces),
            throttle: at(names::throttle_flags),
            clock_synced: at(names::clock_synced),
            columns,
        };
        for column in HOST_METRICS_ROLLUP.columns {
            if let Source::Rollup(formula) = column.source {
                let slot = plan.slot(formula);
                if is_level(formula) {
                    plan.gauges[slot].outputs.push(plan.outputs.len());
                }
                plan.outputs.push(PlannedOutput { column, formula, slot });
            }
        }
        plan
    }

    fn slot(&mut self, formula: Formula) -> usize {
        match formula {
            Formula::Average(name) => self.gauge(name, |needs| &mut needs.sum),
            Formula::Max(name) => self.gauge(name, |needs| &mut needs.max),
            Formula::Min(name) => self.gauge(name, |needs| &mut needs.min),
            Formula::Percentile95(name) => self.gauge(name, |needs| &mut needs.values),
            Formula::CounterGrowth(name)
            | Formula::CounterCoveredSeconds(name)
            | Formula::BitRate(name)
            | Formula::ByteRate(name) => self.counter(name),
            Formula::ThrottleBits(mask) => {
                self.throttle_masks.push(mask);
                self.throttle_masks.len() - 1
            }
            Formula::BucketStart
            | Formula::HostId
            | Formula::NetworkResets
            | Formula::SampleCount
            | Formula::ExpectedCount
            | Formula::Coverage
            | Formula::DuplicateCount
            | Formula::ThrottleStickyNew
            | Formula::ClockUnsynced
            | Formula::BootCount
            | Formula::FirstAsOf
            | Formula::LastAsOf
            | Formula::IsFinal => 0,
        }
    }

    fn gauge(&mut self, name: &str, need: fn(&mut Needs) -> &mut bool) -> usize {
        let column = position(&self.columns, name);
        let known = self.gauges.iter().position(|gauge| gauge.column == column);
        let slot = known.unwrap_or_else(|| {
            let is_float = self.columns[column].ty == ColumnType::Float64;
            self.gauges.push(Gauge { column, is_float, needs: Needs::default(), outputs: Vec::new() });
            self.gauges.len() - 1
        });
        *need(&mut self.gauges[slot].needs) = true;
        slot
    }

    fn counter(&mut self, name: &str) -> usize {
        let column = position(&self.columns, name);
        self.counters.iter().position(|counter| counter.column == column).unwrap_or_else(|| {
            let is_network = [names::net_rx_bytes, names::net_tx_bytes].contains(&name);
            self.counters.push(Counter { column, is_network });
            self.counters.len() - 1
        })
    }
}

/// Whether a formula looks at the values of one gauge.
pub(crate) fn is_level(formula: Formula) -> bool {
    matches!(formula, Formula::Average(_) | Formula::Max(_) | Formula::Min(_) | Formula::Percentile95(_))
}

fn position(columns: &[&Column], name: &str) -> usize {
    columns.iter().position(|column| column.name == name).expect(
        "a test of the schema checks that Gold reads only Silver columns, and silver_columns lists them all",
    )
}

fn deduplication(columns: &[&Column]) -> Vec<usize> {
    let first: Vec<usize> = DEDUPLICATION.iter().map(|name| position(columns, name)).collect();
    let rest = (0..columns.len())
        .filter(|at| !first.contains(at) && ![names::host_id, names::as_of].contains(&columns[*at].name));
    first.iter().copied().chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_masks_have_their_place() {
        assert_eq!(Plan::new().counters.len(), MOST_COUNTERS);
        assert_eq!(Plan::new().throttle_masks.len(), MOST_MASKS);
    }
}
