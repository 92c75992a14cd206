//! What a lake itself tells of samples that have expired, for when the record of it is damaged.
//!
//! In doubt a rollup stays as it is: what it was built from never comes back.

use telemetry_repository::{DataFile, DatasetStore, Lake, RepositoryError, instants_us, texts};
use telemetry_rollup_engine::RollupConfig;
use telemetry_schema::host_metrics_rollup::names;

use crate::build::is_left_out;
use crate::digest::digest;
use crate::expire::rollups;
use crate::expired::Expired;
use crate::hours::{HOUR_DIGESTS, HourDigests};
use crate::reach;
use crate::silver::{Silver, whole};
use crate::ticks::gold_files;

/// The record as it follows from the files of the lake.
pub(crate) fn expired(
    lake: &Lake,
    silver: &Silver,
    gold: &DatasetStore,
    config: RollupConfig,
) -> Result<Expired, RepositoryError> {
    let mut expired = Expired::default();
    for store in rollups(lake)? {
        for (date, file) in gold_files(&store, i64::MIN)? {
            // Samples do not expire before their rollup is final.
            let is_final = file.name.rollup().is_some_and(|name| name.is_final);
            if is_final && (!silver.has(date) || is_from_more(&store, &file, silver)?) {
                expired.insert(date);
            }
        }
    }
    if expired.dates().next().is_none() {
        return Ok(expired);
    }
    let mut silver = silver.clone();
    silver.leave_alone(expired.dates());
    for (date, file) in gold_files(gold, i64::MIN)? {
        let inputs = silver.inputs(&whole(date), reach(config));
        let left = digest(inputs.all(), config);
        let Some(name) = file.name.rollup().filter(|name| name.digest != left) else { continue };
        if !expired.contains(date)
            && let Some(built) = hour_digests(gold, &file)?
            && built.is_of_same_hours(&HourDigests::of(date, &inputs, config))
        {
            // Only what lies around the date is not what it was when this was built.
            expired.survives(date, name.digest, left);
        }
    }
    Ok(expired)
}

/// Whether a rollup tells of a sample that none of its date's files can hold.
fn is_from_more(gold: &DatasetStore, file: &DataFile, silver: &Silver) -> Result<bool, RepositoryError> {
    let read = || {
        let frame = gold.read(file, &[names::host_id, names::first_as_of, names::last_as_of])?;
        let hosts = texts(&frame, names::host_id)?;
        let (first, last) =
            (instants_us(&frame, names::first_as_of)?, instants_us(&frame, names::last_as_of)?);
        let is_held = |row: usize| {
            first[row].iter().chain(&last[row]).all(|us| silver.can_hold(file.date, hosts[row], *us))
        };
        Ok(!(0..frame.height()).all(is_held))
    };
    match read() {
        // Nothing is lost that another build does not mend.
        Err(error) if is_left_out(&error) => Ok(false),
        result => result,
    }
}

fn hour_digests(gold: &DatasetStore, file: &DataFile) -> Result<Option<HourDigests>, RepositoryError> {
    match gold.footer(file) {
        Ok(footer) => Ok(footer.get(HOUR_DIGESTS).and_then(HourDigests::parse)),
        Err(error) if is_left_out(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
