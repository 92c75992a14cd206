//! Machines whose files are nearly right: nothing panics or hangs, and a reading breaks no rule that
//! validation would not find.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "test code")]

use std::fs;
use std::path::{Path, PathBuf};

use chrono::DateTime;
use telemetry_provider::linux::{self, Tree};
use telemetry_provider::{
    Inspection, ProcessProvider, ProviderSettings, Sampler, Stamp, SystemMetricsProvider,
};
use telemetry_schema::{HostId, validate};
use telemetry_trials::mutation;

const WORDS: [&str; 20] = [
    "cpu ",
    "cpu0 ",
    "intr ",
    "MemTotal:",
    "MemAvailable:",
    " kB",
    "eth0:",
    "wlan0:",
    "Tcp:",
    "CurrEstab",
    "coretemp",
    "Package id 0",
    "cpu-thermal",
    "0-3",
    "0-4294967295",
    "max",
    "some avg10=",
    "total=",
    ") R ",
    "0::/",
];

/// The machines of `fixtures/provider`, copied to where they can be changed.
struct Machines {
    _directory: tempfile::TempDir,
    roots: Vec<PathBuf>,
    /// All files of each.
    files: Vec<Vec<PathBuf>>,
}

impl Machines {
    fn copy() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/provider");
        let (mut roots, mut files) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(fixtures).unwrap().map(Result::unwrap) {
            let (from, to) = (entry.path().join("root"), directory.path().join(entry.file_name()));
            if from.is_dir() {
                let mut copied = Vec::new();
                copy(&from, &to, &mut copied);
                copied.sort();
                files.push(copied);
                roots.push(to);
            }
        }
        assert!(roots.len() > 8, "{roots:?}");
        Self { _directory: directory, roots, files }
    }
}

fn copy(from: &Path, to: &Path, copied: &mut Vec<PathBuf>) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &to, copied);
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path()).unwrap(), &to).unwrap();
        } else {
            fs::copy(entry.path(), &to).unwrap();
            copied.push(to);
        }
    }
}

/// Each provider by itself, twice, as what it says depends on what it said before.
fn read(root: &Path) {
    let tree = Tree::new(root);
    let mut providers: Vec<Box<dyn SystemMetricsProvider>> = vec![
        Box::new(linux::ProcessorProvider::new(tree.clone())),
        Box::new(linux::KernelProvider::new(tree.clone())),
        Box::new(linux::NetworkProvider::new(tree.clone(), None)),
        Box::new(linux::FrequencyProvider::new(tree.clone())),
        Box::new(linux::TemperatureProvider::new(tree)),
        Box::new(ProcessProvider::new(root)),
    ];
    for provider in &mut providers {
        provider.collect();
        provider.collect();
    }
}

/// As a run does it, with the threads and deadlines of the composite.
fn sample(root: &Path) {
    let mut settings = ProviderSettings {
        disk_mount: PathBuf::from("/no/such/mount"),
        root: root.to_owned(),
        include_process_metrics: true,
        ..ProviderSettings::default()
    };
    settings.config.raspberry_pi.enabled = false;
    let host_id = HostId::parse("fixture").unwrap();
    let stamp = Stamp { host_id, run_id: None, sample_interval_seconds: 10 };
    let mut sampler = Sampler::new(&settings, stamp, None);
    let mut sample = sampler.sample(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
    // A required value that breaks its rule refuses the sample, which must not come from a file.
    let violations = validate(&mut sample).unwrap();
    assert!(violations.len() < 8, "{violations:?}");
    Inspection::of(&settings);
}

#[test]
fn mutated_machines_are_read() {
    let machines = Machines::copy();
    mutation::each("machines", 600, |mutator| {
        let machine = mutator.number % machines.roots.len();
        let files = &machines.files[machine];
        let mut originals = Vec::new();
        for _ in 0..mutator.random.usize(1..6) {
            let path = &files[mutator.random.usize(..files.len())];
            let original = fs::read(path).unwrap();
            fs::write(path, mutator.text(&original, &WORDS)).unwrap();
            originals.push((path, original));
        }
        let root = &machines.roots[machine];
        read(root);
        if mutator.number % 8 == 0 {
            sample(root);
        }
        // The first one of a file that was changed twice is the original.
        for (path, original) in originals.iter().rev() {
            fs::write(path, original).unwrap();
        }
    });
}
