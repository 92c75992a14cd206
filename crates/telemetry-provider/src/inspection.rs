//! What an operator asks about a machine: what can be measured here, and what stands in the way.

use std::path::{Path, PathBuf};

use crate::ProviderSettings;

/// File systems of another machine.
const NETWORK: [&str; 14] = [
    "9p",
    "afs",
    "ceph",
    "cifs",
    "davfs",
    "fuse.davfs",
    "fuse.glusterfs",
    "fuse.rclone",
    "fuse.sshfs",
    "lustre",
    "nfs",
    "nfs4",
    "smb3",
    "smbfs",
];
/// File systems that end with the machine's uptime.
const VOLATILE: [&str; 2] = ["ramfs", "tmpfs"];

/// A look at the machine. `None` is what cannot be found out on this system.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inspection {
    /// Temperatures that could be the processor's, best first.
    pub sensors: Vec<Sensor>,
    /// The one that is stored, as in `cpu_temp_source`.
    pub cpu_sensor: Option<String>,
    /// Chips and zones that measure something else.
    pub other_sensors: Vec<String>,
    /// Only on a Raspberry Pi.
    pub raspberry_pi: Option<PiInspection>,
    /// Whether the time service has synchronised the clock.
    pub clock_synced: Option<bool>,
    /// Seconds since the machine started.
    pub uptime_seconds: Option<f64>,
    /// Whether the kernel accounts memory by control group.
    pub has_memory_cgroup: Option<bool>,
    /// Whether the kernel tells how long tasks wait (`/proc/pressure`).
    pub has_pressure: Option<bool>,
}

/// A temperature sensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Sensor {
    /// As in `cpu_temp_source`.
    pub source: String,
    /// Degrees Celsius; `None` if it cannot be read or is implausible.
    pub celsius: Option<f64>,
}

/// The firmware of a Raspberry Pi.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PiInspection {
    /// As the device tree says it.
    pub model: String,
    /// What the firmware says of power and heat.
    pub throttle: Throttle,
    /// `/dev/vcio`, by which it is asked.
    pub device: Device,
    /// Whether this process is of the group `video`.
    pub is_in_video_group: bool,
}

/// The throttle word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Throttle {
    /// Switched off by the configuration.
    NotAsked,
    /// Bits 0 to 3 are now, 16 to 19 since boot: under-voltage, frequency capped, throttled, soft
    /// temperature limit.
    Word(u32),
    /// There is none.
    Missing {
        /// Why.
        reason: String,
        /// What to do about it.
        remedy: &'static str,
    },
}

/// What this user may do with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// There is no such device.
    Absent,
    /// It is there, but not for this user.
    Denied,
    /// It can be opened.
    Usable,
}

impl Inspection {
    /// Looks at this machine. Waits for sensors and for the firmware, so a caller with a deadline runs
    /// it on a thread of its own.
    #[cfg(target_os = "linux")]
    pub fn of(settings: &ProviderSettings) -> Self {
        crate::linux::inspect::inspect(settings)
    }

    /// Looks at this machine: nothing can be asked on this system.
    #[cfg(not(target_os = "linux"))]
    pub fn of(_settings: &ProviderSettings) -> Self {
        Self::default()
    }
}

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub point: PathBuf,
    /// Its type, as `ext4`.
    pub kind: String,
    /// Whether it is on an SD card or on the like of one that is soldered in (eMMC).
    pub is_card: bool,
    /// Seconds between commits of its journal, if its options say so.
    pub commit_seconds: Option<u32>,
}

impl Mount {
    /// The file system of an absolute path, without touching it, so that one that hangs can be named;
    /// links are not followed.
    #[cfg(target_os = "linux")]
    pub fn of(path: &Path) -> Option<Self> {
        crate::linux::mount_of(&crate::linux::Tree::new(Path::new("/")), path)
    }

    /// The file system of a path: cannot be asked on this system.
    #[cfg(not(target_os = "linux"))]
    pub fn of(_path: &Path) -> Option<Self> {
        None
    }

    /// The point above an absolute path where `/etc/fstab` has a file system and none is mounted; links
    /// are not followed.
    #[cfg(target_os = "linux")]
    pub fn missing(path: &Path) -> Option<PathBuf> {
        crate::linux::not_mounted(&crate::linux::Tree::new(Path::new("/")), path)
    }

    /// The point above a path where a file system is missing: cannot be asked on this system.
    #[cfg(not(target_os = "linux"))]
    pub fn missing(_path: &Path) -> Option<PathBuf> {
        None
    }

    /// Whether another machine holds it.
    pub fn is_network(&self) -> bool {
        NETWORK.contains(&self.kind.as_str())
    }

    /// Whether it is gone after a reboot.
    pub fn is_volatile(&self) -> bool {
        VOLATILE.contains(&self.kind.as_str())
    }
}
