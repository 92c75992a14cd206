//! Decides alerts: rollups of hosts in, event rows of `ops_host_alerts` out, no I/O and no clock.
//!
//! A [`RuleSet`] is read from the `[[alert]]` tables of a configuration, over the built-in rules. [`evaluate`]
//! takes the final buckets of each host up to a horizon, walks one state machine a rule and host over
//! them, and gives back [`Event`]s and the [`AlertState`] to go on from.
//! Evaluating in one run or after every bucket gives the same events, and their identifiers are hashes
//! of what they are about, so a second run adds nothing.
//!
//! ```text
//! Inactive ──fires──> Pending ──`for`──> Firing ──clears──> Recovering ──`keep_firing_for`──> resolved
//!     ^                  │                 ^                    │
//!     └───does not fire──┘                 └───────fires────────┘
//! ```
//!
//! A bucket without a value, or with less than `min_coverage`, changes nothing. More than two such
//! buckets in a row (or missing ones) end a Pending; an alert is resolved when nothing was known for
//! `expire_after`.

pub mod alertmanager;
mod comparison;
mod error;
mod evaluation;
mod event;
mod history;
mod hosts;
mod keys;
mod kind;
mod machine;
mod message;
mod rule;
mod rule_set;
mod span;
mod state;
mod ticks;

pub use error::RuleError;
pub use evaluation::{LOOK_BACK_US, Period, evaluate};
pub use event::{Context, Event, EventError, EventState, Reason, Severity};
pub use history::{Alert, alerts, revised};
pub use rule::Rule;
pub use rule_set::{BUILT_IN, RuleSet, Settings};
pub use state::AlertState;
pub use ticks::TicksError;
