//! `telemetry-embed LAKE HOST`: watches this machine until it is stopped.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::time::Duration;

use chrono::Utc;
use telemetry_embed::{BUCKET_MINUTES, INTERVAL_SECONDS, Watch};
use telemetry_repository::Lake;
use telemetry_schema::HostId;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, lake, host] = &arguments[..] else { return Err("usage: telemetry-embed LAKE HOST".into()) };
    let mut watch = Watch::new(Lake::new(lake), HostId::parse(host)?)?;
    for minute in 0.. {
        watch.sample(Utc::now())?;
        if minute % BUCKET_MINUTES == 0 {
            for event in watch.evaluate(Utc::now())? {
                println!("{} {}: {}", event.state.as_str(), event.severity.as_str(), event.message);
            }
        }
        std::thread::sleep(Duration::from_secs(INTERVAL_SECONDS.into()));
    }
    Ok(())
}
