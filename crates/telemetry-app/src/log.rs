//! Messages on standard error.

use std::io::IsTerminal;

use tracing_subscriber::filter::LevelFilter;

use crate::LogLevel;

/// The directories of the library that reads Parquet, which panics on damaged files. The repository
/// contains that and says which file it was.
const CONTAINED: &str = "polars-";

/// Begins to write messages; each `verbose` lowers the threshold by one level.
pub(crate) fn start(level: LogLevel, verbose: u8) {
    let levels =
        [LevelFilter::ERROR, LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG, LevelFilter::TRACE];
    let configured = match level {
        LogLevel::Error => 0,
        LogLevel::Warn => 1,
        LogLevel::Info => 2,
        LogLevel::Debug => 3,
        LogLevel::Trace => 4,
    };
    let threshold = levels[(configured + usize::from(verbose)).min(levels.len() - 1)];
    let colored = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // A second start in one process (tests) keeps the first subscriber.
    let _ = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(colored)
        .with_target(false)
        .with_max_level(threshold)
        .without_time()
        .try_init();
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.location().is_some_and(|location| location.file().contains(CONTAINED)) {
            tracing::debug!(%panic, "contained");
        } else {
            report(panic);
        }
    }));
}
