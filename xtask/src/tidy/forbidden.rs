//! What no committed text may name: hosts of package registries, and directories of one machine.

use super::Problem;

const REGISTRY: &str = "where packages come from is the business of each machine's own configuration";
const MACHINE: &str = "a directory of one machine does not exist on the next";

/// Texts in two halves, so that this file does not contain them.
const PATTERNS: [(&str, &str, &str); 17] = [
    ("crates", ".io/", REGISTRY),
    ("index.crates", ".io", REGISTRY),
    ("static.crates", ".io", REGISTRY),
    ("pypi", ".org", REGISTRY),
    ("pythonhosted", ".org", REGISTRY),
    ("npmjs", ".org", REGISTRY),
    ("proxy.golang", ".org", REGISTRY),
    ("deb.debian", ".org", REGISTRY),
    ("artifact", "ory", REGISTRY),
    ("--index", "-url", REGISTRY),
    ("--extra-index", "-url", REGISTRY),
    ("--find", "-links", REGISTRY),
    ("replace", "-with", REGISTRY),
    ("/ro", "ot/", MACHINE),
    ("/wo", "rk/", MACHINE),
    ("/ho", "me/", MACHINE),
    ("/Us", "ers/", MACHINE),
];

/// What a Cargo.lock must name as the source of a package.
const LOCK_SOURCE: (&str, &str) = ("registry+https://github.com/rust-lang/crates", ".io-index");

/// Checks each line of a text.
pub(super) fn check(file: &str, text: &str) -> Vec<Problem> {
    let lock_source = format!("source = \"{}{}\"", LOCK_SOURCE.0, LOCK_SOURCE.1);
    let is_lock = file.ends_with("Cargo.lock");
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let problem = |found: String, reason| Problem {
            file: file.to_owned(),
            line: index + 1,
            found,
            expected: "a text that means the same on every machine".to_owned(),
            reason,
        };
        if is_lock {
            if line.starts_with("source = ") && line != lock_source {
                problems.push(problem(format!("a package with {line}"), REGISTRY));
            }
            continue;
        }
        for (head, tail, reason) in PATTERNS {
            if line.contains(&format!("{head}{tail}")) {
                problems.push(problem(format!("the text {head}{tail}"), reason));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_is_found() {
        for (head, tail, _) in PATTERNS {
            let problems = check("docs/a.md", &format!("one\ntwo {head}{tail}x\n"));
            assert!(problems.iter().any(|problem| problem.line == 2), "{head}{tail}");
        }
        assert!(
            check("docs/a.md", "cargo install, /usr/bin, /var/lib/telemetry, https://example.org\n")
                .is_empty()
        );
    }

    #[test]
    fn a_lock_file_names_only_the_public_index() {
        let line = |source: &str| format!("[[package]]\nsource = \"{source}\"\n");
        assert_eq!(check("Cargo.lock", &line("registry+https://mirror.example.org/index")).len(), 1);
        assert_eq!(check("Cargo.lock", &line(&format!("{}{}", LOCK_SOURCE.0, LOCK_SOURCE.1))).len(), 0);
    }
}
