//! The sections `compact` and `retention`: when files are merged, and how long dates are kept.

use chrono::{NaiveDate, TimeDelta};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const HOURS_PER_YEAR: u32 = 24 * 366;
/// A hundred years.
const MOST_DAYS: u32 = 36_525;
const NEVER: &str = "never";

/// The section `compact`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompactSection {
    /// How long a UTC date must be over before its files become one, in hours (1 to 8784).
    #[serde(deserialize_with = "closed_after_hours")]
    pub closed_after_hours: u32,
}

impl Default for CompactSection {
    fn default() -> Self {
        Self { closed_after_hours: 48 }
    }
}

impl CompactSection {
    /// How long a UTC date must be over before its files become one.
    pub fn closed_after(&self) -> TimeDelta {
        TimeDelta::hours(i64::from(self.closed_after_hours))
    }
}

/// The section `retention`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionSection {
    /// How long samples are kept.
    pub silver_days: Days,
    /// How long rollups are kept, but never shorter than their samples.
    pub gold_days: Days,
    /// How long alerts are kept.
    pub alerts_days: Days,
}

impl Default for RetentionSection {
    fn default() -> Self {
        Self { silver_days: Days::Some(90), gold_days: Days::Some(1_826), alerts_days: Days::Unlimited }
    }
}

/// A number of days (1 to 36525), or for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Days {
    /// So many whole days after the date.
    Some(u32),
    /// `never`.
    Unlimited,
}

impl Days {
    /// Whether a date is no longer kept.
    pub fn is_over(self, date: NaiveDate, today: NaiveDate) -> bool {
        match self {
            Days::Some(days) => (today - date).num_days() > i64::from(days),
            Days::Unlimited => false,
        }
    }
}

impl Serialize for Days {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Days::Some(days) => serializer.serialize_u32(*days),
            Days::Unlimited => serializer.serialize_str(NEVER),
        }
    }
}

impl<'de> Deserialize<'de> for Days {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            Number(i64),
            Text(String),
        }
        let wrong = || de::Error::custom(format!("expected days from 1 to {MOST_DAYS}, or \"{NEVER}\""));
        let number = match Given::deserialize(deserializer).map_err(|_| wrong())? {
            Given::Text(text) if text == NEVER => return Ok(Days::Unlimited),
            // A key that is "never" by default is a text to the environment.
            Given::Text(text) => text.parse().map_err(|_| wrong())?,
            Given::Number(number) => number,
        };
        match u32::try_from(number) {
            Ok(days) if (1..=MOST_DAYS).contains(&days) => Ok(Days::Some(days)),
            _ => Err(wrong()),
        }
    }
}

fn closed_after_hours<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let hours = i64::deserialize(deserializer)?;
    match u32::try_from(hours) {
        Ok(hours) if (1..=HOURS_PER_YEAR).contains(&hours) => Ok(hours),
        _ => Err(de::Error::custom(format!("expected hours from 1 to {HOURS_PER_YEAR}"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn days_are_a_number_or_never() {
        let read = |text: &str| {
            let section: Result<RetentionSection, _> = toml::from_str(&format!("silver_days = {text}"));
            section.map(|section| section.silver_days).map_err(|error| error.message().to_owned())
        };
        assert_eq!(read("7"), Ok(Days::Some(7)));
        assert_eq!(read("\"7\""), Ok(Days::Some(7)));
        assert_eq!(read("\"never\""), Ok(Days::Unlimited));
        for wrong in ["0", "-1", "36526", "\"always\"", "true", "1.5"] {
            assert_eq!(read(wrong), Err("expected days from 1 to 36525, or \"never\"".to_owned()), "{wrong}");
        }
        let section: Result<CompactSection, _> = toml::from_str("closed_after_hours = 0");
        assert!(section.unwrap_err().message().contains("expected hours from 1 to 8784"));
    }

    #[test]
    fn a_date_is_kept_for_whole_days() {
        let date = |day| NaiveDate::from_ymd_opt(2026, 11, day).unwrap();
        assert!(!Days::Some(2).is_over(date(1), date(3)));
        assert!(Days::Some(2).is_over(date(1), date(4)));
        assert!(!Days::Some(2).is_over(date(9), date(4)), "a date of the future");
        assert!(!Days::Unlimited.is_over(NaiveDate::MIN, date(4)));
    }
}
