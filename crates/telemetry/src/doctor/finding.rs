//! What a check says.

use chrono::TimeDelta;
use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// To be known; nothing is wrong.
    Note,
    /// Something is lost or will be, or cannot be found out.
    Warning,
    /// Data is not stored, or not true.
    Problem,
}

impl Level {
    pub(crate) fn is_wrong(self) -> bool {
        self >= Self::Warning
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One line of the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at.
    pub(crate) check: &'static str,
    pub(crate) level: Level,
    /// What was found.
    pub(crate) text: String,
    /// What to do about it, a command where there is one.
    pub(crate) remedy: Option<String>,
}

impl Finding {
    pub(crate) fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, text: text.into(), remedy: None }
    }

    pub(crate) fn note(check: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Note, ..Self::ok(check, text) }
    }

    pub(crate) fn warning(check: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::ok(check, text) }.with(remedy)
    }

    pub(crate) fn problem(check: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Problem, ..Self::ok(check, text) }.with(remedy)
    }

    pub(crate) fn with(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}

/// How to see why a program does not run, and to run it once by hand.
pub(crate) fn look_at_schedule(command: &str) -> String {
    let look = if cfg!(windows) {
        "`schtasks /query | findstr telemetry`"
    } else {
        "`systemctl list-timers 'telemetry-*'` or `crontab -l`"
    };
    format!("is it scheduled? {look}; then `{command}`")
}

/// A span of time in its two largest units: `2h 10m`.
pub(crate) fn span(time: TimeDelta) -> String {
    let seconds = time.num_seconds().unsigned_abs();
    let unit = match seconds {
        86_400.. => 3_600,
        3_600.. => 60,
        _ => 1,
    };
    humantime::format_duration(std::time::Duration::from_secs(seconds / unit * unit)).to_string()
}

/// Bytes as people read them.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut number = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while number >= 1024.0 && units.len() > 0 {
        number /= 1024.0;
        unit = units.next();
    }
    format!("{number:.1} {}", unit.unwrap_or(&"KiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_are_short() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (3_599, "59m 59s"), (7_805, "2h 10m"), (90_061, "1day 1h")]
        {
            assert_eq!(span(TimeDelta::seconds(seconds)), text);
        }
        for (bytes, text) in
            [(5, "5 bytes"), (1_536, "1.5 KiB"), (3 << 30, "3.0 GiB"), (2 << 50, "2048.0 TiB")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}
