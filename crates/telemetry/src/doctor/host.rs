//! What the machine can measure, and what stands in the way.

use telemetry_app::SYSTEM_LOG;
use telemetry_provider::{Device, Inspection, PiInspection, Throttle};
use telemetry_schema::FIRST_MEASURED_US;

use super::facts::Facts;
use super::finding::Finding;

const CONFIGURATION: &str = "configuration";
const CLOCK: &str = "clock";
const SYNCHRONISE: &str = if cfg!(windows) {
    "w32tm /resync"
} else {
    "timedatectl status; sudo systemctl restart systemd-timesyncd"
};
const TEMPERATURE: &str = "temperature";
const POWER: &str = "power";
const KERNEL: &str = "kernel";
/// What the bits of the throttle word mean; 16 higher the same since boot.
const THROTTLED: [&str; 4] = ["under-voltage", "frequency capped", "throttled", "soft temperature limit"];
const UNDER_VOLTAGE: u32 = 1;
const NOW: u32 = 0xf;
const EARLIER_SHIFT: u32 = 16;
const JOIN_VIDEO: &str = "sudo usermod --append --groups video \"$(id -un)\", then log in again";

/// What is configured, and where.
pub(super) fn configuration(facts: &Facts) -> Finding {
    let settings = &facts.configuration.settings;
    let said: Vec<String> =
        settings.iter().map(|(setting, origin)| format!("{setting} ({origin})")).collect();
    let text = match said.as_slice() {
        [] => format!("all keys have their defaults; host_id is {}", facts.host),
        said => format!("{}; all other keys have their defaults", said.join(", ")),
    };
    if facts.configuration.is_enabled {
        Finding::ok(CONFIGURATION, text)
    } else {
        let text = format!("telemetry is switched off, nothing is sampled: {text}");
        Finding::note(CONFIGURATION, text).with("enabled = true")
    }
}

/// Sensors or firmware have not answered.
pub(super) fn no_answer(facts: &Facts) -> Finding {
    let deadline = humantime::format_duration(facts.deadline);
    let text = format!("sensors and firmware have not answered in {deadline}");
    Finding::warning(TEMPERATURE, text, SYSTEM_LOG)
}

pub(super) fn findings(facts: &Facts, machine: &Inspection) -> Vec<Finding> {
    let mut findings = vec![clock(facts, machine), temperature(facts, machine)];
    findings.extend(machine.raspberry_pi.as_ref().map(power));
    findings.extend(kernel(machine));
    findings
}

fn clock(facts: &Facts, machine: &Inspection) -> Finding {
    if facts.now.timestamp_micros() < FIRST_MEASURED_US {
        let text =
            format!("it is not set ({}): samples wait in the spool until it is", facts.now.date_naive());
        return Finding::problem(CLOCK, text, SYNCHRONISE);
    }
    match machine.clock_synced {
        Some(true) => Finding::ok(CLOCK, "synchronised"),
        Some(false) => Finding::problem(
            CLOCK,
            "not synchronised: samples wait for it for an hour after the boot, later ones get a wrong time",
            SYNCHRONISE,
        ),
        None if cfg!(windows) => {
            Finding::note(CLOCK, "whether it is synchronised is not known here").with("w32tm /query /status")
        }
        None => {
            Finding::note(CLOCK, "whether it is synchronised cannot be found out without systemd-timesyncd")
                .with("chronyc tracking, or ntpq -p")
        }
    }
}

fn temperature(facts: &Facts, machine: &Inspection) -> Finding {
    let others = match machine.other_sensors.as_slice() {
        [] => String::new(),
        others => format!("; not the processor's: {}", others.join(", ")),
    };
    if let Some(chosen) = &machine.cpu_sensor {
        let celsius = machine.sensors.iter().find(|sensor| sensor.source == *chosen);
        let celsius = celsius.and_then(|sensor| sensor.celsius);
        let value = celsius.map_or_else(String::new, |celsius| format!(", {celsius:.1} °C"));
        return Finding::ok(TEMPERATURE, format!("the processor's sensor is {chosen}{value}{others}"));
    }
    if machine.sensors.is_empty() {
        let reason = if cfg!(windows) { "Windows tells of none" } else { "as in a virtual machine" };
        let text = format!("no sensor of the processor, {reason}{others}");
        return Finding::note(TEMPERATURE, text);
    }
    let broken: Vec<&str> = machine.sensors.iter().map(|sensor| sensor.source.as_str()).collect();
    let text = format!("{} cannot be read, or not plausibly{others}", broken.join(", "));
    Finding::warning(TEMPERATURE, text, facts.command("telemetry-collect -vv --print table"))
}

fn power(pi: &PiInspection) -> Finding {
    match &pi.throttle {
        Throttle::NotAsked => {
            Finding::note(POWER, "the firmware is not asked").with("raspberry_pi.enabled = true")
        }
        Throttle::Word(word) => throttled(*word),
        Throttle::Missing { reason, remedy } => {
            let text = format!("{}: {reason}", pi.model);
            match (pi.device, pi.is_in_video_group) {
                (Device::Denied, false) => {
                    Finding::warning(POWER, format!("{text}: /dev/vcio is for the group video"), JOIN_VIDEO)
                }
                (Device::Denied, true) => {
                    Finding::warning(POWER, format!("{text}: no right to /dev/vcio"), "ls -l /dev/vcio")
                }
                (Device::Absent, _) => Finding::warning(
                    POWER,
                    format!("{text}; there is no /dev/vcio"),
                    format!("in a container, pass it with --device /dev/vcio; else {remedy}"),
                ),
                (Device::Usable, _) => Finding::warning(POWER, text, *remedy),
            }
        }
    }
}

fn throttled(word: u32) -> Finding {
    let (now, earlier) = (word & NOW, (word >> EARLIER_SHIFT) & NOW);
    let remedy = |bits: u32| match bits & UNDER_VOLTAGE {
        0 => "a heat sink or a fan, and air around the case",
        _ => "a power supply of the rated current, and a short cable",
    };
    if now != 0 {
        Finding::problem(POWER, format!("now: {} ({word:#x})", words(now)), remedy(now))
    } else if earlier != 0 {
        let text = format!("in order now; since the start of the machine: {} ({word:#x})", words(earlier));
        Finding::note(POWER, text).with(remedy(earlier))
    } else {
        Finding::ok(POWER, "neither under-voltage nor throttling since the start of the machine")
    }
}

fn words(bits: u32) -> String {
    let set = THROTTLED.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
    set.map(|(_, word)| *word).collect::<Vec<_>>().join(", ")
}

/// What kernels of small machines have switched off.
fn kernel(machine: &Inspection) -> Vec<Finding> {
    let switched_off = [
        (machine.has_memory_cgroup, "memory of control groups is not accounted", "cgroup_enable=memory"),
        (machine.has_pressure, "there is no pressure information (PSI)", "psi=1"),
    ];
    let notes =
        switched_off.into_iter().filter(|(has, ..)| *has == Some(false)).map(|(_, text, parameter)| {
            Finding::note(KERNEL, text).with(format!("add {parameter} to the kernel's command line"))
        });
    notes.collect()
}
