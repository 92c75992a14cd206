//! What waits in the spool, and whether an SD card is spared.

use chrono::{SecondsFormat, TimeDelta};
use telemetry_repository::SpoolLook;

use super::facts::{Facts, LakeFacts};
use super::finding::{Finding, size, span};

const SPOOL: &str = "spool";
const CARD: &str = "card";
/// The next run of cron publishes what is due, and a run takes a minute.
const LATENESS: TimeDelta = TimeDelta::minutes(5);
/// More than half in use is published at once, if it can be.
const LITTLE_ROOM_PERCENT: u32 = 50;
const MOUNT_OPTION: &str = "commit=1800";

pub(super) fn findings(facts: &Facts, lake: &LakeFacts) -> Vec<Finding> {
    let mut findings: Vec<_> = lake.spool.iter().map(|spool| found(facts, spool)).collect();
    findings.extend(card(facts));
    findings
}

fn found(facts: &Facts, spool: &SpoolLook) -> Finding {
    let publish = facts.command("telemetry-collect --publish");
    let text = waiting(facts, spool);
    let minutes = facts.configuration.publish_interval_minutes;
    let (waits, late) = (&spool.waiting, facts.now - LATENESS);
    if spool.dropped > 0 {
        let text = format!("full: {} samples were overwritten; {text}", spool.dropped);
        Finding::problem(SPOOL, text, publish)
    } else if spool.lost_frames > 0 {
        let path = spool.path.display();
        let text = format!("{path} is damaged, {} of its frames are lost; {text}", spool.lost_frames);
        Finding::warning(SPOOL, text, format!("{publish}; a copy goes to the quarantine"))
    } else if spool.used_percent >= LITTLE_ROOM_PERCENT {
        Finding::warning(SPOOL, format!("little room is left; {text}"), publish)
    } else if waits.oldest.is_none_or(|oldest| oldest < late) && waits.is_due(late, minutes) {
        Finding::warning(SPOOL, format!("not published in time: {text}"), publish)
    } else {
        Finding::ok(SPOOL, text)
    }
}

fn waiting(facts: &Facts, spool: &SpoolLook) -> String {
    let room = format!("{} % of {} in use", spool.used_percent, size(spool.bytes));
    match (spool.waiting.samples, spool.waiting.oldest) {
        (0, _) => format!("nothing waits, {room}"),
        (samples, Some(oldest)) => {
            let age = span((facts.now - oldest).max(TimeDelta::zero()));
            let since = oldest.to_rfc3339_opts(SecondsFormat::Secs, true);
            format!("{samples} samples wait, the oldest for {age} ({since}), {room}")
        }
        (samples, None) => format!("{samples} samples wait, {room}"),
    }
}

/// What spares a card; nothing is wrong without it.
fn card(facts: &Facts) -> Option<Finding> {
    let mount = facts.mount.as_ref().filter(|mount| mount.is_card && facts.configuration.is_enabled)?;
    let point = mount.point.display();
    if facts.configuration.publish_interval_minutes == 0 {
        let text = format!("{point} is on an SD card or eMMC, and each run publishes a file of its own");
        let remedy = "publish_interval_minutes = 60 in the section `collect` of the configuration";
        return Some(Finding::note(CARD, text).with(remedy));
    }
    (mount.kind == "ext4" && mount.commit_seconds.is_none()).then(|| {
        let text = format!(
            "{point} commits each change of a time after five seconds, most of what samples that wait write"
        );
        let remedy = format!(
            "{MOUNT_OPTION} among the options of {point} in /etc/fstab, if other programs may lose what they \
             have not synced for so many seconds"
        );
        Finding::note(CARD, text).with(remedy)
    })
}
