//! Frames, the unit of the journal: what is written and synced at once, and is whole or not there.
//!
//! `magic | crc32c of all that follows | length | columns | kind | rows | sequence | released | dropped
//! | reports | segment | payload`, little-endian, filled up to a multiple of eight bytes.

/// Bytes before the payload.
pub(super) const FRAME_HEADER_BYTES: usize = 64;
const MAGIC: [u8; 4] = *b"TMf1";
/// Frames begin at multiples of this.
const ALIGNMENT: usize = 8;
/// Where the checksum ends and what it covers begins.
const CHECKED_FROM: usize = 8;

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rows that are not yet in a dataset.
    Rows,
    /// The frames before a sequence number are about to be published: an
    /// [`Announcement`](super::dating::Announcement).
    Publishing,
    /// Nothing but the counters that every frame carries.
    Released,
    /// A text that the owner left for its next run.
    Note,
    /// Something of a later version: skipped.
    Unknown(u32),
}

impl Kind {
    fn code(self) -> u32 {
        match self {
            Kind::Rows => 1,
            Kind::Publishing => 2,
            Kind::Released => 3,
            Kind::Note => 4,
            Kind::Unknown(code) => code,
        }
    }

    fn from_code(code: u32) -> Self {
        [Kind::Rows, Kind::Publishing, Kind::Released, Kind::Note]
            .into_iter()
            .find(|kind| kind.code() == code)
            .unwrap_or(Kind::Unknown(code))
    }
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: Kind,
    /// One more than that of the frame before.
    pub(super) sequence: u64,
    /// The frames before this one are published or overwritten.
    pub(super) released: u64,
    /// Rows that were overwritten unpublished and that no row has told of yet.
    pub(super) dropped: u64,
    /// Number of rows in the payload.
    pub(super) rows: u32,
    /// Overwritten rows that the rows of this frame tell of.
    pub(super) reports: u64,
    /// Fingerprint of the names of the columns.
    pub(super) columns: u32,
    /// The number that its segment was given when it was begun.
    pub(super) segment: u64,
    pub(super) payload: &'a [u8],
}

/// Bytes that a frame with such a payload takes.
pub(super) fn frame_bytes(payload: usize) -> usize {
    (FRAME_HEADER_BYTES + payload).next_multiple_of(ALIGNMENT)
}

impl<'a> Frame<'a> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(frame_bytes(self.payload.len()));
        bytes.extend(MAGIC);
        bytes.extend([0; 4]);
        // A payload is far smaller than a segment.
        bytes.extend((self.payload.len() as u32).to_le_bytes());
        for number in [self.columns, self.kind.code(), self.rows] {
            bytes.extend(number.to_le_bytes());
        }
        for number in [self.sequence, self.released, self.dropped, self.reports, self.segment] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.payload);
        let checksum = crc32c::crc32c(&bytes[CHECKED_FROM..]);
        bytes[MAGIC.len()..CHECKED_FROM].copy_from_slice(&checksum.to_le_bytes());
        bytes.resize(frame_bytes(self.payload.len()), 0);
        bytes
    }

    /// The frame that begins the bytes, if it is whole and not of an earlier use of the segment: those
    /// are whole too, but their numbers are lower or their segment is another one.
    fn decode(bytes: &'a [u8], from: u64, segment: Option<u64>) -> Option<Self> {
        if !bytes.starts_with(&MAGIC) {
            return None;
        }
        let (sequence, of) = (u64_at(bytes, 24)?, u64_at(bytes, 56)?);
        let length = u32_at(bytes, 8)? as usize;
        let end = FRAME_HEADER_BYTES.checked_add(length)?;
        let payload = bytes.get(FRAME_HEADER_BYTES..end)?;
        if sequence < from || segment.is_some_and(|segment| segment != of) {
            return None;
        }
        if u32_at(bytes, 4)? != crc32c::crc32c(&bytes[CHECKED_FROM..end]) {
            return None;
        }
        Some(Self {
            kind: Kind::from_code(u32_at(bytes, 16)?),
            sequence,
            released: u64_at(bytes, 32)?,
            dropped: u64_at(bytes, 40)?,
            rows: u32_at(bytes, 20)?,
            reports: u64_at(bytes, 48)?,
            columns: u32_at(bytes, 12)?,
            segment: of,
            payload,
        })
    }
}

/// The whole frames of a segment in order, with where each ends; what is between them is skipped, since
/// what lies behind a damaged frame is still good. `id` is the segment's, if it is known.
pub(super) fn frames(
    segment: &[u8],
    mut position: usize,
    mut from: u64,
    id: Option<u64>,
) -> impl Iterator<Item = (usize, Frame<'_>)> {
    std::iter::from_fn(move || {
        while position < segment.len() {
            match Frame::decode(&segment[position..], from, id) {
                Some(frame) => {
                    position += frame_bytes(frame.payload.len());
                    from = frame.sequence.checked_add(1)?;
                    return Some((position, frame));
                }
                None => position += ALIGNMENT,
            }
        }
        None
    })
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
