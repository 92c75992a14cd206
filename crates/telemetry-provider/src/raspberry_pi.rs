//! The Raspberry Pi firmware's throttle word.

mod child;

use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use telemetry_schema::host_metrics::{HostMetricsReadings, ThrottleReading};
use thiserror::Error;
use tracing::debug;

use crate::{RaspberryPiSection, SystemMetricsProvider};
use child::{ChildError, Output};

/// Where the program is if it is not in `PATH`, which is short under cron: today's place and that of
/// older systems.
const USUAL_DIRECTORIES: [&str; 2] = ["/usr/bin", "/opt/vc/bin"];
/// Readings that are left out after the program hung: a wedged firmware makes every caller wait.
const PAUSE_READINGS: u32 = 5;

/// Asks the firmware by `vcgencmd get_throttled`.
///
/// Never with a further argument, which would clear the sticky bits for everyone. Never by the
/// kernel's `get_throttled` file, which is deprecated and writes a warning into the kernel's log.
#[derive(Debug)]
pub struct RaspberryPiProvider {
    vcgencmd: PathBuf,
    deadline: Duration,
    pause: u32,
}

/// Why there is no throttle word.
#[derive(Debug, Error)]
enum Trouble {
    #[error("program not found")]
    Missing,
    #[error("program may not be run")]
    NotExecutable,
    #[error("no answer by the deadline")]
    Hanging,
    #[error("no permission to use the firmware's device")]
    Denied { output: String },
    #[error("no device to reach the firmware")]
    NoDevice { output: String },
    #[error("output not understood")]
    Nonsense { output: String },
    #[error("cannot run the program")]
    Io(#[source] io::Error),
}

impl RaspberryPiProvider {
    /// Uses the program and the deadline of the configuration.
    pub fn new(config: &RaspberryPiSection) -> Self {
        Self {
            vcgencmd: locate(&config.vcgencmd, env::var_os("PATH").as_deref()),
            deadline: Duration::from_millis(config.deadline_ms),
            pause: 0,
        }
    }

    fn read(&mut self) -> Option<u32> {
        if self.pause > 0 {
            self.pause -= 1;
            debug!(remaining = self.pause, "throttle word not read, since vcgencmd hung lately");
            return None;
        }
        let answer = child::run(&self.vcgencmd, "get_throttled", self.deadline);
        word(answer).inspect_err(|trouble| self.report(trouble)).ok()
    }

    /// The throttle word, or why there is none and what can be done about it.
    pub(crate) fn inspect(&mut self) -> Result<u32, (String, &'static str)> {
        let answer = child::run(&self.vcgencmd, "get_throttled", self.deadline);
        word(answer).map_err(|trouble| (trouble.to_string(), trouble.hint()))
    }

    fn report(&mut self, trouble: &Trouble) {
        if matches!(trouble, Trouble::Hanging) {
            self.pause = PAUSE_READINGS;
        }
        let deadline_ms = self.deadline.as_millis();
        debug!(
            program = %self.vcgencmd.display(),
            reason = %trouble,
            output = trouble.output(),
            error = trouble.error().map(tracing::field::display),
            deadline_ms,
            hint = trouble.hint(),
            "no throttle word from the firmware"
        );
    }
}

impl Trouble {
    fn output(&self) -> Option<&str> {
        match self {
            Self::Denied { output } | Self::NoDevice { output } | Self::Nonsense { output } => Some(output),
            Self::Missing | Self::NotExecutable | Self::Hanging | Self::Io(_) => None,
        }
    }

    fn error(&self) -> Option<&io::Error> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }

    /// What the operator can do about it.
    fn hint(&self) -> &'static str {
        match self {
            Self::Missing => "install vcgencmd, or set raspberry_pi.vcgencmd to its path",
            Self::NotExecutable => "make the program executable for this user",
            Self::Hanging => "the firmware may be stuck; a reboot helps",
            Self::Denied { .. } => "add the user to the group video: usermod -aG video USER",
            Self::NoDevice { .. } => "the kernel or the container has no /dev/vcio",
            Self::Nonsense { .. } | Self::Io(_) => "set raspberry_pi.enabled = false to stop asking",
        }
    }
}

impl SystemMetricsProvider for RaspberryPiProvider {
    fn name(&self) -> &'static str {
        "raspberry-pi"
    }

    fn collect(&mut self) -> HostMetricsReadings {
        let throttle = ThrottleReading { throttle_flags: self.read().map(|word| format!("{word:#x}")) };
        HostMetricsReadings { throttle: Some(throttle), ..HostMetricsReadings::default() }
    }
}

/// The program's path. A path is taken as it is, a bare name is searched for; if it is nowhere the
/// name stays, and running it will say so.
fn locate(program: &Path, path: Option<&OsStr>) -> PathBuf {
    if program.components().count() > 1 {
        return program.to_owned();
    }
    let searched = path.map(env::split_paths).into_iter().flatten();
    searched
        .chain(USUAL_DIRECTORIES.iter().map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| program.to_owned())
}

/// The word in the answer, or what the answer means.
fn word(answer: Result<Output, ChildError>) -> Result<u32, Trouble> {
    let output = answer.map_err(|error| match error {
        ChildError::Deadline => Trouble::Hanging,
        ChildError::Io(error) if error.kind() == io::ErrorKind::NotFound => Trouble::Missing,
        ChildError::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => Trouble::NotExecutable,
        ChildError::Io(error) => Trouble::Io(error),
    })?;
    if let Some(word) = output.success.then(|| parse_throttled(&output.text)).flatten() {
        return Ok(word);
    }
    let lower = output.text.to_lowercase();
    let text = output.text;
    if lower.contains("vchi initialization failed") || lower.contains("permission denied") {
        Err(Trouble::Denied { output: text })
    } else if lower.contains("can't open device file") || lower.contains("/dev/v") {
        Err(Trouble::NoDevice { output: text })
    } else {
        Err(Trouble::Nonsense { output: text })
    }
}

/// The one line `throttled=0x50005`.
fn parse_throttled(text: &str) -> Option<u32> {
    let digits = text.trim().strip_prefix("throttled=0x")?;
    // `from_str_radix` would take a sign.
    if digits.starts_with('+') { None } else { u32::from_str_radix(digits, 16).ok() }
}

#[cfg(test)]
mod tests;
