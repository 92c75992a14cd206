//! What a dataset and its columns are, as static data.

use std::fmt;

/// One dataset of the lake: a name and its columns, in order.
#[derive(Debug)]
pub struct Dataset {
    /// Directory name in the lake and view name in SQL.
    pub name: &'static str,
    /// The half of the lake that it lives in.
    pub layer: Layer,
    /// Raised by one with every added column; stored in each file's footer.
    pub schema_version: u32,
    /// What one row is.
    pub doc: &'static str,
    /// The columns, in schema order.
    pub columns: &'static [Column],
}

impl Dataset {
    /// The position and the column of that name.
    pub fn column(&self, name: &str) -> Option<(usize, &'static Column)> {
        self.columns.iter().enumerate().find(|(_, column)| column.name == name)
    }

    /// The column that rows are partitioned and ordered by: the first timestamp of the key.
    pub fn time_column(&self) -> &'static Column {
        self.columns
            .iter()
            .find(|column| column.presence == Presence::Key && column.ty == ColumnType::TimestampUs)
            .expect("a test checks that every dataset has a timestamp in its key")
    }
}

/// Which half of the lake a dataset belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Raw, append-only samples.
    Silver,
    /// Computed from Silver.
    Gold,
}

impl Layer {
    /// The directory of the layer in the lake.
    pub fn directory(self) -> &'static str {
        match self {
            Layer::Silver => "silver",
            Layer::Gold => "gold",
        }
    }
}

/// One column: everything that is known of it.
#[derive(Debug)]
pub struct Column {
    /// Name; ends with the unit where there is one.
    pub name: &'static str,
    /// Physical type.
    pub ty: ColumnType,
    /// Whether it can be null, and what that means.
    pub presence: Presence,
    /// How values of different times relate.
    pub kind: Kind,
    /// Unit of the values.
    pub unit: Unit,
    /// Which values are possible.
    pub rule: Rule,
    /// Where the value comes from.
    pub source: Source,
    /// One or two sentences of documentation.
    pub doc: &'static str,
}

/// The types that every reader of Parquet agrees on; no dataset uses another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// 32-bit signed integer.
    Int32,
    /// 64-bit signed integer.
    Int64,
    /// IEEE 754 double; NaN and infinities are never stored.
    Float64,
    /// True or false.
    Boolean,
    /// UTF-8 text.
    String,
    /// Microseconds since 1970-01-01, UTC.
    TimestampUs,
}

impl ColumnType {
    /// The type's name in DuckDB, used in typed empty views.
    pub fn sql(self) -> &'static str {
        match self {
            ColumnType::Int32 => "INTEGER",
            ColumnType::Int64 => "BIGINT",
            ColumnType::Float64 => "DOUBLE",
            ColumnType::Boolean => "BOOLEAN",
            ColumnType::String => "VARCHAR",
            ColumnType::TimestampUs => "TIMESTAMP WITH TIME ZONE",
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ColumnType::Int32 => "int32",
            ColumnType::Int64 => "int64",
            ColumnType::Float64 => "double",
            ColumnType::Boolean => "boolean",
            ColumnType::String => "string",
            ColumnType::TimestampUs => "timestamp µs UTC",
        })
    }
}

/// Whether a column can be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Part of the key, never null.
    Key,
    /// Every host can measure it; null only where a reading failed, which is reported.
    Required,
    /// Null where the host cannot measure it.
    Optional,
}

/// How values of different times relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A level at one instant.
    Gauge,
    /// A count that only grows, until it begins again at zero.
    Counter,
    /// Text, flags or an instant that describe the row.
    Label,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Label => "label",
        })
    }
}

/// Unit of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// No unit: text, flags, ratios.
    None,
    /// Per cent, 0 to 100.
    Percent,
    /// 1024² bytes.
    Mebibytes,
    /// 1024³ bytes.
    Gibibytes,
    /// Bytes.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// Bits per second.
    BitsPerSecond,
    /// Degrees Celsius.
    Celsius,
    /// 10⁶ per second.
    Megahertz,
    /// Seconds.
    Seconds,
    /// A number of things.
    Count,
}

impl Unit {
    /// Decimal places to which measured values are rounded before they are stored, so that sums in
    /// integers are exact and files compress; `None` leaves the value as it was read.
    pub fn decimals(self) -> Option<i32> {
        match self {
            Unit::Percent => Some(2),
            Unit::Gibibytes | Unit::Seconds => Some(3),
            Unit::Celsius | Unit::Megahertz => Some(3),
            Unit::None
            | Unit::Mebibytes
            | Unit::Bytes
            | Unit::BytesPerSecond
            | Unit::BitsPerSecond
            | Unit::Count => None,
        }
    }

    /// The unit as people write it.
    pub fn symbol(self) -> &'static str {
        match self {
            Unit::None | Unit::Count => "",
            Unit::Percent => "%",
            Unit::Mebibytes => "MiB",
            Unit::Gibibytes => "GiB",
            Unit::Bytes => "B",
            Unit::BytesPerSecond => "B/s",
            Unit::BitsPerSecond => "bit/s",
            Unit::Celsius => "°C",
            Unit::Megahertz => "MHz",
            Unit::Seconds => "s",
        }
    }

    /// The unit in the words of the Unified Code for Units of Measure, as OpenTelemetry uses them.
    pub fn ucum(self) -> &'static str {
        match self {
            Unit::None => "",
            Unit::Percent => "%",
            Unit::Mebibytes => "MiBy",
            Unit::Gibibytes => "GiBy",
            Unit::Bytes => "By",
            Unit::BytesPerSecond => "By/s",
            Unit::BitsPerSecond => "bit/s",
            Unit::Celsius => "Cel",
            Unit::Megahertz => "MHz",
            Unit::Seconds => "s",
            Unit::Count => "1",
        }
    }
}

/// Which values of a column are possible. Null always passes: presence is another matter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Anything (but NaN and infinities in doubles).
    Any,
    /// Numbers from the first to the second, inclusive.
    Within(f64, f64),
    /// Numbers not below this one.
    AtLeast(i64),
    /// A host identifier, see [`crate::HostId`].
    HostId,
    /// `0x` and hexadecimal digits.
    HexWord,
    /// An instant from 1970 to 9999, so that it has a date directory.
    Instant,
    /// The instant of a measurement, from 2026 on: an earlier clock is one that is not set yet, as that
    /// of a machine without a battery between its start and its first contact with a time server.
    Measured,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Any => f.write_str("finite"),
            Rule::Within(low, high) => write!(f, "{low}..{high}"),
            Rule::AtLeast(low) => write!(f, ">= {low}"),
            Rule::HostId => f.write_str(crate::host_id::PATTERN),
            Rule::HexWord => f.write_str("0x and hexadecimal digits"),
            Rule::Instant => f.write_str("year 1970..9999"),
            Rule::Measured => f.write_str("year 2026..9999, by a clock that is set"),
        }
    }
}

/// Where a column's value comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Source {
    /// Stamped on every sample by the sampler.
    Stamped,
    /// Measured by the providers that return this group of readings.
    Measured(&'static str),
    /// Computed from Silver columns by the rollup engine.
    Rollup(Formula),
    /// Decided by the alert rules.
    Alert,
}

/// How a Gold column is made from the samples of one host and bucket. Aggregates skip nulls; over no
/// value they are null. Column names are those of [`crate::HOST_METRICS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Formula {
    /// Start of the bucket.
    BucketStart,
    /// The host.
    HostId,
    /// Mean as a quotient of integer sums: of the values for integers, of `round(100 v)` for
    /// doubles, so that neither order nor engine changes the result.
    Average(&'static str),
    /// 95th percentile, linear between neighbours, with an integer rank.
    Percentile95(&'static str),
    /// Largest value.
    Max(&'static str),
    /// Smallest value.
    Min(&'static str),
    /// Growth of a counter that is credited to the bucket.
    CounterGrowth(&'static str),
    /// Seconds of the bucket over which the growth of a counter is known.
    CounterCoveredSeconds(&'static str),
    /// Bits per covered second.
    BitRate(&'static str),
    /// Bytes per covered second.
    ByteRate(&'static str),
    /// Decreases of the network counters within one boot.
    NetworkResets,
    /// Samples after de-duplication.
    SampleCount,
    /// Samples that the schedule promises.
    ExpectedCount,
    /// `min(1, count / expected)`.
    Coverage,
    /// Rows dropped by de-duplication.
    DuplicateCount,
    /// Samples with any of these bits in the throttle word.
    ThrottleBits(u32),
    /// Sticky bits of the throttle word that rose within one boot, combined.
    ThrottleStickyNew,
    /// Samples whose clock was not synchronised.
    ClockUnsynced,
    /// Distinct boot identifiers.
    BootCount,
    /// Instant of the first sample.
    FirstAsOf,
    /// Instant of the last sample.
    LastAsOf,
    /// Whether the run was at least the grace period after the bucket's end.
    IsFinal,
}
