//! Samples as typed columns: what the pass reads, whichever frame it came from.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use polars::prelude::{
    BooleanChunked, ChunkedArray, Column, DataFrame, DataType, Float64Chunked, Int64Chunked,
    PolarsNumericType, Scalar, Series, StringChunked,
};
use telemetry_schema::ColumnType;

use crate::EngineError;
use crate::plan::Plan;

/// One frame's columns, in the order of the plan.
pub(crate) struct Batch {
    pub(crate) rows: usize,
    pub(crate) columns: Vec<Rc<Data>>,
}

/// The columns of a frame that held one value in all rows, in the order of the plan: mostly the next
/// row group has the same, and shares them.
#[derive(Default)]
pub(crate) struct Constants {
    columns: HashMap<usize, (Scalar, Rc<Data>)>,
}

/// The values of one column. Numbers of polars are shared, not copied; `present` is only there if
/// something is absent.
pub(crate) enum Data {
    Int {
        values: Int64Chunked,
        present: Option<Vec<bool>>,
    },
    Float {
        values: Float64Chunked,
        present: Option<Vec<bool>>,
    },
    /// Positions in [`Texts`]; equal texts have equal positions.
    Text(Vec<u32>),
}

/// How many of some rows have a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    All,
    Some,
    None,
}

/// The values of a column of numbers: the integers or the doubles, the other is empty.
#[derive(Clone, Copy)]
pub(crate) struct Numbers<'a> {
    pub(crate) ints: &'a [i64],
    pub(crate) floats: &'a [f64],
    present: Option<&'a [bool]>,
}

/// Every distinct text once. Position 0 stands for null.
#[derive(Default)]
pub(crate) struct Texts {
    texts: Vec<String>,
    positions: HashMap<String, u32>,
}

/// Texts that are compared with the one before at once; the bits of a `u16`.
const VIEWS_AT_ONCE: usize = 16;

/// The position that stands for null in a text column.
pub(crate) const NULL_TEXT: u32 = 0;

impl Texts {
    pub(crate) fn new() -> Self {
        Self { texts: vec![String::new()], positions: HashMap::new() }
    }

    pub(crate) fn intern(&mut self, text: &str) -> u32 {
        if let Some(position) = self.positions.get(text) {
            return *position;
        }
        let position = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(text.to_owned());
        self.positions.insert(text.to_owned(), position);
        position
    }

    pub(crate) fn get(&self, position: u32) -> Option<&str> {
        if position == NULL_TEXT { None } else { self.texts.get(position as usize).map(String::as_str) }
    }
}

impl Batch {
    /// Reads a frame; rows without host or instant have no place, and are only counted.
    pub(crate) fn read(
        frame: &DataFrame,
        plan: &Plan,
        texts: &mut Texts,
        constants: &mut Constants,
    ) -> Result<(Self, u64), EngineError> {
        let columns = plan
            .columns
            .iter()
            .enumerate()
            .map(|(position, planned)| {
                let wrong = || EngineError::Column { column: planned.name, expected: planned.ty };
                let column = frame.column(planned.name).map_err(|_| wrong())?;
                let data = match column {
                    Column::Scalar(value) if !value.is_empty() => {
                        let read = || Data::read(&value.as_single_value_series(), planned.ty, texts);
                        constants.read(position, (value.scalar(), value.len()), read)
                    }
                    _ => Data::read(column.as_materialized_series(), planned.ty, texts).map(Rc::new),
                };
                data.ok_or_else(wrong)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let batch = Self { rows: frame.height(), columns };
        let hosts = batch.texts(plan.host_id);
        let times = &batch.columns[plan.as_of];
        let is_usable = |row: &usize| hosts[*row] != NULL_TEXT && times.int(*row).is_some();
        if times.present().is_none() && !hosts.contains(&NULL_TEXT) {
            return Ok((batch, 0));
        }
        let usable: Vec<(usize, usize)> = (0..batch.rows).filter(is_usable).map(|row| (0, row)).collect();
        let unusable_rows = (batch.rows - usable.len()) as u64;
        Ok((Self::gather(&[batch], &usable), unusable_rows))
    }

    /// The texts of a column as positions; empty if it holds none.
    pub(crate) fn texts(&self, column: usize) -> &[u32] {
        match &*self.columns[column] {
            Data::Text(positions) => positions,
            Data::Int { .. } | Data::Float { .. } => &[],
        }
    }

    /// The numbers of an integer column; where nothing is present the number means nothing.
    pub(crate) fn ints(&self, column: usize) -> &[i64] {
        self.columns[column].ints_slice()
    }

    /// A batch of the given rows of other batches, in that order.
    pub(crate) fn gather<B: Borrow<Batch>>(batches: &[B], rows: &[(usize, usize)]) -> Batch {
        let batch = |at: usize| -> &Batch { batches[at].borrow() };
        let width = batches.first().map_or(0, |batch| batch.borrow().columns.len());
        let columns = (0..width)
            .map(|column| match &*batch(0).columns[column] {
                Data::Text(_) => {
                    Data::Text(rows.iter().map(|(b, row)| batch(*b).texts(column)[*row]).collect())
                }
                Data::Int { .. } => {
                    Data::from_ints(rows.iter().map(|(b, row)| batch(*b).columns[column].int(*row)))
                }
                Data::Float { .. } => {
                    Data::from_floats(rows.iter().map(|(b, row)| batch(*b).columns[column].float(*row)))
                }
            })
            .map(Rc::new)
            .collect();
        Batch { rows: rows.len(), columns }
    }
}

impl Constants {
    /// The column at that position of the plan; `read` reads its value.
    fn read(
        &mut self,
        position: usize,
        (value, rows): (&Scalar, usize),
        read: impl FnOnce() -> Option<Data>,
    ) -> Option<Rc<Data>> {
        let known = self.columns.get(&position).filter(|(known, data)| known == value && data.rows() == rows);
        if let Some((_, data)) = known {
            return Some(Rc::clone(data));
        }
        let data = Rc::new(read()?.repeated(rows));
        self.columns.insert(position, (value.clone(), Rc::clone(&data)));
        Some(data)
    }
}

/// Whether no exponent has all its bits set: adding one to it then does not reach the sign.
fn are_finite(values: &[f64]) -> bool {
    const WITHOUT_SIGN: u64 = u64::MAX >> 1;
    const ONE_IN_EXPONENT: u64 = 1 << (f64::MANTISSA_DIGITS - 1);
    let sums = values.iter().map(|value| (value.to_bits() & WITHOUT_SIGN) + ONE_IN_EXPONENT);
    sums.fold(0, |all, sum| all | sum) <= WITHOUT_SIGN
}

fn slice<T>(values: polars::prelude::PolarsResult<&[T]>) -> &[T] {
    values.expect("Data keeps one chunk without nulls")
}

impl Data {
    fn read(series: &Series, ty: ColumnType, texts: &mut Texts) -> Option<Self> {
        Some(match ty {
            ColumnType::TimestampUs => Self::ints(series.datetime().ok()?.physical()),
            ColumnType::Int64 => Self::ints(series.i64().ok()?),
            ColumnType::Int32 => Self::ints(series.cast(&DataType::Int64).ok()?.i64().ok()?),
            ColumnType::Float64 => Self::floats(series.f64().ok()?),
            ColumnType::Boolean => Self::flags(series.bool().ok()?),
            ColumnType::String => Self::texts(series.str().ok()?, texts),
        })
    }

    /// The only value in so many rows.
    fn repeated(self, rows: usize) -> Self {
        let name = || "".into();
        match self {
            Data::Int { values, present } => {
                let values = vec![slice(values.cont_slice())[0]; rows];
                let present = present.map(|present| vec![present[0]; rows]);
                Data::Int { values: Int64Chunked::from_vec(name(), values), present }
            }
            Data::Float { values, present } => {
                let values = vec![slice(values.cont_slice())[0]; rows];
                let present = present.map(|present| vec![present[0]; rows]);
                Data::Float { values: Float64Chunked::from_vec(name(), values), present }
            }
            Data::Text(positions) => Data::Text(vec![positions[0]; rows]),
        }
    }

    fn ints(values: &Int64Chunked) -> Self {
        let (values, present) = dense(values);
        Data::Int { values, present }
    }

    /// NaN and infinities of foreign files are absent values.
    fn floats(values: &Float64Chunked) -> Self {
        let (values, mut present) = dense(values);
        let all = slice(values.cont_slice());
        if !are_finite(all) {
            let present = present.get_or_insert_with(|| vec![true; all.len()]);
            present.iter_mut().zip(all).for_each(|(present, value)| *present &= value.is_finite());
        }
        Data::Float { values, present }
    }

    fn flags(values: &BooleanChunked) -> Self {
        if values.null_count() > 0 {
            return Self::from_ints(values.iter().map(|flag| flag.map(i64::from)));
        }
        let flags = match (values.all(), values.any()) {
            // Nearly always all are the same, and then they need not be unpacked.
            (true, _) => vec![1; values.len()],
            (false, false) => vec![0; values.len()],
            (false, true) => values.iter().map(|flag| i64::from(flag == Some(true))).collect(),
        };
        Data::Int { values: Int64Chunked::from_vec("".into(), flags), present: None }
    }

    /// Consecutive rows mostly hold the same text, and then in the same place: the views tell without
    /// a look at the bytes, several at a time.
    fn texts(values: &StringChunked, texts: &mut Texts) -> Self {
        let mut positions = Vec::with_capacity(values.len());
        for (array, chunk) in values.downcast_iter().zip(values.chunks()) {
            let present = chunk.validity();
            let mut blocks = present.map(|present| present.chunks::<u16>());
            let mut last: Option<(u128, u32)> = None;
            for (at, views) in array.views().chunks(VIEWS_AT_ONCE).enumerate() {
                let presence = match blocks.as_mut().map(Iterator::next) {
                    None | Some(Some(u16::MAX)) => Presence::All,
                    Some(Some(0)) => Presence::None,
                    Some(_) => Presence::Some,
                };
                let is_same = |(same, _): &(u128, u32)| {
                    views.iter().fold(0, |other, view| other | (view.as_u128() ^ same)) == 0
                };
                let of_all = match presence {
                    Presence::All => last.filter(is_same).map(|(_, position)| position),
                    Presence::Some => None,
                    Presence::None => Some(NULL_TEXT),
                };
                if let Some(position) = of_all {
                    positions.extend(std::iter::repeat_n(position, views.len()));
                    continue;
                }
                for (row, view) in views.iter().enumerate() {
                    let row = VIEWS_AT_ONCE * at + row;
                    if present.is_some_and(|present| !present.get_bit(row)) {
                        positions.push(NULL_TEXT);
                        continue;
                    }
                    let view = view.as_u128();
                    let position = match last {
                        Some((same, position)) if same == view => position,
                        _ => texts.intern(array.value(row)),
                    };
                    last = Some((view, position));
                    positions.push(position);
                }
            }
        }
        Data::Text(positions)
    }

    fn from_ints(values: impl Iterator<Item = Option<i64>>) -> Self {
        let (values, present) = split(values);
        Data::Int { values: Int64Chunked::from_vec("".into(), values), present }
    }

    fn from_floats(values: impl Iterator<Item = Option<f64>>) -> Self {
        let (values, present) = split(values);
        Data::Float { values: Float64Chunked::from_vec("".into(), values), present }
    }

    fn rows(&self) -> usize {
        match self {
            Data::Int { values, .. } => values.len(),
            Data::Float { values, .. } => values.len(),
            Data::Text(positions) => positions.len(),
        }
    }

    pub(crate) fn int(&self, row: usize) -> Option<i64> {
        match self {
            Data::Int { values, present } => {
                is_present(present, row).then(|| slice(values.cont_slice())[row])
            }
            Data::Float { .. } | Data::Text(_) => None,
        }
    }

    pub(crate) fn float(&self, row: usize) -> Option<f64> {
        match self {
            Data::Float { values, present } => {
                is_present(present, row).then(|| slice(values.cont_slice())[row])
            }
            Data::Int { .. } | Data::Text(_) => None,
        }
    }

    /// Whether anything is absent, row by row.
    pub(crate) fn present(&self) -> Option<&[bool]> {
        match self {
            Data::Int { present, .. } | Data::Float { present, .. } => present.as_deref(),
            Data::Text(_) => None,
        }
    }

    /// How many of these rows have a value.
    pub(crate) fn presence(&self, rows: Range<usize>) -> Presence {
        let Some(present) = self.present().map(|present| &present[rows]) else { return Presence::All };
        match present.iter().filter(|present| **present).count() {
            0 => Presence::None,
            count if count == present.len() => Presence::All,
            _ => Presence::Some,
        }
    }

    pub(crate) fn numbers(&self) -> Numbers<'_> {
        Numbers { ints: self.ints_slice(), floats: self.floats_slice(), present: self.present() }
    }

    pub(crate) fn ints_slice(&self) -> &[i64] {
        match self {
            Data::Int { values, .. } => slice(values.cont_slice()),
            Data::Float { .. } | Data::Text(_) => &[],
        }
    }

    pub(crate) fn floats_slice(&self) -> &[f64] {
        match self {
            Data::Float { values, .. } => slice(values.cont_slice()),
            Data::Int { .. } | Data::Text(_) => &[],
        }
    }
}

impl<'a> Numbers<'a> {
    /// The integers that are present in these rows, piece by piece.
    pub(crate) fn present_ints(self, rows: Range<usize>) -> impl Iterator<Item = &'a [i64]> {
        self.present_pieces(rows).map(move |piece| &self.ints[piece])
    }

    /// Consecutive rows with a value: one piece if nothing is absent.
    pub(crate) fn present_pieces(self, rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let mut at = rows.start;
        std::iter::from_fn(move || {
            let Some(present) = self.present else {
                let piece = at..rows.end;
                at = rows.end;
                return (!piece.is_empty()).then_some(piece);
            };
            at += present[at..rows.end].iter().take_while(|present| !**present).count();
            let piece = at..at + present[at..rows.end].iter().take_while(|present| **present).count();
            at = piece.end;
            (!piece.is_empty()).then_some(piece)
        })
    }
}

/// The numbers as one chunk, shared where they lie in one, and where they are present if not
/// everywhere.
fn dense<T: PolarsNumericType>(values: &ChunkedArray<T>) -> (ChunkedArray<T>, Option<Vec<bool>>) {
    let values = values.rechunk();
    let Some(array) = values.downcast_iter().next().filter(|_| values.null_count() > 0) else {
        return (values.into_owned(), None);
    };
    let present = array.validity().map(|present| present.iter().collect());
    (ChunkedArray::with_chunk(values.name().clone(), array.clone().with_validity(None)), present)
}

fn is_present(present: &Option<Vec<bool>>, row: usize) -> bool {
    present.as_ref().is_none_or(|present| present[row])
}

/// Values of which some may be absent, and which are there if not all.
pub(crate) fn split<T: Copy + Default>(
    values: impl Iterator<Item = Option<T>>,
) -> (Vec<T>, Option<Vec<bool>>) {
    let (values, present): (Vec<T>, Vec<bool>) =
        values.map(|value| (value.unwrap_or_default(), value.is_some())).unzip();
    let absent = present.contains(&false);
    (values, absent.then_some(present))
}

#[cfg(test)]
mod tests {
    use polars::prelude::AnyValue;

    use super::*;

    #[test]
    fn exponents_tell_what_is_finite() {
        let finite = [0.0, -0.0, 1.5, f64::MAX, f64::MIN, f64::MIN_POSITIVE, f64::EPSILON / 1e300];
        assert!(are_finite(&finite));
        for absent in [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(!are_finite(&[1.0, absent, 2.0]));
        }
    }

    #[test]
    fn blocks_of_texts_are_read_as_their_rows() {
        let text = |row: usize| match row {
            16..32 | 60..64 => None,
            0..80 if row % 7 != 3 => Some("a text that is too long to lie in its view"),
            40..100 => Some("b"),
            _ => None,
        };
        for rows in [1, 15, 16, 17, 64, 99, 128] {
            let expected: Vec<Option<&str>> = (0..rows).map(text).collect();
            let (mut texts, column) = (Texts::new(), StringChunked::from_iter(expected.iter().copied()));
            for offset in [0, 1, 5] {
                let Data::Text(positions) = Data::texts(&column.slice(offset, rows), &mut texts) else {
                    panic!("texts are texts")
                };
                let found: Vec<Option<&str>> = positions.iter().map(|at| texts.get(*at)).collect();
                assert_eq!(found, expected[(offset as usize).min(rows)..], "{rows} rows from {offset}");
            }
        }
    }

    #[test]
    fn a_column_of_one_value_is_read_as_its_rows() {
        let mut texts = Texts::new();
        let values = [
            (ColumnType::String, DataType::String, AnyValue::String("eth0")),
            (ColumnType::String, DataType::String, AnyValue::Null),
            (ColumnType::Int64, DataType::Int64, AnyValue::Int64(-7)),
            (ColumnType::Int64, DataType::Int64, AnyValue::Null),
            (ColumnType::Int32, DataType::Int32, AnyValue::Int32(10)),
            (ColumnType::Boolean, DataType::Boolean, AnyValue::Boolean(true)),
            (ColumnType::Boolean, DataType::Boolean, AnyValue::Null),
            (ColumnType::Float64, DataType::Float64, AnyValue::Null),
        ];
        let mut constants = Constants::default();
        for (ty, data_type, value) in values {
            let scalar = Scalar::new(data_type, value.into_static());
            for rows in [5, 5, 3] {
                let column = Column::new_scalar("column".into(), scalar.clone(), rows);
                let expected = Data::read(column.as_materialized_series(), ty, &mut texts);
                let expected = expected.expect("the column is of its type");
                let one_row = Column::new_scalar("column".into(), scalar.clone(), 1);
                let read = || Data::read(one_row.as_materialized_series(), ty, &mut texts);
                let found = constants.read(0, (&scalar, rows), read).expect("the value is of its type");
                assert_eq!(found.rows(), rows);
                for row in 0..rows {
                    assert_eq!((found.int(row), found.float(row)), (expected.int(row), expected.float(row)));
                }
                if let (Data::Text(found), Data::Text(expected)) = (&*found, &expected) {
                    assert_eq!(found, expected);
                }
            }
        }
    }

    #[test]
    fn a_value_that_stays_is_shared() {
        let (mut constants, mut texts) = (Constants::default(), Texts::new());
        let mut read = |text: &str, rows: usize| {
            let scalar = Scalar::new(DataType::String, AnyValue::StringOwned(text.into()));
            let data = Data::Text(vec![texts.intern(text)]);
            constants.read(3, (&scalar, rows), || Some(data)).expect("there is a value")
        };
        let first = read("eth0", 4);
        assert!(Rc::ptr_eq(&first, &read("eth0", 4)));
        assert_eq!(read("eth0", 2).rows(), 2);
        let Data::Text(other) = &*read("wlan0", 2) else { panic!("texts are texts") };
        assert_eq!(*other, [2, 2]);
    }
}
