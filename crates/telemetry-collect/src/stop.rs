//! The wish of somebody else that the run ends.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::Context;

/// Set by SIGTERM, SIGINT, SIGHUP, and what Windows has for them.
pub(crate) struct Stop {
    signals: Receiver<()>,
}

impl Stop {
    pub(crate) fn on_signals() -> anyhow::Result<Self> {
        let (sender, signals) = channel();
        let handler = move || {
            // Nobody receives any more once the run has ended.
            let _ = sender.send(());
        };
        ctrlc::set_handler(handler).context("cannot listen for signals")?;
        Ok(Self { signals })
    }

    /// Waits that long; true if the run is to end now.
    pub(crate) fn wait(&self, duration: Duration) -> bool {
        match self.signals.recv_timeout(duration) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => false,
            // Without a handler no signal will come.
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(duration);
                false
            }
        }
    }
}
