//! `telemetry-embed LAKE HOST`: watches this machine until it is stopped.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::iter;
use std::thread;
use std::time::Duration;

use chrono::Utc;
use telemetry_embed::{INTERVAL_SECONDS, watch};
use telemetry_repository::Lake;
use telemetry_schema::HostId;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, lake, host] = &arguments[..] else { return Err("usage: telemetry-embed LAKE HOST".into()) };
    let later = iter::repeat_with(|| {
        thread::sleep(Duration::from_secs(INTERVAL_SECONDS.into()));
        Utc::now()
    });
    watch(&Lake::new(lake), HostId::parse(host)?, iter::once(Utc::now()).chain(later), |event| {
        println!("{} {}: {}", event.state.as_str(), event.severity.as_str(), event.message);
    })
}
