//! Page headers, checked before the Parquet library believes them.
//!
//! The library reserves memory by the counts that a page header names, and running out of memory ends
//! the process, which nothing can contain. So a damaged count has to be found first.

use std::io::Cursor;

use polars_parquet_format::PageHeader;
use polars_parquet_format::thrift::protocol::TCompactInputProtocol;

/// Larger pages are not taken for real; writers aim at one mebibyte.
const MAX_PAGE_BYTES: i32 = 64 * 1024 * 1024;
/// What a page header may make the decoder allocate, statistics included.
const MAX_HEADER_BYTES: usize = 1024 * 1024;

/// Walks the pages of a column chunk of so many rows and says what is impossible about them.
pub(crate) fn check(chunk: &[u8], rows: usize) -> Result<(), String> {
    let mut reader = Cursor::new(chunk);
    let mut values = 0;
    while values < rows {
        let mut protocol = TCompactInputProtocol::new(&mut reader, MAX_HEADER_BYTES);
        let header = PageHeader::read_from_in_protocol(&mut protocol).map_err(|error| error.to_string())?;
        values += data_values(&header, rows - values)?;
        let size = size(header.compressed_page_size)?;
        size_of_content(&header, rows)?;
        let end = reader.position().saturating_add(size);
        if end > chunk.len() as u64 {
            return Err("a page reaches beyond its column chunk".to_owned());
        }
        reader.set_position(end);
    }
    Ok(())
}

/// Values of a data page, nulls included; none in a dictionary.
fn data_values(header: &PageHeader, most: usize) -> Result<usize, String> {
    let first = header.data_page_header.as_ref().map(|page| page.num_values);
    let second = header.data_page_header_v2.as_ref().map(|page| page.num_values);
    let Some(values) = first.or(second) else { return Ok(0) };
    usize::try_from(values)
        .ok()
        .filter(|values| *values <= most)
        .ok_or_else(|| format!("a page of {values} values where at most {most} are left"))
}

/// A dictionary has no more entries than there are rows, or than bytes that could hold them.
fn size_of_content(header: &PageHeader, rows: usize) -> Result<(), String> {
    size(header.uncompressed_page_size)?;
    match header.dictionary_page_header.as_ref().map(|page| page.num_values) {
        Some(entries) if !usize::try_from(entries).is_ok_and(|entries| entries <= rows) => {
            Err(format!("a dictionary of {entries} entries for {rows} rows"))
        }
        _ => Ok(()),
    }
}

fn size(bytes: i32) -> Result<u64, String> {
    match u64::try_from(bytes) {
        Ok(size) if bytes <= MAX_PAGE_BYTES => Ok(size),
        _ => Err(format!("a page of {bytes} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data page of the first version with an empty body of that many bytes.
    fn page(values: i32, uncompressed: i32, compressed: i32, body: usize) -> Vec<u8> {
        // Thrift's compact form: a byte for the next field of 32 bits, then the number, zigzag.
        let mut bytes = Vec::new();
        let number = |bytes: &mut Vec<u8>, value: i32| {
            bytes.push(0x15);
            let mut rest = ((value << 1) ^ (value >> 31)).cast_unsigned();
            while rest >= 0x80 {
                bytes.push((rest & 0x7f) as u8 | 0x80);
                rest >>= 7;
            }
            bytes.push(rest as u8);
        };
        [0, uncompressed, compressed].into_iter().for_each(|value| number(&mut bytes, value));
        bytes.push(0x2c);
        [values, 0, 3, 3].into_iter().for_each(|value| number(&mut bytes, value));
        bytes.extend([0, 0]);
        bytes.extend(vec![0; body]);
        bytes
    }

    #[test]
    fn possible_pages_pass() {
        assert_eq!(check(&page(6, 100, 40, 40), 6), Ok(()));
        assert_eq!(check(&[page(4, 100, 40, 40), page(2, 50, 30, 30)].concat(), 6), Ok(()));
        assert_eq!(check(&[], 0), Ok(()));
    }

    #[test]
    fn counts_that_would_exhaust_memory_are_found() {
        for (chunk, rows) in [
            (page(-1, 100, 40, 40), 6),
            (page(i32::MAX, 100, 40, 40), 6),
            (page(7, 100, 40, 40), 6),
            (page(6, i32::MAX, 40, 40), 6),
            (page(6, -1, 40, 40), 6),
            (page(6, 100, 40, 39), 6),
            (page(5, 100, 40, 40), 6),
            (vec![0xff; 100], 6),
            (Vec::new(), 6),
        ] {
            assert!(check(&chunk, rows).is_err(), "{chunk:?}");
        }
    }
}
