//! `telemetry doctor`: facts are gathered first, and what they mean is decided by pure functions.

mod facts;
mod finding;
mod gather;
mod host;
mod lake;
mod programs;
mod rhythm;
mod samples;
mod show;
mod spool;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use telemetry_app::{CommonFlags, Exit, Loaded};

use crate::args::DoctorFlags;
use facts::Facts;
use finding::Finding;

/// Shows the page; [`Exit::Incomplete`] if anything is wrong.
pub(crate) fn run(
    flags: &DoctorFlags,
    common: &CommonFlags,
    loaded: &Loaded,
    now: DateTime<Utc>,
) -> anyhow::Result<Exit> {
    let facts = gather::facts(loaded, common, flags.deadline, now)?;
    let findings = examine(&facts);
    show::findings(&findings, flags.format)?;
    let is_wrong = findings.iter().any(|finding| finding.level.is_wrong());
    Ok(if is_wrong { Exit::Incomplete } else { Exit::Done })
}

/// All checks, in the order of the page.
fn examine(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![host::configuration(facts)];
    match &facts.lake {
        None => findings.push(lake::no_answer(facts)),
        Some(of_lake) => {
            findings.extend(lake::findings(facts, of_lake));
            findings.extend(spool::findings(facts, of_lake));
            if let Some(samples) = of_lake.samples.as_ref().filter(|_| facts.configuration.is_enabled) {
                findings.extend(samples::findings(facts, samples));
            }
            findings.extend(programs::findings(facts, of_lake));
        }
    }
    match &facts.machine {
        None => findings.push(host::no_answer(facts)),
        Some(machine) => findings.extend(host::findings(facts, machine)),
    }
    findings
}
