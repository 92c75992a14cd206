//! `forecast`: a line through a window of a column reaches a limit within a time.
//!
//! A single step (a large file that was copied) also tilts a line. So a second line, through the same
//! points with their oddest step made like the others, must reach the limit in time too.

use telemetry_schema::MICROS_PER_SECOND;

use super::{Columns, KindOfRule, Subject, Walk, walk_ticks};
use crate::comparison::Operand;
use crate::error::RuleError;
use crate::keys::Keys;
use crate::machine::{Machine, Reading};
use crate::rule::Rule;
use crate::rule_set::Settings;
use crate::span::Span;
use crate::ticks::HostTicks;

/// A line through fewer points says nothing.
pub(crate) const LEAST_POINTS: usize = 12;
/// The part of the window's buckets that must be there.
const LEAST_COVERAGE: f64 = 0.5;

#[derive(Debug, Clone)]
pub(crate) struct Forecast {
    operand: Operand,
    window: Span,
    reaches: f64,
    within: Span,
    least_points: usize,
}

impl KindOfRule for Forecast {
    fn read(keys: &mut Keys, columns: &mut Columns, settings: Settings) -> Result<Self, RuleError> {
        let shortest = Span { us: settings.bucket_us * LEAST_POINTS as i64 };
        let window = keys.required_span("window", shortest)?;
        let buckets = window.us as f64 / settings.bucket_us as f64;
        Ok(Self {
            operand: Operand::read(keys, columns)?,
            window,
            reaches: keys.required_number("reaches")?,
            within: keys.required_span("within", Span { us: MICROS_PER_SECOND })?,
            least_points: LEAST_POINTS.max((buckets * LEAST_COVERAGE).ceil() as usize),
        })
    }

    fn subject(&self) -> Subject {
        Subject {
            column: Some(self.operand.column),
            quantity: self.operand.quantity(),
            threshold: self.reaches,
            clear: self.reaches,
        }
    }

    fn lookback_us(&self) -> i64 {
        self.window.us
    }

    fn walk(&self, rule: &Rule, ticks: &HostTicks<'_>, walk: Walk, machine: &mut Machine<'_>) {
        let points = self.points(rule, ticks, walk);
        let mut window = Window { points: &points, first: 0, end: 0, line: Line::default() };
        walk_ticks(rule, ticks, walk, machine, |index| {
            let value = self.operand.value(ticks, index)?;
            let now = ticks.ends_us[index] / MICROS_PER_SECOND;
            window.advance(now - self.window.us / MICROS_PER_SECOND, now);
            if window.end - window.first < self.least_points {
                return None;
            }
            // The second line is only looked at where the first one alarms.
            let forecast_hours = self
                .hours(&window.line, now, value)
                .and_then(|hours| Some(hours.max(self.hours(&window.without_odd_step(), now, value)?)));
            let fires = forecast_hours.is_some();
            Some(Reading { forecast_hours, ..Reading::new(value, fires, !fires) })
        });
    }
}

impl Forecast {
    /// The usable points of all windows.
    fn points(&self, rule: &Rule, ticks: &HostTicks<'_>, walk: Walk) -> Vec<Point> {
        let begin =
            ticks.ends_us.get(walk.first).map_or(walk.end, |end_us| ticks.after(end_us - self.window.us));
        (begin..walk.end)
            .filter(|index| rule.is_covered(ticks, *index))
            .filter_map(|index| {
                let value = self.operand.value(ticks, index)?;
                let level = (value * LEVELS).round() as i64;
                Some(Point { second: ticks.ends_us[index] / MICROS_PER_SECOND, level })
            })
            .collect()
    }

    /// Hours until the line reaches the limit, if it does in time; 0 if it has passed it and the value
    /// has not.
    fn hours(&self, line: &Line, now: i64, value: f64) -> Option<f64> {
        let (slope, level) = line.slope_and_level(now);
        let hours = (self.reaches * LEVELS - level) / slope / 3_600.0;
        let within_hours = self.within.us as f64 / (3_600 * MICROS_PER_SECOND) as f64;
        let is_ahead = (self.reaches - value) * slope >= 0.0;
        (is_ahead && hours.is_finite() && hours <= within_hours).then_some(hours.max(0.0))
    }
}

/// A value is counted in levels, so that sums are exact and it does not matter where a walk began.
const LEVELS: f64 = 1e6;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    /// Seconds since 1970.
    second: i64,
    level: i64,
}

/// The points of one window, which moves on.
struct Window<'a> {
    points: &'a [Point],
    first: usize,
    end: usize,
    line: Line,
}

impl Window<'_> {
    /// To the points after one second and up to another, neither earlier than before.
    fn advance(&mut self, after: i64, until: i64) {
        while let Some(point) = self.points.get(self.end).filter(|point| point.second <= until) {
            self.line.add(*point, 1);
            self.end += 1;
        }
        while let Some(point) = self.points.get(self.first).filter(|point| point.second <= after) {
            self.line.add(*point, -1);
            self.first += 1;
        }
    }

    /// The line if the step that is least like the others were as the others are on average.
    fn without_odd_step(&self) -> Line {
        let points = &self.points[self.first..self.end];
        let (position, excess) = odd_step(points).unwrap_or((points.len(), 0));
        let mut line = Line::default();
        for (index, point) in points.iter().enumerate() {
            let excess = if index > position { excess } else { 0 };
            line.add(Point { level: point.level.saturating_sub(excess), ..*point }, 1);
        }
        line
    }
}

/// Position of the point before the step that is least like the others, and what it has more than they
/// have on average.
fn odd_step(points: &[Point]) -> Option<(usize, i64)> {
    let growth = points.last()?.level.saturating_sub(points.first()?.level);
    let others = i64::try_from(points.len()).ok()? - 2;
    let mean = growth as f64 / (others + 1) as f64;
    let steps = points.windows(2).map(|pair| pair[1].level.saturating_sub(pair[0].level)).enumerate();
    let oddness = |step: i64| (step as f64 - mean).abs();
    let (position, step) = steps.max_by(|(_, one), (_, other)| oddness(*one).total_cmp(&oddness(*other)))?;
    (others > 0).then(|| (position, step.saturating_sub(growth.saturating_sub(step) / others)))
}

/// Sums of the points that a line of least squares goes through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Line {
    n: i128,
    x: i128,
    y: i128,
    xx: i128,
    xy: i128,
}

impl Line {
    /// Adds a point (`sign` 1) or takes it out (-1).
    fn add(&mut self, point: Point, sign: i128) {
        let (x, y) = (i128::from(point.second), i128::from(point.level));
        self.n += sign;
        self.x += sign * x;
        self.y += sign * y;
        self.xx += sign * x * x;
        self.xy += sign * x * y;
    }

    /// Levels per second, and the line's level at a second.
    fn slope_and_level(&self, second: i64) -> (f64, f64) {
        let Self { n, x, y, xx, xy } = *self;
        let slope = (n * xy - x * y) as f64 / (n * xx - x * x) as f64;
        let ahead = (n * i128::from(second) - x) as f64;
        (slope, (y as f64 + slope * ahead) / n as f64)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn points(levels: &[i64]) -> Vec<Point> {
        let point = |(number, level): (usize, &i64)| Point {
            second: 1_795_262_400 + 300 * number as i64,
            level: *level,
        };
        levels.iter().enumerate().map(point).collect()
    }

    #[test]
    fn lines_through_known_points() {
        let steady = points(&(0..72).map(|n| 40_000_000 - 500_000 * n).collect::<Vec<_>>());
        let mut window = Window { points: &steady, first: 0, end: 0, line: Line::default() };
        let last = steady[71].second;
        window.advance(0, last);
        let (slope, level) = window.line.slope_and_level(last);
        assert_eq!((slope * 300.0, level), (-500_000.0, 4_500_000.0));
        assert_eq!(window.without_odd_step(), window.line);

        window.advance(steady[70].second, last);
        assert_eq!((window.first, window.end, window.line.n), (71, 72, 1));
        let constant = points(&[100_000; 5]);
        let mut window = Window { points: &constant, first: 0, end: 0, line: Line::default() };
        window.advance(0, last);
        assert_eq!(window.line.slope_and_level(last), (0.0, 100_000.0));
    }

    #[test]
    fn a_window_that_has_moved_is_the_one_that_began_there() {
        let points = points(&[7, -3, 9_000_000_000_000_000, 12, 5, -8_000_000, 4]);
        let second = |index: usize| points[index].second;
        let mut moved = Window { points: &points, first: 0, end: 0, line: Line::default() };
        for end in 0..points.len() {
            moved.advance(second(end) - 900, second(end));
        }
        let mut fresh = Window { points: &points, first: 0, end: 0, line: Line::default() };
        fresh.advance(second(6) - 900, second(6));
        assert_eq!((moved.first, moved.end, moved.line), (4, 7, fresh.line));
    }

    #[test]
    fn the_odd_step_is_made_like_the_others() {
        assert_eq!(odd_step(&points(&[9, 8, 3, 2])), Some((1, -4)));
        assert_eq!(odd_step(&points(&[3, 2, 9, 8])), Some((1, 8)));
        assert_eq!(odd_step(&points(&[3, 1])), None);
        assert_eq!(odd_step(&[]), None);
        let jump = points(&[9, 8, 3, 2]);
        let mut window = Window { points: &jump, first: 0, end: 0, line: Line::default() };
        window.advance(0, i64::MAX);
        let (slope, level) = window.without_odd_step().slope_and_level(jump[3].second);
        assert_eq!((slope * 300.0, level), (-1.0, 6.0));
    }
}
