//! One row group of a large file as a small Parquet file in memory.
//!
//! The Parquet library finds column chunks by their places in the file, so it wants all of the file
//! in memory; of a large one that is mostly room for what nobody has asked for. An excerpt holds only
//! the wanted chunks, one after the other, and a footer that says where they are now.

use std::ops::Range;

use polars_parquet_format::thrift;
use polars_parquet_format::thrift::protocol::{TCompactInputProtocol, TCompactOutputProtocol};
use polars_parquet_format::{ColumnChunk, FileMetaData, RowGroup};

/// At both ends of every Parquet file.
pub(crate) const MAGIC: &[u8; 4] = b"PAR1";
/// What decoding a footer may allocate for each of its bytes.
const ALLOCATION_FACTOR: usize = 64;

/// Where one column chunk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// The position of its column among the leaves of the schema.
    pub(crate) column: usize,
    /// In the file.
    pub(crate) range: Range<u64>,
}

/// A file's footer in the form in which it can be changed.
pub(crate) struct Excerpts {
    metadata: FileMetaData,
}

impl Chunk {
    /// Its length in bytes; 0 if its end is before its start.
    pub(crate) fn bytes(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }
}

impl Excerpts {
    /// Decodes a footer, without the eight bytes after it.
    pub(crate) fn parse(footer: &[u8]) -> thrift::Result<Self> {
        let most = footer.len().saturating_mul(ALLOCATION_FACTOR);
        let mut protocol = TCompactInputProtocol::new(footer, most);
        let metadata = FileMetaData::read_from_in_protocol(&mut protocol)?;
        Ok(Self { metadata })
    }

    /// What follows the chunks of a row group in a file that begins with the magic and holds nothing
    /// else.
    pub(crate) fn footer(&self, group: usize, chunks: &[Chunk]) -> thrift::Result<Vec<u8>> {
        let mut row_group = self.group(group)?.clone();
        let mut at = MAGIC.len() as i64;
        for chunk in chunks {
            let start = i64::try_from(chunk.range.start)?;
            let moved = row_group.columns.get_mut(chunk.column).ok_or_else(|| missing("column chunk"))?;
            relocate(moved, at - start);
            at += chunk.bytes() as i64;
        }
        let metadata = FileMetaData {
            version: self.metadata.version,
            schema: self.metadata.schema.clone(),
            num_rows: row_group.num_rows,
            row_groups: vec![row_group],
            key_value_metadata: None,
            created_by: None,
            column_orders: None,
            encryption_algorithm: None,
            footer_signing_key_metadata: None,
        };
        let mut bytes = Vec::new();
        metadata.write_to_out_protocol(&mut TCompactOutputProtocol::new(&mut bytes))?;
        let length = u32::try_from(bytes.len())?;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(MAGIC);
        Ok(bytes)
    }

    fn group(&self, group: usize) -> thrift::Result<&RowGroup> {
        self.metadata.row_groups.get(group).ok_or_else(|| missing("row group"))
    }
}

/// Moves the places of a chunk's pages, and forgets what is not moved with them.
fn relocate(chunk: &mut ColumnChunk, by: i64) {
    chunk.offset_index_offset = None;
    chunk.offset_index_length = None;
    chunk.column_index_offset = None;
    chunk.column_index_length = None;
    if let Some(metadata) = &mut chunk.meta_data {
        metadata.data_page_offset = metadata.data_page_offset.saturating_add(by);
        metadata.dictionary_page_offset =
            metadata.dictionary_page_offset.map(|offset| offset.saturating_add(by));
        metadata.index_page_offset = None;
        metadata.bloom_filter_offset = None;
        metadata.bloom_filter_length = None;
        metadata.statistics = None;
    }
}

fn missing(what: &str) -> thrift::Error {
    format!("the footer has two minds about its {what}s").into()
}
