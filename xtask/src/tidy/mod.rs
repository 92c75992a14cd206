//! `tidy`: the rules of docs/style.md that no compiler knows. Each rule is a function from text to
//! problems, so that its tests can show it an example that breaks it.

mod dependencies;
mod documents;
mod forbidden;
mod rust_code;
mod scope;

use std::fmt;

use anyhow::{Context, Result, bail};
use telemetry_schema::datasets;

use crate::tree::Tree;

/// Largest file of a fixture tree, in bytes.
const FIXTURE_BYTES_MAX: u64 = 256 * 1024;

/// Something that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    /// Path relative to the root.
    file: String,
    /// Line, from 1.
    line: usize,
    /// What is there.
    found: String,
    /// What the rule wants.
    expected: String,
    /// Why.
    reason: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}: {}", self.file, self.line, self.found)?;
        writeln!(f, "    expected: {}", self.expected)?;
        write!(f, "    because:  {}", self.reason)
    }
}

pub(crate) fn run() -> Result<()> {
    let tree = Tree::open()?;
    let mut problems = dependency_problems()?;
    problems.extend(rust_problems(&tree)?);
    problems.extend(text_problems(&tree)?);
    problems.extend(fixture_problems(&tree)?);
    problems.sort();
    problems.dedup();
    for problem in &problems {
        eprintln!("{problem}");
    }
    match problems.len() {
        0 => Ok(()),
        1 => bail!("one rule is broken"),
        number => bail!("rules are broken in {number} places"),
    }
}

fn dependency_problems() -> Result<Vec<Problem>> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .no_deps()
        .current_dir(crate::tree::root())
        .exec()
        .context("cannot read cargo metadata")?;
    let mut problems = Vec::new();
    for package in metadata.workspace_packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path)
            .with_context(|| format!("cannot read {}", package.manifest_path))?;
        let file =
            package.manifest_path.strip_prefix(&metadata.workspace_root).unwrap_or(&package.manifest_path);
        let manifest = dependencies::Manifest { file: file.as_str(), text: &manifest };
        let wanted: Vec<_> = package.dependencies.iter().map(dependencies::Wanted::from).collect();
        problems.extend(dependencies::check(package.name.as_str(), manifest, &wanted));
        problems.extend(dependencies::check_lints(manifest)?);
    }
    Ok(problems)
}

fn rust_problems(tree: &Tree) -> Result<Vec<Problem>> {
    let mut sources = Vec::new();
    for file in tree.ending(".rs") {
        let Some(text) = tree.text(file)? else { continue };
        let parsed = syn::parse_file(&text).with_context(|| format!("{file} is not Rust"))?;
        sources.push((file, text, parsed));
    }
    let tests = scope::test_files(sources.iter().map(|(file, _, parsed)| (*file, parsed)));
    let names = rust_code::column_names(&datasets::ALL);
    let mut problems = Vec::new();
    for (file, text, parsed) in &sources {
        problems.extend(rust_code::sizes(file, text, parsed));
        if !tests.contains(file) && !file.starts_with("crates/telemetry-schema/") {
            problems.extend(rust_code::columns(file, parsed, &names));
        }
    }
    Ok(problems)
}

fn text_problems(tree: &Tree) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    let mut pages = documents::Pages::default();
    for file in tree.files() {
        let Some(text) = tree.text(file)? else { continue };
        problems.extend(forbidden::check(file, &text));
        if file.ends_with(".md") {
            problems.extend(documents::titles(file, &text));
            pages.add(file, &text);
        }
    }
    problems.extend(pages.links(|path| tree.contains(path)));
    Ok(problems)
}

fn fixture_problems(tree: &Tree) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for file in tree.files() {
        problems.extend(fixture_size(file, tree.size(file)?));
    }
    Ok(problems)
}

fn fixture_size(file: &str, bytes: u64) -> Option<Problem> {
    let is_fixture = file.split('/').any(|part| part == "fixtures");
    (is_fixture && bytes >= FIXTURE_BYTES_MAX).then(|| Problem {
        file: file.to_owned(),
        line: 1,
        found: format!("a fixture of {bytes} bytes"),
        expected: format!("less than {FIXTURE_BYTES_MAX} bytes"),
        reason: "every clone carries every fixture for ever; cut it down to what the test looks at",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_fixture_is_found() {
        assert!(fixture_size("fixtures/a/b.parquet", FIXTURE_BYTES_MAX).is_some());
        assert!(fixture_size("crates/x/tests/fixtures/b", FIXTURE_BYTES_MAX).is_some());
        assert!(fixture_size("fixtures/a/b.parquet", FIXTURE_BYTES_MAX - 1).is_none());
        assert!(fixture_size("docs/picture.png", FIXTURE_BYTES_MAX).is_none());
    }

    #[test]
    fn a_problem_names_place_expectation_and_reason() {
        let problem = fixture_size("fixtures/big", 300_000).map(|problem| problem.to_string());
        let shown = problem.expect("the file is too large");
        assert!(shown.starts_with("fixtures/big:1: a fixture of 300000 bytes\n"), "{shown}");
        assert!(shown.contains("expected: less than 262144 bytes") && shown.contains("because:"), "{shown}");
    }
}
