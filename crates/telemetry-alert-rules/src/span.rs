//! Lengths of time in rules: texts as `10m`, `24h`, `7d`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use telemetry_schema::MICROS_PER_SECOND;

/// The longest span that a rule can name, a leap year.
const MOST_SECONDS: u64 = 366 * 86_400;

/// What a span looks like, for messages.
pub(crate) const EXPECTED: &str =
    "a length of time in whole seconds, up to 366d, as \"10m\", \"24h\" or \"7d\"";

/// A length of time, at least zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) us: i64,
}

impl Span {
    pub(crate) const ZERO: Self = Self { us: 0 };
    pub(crate) const DAY: Self = Self { us: 86_400 * MICROS_PER_SECOND };
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(Duration::from_micros(self.us.unsigned_abs())).fmt(f)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || de::Error::custom(EXPECTED);
        let span = humantime::parse_duration(&text).map_err(|_| wrong())?;
        if span.subsec_nanos() != 0 || span.as_secs() > MOST_SECONDS {
            return Err(wrong());
        }
        let seconds = i64::try_from(span.as_secs()).map_err(|_| wrong())?;
        Ok(Self { us: seconds * MICROS_PER_SECOND })
    }
}

/// A length of time for people: its two largest units, minutes at least.
pub(crate) fn text(us: i64) -> String {
    let minutes = us / (60 * MICROS_PER_SECOND);
    let (days, hours) = (minutes / 1_440, minutes / 60 % 24);
    match (days, hours, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, 0, _) => format!("{days} d"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn spans_are_whole_seconds_with_a_unit() {
        let read = |text: &str| {
            toml::Value::from(text).try_into::<Span>().ok().map(|span| span.us / MICROS_PER_SECOND)
        };
        assert_eq!(read("10m"), Some(600));
        assert_eq!(read("1h 30m"), Some(5_400));
        assert_eq!(read("0s"), Some(0));
        assert_eq!(read("366d"), Some(31_622_400));
        for wrong in ["", "10", "10 minutes and more", "-5m", "1500ms", "367d", "99999999999999999999d"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn people_read_two_units() {
        let of_seconds = |seconds: i64| text(seconds * MICROS_PER_SECOND);
        assert_eq!(of_seconds(907), "15 min");
        assert_eq!(of_seconds(3_600), "1 h");
        assert_eq!(of_seconds(7_500), "2 h 5 min");
        assert_eq!(of_seconds(86_400), "1 d");
        assert_eq!(of_seconds(93_700), "1 d 2 h");
    }
}
