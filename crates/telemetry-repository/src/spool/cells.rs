//! Rows as bytes: a tag and a value for each cell, in the order of the segment's columns. A cell that
//! is equal to the one above it in the frame is its tag alone.

use std::borrow::Cow;

use telemetry_schema::{Row, Value};

const NULL: u8 = 0;
const SAME: u8 = 1;
const INT32: u8 = 2;
const INT64: u8 = 3;
const FLOAT64: u8 = 4;
const FALSE: u8 = 5;
const TRUE: u8 = 6;
const STRING: u8 = 7;
const TIMESTAMP_US: u8 = 8;

/// As many of the rows as fit into so many bytes, but at least one; returns their number.
pub(super) fn encode<R: Row>(rows: &[R], most_bytes: usize) -> (Vec<u8>, usize) {
    let mut bytes = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let begin = bytes.len();
        let above = index.checked_sub(1).map(|above| &rows[above]);
        for column in 0..R::DATASET.columns.len() {
            let value = row.value(column);
            if above.is_some_and(|above| above.value(column) == value) {
                bytes.push(SAME);
            } else {
                encode_value(&value, &mut bytes);
            }
        }
        if index > 0 && bytes.len() > most_bytes {
            bytes.truncate(begin);
            return (bytes, index);
        }
    }
    (bytes, rows.len())
}

fn encode_value(value: &Value<'_>, bytes: &mut Vec<u8>) {
    match value {
        Value::Null => bytes.push(NULL),
        Value::Int32(value) => integer(INT32, i64::from(*value), bytes),
        Value::Int64(value) => integer(INT64, *value, bytes),
        Value::Float64(value) => {
            bytes.push(FLOAT64);
            bytes.extend(value.to_le_bytes());
        }
        Value::Boolean(value) => bytes.push(if *value { TRUE } else { FALSE }),
        Value::String(text) => {
            bytes.push(STRING);
            variable_length(text.len() as u64, bytes);
            bytes.extend(text.as_bytes());
        }
        Value::TimestampUs(value) => integer(TIMESTAMP_US, *value, bytes),
    }
}

/// Small numbers of either sign in few bytes.
fn integer(tag: u8, value: i64, bytes: &mut Vec<u8>) {
    bytes.push(tag);
    variable_length(((value << 1) ^ (value >> 63)).cast_unsigned(), bytes);
}

fn variable_length(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// The rows of a payload whose cells are of these columns. Columns that the dataset lacks (of a later
/// version) are ignored, those that the payload lacks are null.
///
/// # Errors
/// What is wrong with the payload, in words.
pub(super) fn decode<R: Row>(payload: &[u8], columns: &[String]) -> Result<Vec<R>, String> {
    let places: Vec<Option<usize>> =
        columns.iter().map(|name| R::DATASET.column(name).map(|(index, _)| index)).collect();
    let mut above = vec![Value::Null; columns.len()];
    let mut rest = Reader { bytes: payload };
    let mut rows = Vec::new();
    while !rest.bytes.is_empty() {
        for cell in &mut above {
            if let Some(value) = rest.value().ok_or("a row ends too early")? {
                *cell = value;
            }
        }
        let mut cells = vec![Value::Null; R::DATASET.columns.len()];
        for (place, value) in places.iter().zip(&above) {
            if let Some(place) = place {
                cells[*place] = value.clone();
            }
        }
        rows.push(R::from_values(&cells).map_err(|error| error.to_string())?);
        if columns.is_empty() {
            return Err("rows without columns".to_owned());
        }
    }
    Ok(rows)
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The next cell; `Some(None)` if it is the one above, `None` if there is none.
    fn value(&mut self) -> Option<Option<Value<'a>>> {
        let tag = *self.take(1)?.first()?;
        Some(Some(match tag {
            NULL => Value::Null,
            SAME => return Some(None),
            INT32 => Value::Int32(i32::try_from(self.integer()?).ok()?),
            INT64 => Value::Int64(self.integer()?),
            FLOAT64 => Value::Float64(f64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            FALSE => Value::Boolean(false),
            TRUE => Value::Boolean(true),
            STRING => {
                let length = usize::try_from(self.variable_length()?).ok()?;
                Value::String(Cow::Borrowed(std::str::from_utf8(self.take(length)?).ok()?))
            }
            TIMESTAMP_US => Value::TimestampUs(self.integer()?),
            _ => return None,
        }))
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    fn integer(&mut self) -> Option<i64> {
        let value = self.variable_length()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    fn variable_length(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use telemetry_schema::{HOST_METRICS, HostMetricsSample};

    use super::*;

    fn row(cells: &[(&str, Value<'static>)]) -> HostMetricsSample {
        let cell = |name: &str| cells.iter().find(|(of, _)| *of == name).map(|(_, value)| value.clone());
        let values: Vec<_> =
            HOST_METRICS.columns.iter().map(|column| cell(column.name).unwrap_or(Value::Null)).collect();
        HostMetricsSample::from_values(&values).unwrap()
    }

    fn names() -> Vec<String> {
        HOST_METRICS.columns.iter().map(|column| column.name.to_owned()).collect()
    }

    fn rows() -> Vec<HostMetricsSample> {
        let cells = |n: i64| {
            [
                ("as_of", Value::TimestampUs(1_795_262_400_123_000 + n)),
                ("host_id", Value::String("küche".into())),
                ("net_rx_bytes", Value::Int64([0, -1, i64::MAX, i64::MIN][n as usize % 4])),
                ("cpu_count_logical", Value::Int32([i32::MIN, i32::MAX][n as usize % 2])),
                ("cpu_pct", Value::Float64(0.1 * n as f64)),
                ("clock_synced", Value::Boolean(n % 3 == 0)),
            ]
        };
        (0..9).map(|n| row(&cells(n))).collect()
    }

    #[test]
    fn rows_come_back_as_they_were() {
        let (bytes, count) = encode(&rows(), usize::MAX);
        assert_eq!(count, 9);
        assert_eq!(decode::<HostMetricsSample>(&bytes, &names()), Ok(rows()));
    }

    #[test]
    fn what_does_not_fit_waits_for_the_next_frame() {
        let (mut rest, mut back) = (&rows()[..], Vec::new());
        while !rest.is_empty() {
            let (bytes, count) = encode(rest, 150);
            back.extend(decode::<HostMetricsSample>(&bytes, &names()).unwrap());
            rest = &rest[count..];
        }
        assert_eq!(back, rows());
        assert_eq!(encode(&rows(), 0).1, 1, "a row that is too long alone");
    }

    #[test]
    fn columns_of_other_versions_are_null_or_ignored() {
        let sample = &rows()[1];
        let (bytes, _) = encode(std::slice::from_ref(sample), usize::MAX);
        let mut renamed = names();
        let (at, _) = HOST_METRICS.column("net_rx_bytes").unwrap();
        renamed[at] = "of_tomorrow".to_owned();
        let expected = HostMetricsSample { net_rx_bytes: None, ..sample.clone() };
        assert_eq!(decode::<HostMetricsSample>(&bytes, &renamed), Ok(vec![expected]));
    }

    #[test]
    fn every_cut_and_every_flip_is_an_error_or_rows() {
        let (bytes, _) = encode(&rows(), usize::MAX);
        let mut refused = 0;
        for at in 0..bytes.len() {
            refused += usize::from(decode::<HostMetricsSample>(&bytes[..at], &names()).is_err());
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                refused += usize::from(decode::<HostMetricsSample>(&flipped, &names()).is_err());
            }
        }
        assert!(refused > bytes.len() / 2, "{refused}");
        assert!(decode::<HostMetricsSample>(&bytes, &[]).is_err());
    }
}
