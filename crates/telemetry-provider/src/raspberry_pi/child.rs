//! A child process with a deadline.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process_group};

/// More than the program ever writes, and short enough for a log line; the rest is not read.
const MAX_OUTPUT_BYTES: u64 = 512;
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// What a child wrote, and how it ended.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) success: bool,
    /// Standard output, then standard error, trimmed.
    pub(super) text: String,
}

#[derive(Debug)]
pub(super) enum ChildError {
    /// Killed, since it had not ended.
    Deadline,
    Io(io::Error),
}

impl From<io::Error> for ChildError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Runs a program with one argument and waits until it ends. At the deadline it is killed with all
/// that it started, and reaped.
pub(super) fn run(program: &Path, argument: &str, deadline: Duration) -> Result<Output, ChildError> {
    let until = Instant::now() + deadline;
    let mut child = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(status) = child.try_wait()? {
            let mut text = drain(child.stdout.take())?;
            text.push_str(&drain(child.stderr.take())?);
            return Ok(Output { success: status.success(), text: text.trim().to_owned() });
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            kill(&mut child);
            return Err(ChildError::Deadline);
        }
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The whole group, since a program that starts others would leave them behind. It exists as long as
/// the child is not reaped, so no stranger can be hit.
fn kill(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let killed = group.is_some_and(|group| kill_process_group(group, Signal::KILL).is_ok());
    if !killed {
        // Only fails if the child has ended by itself.
        let _ = child.kill();
    }
    // A killed child can be waited for; the deadline of all providers bounds this too.
    let _ = child.wait();
}

/// What is in the pipe of a child that has ended. A process that it left behind may hold the other
/// end open, so this must not wait for the end.
fn drain(pipe: Option<impl Read + AsFd>) -> io::Result<String> {
    let Some(pipe) = pipe else { return Ok(String::new()) };
    fcntl_setfl(&pipe, fcntl_getfl(&pipe)? | OFlags::NONBLOCK)?;
    let mut bytes = Vec::new();
    match pipe.take(MAX_OUTPUT_BYTES).read_to_end(&mut bytes) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
        _ => {}
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
