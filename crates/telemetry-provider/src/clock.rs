//! What the machine says of its clock.

use crate::ProviderSettings;

/// Which boot this is and how old it is, to be read together with the time: it tells when samples were
/// taken whose clock was not right. `None` is what cannot be found out on this system.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BootClock {
    /// The kernel's identifier of this boot.
    pub boot_id: Option<String>,
    /// Seconds since boot, suspension included.
    pub uptime_seconds: Option<f64>,
    /// Whether the time service has synchronised the clock.
    pub clock_synced: Option<bool>,
}

impl BootClock {
    /// Reads three small files.
    #[cfg(target_os = "linux")]
    pub fn read(settings: &ProviderSettings) -> Self {
        use crate::linux::{KernelProvider, Tree, boot_id, uptime_seconds};

        let tree = Tree::new(&settings.root);
        Self {
            boot_id: boot_id(&tree),
            uptime_seconds: uptime_seconds(&tree),
            clock_synced: KernelProvider::new(tree).clock_synced(),
        }
    }

    /// Nothing can be asked on this system.
    #[cfg(not(target_os = "linux"))]
    pub fn read(_settings: &ProviderSettings) -> Self {
        Self::default()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![expect(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_clock_is_that_of_the_samples() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let settings = ProviderSettings { root: root.path().to_owned(), ..ProviderSettings::default() };
        assert_eq!(BootClock::read(&settings), BootClock::default());
        write("proc/uptime", "93.25 150.01\n");
        write("proc/sys/kernel/random/boot_id", "3f8a0f2c-9d1e-4c55-8c1b-0a4fcb2f6f60\n");
        write("run/systemd/timesync/clock", "");
        let read = BootClock::read(&settings);
        assert_eq!((read.uptime_seconds, read.clock_synced), (Some(93.25), Some(false)));
        assert_eq!(read.boot_id.as_deref(), Some("3f8a0f2c-9d1e-4c55-8c1b-0a4fcb2f6f60"));
        write("run/systemd/timesync/synchronized", "");
        assert_eq!(BootClock::read(&settings).clock_synced, Some(true));
    }
}
