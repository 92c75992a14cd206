//! Decisions on texts, without a file.

use super::*;

#[test]
fn the_aggregate_line_is_read_by_name() {
    let check = |stat: &str, expected: Option<[u64; 8]>| {
        let got = parse_counters(stat)
            .map(|c| [c.user, c.nice, c.system, c.idle, c.iowait, c.irq, c.softirq, c.steal]);
        assert_eq!(got, expected, "{stat:?}");
    };
    check("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3 4\n", Some([1, 2, 3, 4, 5, 6, 7, 8]));
    check("cpu0 9 9 9 9\ncpu 1 2 3 4 5\n", Some([1, 2, 3, 4, 5, 0, 0, 0]));
    check("cpu  1 2 3\n", None);
    check("cpu  1 2 3 4 x\n", None);
    check("cpu  1 2 3 -4\n", None);
    check("cpu0 1 2 3 4\n", None);
    check("", None);
}

#[test]
fn processors_that_are_online_are_counted() {
    assert_eq!(count_online("cpu  1 2\ncpu0 1\ncpu2 1\ncpu10 1\nintr 5\ncpux 1\n"), Some(3));
    assert_eq!(count_online("cpu  1 2 3 4\n"), None);
    for (list, expected) in [
        ("0", Some(1)),
        ("0-3", Some(4)),
        ("0-3,6,8-9", Some(7)),
        ("", None),
        ("3-0", None),
        ("0-x", None),
        ("0-4294967295", Some(1 << 32)),
    ] {
        assert_eq!(parse_cpu_list(list), expected, "{list:?}");
    }
}

fn memory_of(lines: &[(&str, u64)]) -> Option<[Option<i64>; 5]> {
    let text: String = lines.iter().map(|(key, kib)| format!("{key}:  {kib} kB\n")).collect();
    memory(&text)
        .map(|m| [m.ram_total_mb, m.ram_used_mb, m.ram_available_mb, m.swap_total_mb, m.swap_used_mb])
}

#[test]
fn memory_is_floored_and_never_negative() {
    let check = |lines: &[(&str, u64)], expected: Option<[Option<i64>; 5]>| {
        assert_eq!(memory_of(lines), expected, "{lines:?}");
    };
    let swap = [("SwapTotal", 2047), ("SwapFree", 1024)];
    check(
        &[&[("MemTotal", 4095), ("MemAvailable", 1023)], &swap[..]].concat(),
        Some([Some(3), Some(3), Some(0), Some(1), Some(0)]),
    );
    // More available than there is (LXC), and more swap free than there is.
    check(
        &[("MemTotal", 1024), ("MemAvailable", 9999), ("SwapTotal", 1024), ("SwapFree", 4096)],
        Some([Some(1), Some(0), Some(1), Some(1), Some(0)]),
    );
    // No MemAvailable, or zero: free + cached + reclaimable - shared.
    let old =
        [("MemTotal", 10240), ("MemFree", 1024), ("Cached", 3072), ("SReclaimable", 1024), ("Shmem", 2048)];
    check(&old, Some([Some(10), Some(7), Some(3), Some(0), Some(0)]));
    check(&[&old[..], &[("MemAvailable", 0)]].concat(), Some([Some(10), Some(7), Some(3), Some(0), Some(0)]));
    // What is missing stays null; the rest is kept.
    check(&[("MemTotal", 10240), ("SwapTotal", 1024)], Some([Some(10), None, None, Some(1), None]));
    check(&[("MemAvailable", 10240)], None);
    check(&[], None);
    check(&[("MemTotal", u64::MAX)], None);
}

fn times(user: u64, idle: u64, uptime_seconds: Option<f64>) -> CpuTimes {
    let counters = CpuCounters { user, nice: 0, system: 0, idle, iowait: 0, irq: 0, softirq: 0, steal: 0 };
    CpuTimes { counters, uptime_seconds }
}

#[test]
fn a_share_comes_with_its_window() {
    let before = times(0, 0, Some(100.0));
    assert_eq!(cpu_use(&before, &times(1, 3, Some(110.0))), (Some(25.0), Some(10.0)));
    assert_eq!(cpu_use(&before, &times(1, 3, None)), (Some(25.0), None));
    assert_eq!(cpu_use(&before, &times(0, 0, Some(110.0))), (None, None));
}

#[test]
fn a_failed_reading_does_not_end_the_series() {
    let mut provider = ProcessorProvider::new(Tree::new(std::path::Path::new("/no/such/tree")));
    let reading = |cpu_times| Reading {
        cpu_times,
        cpu_count: None,
        memory: None,
        boot_id: Some("b".into()),
        uptime_seconds: Some(1.0),
    };
    let first = times(1, 1, Some(1.0));
    provider.keep(&reading(Some(first)));
    provider.keep(&reading(None));
    assert_eq!(provider.previous(&reading(None)), Some(first));
    assert_eq!(provider.baseline.get().map(|baseline| baseline.counters), Some(first.counters));
}
