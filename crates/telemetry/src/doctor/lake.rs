//! Whether the lake can be written, and is whole.

use telemetry_app::{SYSTEM_LOG, grant_rights, quoted, windows_remedy};
use telemetry_repository::{Probe, Quarantined, RepositoryError};

use super::facts::{Facts, LakeFacts, SchemaFacts};
use super::finding::{Finding, size};
use super::gather::chain;

const LAKE: &str = "lake";
const SPACE: &str = "space";
const STAGING: &str = "staging";
const QUARANTINE: &str = "quarantine";
const SCHEMA: &str = "schema";
/// Of the reserve: below this the lake is about to be full.
const LOW_FACTOR: u64 = 4;
const LOOK_AT_RIGHTS: &str = if cfg!(windows) { "icacls" } else { "ls -ld" };
const ANOTHER_LAKE: &str = "choose another lake with --lake DIR, TELEMETRY_LAKE or the key `lake`";

/// The lake has not answered.
pub(super) fn no_answer(facts: &Facts) -> Finding {
    let deadline = humantime::format_duration(facts.deadline);
    let text = format!("{}{} has not answered in {deadline}", facts.root.display(), on(facts));
    match facts.mount.as_ref().filter(|mount| mount.is_network() || mount.kind.starts_with("fuse")) {
        Some(mount) => {
            let point = quoted(&mount.point);
            Finding::problem(LAKE, text, format!("sudo umount --force --lazy {point} && sudo mount {point}"))
        }
        None => Finding::problem(LAKE, text, SYSTEM_LOG),
    }
}

pub(super) fn findings(facts: &Facts, lake: &LakeFacts) -> Vec<Finding> {
    let mut findings = vec![writable(facts, lake)];
    findings.extend(place(facts));
    if let Some(owner) = lake.other_owner {
        let text = format!("looked at as root, but it belongs to user {owner}, whose rights are not checked");
        findings.push(
            Finding::note(LAKE, text)
                .with(format!("sudo -u '#{owner}' telemetry doctor --lake {}", quoted(&facts.root))),
        );
    }
    if lake.probe.is_ok() {
        let look = format!("{LOOK_AT_RIGHTS} {}", quoted(&facts.root));
        findings.extend(lake.unreadable.iter().map(|error| Finding::warning(LAKE, error, &look)));
    }
    findings.extend(space(facts, lake));
    if is_there(lake) {
        findings.extend(lake.orphans.map(staging));
        findings.extend(lake.quarantined.as_ref().map(quarantine));
    }
    findings.extend(lake.schemas.iter().map(|of_dataset| schema(facts, of_dataset)));
    findings
}

/// ` on ext4`, if that is known.
fn on(facts: &Facts) -> String {
    facts.mount.as_ref().map_or_else(String::new, |mount| format!(" on {}", mount.kind))
}

fn writable(facts: &Facts, lake: &LakeFacts) -> Finding {
    let root = facts.root.display();
    let on = on(facts);
    match &lake.probe {
        Ok(Probe::NotYet) => {
            Finding::note(LAKE, format!("{root}{on} is not there yet; the first run makes it"))
        }
        Err(RepositoryError::MissingParent { .. }) if facts.configuration.is_default_lake => {
            Finding::note(LAKE, format!("{root} is not there yet; the first run makes it"))
        }
        Ok(Probe::Writable { exchanges }) => match lake.not_writable.first() {
            Some(path) => Finding::problem(
                LAKE,
                format!(
                    "no permission to write to {}, made by another user (a run with sudo?)",
                    path.display()
                ),
                take_over(facts),
            ),
            // No file system of Windows has the exchange, so there is nothing to note.
            None if *exchanges || cfg!(windows) => Finding::ok(LAKE, format!("{root}{on} can be written")),
            None => Finding::note(
                LAKE,
                format!(
                    "{root}{on} can be written, but has no exchange of directories: dates are replaced in steps"
                ),
            ),
        },
        Err(error) => Finding::problem(LAKE, chain(error), remedy(facts, error)),
    }
}

fn take_over(facts: &Facts) -> String {
    if cfg!(windows) {
        return grant_rights(&facts.root);
    }
    format!("sudo chown --recursive \"$(id -u):$(id -g)\" {}", quoted(&facts.root))
}

fn remedy(facts: &Facts, error: &RepositoryError) -> String {
    if cfg!(windows) {
        let has_own_directory = facts.lake.as_ref().is_some_and(|lake| lake.has_own_directory);
        let remedy = windows_remedy(error, &facts.root, has_own_directory);
        return remedy.unwrap_or_else(|| SYSTEM_LOG.to_owned());
    }
    let point = facts.mount.as_ref().map_or_else(|| quoted(&facts.root), |mount| quoted(&mount.point));
    match error {
        RepositoryError::Permission { path } if *path == facts.root || path.starts_with(&facts.root) => {
            match &facts.lake {
                Some(lake) if lake.has_own_directory => format!("{}; or {ANOTHER_LAKE}", take_over(facts)),
                // Whose owner had better not change.
                _ => ANOTHER_LAKE.to_owned(),
            }
        }
        RepositoryError::Permission { .. } => format!(
            "sudo install --directory --owner \"$(id -un)\" {}; or {ANOTHER_LAKE}",
            quoted(&facts.root)
        ),
        RepositoryError::ReadOnly { .. } => {
            format!("sudo dmesg | grep -i remount; sudo mount -o remount,rw {point}")
        }
        RepositoryError::NoSpace { .. } => make_room(facts),
        RepositoryError::NoInode { .. } => format!("df --inodes {point}; then remove files"),
        RepositoryError::NotMounted { path } => format!("sudo mount {}", quoted(path)),
        RepositoryError::MissingParent { path } => {
            format!("mount its file system, or mkdir --parents {}", quoted(path))
        }
        RepositoryError::NotADirectory { .. } => ANOTHER_LAKE.to_owned(),
        _ => SYSTEM_LOG.to_owned(),
    }
}

/// What is to be known of a file system even if it can be written.
fn place(facts: &Facts) -> Option<Finding> {
    let mount = facts.mount.as_ref()?;
    let (point, kind) = (mount.point.display(), &mount.kind);
    if mount.is_volatile() {
        let text = format!("{point} is a {kind}: everything is lost when the machine restarts");
        return Some(Finding::warning(LAKE, text, ANOTHER_LAKE));
    }
    mount.is_network().then(|| {
        Finding::note(
            LAKE,
            format!("{point} is a network file system ({kind}): samples wait while it is away"),
        )
    })
}

fn make_room(facts: &Facts) -> String {
    let [compact, expire] =
        ["telemetry-rollup compact", "telemetry-rollup expire"].map(|it| facts.command(it));
    if cfg!(windows) {
        return format!("{compact}; {expire}; then remove what else fills its volume");
    }
    format!(
        "{compact} && {expire}; sudo du --one-file-system --max-depth 2 {} | sort -n | tail",
        facts.mount.as_ref().map_or_else(|| quoted(&facts.root), |mount| quoted(&mount.point))
    )
}

fn space(facts: &Facts, lake: &LakeFacts) -> Option<Finding> {
    let space = lake.space?;
    let (free, reserve) = (space.free_bytes, space.reserve_bytes());
    let text = format!("{} free of {}", size(free), size(space.total_bytes));
    Some(if free <= reserve {
        let text = format!("{text}: nothing is published, as {} stay in reserve", size(reserve));
        Finding::problem(SPACE, text, make_room(facts))
    } else if free <= reserve * LOW_FACTOR {
        let text = format!("{text}; nothing is published below {}", size(reserve));
        Finding::warning(SPACE, text, make_room(facts))
    } else {
        Finding::ok(SPACE, text)
    })
}

/// Whether there is a directory to look into.
fn is_there(lake: &LakeFacts) -> bool {
    use RepositoryError::{MissingParent, NotADirectory, NotMounted};
    !matches!(
        lake.probe,
        Ok(Probe::NotYet) | Err(MissingParent { .. } | NotADirectory { .. } | NotMounted { .. })
    )
}

fn staging(orphans: usize) -> Finding {
    match orphans {
        0 => Finding::ok(STAGING, "nothing unfinished"),
        number => Finding::note(
            STAGING,
            format!("{number} unfinished files of processes that were killed; the next run removes them"),
        ),
    }
}

fn quarantine(quarantined: &Quarantined) -> Finding {
    if quarantined.files == 0 {
        return Finding::ok(QUARANTINE, "empty");
    }
    let text = format!("{} damaged files ({}) were set aside", quarantined.files, size(quarantined.bytes));
    let directory = quoted(&quarantined.directory);
    let look =
        if cfg!(windows) { format!("tree /f {directory}") } else { format!("find {directory} -type f") };
    let remedy = format!("{look}; restore them from a backup, or delete them there");
    Finding::warning(QUARANTINE, text, remedy)
}

fn schema(facts: &Facts, schema: &SchemaFacts) -> Finding {
    let SchemaFacts { dataset, known, found } = schema;
    match found {
        Ok(Some(version)) if version > known => Finding::warning(
            SCHEMA,
            format!("{dataset} has schema {version}, written by a newer program; this one knows {known}"),
            "install the same version of the programs everywhere",
        ),
        Ok(Some(version)) if version < known => Finding::note(
            SCHEMA,
            format!("{dataset} has schema {version}, written by an older program; this one knows {known}"),
        ),
        Ok(Some(version)) => Finding::ok(SCHEMA, format!("{dataset} has schema {version}")),
        Ok(None) => Finding::note(SCHEMA, format!("the newest file of {dataset} was not written by us")),
        Err(error) => Finding::problem(SCHEMA, error, facts.command("telemetry-rollup verify")),
    }
}
