//! What waits in a spool, and for how long it may.

use chrono::{DateTime, Utc};

use super::decode;
use super::frame::Kind;
use super::journal::State;
use super::recovery::Stored;

/// Samples that are in the spool and not yet published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Their number.
    pub samples: usize,
    /// The instant of the first one.
    pub oldest: Option<DateTime<Utc>>,
    /// Whether they should not wait any longer: more than half of the spool is in use, a publication
    /// was begun and not completed, or damage was found.
    pub is_urgent: bool,
}

impl Waiting {
    pub(super) fn of(frames: &[Stored]) -> Self {
        let rows: Vec<_> = frames.iter().filter(|frame| frame.kind == Kind::Rows).collect();
        let oldest = rows.first().and_then(|frame| Some(decode(frame).ok()?.first()?.as_of));
        let samples = rows.iter().map(|frame| frame.rows as usize).sum();
        Self { samples, oldest, is_urgent: false }
    }

    /// Those of a journal that has just been read, of which so many frames are lost.
    pub(super) fn of_journal(frames: &[Stored], state: &State, lost_frames: u64) -> Self {
        let waiting = Self::of(frames);
        let is_begun = state.unsure > state.released && waiting.samples > 0;
        Self { is_urgent: is_begun || lost_frames > 0, ..waiting }
    }

    /// Whether they are to be published at that instant, if samples may wait for so many minutes: their
    /// interval, hour or UTC day is over, also because the clock was set back.
    pub fn is_due(&self, at: DateTime<Utc>, interval_minutes: u32) -> bool {
        let is_over = |oldest| interval_minutes == 0 || is_interval_over(oldest, at, interval_minutes);
        self.samples > 0 && (self.is_urgent || self.oldest.is_none_or(is_over))
    }
}

fn is_interval_over(oldest: DateTime<Utc>, now: DateTime<Utc>, interval_minutes: u32) -> bool {
    let interval = |at: DateTime<Utc>| {
        let minute = at.timestamp().div_euclid(60);
        (minute.div_euclid(60), minute.rem_euclid(60) / i64::from(interval_minutes))
    };
    interval(oldest) != interval(now)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-21T{text}Z").parse().unwrap()
    }

    #[test]
    fn intervals_end_with_the_hour() {
        let due = |oldest, now, minutes| {
            let waiting = Waiting { samples: 1, oldest: Some(at(oldest)), is_urgent: false };
            waiting.is_due(at(now), minutes)
        };
        assert!(!due("12:00:00", "12:04:59", 5));
        assert!(due("12:04:59", "12:05:00", 5));
        assert!(due("12:58:00", "13:00:00", 7), "the hour ends before the interval");
        assert!(!due("12:00:00", "12:59:59", 60));
        assert!(due("12:59:59", "13:00:00", 60));
        assert!(due("12:30:00", "11:30:00", 60), "the clock was set back");
        assert!(due("23:59:59", "00:00:00", 60));
        assert!(due("12:00:00", "12:00:00", 0), "nothing is to wait");
    }

    #[test]
    fn only_samples_are_due_and_urgent_ones_at_once() {
        let one = Waiting { samples: 1, oldest: Some(at("12:00:00")), is_urgent: true };
        assert!(one.is_due(at("12:00:01"), 60));
        assert!(!Waiting { is_urgent: false, ..one }.is_due(at("12:00:01"), 60));
        assert!(Waiting { is_urgent: false, oldest: None, ..one }.is_due(at("12:00:01"), 60));
        assert!(!Waiting { samples: 0, ..one }.is_due(at("15:00:00"), 60));
    }
}
