//! Where things are in a lake, and what file names say.
//!
//! Names are parsed from the right, since a host identifier is the only part of free form. What does
//! not parse is [`FileName::Other`] and is opened rather than pruned.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, Utc};
use telemetry_schema::{Dataset, HostId, MICROS_PER_SECOND};
use thiserror::Error;

/// Where files are built, beside the datasets and on the same file system.
pub(crate) const STAGING: &str = ".staging";
/// Where replaced dates wait for an hour, for readers that have just listed them.
pub(crate) const TRASH: &str = ".trash";
/// Where damaged files go; nothing there is ever deleted by us.
pub(crate) const QUARANTINE: &str = ".quarantine";
/// What programs remember between runs, and locks.
pub(crate) const STATE: &str = ".state";
/// Where samples wait that are not published yet.
pub(crate) const SPOOL: &str = ".spool";
/// In [`STATE`], what belongs to no host: `@` occurs in no host identifier.
pub(crate) const STATE_OF_LAKE: &str = "@lake";
/// The host part of the name of a file with several hosts.
const ALL_HOSTS: &str = "@all";
const EXTENSION: &str = "parquet";
const SEPARATOR: &str = "__";
const TIME_FORMAT: &str = "%Y%m%dT%H%M%SZ";
const DATE_PREFIX: &str = "date=";

/// The directory of a dataset: `LAKE/<layer>/<name>`.
pub(crate) fn dataset_directory(lake: &Path, dataset: &Dataset, name: &str) -> PathBuf {
    lake.join(dataset.layer.directory()).join(name)
}

/// The name of a date's directory: `date=2026-11-21`.
pub(crate) fn date_directory(date: NaiveDate) -> String {
    format!("{DATE_PREFIX}{date}")
}

/// The date of a directory name; `None` for anything that [`date_directory`] does not make.
pub(crate) fn parse_date_directory(name: &str) -> Option<NaiveDate> {
    date(name.strip_prefix(DATE_PREFIX)?)
}

/// Whether a file name is one that readers of the lake pick up.
pub(crate) fn is_parquet(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == EXTENSION)
}

/// A text that is no file name of that kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is not the name of a {kind} file")]
pub struct FileNameError {
    text: String,
    kind: &'static str,
}

/// What the name of a published file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileName {
    /// Silver.
    Sample(SampleFileName),
    /// Gold.
    Rollup(RollupFileName),
    /// A foreign name: says nothing, so the file has to be opened.
    Other,
}

impl FileName {
    /// Parses either form.
    pub fn parse(name: &str) -> Self {
        let rollup = || parse_rollup(name).map(Self::Rollup);
        parse_sample(name).map(Self::Sample).or_else(rollup).unwrap_or(Self::Other)
    }

    /// The name of a sample file.
    pub fn sample(&self) -> Option<&SampleFileName> {
        if let Self::Sample(name) = self { Some(name) } else { None }
    }

    /// The name of a rollup file.
    pub fn rollup(&self) -> Option<&RollupFileName> {
        if let Self::Rollup(name) = self { Some(name) } else { None }
    }
}

/// `<host>__<first>__<last>__r<rows>__<unique>.parquet`; times are whole seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleFileName {
    /// The host of all rows; `None` (`@all`) if there are several.
    pub host: Option<HostId>,
    /// The first sample's second, rounded down.
    pub first: DateTime<Utc>,
    /// The last sample's second, rounded up; inclusive.
    pub last: DateTime<Utc>,
    /// Number of rows.
    pub rows: u64,
    /// Lower-case letters, digits and `-`; makes the name unique for ever.
    pub unique: String,
}

impl SampleFileName {
    /// A name for rows from `first_us` to `last_us` (microseconds since 1970, inclusive).
    pub(crate) fn covering(host: Option<HostId>, (first_us, last_us): (i64, i64), rows: u64) -> Self {
        let second = |us: i64| DateTime::from_timestamp(us, 0).unwrap_or_default();
        Self {
            host,
            first: second(first_us.div_euclid(MICROS_PER_SECOND)),
            last: second(last_us.div_euclid(MICROS_PER_SECOND) + i64::from(last_us % MICROS_PER_SECOND != 0)),
            rows,
            unique: unique(),
        }
    }

    /// The name of one of the files that a merge made.
    pub(crate) fn part_of_merge(self, part: u32, of: u32, merge: &str) -> Self {
        Self { unique: format!("p{part}of{of}-{merge}"), ..self }
    }

    /// Which part of which merge the file is; `None` for one that no merge made.
    pub(crate) fn part(&self) -> Option<MergePart<'_>> {
        let (part, merge) = self.unique.strip_prefix('p')?.split_once('-')?;
        let (part, of) = part.split_once("of")?;
        Some(MergePart { part: part.parse().ok()?, of: of.parse().ok()?, merge })
    }

    /// Whether a merge made the file, from files of several runs.
    pub fn is_merged(&self) -> bool {
        self.part().is_some()
    }

    /// The same name with another unique part.
    pub(crate) fn renamed(&self) -> Self {
        Self { unique: unique(), ..self.clone() }
    }
}

/// What the unique part of a merged file's name says: `p<part>of<parts>-<merge>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MergePart<'a> {
    /// From 1.
    pub(crate) part: u32,
    /// Number of parts.
    pub(crate) of: u32,
    /// The same for all parts of a merge, and for no others.
    pub(crate) merge: &'a str,
}

impl fmt::Display for SampleFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, first, last, rows, unique } = self;
        let host = host.as_ref().map_or(ALL_HOSTS, HostId::as_str);
        let (first, last) = (first.format(TIME_FORMAT), last.format(TIME_FORMAT));
        write!(f, "{host}__{first}__{last}__r{rows}__{unique}.{EXTENSION}")
    }
}

impl FromStr for SampleFileName {
    type Err = FileNameError;

    fn from_str(text: &str) -> Result<Self, FileNameError> {
        parse_sample(text).ok_or_else(|| FileNameError { text: text.to_owned(), kind: "sample" })
    }
}

fn parse_sample(text: &str) -> Option<SampleFileName> {
    let stem = text.strip_suffix(EXTENSION)?.strip_suffix('.')?;
    let mut parts = stem.rsplitn(5, SEPARATOR);
    let unique = parts.next()?;
    let rows = number(parts.next()?, "r")?;
    let (last, first) = (time(parts.next()?)?, time(parts.next()?)?);
    let host = match parts.next()? {
        ALL_HOSTS => None,
        host => Some(HostId::parse(host).ok()?),
    };
    let is_unique = !unique.is_empty() && unique.bytes().all(is_unique_byte);
    (is_unique && first <= last).then(|| SampleFileName {
        host,
        first,
        last,
        rows,
        unique: unique.to_owned(),
    })
}

fn is_unique_byte(byte: u8) -> bool {
    byte.is_ascii_digit() || byte.is_ascii_lowercase() || byte == b'-'
}

/// `rollup__<date>__g<generation>__d<16 hex>__<open|final>.parquet`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupFileName {
    /// The UTC date of all rows.
    pub date: NaiveDate,
    /// Raised by one with every replacement of the date, so that no name is used twice.
    pub generation: u64,
    /// Of everything that the rows were made from.
    pub digest: u64,
    /// Whether every bucket is final.
    pub is_final: bool,
}

impl fmt::Display for RollupFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { date, generation, digest, is_final } = self;
        let state = if *is_final { "final" } else { "open" };
        write!(f, "rollup__{date}__g{generation}__d{digest:016x}__{state}.{EXTENSION}")
    }
}

impl FromStr for RollupFileName {
    type Err = FileNameError;

    fn from_str(text: &str) -> Result<Self, FileNameError> {
        parse_rollup(text).ok_or_else(|| FileNameError { text: text.to_owned(), kind: "rollup" })
    }
}

/// Of exactly the names that [`RollupFileName`] writes: there is one for each.
fn parse_rollup(text: &str) -> Option<RollupFileName> {
    let stem = text.strip_prefix("rollup__")?.strip_suffix(EXTENSION)?.strip_suffix('.')?;
    let mut parts = stem.splitn(4, SEPARATOR);
    let date = date(parts.next()?)?;
    let generation = parts.next().filter(|part| *part == "g0" || !part.starts_with("g0"))?;
    let generation = number(generation, "g")?;
    let digest = parts.next()?.strip_prefix('d').filter(|digest| digest.len() == 16)?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
    let digest = digest.bytes().all(is_digit).then(|| u64::from_str_radix(digest, 16).ok())??;
    let is_final = match parts.next()? {
        "final" => true,
        "open" => false,
        _ => return None,
    };
    Some(RollupFileName { date, generation, digest, is_final })
}

fn number(part: &str, prefix: &str) -> Option<u64> {
    let digits = part.strip_prefix(prefix)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// What a date's `Display` makes, field by field: a run reads the names of a whole lake.
fn date(text: &str) -> Option<NaiveDate> {
    let bytes: &[u8; 10] = text.as_bytes().try_into().ok()?;
    if (bytes[4], bytes[7]) != (b'-', b'-') {
        return None;
    }
    NaiveDate::from_ymd_opt(digits(&bytes[..4])?.cast_signed(), digits(&bytes[5..7])?, digits(&bytes[8..])?)
}

/// What [`TIME_FORMAT`] makes, likewise.
fn time(part: &str) -> Option<DateTime<Utc>> {
    let bytes: &[u8; 16] = part.as_bytes().try_into().ok()?;
    if (bytes[8], bytes[15]) != (b'T', b'Z') {
        return None;
    }
    let field = |range: std::ops::Range<usize>| digits(&bytes[range]);
    let date = NaiveDate::from_ymd_opt(field(0..4)?.cast_signed(), field(4..6)?, field(6..8)?)?;
    Some(date.and_hms_opt(field(9..11)?, field(11..13)?, field(13..15)?)?.and_utc())
}

fn digits(digits: &[u8]) -> Option<u32> {
    let add = |number: u32, byte: &u8| byte.is_ascii_digit().then(|| 10 * number + u32::from(byte - b'0'));
    digits.iter().try_fold(0, add)
}

/// Twelve hexadecimal digits that no other file, process or run has.
pub(crate) fn unique() -> String {
    format!("{:012x}", fastrand::u64(..1 << 48))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn instants() -> impl Strategy<Value = DateTime<Utc>> {
        (0..253_402_300_799_i64).prop_map(|second| DateTime::from_timestamp(second, 0).unwrap_or_default())
    }

    fn hosts() -> impl Strategy<Value = Option<HostId>> {
        let valid = "[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
            .prop_filter_map("two underscores", |id| HostId::parse(&id).ok());
        proptest::option::of(valid)
    }

    proptest! {
        #[test]
        fn sample_names_are_read_as_they_were_written(
            host in hosts(), one in instants(), other in instants(), rows: u64, unique in "[0-9a-z-]{1,20}",
        ) {
            let name = SampleFileName { host, first: one.min(other), last: one.max(other), rows, unique };
            prop_assert_eq!(name.to_string().parse(), Ok(name.clone()));
            prop_assert_eq!(FileName::parse(&name.to_string()), FileName::Sample(name));
        }

        #[test]
        fn rollup_names_are_read_as_they_were_written(
            day in 0..2_900_000_u64, generation: u64, digest: u64, is_final: bool,
        ) {
            let date = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap_or_default() + chrono::Days::new(day);
            let name = RollupFileName { date, generation, digest, is_final };
            prop_assert_eq!(FileName::parse(&name.to_string()), FileName::Rollup(name));
            prop_assert_eq!(parse_date_directory(&date_directory(date)), Some(date));
        }

        #[test]
        fn a_rollup_has_one_name(
            date in "[+ ]?[0-9]{4,5}-[0-9]{1,3}-[0-9]{1,3}", generation in "[+]?0?[0-9]{1,3}",
            digest in "[+]?[0-9a-fA-F]{15,17}",
        ) {
            let text = format!("rollup__{date}__g{generation}__d{digest}__open.parquet");
            if let FileName::Rollup(name) = FileName::parse(&text) {
                prop_assert_eq!(name.to_string(), text);
            }
            if let Some(parsed) = parse_date_directory(&format!("date={date}")) {
                prop_assert_eq!(date_directory(parsed), format!("date={date}"));
            }
        }

        #[test]
        fn any_text_is_parsed_without_panic(text in ".{0,80}", tail in "[_0-9TZr]{0,60}") {
            for name in [text.clone(), format!("{text}__{tail}.parquet"), format!("rollup__{tail}{text}")] {
                FileName::parse(&name);
                parse_date_directory(&name);
            }
        }

        #[test]
        fn names_cover_their_rows(first_us in 0..253_402_300_798_000_000_i64, length_us in 0..86_400_000_000_i64) {
            let name = SampleFileName::covering(None, (first_us, first_us + length_us), 1);
            prop_assert!(name.first.timestamp_micros() <= first_us);
            prop_assert!(name.last.timestamp_micros() >= first_us + length_us);
            prop_assert!(name.last.timestamp_micros() - name.first.timestamp_micros() < length_us + 2_000_000);
        }
    }

    #[test]
    fn foreign_names_are_not_parsed() {
        for name in [
            "part-0.parquet",
            ".parquet",
            "pi__20261121T120003Z__20261121T120053Z__r6__.parquet",
            "pi__20261121T120003Z__20261121T120053Z__r6__UP.parquet",
            "pi__20261121T120003Z__20261121T120053Z__r+6__a.parquet",
            "pi__20261121T120053Z__20261121T120003Z__r6__a.parquet",
            "pi__20261121T120003__20261121T120053__r6__a.parquet",
            "pi__20261121T120003Z__20261121T120053Z__r6__a.parquet.tmp",
            "@any__20261121T120003Z__20261121T120053Z__r6__a.parquet",
            "rollup__2026-11-21__g1__d12__final.parquet",
            "rollup__2026-11-21__g1__d0000000000000012__closed.parquet",
            "rollup__2026-11-21__g01__d0000000000000012__final.parquet",
        ] {
            assert_eq!(FileName::parse(name), FileName::Other, "{name}");
        }
        assert_eq!(parse_date_directory("date=2026-1-2"), None);
        assert_eq!(parse_date_directory("date=2026-01-02"), NaiveDate::from_ymd_opt(2026, 1, 2));
    }

    #[test]
    fn names_are_those_of_the_contract() -> Result<(), FileNameError> {
        let text = "rpi_kitchen-__20261121T120003Z__20261121T125954Z__r360__3f8a0f2c0017.parquet";
        let name: SampleFileName = text.parse()?;
        assert_eq!(name.host.map(|host| host.to_string()).as_deref(), Some("rpi_kitchen-"));
        assert_eq!((name.first.to_rfc3339(), name.rows), ("2026-11-21T12:00:03+00:00".to_owned(), 360));
        let text = "rollup__2026-11-21__g7__d00000000000000ff__open.parquet";
        let name: RollupFileName = text.parse()?;
        assert_eq!(
            (name.generation, name.digest, name.is_final, name.to_string().as_str()),
            (7, 255, false, text)
        );
        Ok(())
    }
}
