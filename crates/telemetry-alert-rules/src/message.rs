//! Messages: what people read of an alert.

use chrono::{DateTime, SecondsFormat, Utc};
use telemetry_schema::MICROS_PER_SECOND;

use crate::comparison::Quantity;
use crate::machine::Reading;
use crate::rule::Rule;
use crate::span;

/// The placeholders of a message.
pub(crate) const PLACEHOLDERS: [&str; 5] = ["host", "value", "threshold", "since", "hours"];

/// A message with placeholders as `{host}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(&'static str),
}

impl Template {
    /// `None` if a brace is not closed or what stands in it is no placeholder.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}')?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Placeholder(PLACEHOLDERS.into_iter().find(|known| *known == name)?));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        (!rest.contains('}')).then_some(Self(parts))
    }

    fn render(&self, value_of: impl Fn(&str) -> String) -> String {
        let text = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Placeholder(name) => value_of(name),
        };
        self.0.iter().map(text).collect()
    }
}

/// What a rule says when it fires.
pub(crate) fn firing(rule: &Rule, host_id: &str, starts_us: i64, at_us: i64, reading: &Reading) -> String {
    let subject = rule.kind.subject();
    rule.message.render(|name| match name {
        "host" => host_id.to_owned(),
        "value" => value(subject.quantity, reading.value),
        "threshold" => value(subject.quantity, subject.threshold),
        "since" => clock(starts_us, at_us),
        _ => reading.forecast_hours.map_or_else(|| "?".to_owned(), |hours| format!("{hours:.1} hours")),
    })
}

/// A value with its unit.
pub(crate) fn value(quantity: Quantity, value: f64) -> String {
    match quantity {
        Quantity::Share => format!("{} %", decimal(100.0 * value)),
        Quantity::Bits => format!("{:#x}", value as u64),
        Quantity::Span => span::text((value * MICROS_PER_SECOND as f64) as i64),
        Quantity::Number(unit) if unit.symbol().is_empty() => decimal(value),
        Quantity::Number(unit) => format!("{} {}", decimal(value), unit.symbol()),
    }
}

/// At most one decimal, but two digits that say something.
fn decimal(value: f64) -> String {
    let places = if value != 0.0 && value.abs() < 1.0 { 2 } else { 1 };
    let text = format!("{value:.places$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The time of day, with the date unless that is the date of `at_us`.
pub(crate) fn clock(instant_us: i64, at_us: i64) -> String {
    let (instant, at) = (date_time(instant_us), date_time(at_us));
    let format = if instant.date_naive() == at.date_naive() { "%H:%M UTC" } else { "%Y-%m-%d %H:%M UTC" };
    instant.format(format).to_string()
}

/// The instant for programs.
pub(crate) fn instant(instant_us: i64) -> String {
    date_time(instant_us).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Instants come from rows, which have them from 1970 to 9999.
pub(crate) fn date_time(us: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(us).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use telemetry_schema::Unit;

    use super::*;

    #[test]
    fn templates_know_their_placeholders() {
        let template = Template::parse("CPU of {host} at {value}").unwrap();
        assert_eq!(template.render(|name| format!("<{name}>")), "CPU of <host> at <value>");
        for wrong in ["{", "}", "{host", "host}", "{hostname}", "{}", "{{host}}"] {
            assert_eq!(Template::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn values_have_their_unit() {
        assert_eq!(value(Quantity::Number(Unit::Celsius), 81.25), "81.2 °C");
        assert_eq!(value(Quantity::Number(Unit::Count), 30.0), "30");
        assert_eq!(value(Quantity::Number(Unit::Gibibytes), 0.043), "0.04 GiB");
        assert_eq!(value(Quantity::Share, 0.042), "4.2 %");
        assert_eq!(value(Quantity::Share, 0.0), "0 %");
        assert_eq!(value(Quantity::Bits, 327_680.0), "0x50000");
        assert_eq!(value(Quantity::Span, 907.5), "15 min");
    }

    #[test]
    fn another_date_is_said() {
        let hour = 3_600 * MICROS_PER_SECOND;
        assert_eq!(clock(10 * hour, 11 * hour), "10:00 UTC");
        assert_eq!(clock(10 * hour, 25 * hour), "1970-01-01 10:00 UTC");
        assert_eq!(instant(1_500_000), "1970-01-01T00:00:01.500Z");
    }
}
