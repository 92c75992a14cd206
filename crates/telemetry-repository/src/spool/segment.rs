//! Segments, the parts of the journal's ring: a header, then frames.

use super::frame::{u32_at, u64_at};

/// Size of a segment.
pub(super) const SEGMENT_BYTES: usize = 64 * 1024;
/// The header has a block of its own, so that no write of a frame touches it.
pub(super) const HEADER_BYTES: usize = 4096;
const MAGIC: [u8; 8] = *b"TMspool1";
/// Magic, checksum, length.
const PREFIX_BYTES: usize = 16;

/// What is known of a segment's frames before they are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// A number that no other segment has, nor this one when it is used anew.
    pub(super) id: u64,
    /// Sequence number of the first frame.
    pub(super) first: u64,
    /// As in a frame.
    pub(super) released: u64,
    /// As in a frame.
    pub(super) dropped: u64,
    /// Names of the columns that rows of this segment have, in their order.
    pub(super) columns: Vec<String>,
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for number in [self.id, self.first, self.released, self.dropped] {
            body.extend(number.to_le_bytes());
        }
        body.extend(self.columns.join("\n").as_bytes());
        assert!(body.len() <= HEADER_BYTES - PREFIX_BYTES, "a test keeps the names of all columns short");
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(crc32c::crc32c(&body).to_le_bytes());
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend(body);
        bytes.resize(HEADER_BYTES, 0);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if !bytes.starts_with(&MAGIC) {
            return None;
        }
        let end = PREFIX_BYTES.checked_add(u32_at(bytes, 12)? as usize)?;
        let body = bytes.get(PREFIX_BYTES..end)?;
        if u32_at(bytes, 8)? != crc32c::crc32c(body) {
            return None;
        }
        let names = std::str::from_utf8(body.get(32..)?).ok()?;
        Some(Self {
            id: u64_at(body, 0)?,
            first: u64_at(body, 8)?,
            released: u64_at(body, 16)?,
            dropped: u64_at(body, 24)?,
            columns: names.split('\n').map(str::to_owned).collect(),
        })
    }
}

/// What a frame says instead of the names of its columns.
pub(super) fn fingerprint<'a>(columns: impl IntoIterator<Item = &'a str>) -> u32 {
    columns
        .into_iter()
        .fold(0, |crc, name| crc32c::crc32c_append(crc32c::crc32c_append(crc, name.as_bytes()), b"\n"))
}
