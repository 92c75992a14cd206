//! The identifier of a host: part of every key and of every file name.

use std::fmt;

use thiserror::Error;

/// What an identifier must match (and `__`, the separator in file names, must not occur).
pub(crate) const PATTERN: &str = "[A-Za-z0-9][A-Za-z0-9._-]{0,62} without `__`";
const MAX_LEN: usize = 63;

/// A valid host identifier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(String);

impl HostId {
    /// Accepts a configured identifier as it is, or refuses it.
    pub fn parse(text: &str) -> Result<Self, HostIdError> {
        if is_valid(text) { Ok(Self(text.to_owned())) } else { Err(HostIdError { text: text.to_owned() }) }
    }

    /// Makes an identifier from a host name: characters outside the pattern become `-`. The flag
    /// says whether anything had to be changed. `None` if nothing usable is left.
    pub fn from_host_name(name: &str) -> Option<(Self, bool)> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let mut id: String = name.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
        while id.contains("__") {
            id = id.replace("__", "_-");
        }
        let mut id = id.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned();
        id.truncate(MAX_LEN);
        let changed = id != name;
        Self::parse(&id).ok().map(|id| (id, changed))
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text is a valid identifier.
pub(crate) fn is_valid(text: &str) -> bool {
    text.len() <= MAX_LEN
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && !text.contains("__")
}

/// A text that is no host identifier.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("host_id {text:?} must match {PATTERN}")]
pub struct HostIdError {
    /// The refused text.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_identifiers_are_taken_or_refused() {
        let long = "a".repeat(63);
        for good in ["a", "pi-4.local", "9", "Kitchen_Pi", long.as_str()] {
            assert_eq!(HostId::parse(good).map(|id| id.to_string()), Ok(good.to_owned()));
        }
        let too_long = "a".repeat(64);
        for bad in ["", "../x", "-a", ".a", "a__b", "a b", "ä", "a/b", "a\\b", "@all", too_long.as_str()] {
            assert!(HostId::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn host_names_are_mended() {
        let mended = |name| HostId::from_host_name(name).map(|(id, changed)| (id.to_string(), changed));
        assert_eq!(mended("pi"), Some(("pi".into(), false)));
        assert_eq!(mended("Jürgen's PC"), Some(("J-rgen-s-PC".into(), true)));
        assert_eq!(mended("a___b"), Some(("a_-_b".into(), true)));
        assert_eq!(mended("--x"), Some(("x".into(), true)));
        assert_eq!(mended("..."), None);
        assert_eq!(mended(""), None);
    }
}
