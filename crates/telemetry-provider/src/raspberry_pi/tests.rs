//! Programs that stand for vcgencmd.

#![expect(clippy::unwrap_used, reason = "test code")]

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tempfile::TempDir;
use tracing_subscriber::fmt::MakeWriter;

use super::*;

/// Long enough for any machine; tests that reach a deadline set a short one.
const LONG: Duration = Duration::from_secs(30);

/// A script must not be started while another thread, by forking, holds it open for writing.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

struct Program {
    directory: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Program {
    fn new(script: &str, mode: u32) -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vcgencmd");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Self { directory, _turn: turn }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("vcgencmd")
    }

    fn provider(&self, deadline: Duration) -> RaspberryPiProvider {
        RaspberryPiProvider { vcgencmd: self.path(), deadline, pause: 0 }
    }
}

/// Collects what is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The throttle word and the log lines of one reading.
fn collect(provider: &mut RaspberryPiProvider) -> (Option<String>, String) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let readings = tracing::subscriber::with_default(subscriber, || provider.collect());
    let lines = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    (readings.throttle.and_then(|throttle| throttle.throttle_flags), lines)
}

fn check(script: &str, mode: u32, expected: Option<&str>, logged: &[&str]) {
    let program = Program::new(script, mode);
    let (flags, lines) = collect(&mut program.provider(LONG));
    assert_eq!(flags.as_deref(), expected, "{script}: {lines}");
    for text in logged {
        assert!(lines.contains(text), "{script}: {text:?} is missing in {lines}");
    }
    assert_eq!(lines.is_empty(), expected.is_some(), "{script}: {lines}");
}

#[test]
fn the_word_is_read_without_a_further_argument() {
    check("[ \"$*\" = get_throttled ] && echo throttled=0x50005", 0o755, Some("0x50005"), &[]);
    check("echo throttled=0x0", 0o755, Some("0x0"), &[]);
    check("echo throttled=0xE0008", 0o755, Some("0xe0008"), &[]);
}

#[test]
fn answers_that_deny_are_told_apart() {
    let line = "no throttle word from the firmware";
    check("echo VCHI initialization failed; exit 255", 0o755, None, &[line, "no permission", "group video"]);
    check(
        "echo \"Can't open device file: /dev/vcio\" >&2; echo 'Try creating a device file with: sudo mknod'; exit 255",
        0o755,
        None,
        &[line, "no device to reach", "/dev/vcio"],
    );
    check(
        "echo \"Can't open device file: /dev/vcio: Permission denied\" >&2; exit 1",
        0o755,
        None,
        &[line, "group video"],
    );
}

#[test]
fn nonsense_is_null_and_shown() {
    let logged = ["no throttle word from the firmware", "output not understood"];
    for script in [
        "true",
        "echo hello",
        "echo throttled=0x",
        "echo throttled=0x1ffffffff",
        "echo throttled=0x+5",
        "echo throttled=5",
        "echo throttled=0x5; echo more",
        "echo throttled=0x5; exit 1",
        "printf '\\377\\376'",
        "echo 'error=1 error_msg=\"Command not registered\"'",
        "head -c 60000 /dev/zero",
    ] {
        check(script, 0o755, None, &logged);
    }
}

#[test]
fn a_program_that_is_missing_or_forbidden_is_null() {
    let program = Program::new("echo throttled=0x0", 0o755);
    let mut provider = program.provider(LONG);
    fs::remove_file(program.path()).unwrap();
    let (flags, lines) = collect(&mut provider);
    assert_eq!(flags, None);
    assert!(lines.contains("program not found") && lines.contains("install vcgencmd"), "{lines}");
    drop(program);
    // Even root may not run a file that nobody may execute.
    check("echo throttled=0x0", 0o000, None, &["program may not be run"]);
}

#[test]
fn a_program_that_hangs_is_killed_with_its_children_and_left_alone_for_a_while() {
    // The shell waits for its child, which would keep the pipe open if only the shell were killed.
    let program = Program::new("echo $$ > \"$0.pid\"; sleep 60; echo throttled=0x0", 0o755);
    let mut provider = program.provider(Duration::from_millis(300));
    let started = Instant::now();
    let (flags, lines) = collect(&mut provider);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(flags, None);
    assert!(lines.contains("no answer by the deadline") && lines.contains("deadline_ms=300"), "{lines}");
    let pid = fs::read_to_string(program.directory.path().join("vcgencmd.pid")).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "process {pid} was not reaped");

    // Not asked again at once, although it would answer now.
    fs::write(program.path(), "#!/bin/sh\necho throttled=0x1\n").unwrap();
    for _ in 0..PAUSE_READINGS {
        let (flags, lines) = collect(&mut provider);
        assert_eq!(flags, None);
        assert!(lines.contains("vcgencmd hung lately"), "{lines}");
    }
    provider.deadline = LONG;
    assert_eq!(collect(&mut provider).0.as_deref(), Some("0x1"));
}

#[test]
fn a_process_left_behind_does_not_hold_the_reading() {
    let program = Program::new("sleep 5 & echo throttled=0x2", 0o755);
    let started = Instant::now();
    assert_eq!(collect(&mut program.provider(LONG)).0.as_deref(), Some("0x2"));
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

#[test]
fn programs_are_searched_in_the_path_and_the_usual_places() {
    let program = Program::new("true", 0o755);
    let path = OsString::from(format!("/no/such/directory:{}", program.directory.path().display()));
    assert_eq!(locate(Path::new("vcgencmd"), Some(&path)), program.path());
    assert_eq!(locate(Path::new("/own/vcgencmd"), Some(&path)), Path::new("/own/vcgencmd"));
    assert_eq!(locate(Path::new("no-such-program"), None), Path::new("no-such-program"));
}
