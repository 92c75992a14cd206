"""A disk that hangs costs its own columns, not the sample."""

import json
import subprocess
import sys
import time

from conftest import PROGRAMS, ROOT, environment


def test_a_disk_that_hangs_costs_its_own_columns_only(tmp_path):
    mount, lake = tmp_path / "mount", tmp_path / "lake"
    mount.mkdir()
    isolated = ["unshare", "--user", "--map-root-user", "--mount", sys.executable]
    collect = [PROGRAMS / "telemetry-collect", "--disk-mount", mount, "--print", "json"]
    begun = time.monotonic()
    done = subprocess.run(
        [*isolated, ROOT / "xtask/real-parts/hanging_disk.py", mount, *collect],
        env=environment(lake),
        capture_output=True,
        text=True,
        timeout=60,
    )
    elapsed = time.monotonic() - begun
    assert done.returncode == 3, done.stderr
    assert "disk_root_total_gb, disk_root_free_gb" in done.stderr
    row = json.loads(done.stdout)
    assert row["disk_root_total_gb"] is None and row["disk_root_free_gb"] is None
    assert row["cpu_pct"] is not None and row["ram_used_mb"] is not None and row["net_rx_bytes"] is not None
    # The deadline of the providers is two seconds.
    assert 2 <= elapsed < 6
    assert len(list(lake.glob("silver/*/date=*/*.parquet"))) == 1


def test_the_doctor_names_a_lake_that_hangs(tmp_path):
    mount = tmp_path / "mount"
    mount.mkdir()
    isolated = ["unshare", "--user", "--map-root-user", "--mount", sys.executable]
    doctor = [PROGRAMS / "telemetry", "doctor", "--deadline", "1s", "--format", "json"]
    begun = time.monotonic()
    done = subprocess.run(
        [*isolated, ROOT / "xtask/real-parts/hanging_disk.py", mount, *doctor],
        env=environment(mount / "lake"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    elapsed = time.monotonic() - begun
    assert done.returncode == 3, done.stderr
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    lake = [finding for finding in findings if finding["check"] == "lake"]
    assert [finding["level"] for finding in lake] == ["problem"]
    assert lake[0]["text"].endswith("on fuse has not answered in 1s")
    assert lake[0]["remedy"].startswith(f"sudo umount --force --lazy {mount}")
    assert 1 <= elapsed < 5
