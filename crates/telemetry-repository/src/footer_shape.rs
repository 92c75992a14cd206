//! Footers, checked before the Parquet library believes them.
//!
//! The library reserves memory by the lengths of lists that a footer names, and takes a field for what
//! its number says, whatever its type. So the shape has to be right first, down to every field that it
//! reads: running out of memory ends the process, which nothing can contain.

/// What a field holds, in Thrift's compact form.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Boolean,
    Byte,
    /// An integer of 16, 32 or 64 bits.
    Integer,
    Binary,
    List(&'static Kind),
    /// The fields that are known; of others, what their type says is skipped.
    Struct(&'static [(u64, Kind)]),
}

use Kind::{Binary, Boolean, Byte, Integer, List, Struct};

const NOTHING: Kind = Struct(&[]);
const TIME: Kind = Struct(&[(1, Boolean), (2, Struct(&[(1, NOTHING), (2, NOTHING), (3, NOTHING)]))]);
const LOGICAL_TYPE: Kind = Struct(&[
    (1, NOTHING),
    (2, NOTHING),
    (3, NOTHING),
    (4, NOTHING),
    (5, Struct(&[(1, Integer), (2, Integer)])),
    (6, NOTHING),
    (7, TIME),
    (8, TIME),
    (10, Struct(&[(1, Byte), (2, Boolean)])),
    (11, NOTHING),
    (12, NOTHING),
    (13, NOTHING),
    (14, NOTHING),
    (15, NOTHING),
]);
const SCHEMA_ELEMENT: Kind = Struct(&[
    (1, Integer),
    (2, Integer),
    (3, Integer),
    (4, Binary),
    (5, Integer),
    (6, Integer),
    (7, Integer),
    (8, Integer),
    (9, Integer),
    (10, LOGICAL_TYPE),
]);
const KEY_VALUE: Kind = Struct(&[(1, Binary), (2, Binary)]);
const STATISTICS: Kind = Struct(&[
    (1, Binary),
    (2, Binary),
    (3, Integer),
    (4, Integer),
    (5, Binary),
    (6, Binary),
    (7, Boolean),
    (8, Boolean),
]);
const COLUMN_META_DATA: Kind = Struct(&[
    (1, Integer),
    (2, List(&Integer)),
    (3, List(&Binary)),
    (4, Integer),
    (5, Integer),
    (6, Integer),
    (7, Integer),
    (8, List(&KEY_VALUE)),
    (9, Integer),
    (10, Integer),
    (11, Integer),
    (12, STATISTICS),
    (13, List(&Struct(&[(1, Integer), (2, Integer), (3, Integer)]))),
    (14, Integer),
    (15, Integer),
]);
const COLUMN_CHUNK: Kind = Struct(&[
    (1, Binary),
    (2, Integer),
    (3, COLUMN_META_DATA),
    (4, Integer),
    (5, Integer),
    (6, Integer),
    (7, Integer),
]);
const SORTING_COLUMN: Kind = Struct(&[(1, Integer), (2, Boolean), (3, Boolean)]);
const ROW_GROUP: Kind = Struct(&[
    (1, List(&COLUMN_CHUNK)),
    (2, Integer),
    (3, Integer),
    (4, List(&SORTING_COLUMN)),
    (5, Integer),
    (6, Integer),
    (7, Integer),
]);
const FILE_META_DATA: Kind = Struct(&[
    (1, Integer),
    (2, List(&SCHEMA_ELEMENT)),
    (3, Integer),
    (4, List(&ROW_GROUP)),
    (5, List(&KEY_VALUE)),
    (6, Binary),
    (7, List(&Struct(&[(1, NOTHING), (2, NOTHING)]))),
]);

/// Deeper nesting is not taken for real; that of Parquet is six.
const MOST_DEPTH: usize = 16;
const LONGEST_INTEGER: usize = 10;

/// Says what is impossible about a footer, given without its length and the magic.
pub(crate) fn check(footer: &[u8]) -> Result<(), String> {
    Walk { rest: footer }.value(STRUCT, Some(FILE_META_DATA), 0)
}

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const STRUCT: u8 = 12;

impl Kind {
    fn is(self, code: u8) -> bool {
        match self {
            Boolean => matches!(code, TRUE | FALSE),
            Byte => code == BYTE,
            Integer => matches!(code, 4..=6),
            Binary => code == BINARY,
            List(_) => code == LIST,
            Struct(_) => code == STRUCT,
        }
    }
}

/// The bytes that are still to come.
struct Walk<'a> {
    rest: &'a [u8],
}

impl Walk<'_> {
    /// Takes so many bytes away.
    fn skip(&mut self, count: u64) -> Result<(), String> {
        let rest = usize::try_from(count).ok().and_then(|count| self.rest.get(count..));
        self.rest = rest.ok_or("a value reaches beyond the footer")?;
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, String> {
        let first = self.rest.first().copied();
        self.skip(1)?;
        Ok(first.unwrap_or_default())
    }

    fn integer(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for index in 0..LONGEST_INTEGER {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * index).min(63);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("an integer of too many bytes".to_owned())
    }

    fn value(&mut self, code: u8, kind: Option<Kind>, depth: usize) -> Result<(), String> {
        match code {
            _ if depth > MOST_DEPTH => Err("nested too deeply".to_owned()),
            TRUE | FALSE => Ok(()),
            BYTE => self.skip(1),
            4..=6 => self.integer().map(drop),
            DOUBLE => self.skip(8),
            BINARY => {
                let length = self.integer()?;
                self.skip(length)
            }
            LIST | SET => self.list(kind, depth),
            STRUCT => self.fields(kind, depth),
            _ => Err(format!("a value of type {code}")),
        }
    }

    fn list(&mut self, kind: Option<Kind>, depth: usize) -> Result<(), String> {
        let header = self.byte()?;
        let (short, code) = (header >> 4, header & 0xf);
        let count = if short == 0xf { self.integer()? } else { u64::from(short) };
        let element = kind.and_then(|kind| if let List(element) = kind { Some(*element) } else { None });
        if count > 0 && element.is_some_and(|element| !element.is(code)) {
            return Err(format!("a list of type {code}"));
        }
        for _ in 0..count {
            // Alone, a boolean is a byte; in a field it is its type.
            let code = if matches!(code, TRUE | FALSE) { BYTE } else { code };
            self.value(code, element, depth + 1)?;
        }
        Ok(())
    }

    fn fields(&mut self, kind: Option<Kind>, depth: usize) -> Result<(), String> {
        let known = kind.map_or(&[][..], |kind| if let Struct(known) = kind { known } else { &[] });
        let mut last = 0u64;
        loop {
            let header = self.byte()?;
            let (delta, code) = (header >> 4, header & 0xf);
            if code == 0 {
                return Ok(());
            }
            // Zigzag; a negative number is none that is known.
            last = if delta == 0 { self.integer()? / 2 } else { last + u64::from(delta) };
            let kind = known.iter().find(|(number, _)| *number == last).map(|(_, kind)| *kind);
            if kind.is_some_and(|kind| !kind.is(code)) {
                return Err(format!("field {last} of type {code}"));
            }
            self.value(code, kind, depth + 1)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn possible_footers_pass() {
        // No fields; a version; a key-value; a list without elements and without their type.
        for footer in
            [&[0][..], &[0x15, 2, 0], &[0x59, 0x1c, 0x18, 1, b'k', 0x18, 1, b'v', 0, 0], &[0x29, 0, 0]]
        {
            assert_eq!(check(footer), Ok(()), "{footer:?}");
        }
    }

    #[test]
    fn lengths_and_types_that_would_exhaust_memory_are_found() {
        for footer in [
            &[][..],
            &[0x15, 2],
            // A list of two thousand million schema elements, or of as many integers.
            &[0x29, 0xfc, 0xff, 0xff, 0xff, 0xff, 7, 0],
            &[0x29, 0xf5, 0xff, 0xff, 0xff, 0xff, 7, 0],
            // The same in a field that is said to be an integer.
            &[0x25, 0xfc, 0],
            &[0x68, 0xff, 0xff, 0xff, 0xff, 7, b'x', 0],
            &[0x15, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0],
            &[0xfc; 100],
        ] {
            assert!(check(footer).is_err(), "{footer:?}");
        }
    }
}
