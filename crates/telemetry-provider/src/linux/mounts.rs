//! Which file system a path is on, without touching it: one that hangs must be named too.

use std::path::{Path, PathBuf};

use super::Tree;
use crate::inspection::Mount;

/// The kernel's number of the driver of SD cards and eMMC.
const CARD_MAJOR: &str = "179";

/// The file system of an absolute path, by its name alone: links are not followed.
pub(crate) fn mount_of(tree: &Tree, path: &Path) -> Option<Mount> {
    find(&tree.read("proc/self/mountinfo")?, path)
}

/// The innermost point above an absolute path at which `/etc/fstab` has a file system, if that is not
/// mounted.
pub(crate) fn not_mounted(tree: &Tree, path: &Path) -> Option<PathBuf> {
    let fstab = tree.read_optional("etc/fstab")?;
    let wanted = wanted_point(&fstab, path)?;
    let mounted = find(&tree.read("proc/self/mountinfo")?, path)?.point;
    (mounted != wanted && wanted.starts_with(&mounted)).then_some(wanted)
}

/// `UUID=0c5f /mnt/card ext4 defaults,nofail 0 2`; swap has no point.
fn wanted_point(fstab: &str, path: &Path) -> Option<PathBuf> {
    let lines = fstab.lines().map(str::trim_start).filter(|line| !line.starts_with('#'));
    let points = lines.filter_map(|line| line.split_ascii_whitespace().nth(1)).map(unescape);
    let points = points.map(PathBuf::from).filter(|point| point.is_absolute() && path.starts_with(point));
    points.max_by_key(|point| point.components().count())
}

/// The longest mount point above the path; of several on one point the last, which hides the others.
fn find(mountinfo: &str, path: &Path) -> Option<Mount> {
    let mounts = mountinfo.lines().filter_map(parse).filter(|mount| path.starts_with(&mount.point));
    mounts.max_by_key(|mount| mount.point.components().count())
}

/// `36 35 8:1 /root /mnt rw,noatime shared:1 - ext4 /dev/sda1 rw,commit=60`: device and mount point before
/// the dash, the type and the file system's own options behind it.
fn parse(line: &str) -> Option<Mount> {
    let (mount, system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(2);
    let (device, point) = (mount.next()?, unescape(mount.nth(1)?));
    let mut system = system.split(' ');
    let (kind, options) = (system.next()?.to_owned(), system.nth(1).unwrap_or_default());
    let commit = options.split(',').find_map(|option| option.strip_prefix("commit="));
    let is_card = device.split(':').next() == Some(CARD_MAJOR);
    let commit_seconds = commit.and_then(|seconds| seconds.parse().ok());
    Some(Mount { point: PathBuf::from(point), kind, is_card, commit_seconds })
}

/// The kernel writes white space and backslashes as three octal digits.
fn unescape(text: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(text.to_owned(), |text, (code, character)| text.replace(code, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
22 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw,errors=remount-ro
30 22 0:26 / /run rw,nosuid,nodev shared:5 - tmpfs tmpfs rw,size=10%
41 22 0:40 /export /mnt/my\\040nas rw,relatime shared:9 - nfs4 nas:/export rw,vers=4.2,hard
42 22 8:1 / /mnt/usb rw,relatime - vfat /dev/sda1 rw
43 22 8:2 / /mnt/usb ro,relatime - xfs /dev/sdb1 rw
broken line
";

    #[test]
    fn the_innermost_and_last_mount_counts() {
        for (path, kind) in [
            ("/var/lib/telemetry", "ext4"),
            ("/run/telemetry", "tmpfs"),
            ("/running", "ext4"),
            ("/mnt/my nas/lake", "nfs4"),
            ("/mnt/usb/lake", "xfs"),
        ] {
            let found = find(MOUNTINFO, Path::new(path)).map(|mount| mount.kind);
            assert_eq!(found.as_deref(), Some(kind), "{path}");
        }
        assert_eq!(find("", Path::new("/")), None);
    }

    #[test]
    fn what_should_be_mounted_and_is_not_is_found() {
        const FSTAB: &str = "\
# /dev/sdz1 /var ext4 defaults 0 2
PARTUUID=1 /            ext4 defaults,noatime 0 1
UUID=2     /mnt/usb     xfs  defaults,nofail  0 2
  UUID=3   /mnt/my\\040card ext4 nofail 0 2
UUID=4     none         swap sw 0 0
UUID=5     /mnt         ext4 noauto 0 0
";
        let root = tempfile::tempdir().expect("a directory");
        for (file, text) in [("etc/fstab", FSTAB), ("proc/self/mountinfo", MOUNTINFO)] {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().expect("below the root")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let tree = Tree::new(root.path());
        for (path, missing) in [
            ("/mnt/my card", Some("/mnt/my card")),
            ("/mnt/my card/telemetry", Some("/mnt/my card")),
            ("/mnt/telemetry", Some("/mnt")),
            ("/mnt/usb/telemetry", None),
            ("/mnt/my nas/telemetry", None),
            ("/var/lib/telemetry", None),
        ] {
            assert_eq!(not_mounted(&tree, Path::new(path)).as_deref(), missing.map(Path::new), "{path}");
        }
        std::fs::remove_file(root.path().join("etc/fstab")).expect("removed");
        assert_eq!(not_mounted(&tree, Path::new("/mnt/my card")), None);
    }

    #[test]
    fn cards_and_their_commits_are_told() {
        let card = |line: &str| parse(line).map(|mount| (mount.is_card, mount.commit_seconds));
        let on = |device, options| card(&format!("22 1 {device} / / rw - ext4 /dev/root rw,{options}"));
        assert_eq!(on("179:2", "errors=remount-ro"), Some((true, None)));
        assert_eq!(on("179:2", "commit=600,errors=continue"), Some((true, Some(600))));
        assert_eq!(on("8:1", "nocommit=1"), Some((false, None)));
        assert_eq!(card("22 1 179:2 / / rw - ext4 /dev/root"), Some((true, None)));
    }

    #[test]
    fn network_and_memory_are_told_apart() {
        let kind =
            |path| find(MOUNTINFO, Path::new(path)).map(|mount| (mount.is_network(), mount.is_volatile()));
        assert_eq!(kind("/mnt/my nas"), Some((true, false)));
        assert_eq!(kind("/run"), Some((false, true)));
        assert_eq!(kind("/"), Some((false, false)));
    }
}
