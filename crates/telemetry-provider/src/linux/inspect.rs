//! What Linux says of itself to an operator.

use rustix::fs::Access;
use rustix::process::{getegid, getgroups};

use super::{KernelProvider, TemperatureProvider, Tree, uptime_seconds};
use crate::inspection::{Device, Inspection, PiInspection, Sensor, Throttle};
use crate::{ProviderSettings, RaspberryPiProvider};

const VIDEO_GROUP: &str = "video";
const FIRMWARE_DEVICE: &str = "dev/vcio";

pub(crate) fn inspect(settings: &ProviderSettings) -> Inspection {
    let tree = Tree::new(&settings.root);
    let mut temperature = TemperatureProvider::new(tree.clone());
    let (sensors, other_sensors) = temperature.inspect();
    Inspection {
        sensors: sensors.into_iter().map(|(source, celsius)| Sensor { source, celsius }).collect(),
        cpu_sensor: temperature.read().map(|(_, source)| source),
        other_sensors,
        raspberry_pi: super::is_raspberry_pi(&tree).then(|| raspberry_pi(settings, &tree)),
        clock_synced: KernelProvider::new(tree.clone()).clock_synced(),
        uptime_seconds: uptime_seconds(&tree),
        has_memory_cgroup: has_memory_cgroup(&tree),
        has_pressure: tree.exists("proc").then(|| tree.exists("proc/pressure/memory")),
    }
}

fn raspberry_pi(settings: &ProviderSettings, tree: &Tree) -> PiInspection {
    let section = &settings.config.raspberry_pi;
    let throttle = match section.enabled.then(|| RaspberryPiProvider::new(section).inspect()) {
        None => Throttle::NotAsked,
        Some(Ok(word)) => Throttle::Word(word),
        Some(Err((reason, remedy))) => Throttle::Missing { reason, remedy },
    };
    PiInspection {
        model: tree.read_optional("proc/device-tree/model").unwrap_or_default(),
        throttle,
        device: device(tree),
        is_in_video_group: is_in_video_group(tree),
    }
}

fn device(tree: &Tree) -> Device {
    if !tree.exists(FIRMWARE_DEVICE) {
        return Device::Absent;
    }
    match rustix::fs::access(tree.path(FIRMWARE_DEVICE), Access::READ_OK | Access::WRITE_OK) {
        Ok(()) => Device::Usable,
        Err(_) => Device::Denied,
    }
}

fn is_in_video_group(tree: &Tree) -> bool {
    let groups = tree.read("etc/group").unwrap_or_default();
    let Some(video) = group_id(&groups, VIDEO_GROUP) else { return false };
    let others = getgroups().unwrap_or_default().into_iter();
    others.chain([getegid()]).any(|group| group.as_raw() == video)
}

/// The third field of the group's line.
fn group_id(groups: &str, name: &str) -> Option<u32> {
    let mut lines = groups.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten())
}

/// By what version 2 offers at the root, else by the table of version 1.
fn has_memory_cgroup(tree: &Tree) -> Option<bool> {
    if let Some(controllers) = tree.read_optional("sys/fs/cgroup/cgroup.controllers") {
        return Some(controllers.split_ascii_whitespace().any(|controller| controller == "memory"));
    }
    let table = tree.read("proc/cgroups")?;
    let mut memory = table.lines().filter_map(|line| line.strip_prefix("memory\t"));
    Some(memory.next().is_some_and(|fields| fields.ends_with('1')))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "test code")]

    use std::path::Path;

    use super::*;

    fn fixture(name: &str) -> Inspection {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/provider").join(name).join("root");
        assert!(root.is_dir(), "{}", root.display());
        let mut settings = ProviderSettings { root, ..ProviderSettings::default() };
        settings.config.raspberry_pi.vcgencmd = "/no/such/vcgencmd".into();
        inspect(&settings)
    }

    #[test]
    fn a_raspberry_pi_says_what_it_lacks() {
        let found = fixture("raspberry-pi-4");
        assert!(found.cpu_sensor.unwrap().contains("cpu"));
        assert_eq!(found.clock_synced, Some(true));
        let pi = found.raspberry_pi.unwrap();
        assert!(pi.model.starts_with("Raspberry Pi 4"), "{}", pi.model);
        assert_eq!((pi.device, pi.is_in_video_group), (Device::Absent, false));
        let Throttle::Missing { reason, .. } = pi.throttle else { panic!("{:?}", pi.throttle) };
        assert_eq!(reason, "program not found");
    }

    #[test]
    fn sensors_of_something_else_are_told_apart() {
        let laptop = fixture("laptop-zone0-is-not-the-cpu");
        assert!(laptop.raspberry_pi.is_none());
        let chosen = laptop.cpu_sensor.unwrap();
        assert!(laptop.sensors.iter().any(|sensor| sensor.source == chosen && sensor.celsius.is_some()));
        let others = [
            "hwmon:acpitz",
            "hwmon:iwlwifi_1",
            "hwmon:nvme",
            "thermal:acpitz",
            "thermal:INT3400 Thermal",
            "thermal:iwlwifi_1",
        ];
        assert_eq!(laptop.other_sensors, others);
        let vm = fixture("vm-no-sensors");
        assert_eq!((vm.cpu_sensor, vm.sensors), (None, Vec::new()));
    }

    #[test]
    fn control_groups_of_both_versions() {
        for (file, text, expected) in [
            ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n", Some(true)),
            ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n", Some(false)),
            (
                "proc/cgroups",
                "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t0\t60\t0\n",
                Some(false),
            ),
            ("proc/cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t3\t60\t1\n", Some(true)),
            ("proc/other", "", None),
        ] {
            let root = tempfile::tempdir().unwrap();
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
            assert_eq!(has_memory_cgroup(&Tree::new(root.path())), expected, "{text}");
        }
    }

    #[test]
    fn groups_are_found_by_name() {
        let groups = "root:x:0:\nvideo:x:44:pi\nvideo2:x:45:\nbroken\n";
        assert_eq!(group_id(groups, VIDEO_GROUP), Some(44));
        assert_eq!(group_id("video\n", VIDEO_GROUP), None);
        assert_eq!(group_id(groups, "audio"), None);
    }
}
