//! The macros behind the dataset tables: one line a column.

/// The type of a row's field: plain in the key, optional elsewhere.
macro_rules! field_type {
    (Key, $ty:ty) => { $ty };
    (Required, $ty:ty) => { Option<$ty> };
    (Optional, $ty:ty) => { Option<$ty> };
}
pub(crate) use field_type;

/// Makes the row struct, the static dataset, the module `names` and the [`crate::Row`] impl from a
/// table with the lines `name: type, presence, kind, unit, rule, source;`.
macro_rules! dataset {
    (
        $(#[doc = $dataset_doc:literal])+
        $Row:ident, $DATASET:ident = $dataset_name:literal, $layer:ident, version $version:literal;
        $(
            $(#[doc = $doc:literal])+
            $name:ident: $ty:ty, $presence:ident, $kind:ident, $unit:ident, $rule:expr, $source:expr;
        )+
    ) => {
        $(#[doc = $dataset_doc])+
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        pub struct $Row {
            $( $(#[doc = $doc])+ pub $name: $crate::table::field_type!($presence, $ty), )+
        }

        $(#[doc = $dataset_doc])+
        pub static $DATASET: $crate::Dataset = $crate::Dataset {
            name: $dataset_name,
            layer: $crate::Layer::$layer,
            schema_version: $version,
            doc: concat!($($dataset_doc),+),
            columns: &[ $( $crate::Column {
                name: stringify!($name),
                ty: <$ty as $crate::Cell>::TYPE,
                presence: $crate::Presence::$presence,
                kind: $crate::Kind::$kind,
                unit: $crate::Unit::$unit,
                rule: $rule,
                source: $source,
                doc: concat!($($doc),+),
            }, )+ ],
        };

        /// The column names, for code that addresses columns rather than rows.
        #[allow(non_upper_case_globals, missing_docs)]
        pub mod names {
            $( pub const $name: &str = stringify!($name); )+
        }

        impl $crate::Row for $Row {
            const DATASET: &'static $crate::Dataset = &$DATASET;

            fn value(&self, column: usize) -> $crate::Value<'_> {
                let cells = [ $( $crate::Cell::to_value(&self.$name) ),+ ];
                cells.into_iter().nth(column).unwrap_or($crate::Value::Null)
            }

            fn set(&mut self, column: usize, value: &$crate::Value<'_>) -> bool {
                let Some(column) = $DATASET.columns.get(column) else { return false };
                match column.name {
                    $( stringify!($name) => match $crate::Cell::from_value(value) {
                        Some(cell) => self.$name = cell,
                        None => return false,
                    }, )+
                    _ => return false,
                }
                true
            }

            fn from_values(values: &[$crate::Value<'_>]) -> Result<Self, $crate::RowError> {
                let mut cells = $DATASET.columns.iter().zip(values);
                Ok(Self { $( $name: $crate::value::next_cell(&mut cells, stringify!($name))?, )+ })
            }
        }
    };
}
pub(crate) use dataset;

/// A dataset whose rows are measured: as [`dataset!`], but each line ends with the provider group
/// that measures the column (`stamped` for the sampler's own), and every group becomes a reading
/// struct. The groups are declared before the columns.
macro_rules! measured_dataset {
    (
        $(#[doc = $dataset_doc:literal])+
        $Row:ident, $DATASET:ident = $dataset_name:literal, $layer:ident, version $version:literal;
        readings $(#[doc = $set_doc:literal])+ $Readings:ident {
            $( $(#[doc = $group_doc:literal])+ $group_name:ident: $Reading:ident, )+
        }
        $(
            $(#[doc = $doc:literal])+
            $name:ident: $ty:ty, $presence:ident, $kind:ident, $unit:ident, $rule:expr, $group:ident;
        )+
    ) => {
        $crate::table::dataset! {
            $(#[doc = $dataset_doc])+
            $Row, $DATASET = $dataset_name, $layer, version $version;
            $(
                $(#[doc = $doc])+
                $name: $ty, $presence, $kind, $unit, $rule, $crate::table::source_of!($group);
            )+
        }

        $(#[doc = $set_doc])+
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $Readings {
            $( $(#[doc = $group_doc])+ pub $group_name: Option<$Reading>, )+
        }

        impl $Readings {
            /// Takes over every value that `later` has; what it lacks stays.
            pub fn merge(&mut self, later: $Readings) {
                $( match (&mut self.$group_name, later.$group_name) {
                    (Some(earlier), Some(later)) => earlier.merge(later),
                    (slot @ None, later) => *slot = later,
                    (Some(_), None) => {}
                } )+
            }

            /// Writes every value that was read into the row.
            pub fn apply_to(self, row: &mut $Row) {
                $( if let Some(reading) = self.$group_name { reading.apply_to(row); } )+
            }
        }

        $crate::table::readings! {
            $Row, [ $( $group_name $Reading [$($group_doc),+] )+ ], [ $( ($group [$($doc),+] $name $ty) )+ ]
        }
    };
}
pub(crate) use measured_dataset;

/// Hands the whole list of columns to each group: one token tree, since a macro cannot repeat the
/// columns inside of a repetition of the groups.
macro_rules! readings {
    ($Row:ident, [ $( $group_name:ident $Reading:ident $group_doc:tt )+ ], $columns:tt) => {
        $( $crate::table::readings!(@one $Row, $group_name $Reading $group_doc, $columns); )+
    };
    (@one $Row:ident, $group_name:ident $Reading:ident $group_doc:tt, [ $($columns:tt)+ ]) => {
        $crate::table::reading! { $group_name, $Row, $Reading, $group_doc, [] $($columns)+ }
    };
}
pub(crate) use readings;

macro_rules! source_of {
    (stamped) => {
        $crate::Source::Stamped
    };
    ($group:ident) => {
        $crate::Source::Measured(stringify!($group))
    };
}
pub(crate) use source_of;

/// Picks the columns of one group out of all columns and makes the reading struct of them.
///
/// `macro_rules!` cannot compare two identifiers, so each group has an arm that matches its own
/// name twice; the arm below them skips the columns of the other groups.
macro_rules! reading {
    ($g:ident, $Row:ident, $Reading:ident, $gdoc:tt, [$($kept:tt)*]) => {
        $crate::table::reading!(@struct $Row, $Reading, $gdoc, $($kept)*);
    };
    (cpu, $Row:ident, $Reading:ident, $gdoc:tt, [$($kept:tt)*] (cpu $($column:tt)+) $($rest:tt)*) => {
        $crate::table::reading! { cpu, $Row, $Reading, $gdoc, [$($kept)* ($($column)+)] $($rest)* }
    };
    (memory, $Row:ident, $Reading:ident, $gdoc:tt, [$($kept:tt)*] (memory $($column:tt)+) $($rest:tt)*) => {
        $crate::table::reading! { memory, $Row, $Reading, $gdoc, [$($kept)* ($($column)+)] $($rest)* }
    };
    (disk, $Row:ident, $Reading:ident, $gdoc:tt, [$($kept:tt)*] (disk $($column:tt)+) $($rest:tt)*) => {
        $crate::table::reading! { disk, $Row, $Reading, $gdoc, [$($kept)* ($($column)+)] $($rest)* }
    };
    (network, $Row:ident, $Reading:ident, $gdoc:tt, [$($kept:tt)*] (network $($column:tt)+) $($rest:tt)*) => {
        $crate::table::reading! { network, $Row, $Reading, $gdoc, [$($kept)* ($($column)+)] $($rest)* }
    };
    (temperature, $Row:ident, $Reading:ident, $gdoc:tt, [$($kept:tt)*] (temperature $($column:tt)+) $($rest:tt)*) => {
        $crate::table::reading! { temperature, $Row, $Reading, $gdoc, [$($kept)* ($($column)+)] $($rest)* }
    };
    (throttle, $Row:ident, $Reading:ident, $gdoc:tt, [$($kept:tt)*] (throttle $($column:tt)+) $($rest:tt)*) => {
        $crate::table::reading! { throttle, $Row, $Reading, $gdoc, [$($kept)* ($($column)+)] $($rest)* }
    };
    (process, $Row:ident, $Reading:ident, $gdoc:tt, [$($kept:tt)*] (process $($column:tt)+) $($rest:tt)*) => {
        $crate::table::reading! { process, $Row, $Reading, $gdoc, [$($kept)* ($($column)+)] $($rest)* }
    };
    (boot, $Row:ident, $Reading:ident, $gdoc:tt, [$($kept:tt)*] (boot $($column:tt)+) $($rest:tt)*) => {
        $crate::table::reading! { boot, $Row, $Reading, $gdoc, [$($kept)* ($($column)+)] $($rest)* }
    };
    (load, $Row:ident, $Reading:ident, $gdoc:tt, [$($kept:tt)*] (load $($column:tt)+) $($rest:tt)*) => {
        $crate::table::reading! { load, $Row, $Reading, $gdoc, [$($kept)* ($($column)+)] $($rest)* }
    };
    (kernel, $Row:ident, $Reading:ident, $gdoc:tt, [$($kept:tt)*] (kernel $($column:tt)+) $($rest:tt)*) => {
        $crate::table::reading! { kernel, $Row, $Reading, $gdoc, [$($kept)* ($($column)+)] $($rest)* }
    };
    ($g:ident, $Row:ident, $Reading:ident, $gdoc:tt, $kept:tt $other:tt $($rest:tt)*) => {
        $crate::table::reading! { $g, $Row, $Reading, $gdoc, $kept $($rest)* }
    };
    (@struct $Row:ident, $Reading:ident, [$($gdoc:literal),+],
        $( ([$($doc:literal),+] $name:ident $ty:ty) )+) => {
        $(#[doc = $gdoc])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $Reading {
            $( $(#[doc = $doc])+ pub $name: Option<$ty>, )+
        }

        impl $Reading {
            fn merge(&mut self, later: $Reading) {
                $( if later.$name.is_some() { self.$name = later.$name; } )+
            }

            fn apply_to(self, row: &mut $Row) {
                $( row.$name = self.$name; )+
            }
        }
    };
}
pub(crate) use reading;
