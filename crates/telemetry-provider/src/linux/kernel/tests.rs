//! Decisions on texts, without a file.

use super::*;

#[test]
fn load_needs_three_numbers() {
    assert_eq!(parse_load("0.52 0.44 0.31 1/212 4711"), Some([0.52, 0.44, 0.31]));
    for bad in ["", "0.5 0.4", "0.5 x 0.3", "NaN 0 0", "-1 0 0", "inf 0 0"] {
        assert_eq!(parse_load(bad), None, "{bad:?}");
    }
}

#[test]
fn established_connections_are_found_by_heading() {
    let snmp = "Ip: A\nIp: 1\nTcp: RtoMin CurrEstab InSegs\nTcp: 200 17 9\nUdp: B\nUdp: 2\n";
    assert_eq!(parse_established(snmp), Some(17));
    for bad in [
        "",
        "Tcp: CurrEstab\n",
        "Tcp: Other\nTcp: 5\n",
        "Tcp: A CurrEstab\nTcp: 5\n",
        "Tcp: CurrEstab\nTcp: -1\n",
    ] {
        assert_eq!(parse_established(bad), None, "{bad:?}");
    }
}

#[test]
fn disk_lines_of_all_kernels_are_read() {
    let text = "   8  0 sda 1 2 30 4 5 6 70 8 9 10 11\n 259 0 nvme0n1 1 2 31 4 5 6 71 8 9 10 11 12 13 14 15 16 17\n\
        8 1 sda1 1 2 3 4\n";
    let found: Vec<_> = parse_disks(text)
        .into_iter()
        .map(|disk| (disk.name, disk.read_sectors, disk.written_sectors))
        .collect();
    assert_eq!(found, [("sda".into(), 30, 70), ("nvme0n1".into(), 31, 71)]);
}

#[test]
fn paths_to_a_disk_are_not_the_disk() {
    assert!(is_nvme_path("nvme0c0n1"));
    assert!(!is_nvme_path("nvme0n1") && !is_nvme_path("cciss!c0d0") && !is_nvme_path("sdc"));
}

#[test]
fn sectors_become_bytes_and_no_disk_is_null() {
    let disk = |read_sectors, written_sectors| Disk { name: "x".into(), read_sectors, written_sectors };
    let bytes = |disks: Vec<Disk>| {
        let reading =
            Reading { load: None, process_count: None, established: None, disks, clock_synced: None };
        let kernel = columns(&reading).kernel;
        kernel.map(|kernel| (kernel.disk_read_bytes, kernel.disk_write_bytes))
    };
    assert_eq!(bytes(vec![disk(1, 2), disk(3, 4)]), Some((Some(2048), Some(3072))));
    assert_eq!(bytes(vec![disk(u64::MAX, 0)]), Some((Some(i64::MAX), Some(0))));
    assert_eq!(bytes(Vec::new()), Some((None, None)));
}
