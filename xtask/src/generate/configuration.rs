//! docs/configuration.md, from the commented file of defaults.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};

use super::MARKER;
use crate::tree;

/// Every key with its default and a comment. A test of telemetry-app compares it with the code.
const DEFAULTS: &str = "crates/telemetry-app/default.toml";
const HEAD: &str = include_str!("configuration-head.txt");

/// The page.
pub(super) fn page() -> Result<String> {
    let path = tree::root().join(DEFAULTS);
    let defaults = std::fs::read_to_string(path).with_context(|| format!("cannot read {DEFAULTS}"))?;
    let mut text = format!("{MARKER}{HEAD}");
    let mut section = None;
    for key in keys(&defaults)? {
        if section.as_ref() != Some(&key.section) {
            heading(&mut text, &key.section);
            section = Some(key.section.clone());
        }
        row(&mut text, &key);
    }
    // Writing to a String cannot fail.
    let _ = write!(text, "\n## The file of defaults\n\n```toml\n{}\n```\n", defaults.trim_end());
    Ok(text)
}

/// A key as the file of defaults has it.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    /// Empty for the top level.
    section: String,
    name: String,
    /// A TOML value.
    value: String,
    /// Whether the value is an example only, since there is no fixed default.
    is_example: bool,
    comment: String,
}

/// Comments above a key are its meaning; `#key = value` is an example. A comment that ends with an
/// empty line belongs to no key.
fn keys(defaults: &str) -> Result<Vec<Key>> {
    let (mut section, mut comment, mut keys) = (String::new(), Vec::new(), Vec::new());
    for (index, line) in defaults.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            comment.clear();
        } else if let Some(text) = line.strip_prefix("# ") {
            comment.push(text.to_owned());
        } else if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut section);
            comment.clear();
        } else if let Some((name, value)) = line.split_once(" = ") {
            let comment = std::mem::take(&mut comment).join(" ");
            if comment.is_empty() {
                bail!("{DEFAULTS}:{}: the key has no comment", index + 1);
            }
            let is_example = name.starts_with('#');
            let name = name.trim_start_matches('#').to_owned();
            keys.push(Key { section: section.clone(), name, value: value.to_owned(), is_example, comment });
        } else {
            bail!(
                "{DEFAULTS}:{}: expected `# comment`, `key = value`, `#key = example` or `[section]`",
                index + 1
            );
        }
    }
    Ok(keys)
}

fn heading(text: &mut String, section: &str) {
    let (title, columns) = match section {
        "" => (
            "Top level".to_owned(),
            "| key | default | environment | flag | meaning |\n|---|---|---|---|---|",
        ),
        section => (format!("[{section}]"), "| key | default | environment | meaning |\n|---|---|---|---|"),
    };
    let _ = writeln!(text, "\n## {title}\n\n{columns}");
}

fn row(text: &mut String, key: &Key) {
    let Key { section, name, value, is_example, comment } = key;
    let default = if *is_example { format!("none; e.g. `{value}`") } else { format!("`{value}`") };
    let comment = comment.replace('|', "\\|");
    let upper = name.to_uppercase();
    let _ = if section.is_empty() {
        let flag = name.replace('_', "-");
        writeln!(text, "| `{name}` | {default} | `TELEMETRY_{upper}` | `--{flag}` | {comment} |")
    } else {
        let section = section.to_uppercase();
        writeln!(text, "| `{name}` | {default} | `TELEMETRY__{section}__{upper}` | {comment} |")
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_comment_section_and_default() {
        let text =
            "# About the file.\n\n# What it\n# is.\na = 1\n\n# Which.\n#b = \"x\"\n\n[s]\n# How.\nc = true\n";
        let key = |section: &str, name: &str, value: &str, is_example, comment: &str| Key {
            section: section.into(),
            name: name.into(),
            value: value.into(),
            is_example,
            comment: comment.into(),
        };
        let expected = [
            key("", "a", "1", false, "What it is."),
            key("", "b", "\"x\"", true, "Which."),
            key("s", "c", "true", false, "How."),
        ];
        assert_eq!(keys(text).expect("this is such a file"), expected);
    }

    #[test]
    fn a_key_without_a_comment_is_an_error() {
        assert!(keys("a = 1\n").is_err());
        assert!(keys("# A.\na = 1\nb = 2\n").is_err());
        assert!(keys("nonsense\n").is_err());
    }
}
