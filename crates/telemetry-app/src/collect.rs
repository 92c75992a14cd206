//! The section `collect`: when samples are published, and when they are durable.

use serde::{Deserialize, Deserializer, Serialize, de};

/// Samples are published at every full hour at the latest.
const MOST_MINUTES: u32 = 60;

/// The section `collect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CollectSection {
    /// Minutes between publications (0 to 60); 0: each run publishes its own samples, without a spool
    /// unless their clock is not right.
    #[serde(deserialize_with = "publish_interval_minutes")]
    pub publish_interval_minutes: u32,
    /// When samples that wait in the spool survive a power cut.
    pub durability: Durability,
}

impl Default for CollectSection {
    fn default() -> Self {
        Self { publish_interval_minutes: 0, durability: Durability::Minute }
    }
}

/// What a power cut can take of the samples in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Nothing but the sample that is being taken.
    Sample,
    /// Those of the last minute, or of a run that has not ended.
    Minute,
    /// All that are not published.
    Publish,
}

fn publish_interval_minutes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let minutes = i64::deserialize(deserializer)?;
    match u32::try_from(minutes) {
        Ok(minutes) if minutes <= MOST_MINUTES => Ok(minutes),
        _ => Err(de::Error::custom(format!("expected minutes from 0 to {MOST_MINUTES}"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_hour_is_the_longest_interval() {
        let read = |text: &str| {
            let section: Result<CollectSection, _> = toml::from_str(text);
            section.map_err(|error| error.message().to_owned())
        };
        assert_eq!(read("publish_interval_minutes = 60").unwrap().publish_interval_minutes, 60);
        assert_eq!(read("durability = \"sample\"").unwrap().durability, Durability::Sample);
        for wrong in ["61", "-1"] {
            let error = read(&format!("publish_interval_minutes = {wrong}")).unwrap_err();
            assert_eq!(error, "expected minutes from 0 to 60", "{wrong}");
        }
        assert!(read("durability = \"hour\"").unwrap_err().contains("`sample`, `minute`, `publish`"));
    }
}
