//! Disks that refuse: each fault has its words, its exit code, and the command that mends it. File
//! systems are mounted in a namespace of their own.

use std::process::Command;

use crate::support::{Ended, World, ended, program};

/// What a scheduler sees.
const MISSING_LAKE: i32 = 72;
const NO_ROOM: i32 = 73;
const DISK_FAULT: i32 = 74;
const NO_PERMISSION: i32 = 77;

/// Runs a script that may mount; `collects` runs the program on `$MOUNT/lake` and says how it ended, for
/// `mends` to be told what must follow the word help.
fn with_mounts(world: &World, script: &str) -> Ended {
    std::fs::create_dir(world.path("mount")).unwrap();
    let prelude = r#"
        set -u
        may_mount() { mount "$@" || exit 99; }
        collects() { "$COLLECT" --lake "$MOUNT/lake" "$@"; echo "$?"; }
    "#;
    let mut command = Command::new("unshare");
    let plain = world.command(&[]);
    let environment = plain.get_envs().filter_map(|(name, value)| Some((name, value?)));
    command.args(["--map-root-user", "--mount", "sh", "-c", &format!("{prelude}{script}")]);
    command.envs(environment).env("COLLECT", program());
    command.env("MOUNT", world.path("mount"));
    let got = ended(command.output().expect("apt-get install util-linux"));
    assert_ne!(got.code, 99, "needs user namespaces, or root; {}", got.stderr);
    got
}

/// The codes of all runs, in order.
fn codes(got: &Ended) -> Vec<i32> {
    got.stdout.lines().map(|line| line.parse().unwrap()).collect()
}

/// What a run says of a fault: the error with the path, then the command.
fn assert_told(world: &World, stderr: &str, error: &str, help: &str) {
    let mount = world.path("mount").display().to_string();
    let told = stderr.lines().find(|line| line.starts_with("telemetry-collect: error: "));
    assert!(told.is_some_and(|line| line.contains(&mount) && line.contains(error)), "{stderr}");
    let help = format!("telemetry-collect: help: {}", help.replace("MOUNT", &mount));
    assert!(stderr.lines().any(|line| line.starts_with(&help)), "{help}\n{stderr}");
}

#[test]
fn a_file_system_that_became_read_only() {
    let world = World::new();
    let got = with_mounts(
        &world,
        r#"
        may_mount -t tmpfs none "$MOUNT"; collects
        may_mount -o remount,ro "$MOUNT"; collects
        may_mount -o remount,rw "$MOUNT"; collects
        "#,
    );
    assert_eq!(codes(&got), [0, DISK_FAULT, 0], "{}", got.stderr);
    let help = "sudo dmesg | grep -i remount; sudo mount -o remount,rw MOUNT";
    assert_told(&world, &got.stderr, "is on a read-only file system", help);
}

#[test]
fn a_full_disk() {
    let world = World::new();
    let got = with_mounts(
        &world,
        r#"
        may_mount -t tmpfs -o size=1m none "$MOUNT"; collects
        dd if=/dev/zero of="$MOUNT/filler" bs=4k 2>&-; collects
        rm "$MOUNT/filler"; collects
        "#,
    );
    assert_eq!(codes(&got), [0, NO_ROOM, 0], "{}", got.stderr);
    assert_told(&world, &got.stderr, "no space left for ", "df --human-readable MOUNT; ");
}

#[test]
fn a_disk_that_is_full_of_files() {
    let world = World::new();
    let got = with_mounts(
        &world,
        r#"
        may_mount -t tmpfs -o size=8m,nr_inodes=64 none "$MOUNT"; collects
        n=0; while touch "$MOUNT/$n" 2>&-; do n=$((n + 1)); done; collects
        rm "$MOUNT"/[0-9]*; collects
        "#,
    );
    assert_eq!(codes(&got), [0, NO_ROOM, 0], "{}", got.stderr);
    assert_told(&world, &got.stderr, "no inode left for ", "df --inodes MOUNT; ");
}

#[test]
fn a_disk_that_is_not_mounted_is_not_replaced_by_its_mount_point() {
    let world = World::new();
    let got = with_mounts(
        &world,
        r#"
        may_mount -t tmpfs none /etc; echo "none $MOUNT tmpfs nofail 0 0" > /etc/fstab
        collects; rmdir "$MOUNT" && mkdir "$MOUNT" || exit 98
        may_mount -t tmpfs none "$MOUNT"; collects
        umount "$MOUNT"; collects; rmdir "$MOUNT" || exit 98
        "#,
    );
    assert_eq!((got.code, codes(&got)), (0, vec![MISSING_LAKE, 0, MISSING_LAKE]), "{}", got.stderr);
    assert_told(&world, &got.stderr, "is in /etc/fstab, but nothing is mounted there", "sudo mount MOUNT");
}

#[test]
fn a_lake_of_another_user() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65_534;

    let world = World::new();
    let mode = |path: &str, mode| {
        std::fs::set_permissions(world.path(path), PermissionsExt::from_mode(mode)).unwrap()
    };
    assert_eq!(world.run(&[]).code, 0);
    mode("", 0o755);
    mode("lake/.staging", 0o555);
    let mut command = world.command(&[]);
    // The superuser may write everywhere.
    let owner = world.path("").metadata().unwrap().uid();
    let user = if owner == 0 { NOBODY } else { owner };
    if owner == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    let got = ended(command.output().unwrap());
    mode("lake/.staging", 0o755);
    assert_eq!(got.code, NO_PERMISSION, "{}", got.stderr);
    let lake = world.lake().display().to_string();
    assert!(got.stderr.contains(&format!("permission denied for {lake}/.")), "{}", got.stderr);
    let help = format!("telemetry-collect: help: sudo chown --recursive {user}:");
    let help = got.stderr.lines().find(|line| line.starts_with(&help)).expect(&got.stderr);
    assert!(help.ends_with(&lake), "{help}");
}

/// As a service without a home, or with a home that is not its own.
#[test]
fn a_default_lake_that_cannot_be_made() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65_534;

    let world = World::new();
    std::fs::create_dir(world.path("foreign")).unwrap();
    std::fs::write(world.path("file"), "").unwrap();
    std::fs::set_permissions(world.path(""), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(world.path("foreign"), PermissionsExt::from_mode(0o555)).unwrap();
    let lake = world.path("foreign/.local/share/telemetry").display().to_string();
    for (home, code, error, help) in [
        ("foreign", NO_PERMISSION, "permission denied for ", format!("{lake}; or start it with --lake DIR")),
        ("file", MISSING_LAKE, "/file is not a directory", "help: start it with --lake DIR".to_owned()),
    ] {
        let mut command = world.command(&[]);
        command.env("HOME", world.path(home));
        for variable in ["TELEMETRY_LAKE", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            command.env_remove(variable);
        }
        // The superuser may write everywhere, and has another default.
        if world.path("").metadata().unwrap().uid() == 0 {
            command.uid(NOBODY).gid(NOBODY);
        }
        let got = ended(command.output().unwrap());
        assert_eq!(got.code, code, "{}", got.stderr);
        let lines: Vec<&str> = got.stderr.lines().collect();
        let [told, mends] = &lines[..] else { panic!("{}", got.stderr) };
        assert!(
            told.starts_with("telemetry-collect: error: cannot use the lake") && told.contains(error),
            "{told}"
        );
        assert!(mends.starts_with("telemetry-collect: help: ") && mends.contains(&help), "{mends}");
        assert_eq!(std::fs::read_dir(world.path("foreign")).unwrap().count(), 0);
    }
}
