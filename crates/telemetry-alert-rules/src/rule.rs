//! One rule: the keys of all kinds, and its kind with its own.

use toml::Table;

use crate::comparison::Guard;
use crate::error::RuleError;
use crate::event::{Severity, digest};
use crate::hosts::Hosts;
use crate::keys::Keys;
use crate::kind::{Columns, Kind};
use crate::message::{PLACEHOLDERS, Template};
use crate::rule_set::Settings;
use crate::span::Span;
use crate::ticks::HostTicks;

const LONGEST_ID: usize = 40;
const DEFAULT_MESSAGE: &str = "{value} on {host} since {since}, threshold {threshold}";
/// The keys that do not change what is decided.
const PRESENTATION: [&str; 3] = ["message", "hosts", "enabled"];

/// A rule that can be evaluated.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(crate) id: String,
    pub(crate) severity: Severity,
    pub(crate) hosts: Hosts,
    pub(crate) message: Template,
    /// How long the condition must hold before it fires.
    pub(crate) hold_for: Span,
    pub(crate) keep_firing_for: Span,
    pub(crate) expire_after: Span,
    pub(crate) kind: Kind,
    /// 16 hexadecimal digits of everything that decides.
    pub(crate) hash: String,
    pub(crate) is_enabled: bool,
    min_coverage: f64,
    guards: Vec<Guard>,
}

impl Rule {
    /// Identifier.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How urgent its alerts are.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The Gold column that it looks at; none for a silent host.
    pub fn column(&self) -> Option<&'static str> {
        self.kind.subject().column.map(|column| column.name)
    }

    /// Reads a table of all keys.
    pub(crate) fn read(
        id: &str,
        table: &Table,
        columns: &mut Columns,
        settings: Settings,
    ) -> Result<Self, RuleError> {
        let mut keys = Keys::new(id.to_owned(), table.clone());
        let _: Option<String> = keys.optional("id", ID)?;
        let kinds = Kind::NAMES.join(", ");
        let name: String = keys.required("kind", &kinds)?;
        let Some(kind) = Kind::read(&name, &mut keys, columns, settings) else {
            return Err(keys.bad("kind", kinds, name));
        };
        let kind = kind?;
        let message: String =
            keys.optional("message", MESSAGE)?.unwrap_or_else(|| format!("{id}: {DEFAULT_MESSAGE}"));
        let hosts: Option<Vec<String>> = keys.optional("hosts", HOSTS)?;
        let and = "a list of tables with the keys column, of, op and fire";
        let guards = keys.tables("and", and)?.into_iter().map(|guard| Guard::read(guard, columns));
        let rule = Self {
            id: id.to_owned(),
            severity: keys.optional("severity", "info, warning or critical")?.unwrap_or(Severity::Warning),
            hosts: match &hosts {
                Some(hosts) => {
                    Hosts::parse(hosts).ok_or_else(|| keys.bad("hosts", HOSTS, format!("{hosts:?}")))?
                }
                None => Hosts::all(),
            },
            message: Template::parse(&message).ok_or_else(|| {
                keys.bad(
                    "message",
                    format!("{MESSAGE} and the placeholders {}", PLACEHOLDERS.join(", ")),
                    &message,
                )
            })?,
            hold_for: keys.span("for", Span::ZERO)?,
            keep_firing_for: keys.span("keep_firing_for", Span::ZERO)?,
            expire_after: keys.span_of_at_least(
                "expire_after",
                Span { us: settings.bucket_us },
                Span::DAY,
            )?,
            min_coverage: match keys.number("min_coverage")?.unwrap_or(0.5) {
                share if (0.0..=1.0).contains(&share) => share,
                other => return Err(keys.bad("min_coverage", "a number from 0 to 1", other)),
            },
            is_enabled: keys.optional("enabled", "true or false")?.unwrap_or(true),
            guards: guards.collect::<Result<_, _>>()?,
            hash: hash(table),
            kind,
        };
        keys.finish()?;
        Ok(rule)
    }

    pub(crate) fn is_covered(&self, ticks: &HostTicks<'_>, index: usize) -> bool {
        ticks.coverage.get(index).copied().flatten().is_some_and(|coverage| coverage >= self.min_coverage)
    }

    /// Whether all tables of `and` hold; `None` if one is unknown and none fails.
    pub(crate) fn guards_hold(&self, ticks: &HostTicks<'_>, index: usize) -> Option<bool> {
        let mut holds = Some(true);
        for guard in &self.guards {
            match guard.holds(ticks, index) {
                Some(false) => return Some(false),
                Some(true) => {}
                None => holds = None,
            }
        }
        holds
    }
}

pub(crate) const ID: &str = "1 to 40 characters a-z, 0-9 and -";
const MESSAGE: &str = "a text with closed braces";
const HOSTS: &str = "a list of globs over host_id, as [\"*\", \"!attic-*\"]";

pub(crate) fn is_id(text: &str) -> bool {
    (1..=LONGEST_ID).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn hash(table: &Table) -> String {
    let mut deciding: Vec<(&String, String)> = table
        .iter()
        .filter(|(key, _)| !PRESENTATION.contains(&key.as_str()))
        .map(|(key, value)| (key, value.to_string()))
        .collect();
    deciding.sort();
    let fields: Vec<&[u8]> =
        deciding.iter().flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()]).collect();
    digest("rule", &fields).to_hex()[..16].to_owned()
}
