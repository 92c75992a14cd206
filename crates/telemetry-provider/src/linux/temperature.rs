//! The processor's temperature: which of a machine's sensors it is, and what it says.

use telemetry_schema::host_metrics::{HostMetricsReadings, TemperatureReading};
use tracing::debug;

use super::Tree;
use crate::SystemMetricsProvider;

const HWMON: &str = "sys/class/hwmon";
const THERMAL: &str = "sys/class/thermal";
/// Outside of this a sensor is broken: boards report 127.5 or -273.3 for sensors that do not exist.
const PLAUSIBLE_CELSIUS: std::ops::RangeInclusive<f64> = 0.0..=120.0;

/// Reads the sensor of the processor, found by the name of its chip or of its thermal zone, never by
/// its number: zone 0 is not the processor on many laptops, and numbers change between boots.
#[derive(Debug)]
pub struct TemperatureProvider {
    tree: Tree,
    /// The sensors of the last reading, best rank only, so that a running service does not search
    /// through all chips for every sample.
    known: Vec<Sensor>,
}

/// A sensor that may be the processor's.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sensor {
    /// Lower is better.
    rank: u8,
    /// The file with the temperature in thousandths of a degree.
    path: String,
    /// The file that tells whose sensor it is, and what it said.
    owner: (String, String),
    /// As stored in `cpu_temp_source`.
    source: String,
}

impl TemperatureProvider {
    /// Reads below a tree.
    pub fn new(tree: Tree) -> Self {
        Self { tree, known: Vec::new() }
    }

    pub(crate) fn read(&mut self) -> Option<(f64, String)> {
        let known = std::mem::take(&mut self.known);
        if !known.is_empty() && known.iter().all(|sensor| self.still_there(sensor)) {
            let hottest = hottest(&known, |sensor| self.celsius(sensor));
            if hottest.is_some() {
                self.known = known;
                return hottest;
            }
        }
        self.search()
    }

    /// Numbers are given anew when drivers are loaded, so a path alone does not tell the sensor.
    fn still_there(&self, sensor: &Sensor) -> bool {
        self.tree.read_once(&sensor.owner.0).as_ref() == Some(&sensor.owner.1)
    }

    /// Tries all candidates, best rank first; the hottest of a rank counts (several sockets or
    /// clusters of cores).
    fn search(&mut self) -> Option<(f64, String)> {
        let mut candidates = self.hwmon_sensors();
        candidates.extend(self.thermal_zones());
        candidates.sort_by(|a, b| (a.rank, &a.path).cmp(&(b.rank, &b.path)));
        for of_rank in candidates.chunk_by(|a, b| a.rank == b.rank) {
            let readable: Vec<Sensor> =
                of_rank.iter().filter(|sensor| self.celsius(sensor).is_some()).cloned().collect();
            if let Some(found) = hottest(&readable, |sensor| self.celsius(sensor)) {
                debug!(source = found.1, "temperature sensor of the processor chosen");
                self.known = readable;
                return Some(found);
            }
        }
        debug!(candidates = candidates.len(), "no temperature sensor of the processor can be read");
        None
    }

    fn celsius(&self, sensor: &Sensor) -> Option<f64> {
        let text = self.tree.read_once(&sensor.path)?;
        let celsius = parse_celsius(&text);
        if celsius.is_none() {
            debug!(source = sensor.source, value = text, "implausible temperature ignored");
        }
        celsius
    }

    /// The temperatures that could be the processor's, as (source, degrees Celsius), best first; and the
    /// names of the chips and zones that measure something else.
    pub(crate) fn inspect(&self) -> (Vec<(String, Option<f64>)>, Vec<String>) {
        let mut candidates = self.hwmon_sensors();
        candidates.extend(self.thermal_zones());
        candidates.sort_by(|a, b| (a.rank, &a.path).cmp(&(b.rank, &b.path)));
        let read = |sensor: Sensor| (sensor.source.clone(), self.celsius(&sensor));
        (candidates.into_iter().map(read).collect(), self.others())
    }

    fn others(&self) -> Vec<String> {
        let chips = self.tree.names(HWMON).into_iter().filter_map(|chip| {
            let directory = format!("{HWMON}/{chip}");
            let has_temperature = self.tree.names(&directory).iter().any(|file| file.starts_with("temp"));
            let name = self.tree.read_optional(&format!("{directory}/name"))?;
            (has_temperature && chip_kind(&name).is_none()).then(|| format!("hwmon:{name}"))
        });
        let zones = self.tree.names(THERMAL).into_iter().filter_map(|zone| {
            let kind = self.tree.read_optional(&format!("{THERMAL}/{zone}/type"))?;
            (zone.starts_with("thermal_zone") && zone_rank(&kind).is_none())
                .then(|| format!("thermal:{kind}"))
        });
        chips.chain(zones).collect()
    }

    fn hwmon_sensors(&self) -> Vec<Sensor> {
        let mut sensors = Vec::new();
        for chip in self.tree.names(HWMON) {
            let directory = format!("{HWMON}/{chip}");
            let owner = format!("{directory}/name");
            let Some(name) = self.tree.read_optional(&owner) else { continue };
            if chip_kind(&name).is_none() {
                continue;
            }
            let inputs = self.tree.names(&directory).into_iter();
            for input in inputs.filter_map(|file| file.strip_suffix("_input").map(str::to_owned)) {
                if !input.starts_with("temp") {
                    continue;
                }
                let label = self.tree.read_optional(&format!("{directory}/{input}_label"));
                if let Some(rank) = hwmon_rank(&name, &input, label.as_deref()) {
                    sensors.push(Sensor {
                        rank,
                        path: format!("{directory}/{input}_input"),
                        owner: (owner.clone(), name.clone()),
                        source: format!("hwmon:{name}/{input}"),
                    });
                }
            }
        }
        sensors
    }

    fn thermal_zones(&self) -> Vec<Sensor> {
        let zones = self.tree.names(THERMAL).into_iter().filter(|name| name.starts_with("thermal_zone"));
        zones
            .filter_map(|zone| {
                let owner = format!("{THERMAL}/{zone}/type");
                let kind = self.tree.read_optional(&owner)?;
                Some(Sensor {
                    rank: zone_rank(&kind)?,
                    path: format!("{THERMAL}/{zone}/temp"),
                    source: format!("thermal:{kind}"),
                    owner: (owner, kind),
                })
            })
            .collect()
    }
}

impl SystemMetricsProvider for TemperatureProvider {
    fn name(&self) -> &'static str {
        "linux-temperature"
    }

    fn collect(&mut self) -> HostMetricsReadings {
        let (celsius, source) = self.read().unzip();
        let temperature = TemperatureReading { cpu_temp_c: celsius, cpu_temp_source: source };
        HostMetricsReadings { temperature: Some(temperature), ..HostMetricsReadings::default() }
    }
}

fn hottest(sensors: &[Sensor], celsius: impl Fn(&Sensor) -> Option<f64>) -> Option<(f64, String)> {
    sensors
        .iter()
        .filter_map(|sensor| Some((celsius(sensor)?, sensor)))
        // The first of equals, so that the source does not change without need.
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(celsius, sensor)| (celsius, sensor.source.clone()))
}

fn parse_celsius(millidegrees: &str) -> Option<f64> {
    let celsius = millidegrees.parse::<i64>().ok()? as f64 / 1000.0;
    PLAUSIBLE_CELSIUS.contains(&celsius).then_some(celsius)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chip {
    Intel,
    Amd,
    Soc(u8),
}

/// Processors' own chips by the name of their driver. All others are something else, whatever their
/// labels say: board sensors call an unconnected pin CPUTIN.
fn chip_kind(name: &str) -> Option<Chip> {
    match name {
        "coretemp" => Some(Chip::Intel),
        "k10temp" | "zenpower" => Some(Chip::Amd),
        _ => soc_rank(name).map(Chip::Soc),
    }
}

/// Systems on a chip name their sensors after what they measure, with `-` in thermal zones and `_`
/// in hwmon. The sensors of the cores come before the one of the whole chip.
fn soc_rank(name: &str) -> Option<u8> {
    const CORES: [&str; 4] = ["cpu", "bigcore", "littlecore", "bcm2835"];
    const CHIP: [&str; 2] = ["soc", "package"];
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if matches!(name, "cpu_thermal" | "cpu-thermal") {
        Some(0)
    } else if starts(&CORES) {
        Some(1)
    } else {
        starts(&CHIP).then_some(2)
    }
}

/// Rank of one input of a chip: 0 to 9.
fn hwmon_rank(chip: &str, input: &str, label: Option<&str>) -> Option<u8> {
    let label = label.unwrap_or_default();
    match chip_kind(chip)? {
        // The package is as hot as its hottest core.
        Chip::Intel if label.starts_with("Package id") => Some(0),
        Chip::Intel if label.starts_with("Core") => Some(1),
        // Tctl is for the fan, and some processors add an offset to it.
        Chip::Amd if label == "Tdie" => Some(0),
        Chip::Amd if label == "Tctl" || (label.is_empty() && input == "temp1") => Some(1),
        Chip::Soc(rank) => (input == "temp1").then_some(3 + rank),
        Chip::Intel | Chip::Amd => None,
    }
}

/// Rank of a thermal zone, behind all of hwmon's.
fn zone_rank(kind: &str) -> Option<u8> {
    if kind == "x86_pkg_temp" { Some(10) } else { soc_rank(kind).map(|rank| 11 + rank) }
}

#[cfg(test)]
mod tests;
