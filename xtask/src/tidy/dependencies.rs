//! Which crate may depend on what, and that each takes the lints of the workspace.

use anyhow::{Context, Result};
use cargo_metadata::{Dependency, DependencyKind};

use super::Problem;

/// The rings, from the inside out. A crate may depend on crates of rings further in only.
const RINGS: [(&str, &[&str]); 4] = [
    ("contract", &["telemetry-schema"]),
    (
        "inner ring",
        &[
            "telemetry-provider",
            "telemetry-repository",
            "telemetry-rollup-engine",
            "telemetry-alert-rules",
            "telemetry-attribution",
            "telemetry-quiet",
        ],
    ),
    ("outer ring", &["telemetry-state", "telemetry-forward", "telemetry-http", "telemetry-app"]),
    (
        "binaries",
        &[
            "telemetry-collect",
            "telemetry-rollup",
            "telemetry-serve",
            "telemetry",
            "telemetry-bench",
            "telemetry-trials",
            "telemetry-embed",
            "xtask",
        ],
    ),
];
const OUTER: usize = 2;
const BINARIES: usize = 3;

/// Foreign crates that only some of ours may name in their manifest.
struct Fence {
    /// Crates, each with all that begin with its name and a dash.
    fenced: &'static [&'static str],
    /// Ours that may use them.
    inside: &'static [&'static str],
    /// Besides them, every crate of this ring and of those further out.
    from_ring: usize,
    /// Whether it holds for dev-dependencies too.
    in_tests: bool,
    reason: &'static str,
}

/// No ring: only the crates that are named.
const NOBODY_ELSE: usize = usize::MAX;

const FENCES: [Fence; 8] = [
    Fence {
        fenced: &["polars"],
        inside: &["telemetry-repository", "telemetry-rollup-engine"],
        from_ring: NOBODY_ELSE,
        in_tests: true,
        reason: "polars dominates every build; whoever needs no columns should compile without it",
    },
    Fence {
        fenced: &["sysinfo"],
        inside: &["telemetry-provider"],
        from_ring: NOBODY_ELSE,
        in_tests: false,
        reason: "only the provider reads the machine",
    },
    Fence {
        fenced: &["rusqlite", "libsqlite3-sys", "sqlx", "diesel", "sqlite"],
        inside: &["telemetry-state"],
        from_ring: NOBODY_ELSE,
        in_tests: false,
        reason: "only telemetry-state knows SQLite",
    },
    Fence {
        fenced: &[
            "reqwest",
            "ureq",
            "attohttpc",
            "isahc",
            "curl",
            "rumqttc",
            "paho-mqtt",
            "mqtt-async-client",
        ],
        inside: &["telemetry-forward"],
        from_ring: NOBODY_ELSE,
        in_tests: false,
        reason: "only telemetry-forward opens outgoing connections, so that one crate shows what leaves the host",
    },
    Fence {
        fenced: &["axum", "hyper", "actix-web", "warp", "rocket", "poem", "tiny_http", "tower-http"],
        inside: &["telemetry-http"],
        from_ring: NOBODY_ELSE,
        in_tests: false,
        reason: "only telemetry-http listens, so that one crate shows what can be reached from outside",
    },
    Fence {
        fenced: &["clap"],
        inside: &["telemetry-app"],
        from_ring: BINARIES,
        in_tests: false,
        reason: "libraries are imported by other services, which have command lines of their own",
    },
    Fence {
        fenced: &["anyhow", "tracing-subscriber"],
        inside: &["telemetry-app"],
        from_ring: BINARIES,
        in_tests: false,
        reason: "a library returns typed errors and leaves the choice of log output to the program",
    },
    Fence {
        fenced: &["tokio"],
        inside: &[],
        from_ring: OUTER,
        in_tests: false,
        reason: "below the outer ring nothing waits for the network, and plain code is easier to follow",
    },
];

/// A Cargo.toml.
#[derive(Clone, Copy)]
pub(super) struct Manifest<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
}

impl Manifest<'_> {
    /// The line that names the dependency, else the first.
    fn line_of(self, dependency: &str) -> usize {
        let names = |line: &str| {
            let rest = line.trim_start().trim_start_matches('"').strip_prefix(dependency);
            rest.is_some_and(|rest| rest.starts_with([' ', '.', '=', '"', ']']))
                || line.contains(&format!(".{dependency}]"))
        };
        self.text.lines().position(names).map_or(1, |index| index + 1)
    }
}

/// A direct dependency.
pub(super) struct Wanted<'a> {
    name: &'a str,
    only_in_tests: bool,
}

impl<'a> From<&'a Dependency> for Wanted<'a> {
    fn from(dependency: &'a Dependency) -> Self {
        Self { name: &dependency.name, only_in_tests: dependency.kind == DependencyKind::Development }
    }
}

/// Checks the rings and the fences. Dev-dependencies are free of both, since a test may compare crates
/// that do not know each other, read a log or play the other side of a connection; only the fence around
/// polars holds for them too, because tests pay for build times as well.
pub(super) fn check(package: &str, manifest: Manifest<'_>, wanted: &[Wanted<'_>]) -> Vec<Problem> {
    let problem = |line, found, expected: String, reason| Problem {
        file: manifest.file.to_owned(),
        line,
        found,
        expected,
        reason,
    };
    let Some(ring) = ring_of(package) else {
        return vec![problem(
            manifest.line_of("name"),
            format!("{package} is in no ring"),
            "a line in RINGS of xtask/src/tidy/dependencies.rs and in docs/architecture.md".to_owned(),
            "a crate whose place is not decided ends up depending on everything",
        )];
    };
    let mut problems = Vec::new();
    for dependency in wanted {
        let line = manifest.line_of(dependency.name);
        let found = format!("{package} depends on {}", dependency.name);
        if let Some(other) = ring_of(dependency.name)
            && other >= ring
            && !dependency.only_in_tests
        {
            problems.push(problem(
                line,
                format!("{found}, which is in the ring `{}`", RINGS[other].0),
                format!("from `{}` only dependencies on rings further in", RINGS[ring].0),
                "dependencies point down only, and crates of one ring do not know each other",
            ));
        }
        let broken = |fence: &&Fence| {
            fence.covers(dependency.name)
                && !fence.inside.contains(&package)
                && ring < fence.from_ring
                && (fence.in_tests || !dependency.only_in_tests)
        };
        if let Some(fence) = FENCES.iter().find(broken) {
            let expected = format!("{} only in {}", dependency.name, fence.allowed());
            problems.push(problem(line, found, expected, fence.reason));
        }
    }
    problems
}

impl Fence {
    fn covers(&self, dependency: &str) -> bool {
        self.fenced.iter().any(|name| {
            dependency.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
    }

    fn allowed(&self) -> String {
        let rings = RINGS.get(self.from_ring..).unwrap_or_default().iter().map(|(name, _)| *name);
        self.inside.iter().copied().chain(rings).collect::<Vec<_>>().join(", ")
    }
}

fn ring_of(package: &str) -> Option<usize> {
    RINGS.iter().position(|(_, members)| members.contains(&package))
}

/// Checks that the crate takes the lints of the workspace.
pub(super) fn check_lints(manifest: Manifest<'_>) -> Result<Option<Problem>> {
    let table: toml::Table =
        manifest.text.parse().with_context(|| format!("{} is not TOML", manifest.file))?;
    let inherits = table
        .get("lints")
        .and_then(|lints| lints.get("workspace"))
        .is_some_and(|value| value.as_bool() == Some(true));
    Ok((!inherits).then(|| Problem {
        file: manifest.file.to_owned(),
        line: manifest.line_of("[lints"),
        found: "the crate has lints of its own".to_owned(),
        expected: "[lints] with workspace = true".to_owned(),
        reason: "one table of lints, so that no crate is checked less than the others",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(package: &str, dependency: &str, only_in_tests: bool) -> Vec<String> {
        let text =
            format!("[package]\nname = \"{package}\"\n[dependencies]\n{dependency}.workspace = true\n");
        let manifest = Manifest { file: "Cargo.toml", text: &text };
        check(package, manifest, &[Wanted { name: dependency, only_in_tests }])
            .iter()
            .map(|problem| format!("{}:{}", problem.line, problem.expected))
            .collect()
    }

    #[test]
    fn fences_hold() {
        for (package, dependency) in [
            ("telemetry-provider", "polars"),
            ("telemetry-rollup", "polars-core"),
            ("telemetry-repository", "sysinfo"),
            ("telemetry-app", "rusqlite"),
            ("telemetry-http", "reqwest"),
            ("telemetry-collect", "rumqttc"),
            ("telemetry-forward", "axum"),
            ("telemetry-repository", "anyhow"),
            ("telemetry-state", "clap"),
            ("telemetry-rollup-engine", "tracing-subscriber"),
            ("telemetry-provider", "tokio"),
        ] {
            let problems = check_one(package, dependency, false);
            assert_eq!(problems.len(), 1, "{package} -> {dependency}: {problems:?}");
            assert!(problems[0].starts_with("4:"), "{problems:?}");
            let held_in_tests = usize::from(dependency.starts_with("polars"));
            assert_eq!(
                check_one(package, dependency, true).len(),
                held_in_tests,
                "{package} -> {dependency}"
            );
        }
    }

    #[test]
    fn fences_have_gates() {
        for (package, dependency) in [
            ("telemetry-repository", "polars"),
            ("telemetry-provider", "sysinfo"),
            ("telemetry-app", "clap"),
            ("telemetry-collect", "anyhow"),
            ("xtask", "clap"),
            ("telemetry-http", "tokio"),
            ("telemetry-provider", "tracing"),
            ("telemetry-rollup", "telemetry-app"),
            ("telemetry-rollup-engine", "telemetry-schema"),
        ] {
            assert_eq!(
                check_one(package, dependency, false),
                Vec::<String>::new(),
                "{package} -> {dependency}"
            );
        }
    }

    #[test]
    fn dependencies_point_down() {
        for (package, dependency) in [
            ("telemetry-schema", "telemetry-provider"),
            ("telemetry-repository", "telemetry-rollup-engine"),
            ("telemetry-provider", "telemetry-app"),
            ("telemetry-rollup", "telemetry-collect"),
        ] {
            assert_eq!(check_one(package, dependency, false).len(), 1, "{package} -> {dependency}");
            assert_eq!(check_one(package, dependency, true).len(), 0, "{package} -> {dependency} in tests");
        }
    }

    #[test]
    fn a_new_crate_needs_a_ring() {
        assert_eq!(check_one("telemetry-extra", "serde", false).len(), 1);
    }

    #[test]
    fn lints_are_inherited() {
        let check = |text| check_lints(Manifest { file: "Cargo.toml", text }).expect("this is TOML");
        assert!(check("[package]\nname = \"x\"\n").is_some());
        assert!(check("[lints]\nworkspace = false\n").is_some());
        assert!(check("[lints.rust]\nunsafe_code = \"allow\"\n").is_some());
        assert!(check("[lints]\nworkspace = true\n").is_none());
    }
}
