//! The provider part of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de};

/// The sections of the configuration file that belong to the providers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderConfig {
    /// `[provider]`
    pub provider: ProviderSection,
    /// `[raspberry_pi]`
    pub raspberry_pi: RaspberryPiSection,
}

/// `[provider]`: all providers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderSection {
    /// How long a sample waits for its providers, in milliseconds (1 to 60000). One that takes
    /// longer is left out.
    #[serde(deserialize_with = "deadline_ms")]
    pub deadline_ms: u64,
}

impl Default for ProviderSection {
    fn default() -> Self {
        Self { deadline_ms: 2000 }
    }
}

/// `[raspberry_pi]`: the firmware's throttle word. Without effect on other machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RaspberryPiSection {
    /// Whether to ask the firmware.
    pub enabled: bool,
    /// The program that asks it. A bare name is looked up in `PATH`, `/usr/bin` and `/opt/vc/bin`.
    pub vcgencmd: PathBuf,
    /// How long the program may take, in milliseconds (1 to 60000); then it is killed.
    #[serde(deserialize_with = "deadline_ms")]
    pub deadline_ms: u64,
}

impl Default for RaspberryPiSection {
    fn default() -> Self {
        Self { enabled: true, vcgencmd: PathBuf::from("vcgencmd"), deadline_ms: 1000 }
    }
}

/// A deadline of zero would leave every provider out, and a very long one would hang like none.
fn deadline_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = u64::deserialize(deserializer)?;
    if (1..=60_000).contains(&value) {
        Ok(value)
    } else {
        Err(de::Error::custom(format!("deadline_ms = {value} must be 1 to 60000")))
    }
}

/// Everything that decides which providers there are and what they read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSettings {
    /// Any path on the file system whose space is measured.
    pub disk_mount: PathBuf,
    /// The one interface whose traffic is counted; `None` for all physical ones.
    pub network_interface: Option<String>,
    /// Whether the calling process is measured too.
    pub include_process_metrics: bool,
    /// The provider part of the configuration.
    pub config: ProviderConfig,
    /// What stands for `/` when Linux files are read; `disk_mount` is not below it.
    pub root: PathBuf,
}

impl Default for ProviderSettings {
    fn default() -> Self {
        Self {
            disk_mount: PathBuf::from(if cfg!(windows) { "C:\\" } else { "/" }),
            network_interface: None,
            include_process_metrics: false,
            config: ProviderConfig::default(),
            root: PathBuf::from("/"),
        }
    }
}

impl ProviderSettings {
    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_millis(self.config.provider.deadline_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_survive_a_round_trip() -> Result<(), Box<dyn std::error::Error>> {
        let text = toml::to_string(&ProviderConfig::default())?;
        assert_eq!(toml::from_str::<ProviderConfig>(&text)?, ProviderConfig::default());
        assert_eq!(toml::from_str::<ProviderConfig>("")?, ProviderConfig::default());
        Ok(())
    }

    #[test]
    fn bad_values_are_named() {
        for (text, named) in [
            ("[provider]\ndeadline_ms = 0", "deadline_ms = 0 must be 1 to 60000"),
            ("[raspberry_pi]\ndeadline_ms = 60001", "must be 1 to 60000"),
            ("[provider]\ndeadline = 5", "deadline_ms"),
            ("[raspberry]\nenabled = true", "raspberry_pi"),
        ] {
            let error = toml::from_str::<ProviderConfig>(text).map_err(|error| error.to_string());
            assert!(error.as_ref().is_err_and(|message| message.contains(named)), "{text}: {error:?}");
        }
    }
}
