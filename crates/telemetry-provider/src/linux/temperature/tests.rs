//! Which sensor is the processor's, and what happens when it changes.

#![expect(clippy::unwrap_used, reason = "test code")]

use std::fs;
use std::path::Path;

use super::*;

#[test]
fn sensors_are_ranked_by_chip_and_label() {
    let check = |chip, input, label, expected: Option<u8>| {
        assert_eq!(hwmon_rank(chip, input, label), expected, "{chip} {input} {label:?}");
    };
    check("coretemp", "temp1", Some("Package id 0"), Some(0));
    check("coretemp", "temp2", Some("Core 0"), Some(1));
    check("coretemp", "temp1", None, None);
    check("k10temp", "temp2", Some("Tdie"), Some(0));
    check("k10temp", "temp1", Some("Tctl"), Some(1));
    check("k10temp", "temp1", None, Some(1));
    check("k10temp", "temp3", Some("Tccd1"), None);
    check("zenpower", "temp1", Some("Tdie"), Some(0));
    check("cpu_thermal", "temp1", None, Some(3));
    check("cpu0_thermal", "temp1", None, Some(4));
    check("bigcore0_thermal", "temp1", None, Some(4));
    check("soc_thermal", "temp1", None, Some(5));
    check("soc_thermal", "temp2", None, None);
    for other in [
        "acpitz",
        "nvme",
        "drivetemp",
        "iwlwifi_1",
        "rp1_adc",
        "nct6779",
        "amdgpu",
        "gpu_thermal",
        "pch_cannonlake",
        "",
    ] {
        check(other, "temp1", Some("CPUTIN"), None);
    }
}

#[test]
fn zones_come_after_all_chips() {
    let kinds = ["x86_pkg_temp", "cpu-thermal", "cpu0-thermal", "bcm2835_thermal", "soc-thermal"];
    assert_eq!(kinds.map(zone_rank), [Some(10), Some(11), Some(12), Some(12), Some(13)]);
    for other in ["acpitz", "iwlwifi_1", "INT3400 Thermal", "gpu-thermal", "B0D4", "TSR0"] {
        assert_eq!(zone_rank(other), None, "{other}");
    }
}

#[test]
fn implausible_values_are_no_temperature() {
    assert_eq!(parse_celsius("46300"), Some(46.3));
    assert_eq!(parse_celsius("0"), Some(0.0));
    assert_eq!(parse_celsius("120000"), Some(120.0));
    for bad in ["127500", "-1", "-273300", "", "46.3", "hot", "99999999999999999999"] {
        assert_eq!(parse_celsius(bad), None, "{bad:?}");
    }
}

fn write(root: &Path, file: &str, text: &str) {
    let path = root.join(HWMON).join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn two_sockets_give_the_hotter_one() {
    let directory = tempfile::tempdir().unwrap();
    for (chip, package) in [("hwmon0", "51000"), ("hwmon1", "64000")] {
        write(directory.path(), &format!("{chip}/name"), "coretemp\n");
        write(directory.path(), &format!("{chip}/temp1_label"), "Package id 0\n");
        write(directory.path(), &format!("{chip}/temp1_input"), package);
    }
    let mut provider = TemperatureProvider::new(Tree::new(directory.path()));
    assert_eq!(provider.read(), Some((64.0, "hwmon:coretemp/temp1".into())));
    write(directory.path(), "hwmon0/temp1_input", "70000");
    assert_eq!(provider.read(), Some((70.0, "hwmon:coretemp/temp1".into())));
}

#[test]
fn a_sensor_that_moves_is_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(root, "hwmon0/name", "cpu_thermal\n");
    write(root, "hwmon0/temp1_input", "40000");
    let mut provider = TemperatureProvider::new(Tree::new(root));
    assert_eq!(provider.read(), Some((40.0, "hwmon:cpu_thermal/temp1".into())));
    // A driver was loaded anew: the number belongs to another chip now.
    write(root, "hwmon0/name", "nvme\n");
    write(root, "hwmon5/name", "cpu_thermal\n");
    write(root, "hwmon5/temp1_input", "41000");
    assert_eq!(provider.read(), Some((41.0, "hwmon:cpu_thermal/temp1".into())));
    fs::remove_dir_all(root.join(HWMON)).unwrap();
    assert_eq!(provider.read(), None);
}
