//! What can be wrong with a rule.

use thiserror::Error;

/// A rule that cannot be used. Each says the rule, the key, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RuleError {
    /// A key that no rule of this kind has.
    #[error("alert {rule}: unknown key `{key}`{}", did_you_mean(nearest.as_deref()))]
    UnknownKey {
        /// Identifier or position of the rule.
        rule: String,
        /// The key.
        key: String,
        /// The known key that is most like it.
        nearest: Option<String>,
    },
    /// A key that the rule needs.
    #[error("alert {rule}: key `{key}` is missing, expected {expected}")]
    MissingKey {
        /// Identifier or position of the rule.
        rule: String,
        /// The key.
        key: &'static str,
        /// What to give it.
        expected: String,
    },
    /// A value that the key cannot have.
    #[error("alert {rule}: bad value for `{key}`: expected {expected}, got {got}")]
    BadValue {
        /// Identifier or position of the rule.
        rule: String,
        /// The key.
        key: &'static str,
        /// What is allowed.
        expected: String,
        /// The value.
        got: String,
    },
    /// A column that the rollup does not have.
    #[error("alert {rule}: `{key}` names no column of the rollup: {column}{}", did_you_mean(nearest.as_deref()))]
    UnknownColumn {
        /// Identifier or position of the rule.
        rule: String,
        /// The key.
        key: &'static str,
        /// The name that was given.
        column: String,
        /// The column that is most like it.
        nearest: Option<String>,
    },
    /// Two rules with one identifier in one file.
    #[error("alert {rule} stands twice in one file, expected one table for each id")]
    Duplicate {
        /// The identifier.
        rule: String,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(", did you mean `{name}`?"))
}

/// The name that is most like what was given, if any is like it.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(given, name), name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .map(|(_, name)| name.to_owned())
}
