//! Markdown: one title a page, and links that lead somewhere.

use std::collections::{BTreeMap, BTreeSet};

use super::Problem;

/// The lines of a page that are prose: no code blocks, and no code between backticks.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut in_code = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let fence = line.trim_start().starts_with("```");
        if fence {
            in_code = !in_code;
        } else if !in_code {
            let outside =
                line.split('`').enumerate().map(|(part, text)| if part % 2 == 0 { text } else { "x" });
            lines.push((index + 1, outside.collect::<String>()));
        }
    }
    lines
}

/// Checks that the page has exactly one heading of the first level.
pub(super) fn titles(file: &str, text: &str) -> Option<Problem> {
    let titles: Vec<usize> = prose(text)
        .into_iter()
        .filter(|(_, line)| line.starts_with("# "))
        .map(|(number, _)| number)
        .collect();
    (titles.len() != 1).then(|| Problem {
        file: file.to_owned(),
        line: titles.get(1).copied().unwrap_or(1),
        found: format!("a page with {} titles", titles.len()),
        expected: "one line that begins with `# `".to_owned(),
        reason: "a page is about one thing, and links and lists name it by its title",
    })
}

/// All pages, to follow links between them.
#[derive(Default)]
pub(super) struct Pages {
    /// Anchors of each page.
    anchors: BTreeMap<String, BTreeSet<String>>,
    /// File, line, target.
    links: Vec<(String, usize, String)>,
}

impl Pages {
    pub(super) fn add(&mut self, file: &str, text: &str) {
        let mut anchors = BTreeSet::new();
        let headings = text.lines().filter(|line| line.starts_with('#'));
        for heading in headings {
            let anchor = anchor(heading.trim_start_matches('#'));
            let taken = (0..).map(|n| if n == 0 { anchor.clone() } else { format!("{anchor}-{n}") });
            anchors.extend(taken.into_iter().find(|name| !anchors.contains(name)));
        }
        self.anchors.insert(file.to_owned(), anchors);
        for (line, text) in prose(text) {
            self.links.extend(targets(&text).map(|target| (file.to_owned(), line, target.to_owned())));
        }
    }

    /// Checks every relative link; `exists` knows the files and directories of the tree.
    pub(super) fn links(&self, exists: impl Fn(&str) -> bool) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (file, line, target) in &self.links {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let resolved = if path.is_empty() { Some(file.clone()) } else { resolve(file, path) };
            let leads_somewhere =
                resolved.as_deref().is_some_and(|path| exists(path) && self.has(path, anchor));
            if !leads_somewhere {
                problems.push(Problem {
                    file: file.clone(),
                    line: *line,
                    found: format!("a link to {target:?}"),
                    expected: "a file of this repository, and a heading in it after `#`".to_owned(),
                    reason: "facts are stated once and linked; a dead link loses the fact",
                });
            }
        }
        problems
    }

    fn has(&self, page: &str, anchor: &str) -> bool {
        anchor.is_empty() || self.anchors.get(page).is_none_or(|anchors| anchors.contains(anchor))
    }
}

/// The targets of `[text](target)` and `[name]: target`, but for addresses with a scheme.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let definition =
        line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target.trim());
    let has_scheme =
        |target: &&str| target.split_once(':').is_some_and(|(scheme, _)| !scheme.contains(['/', '.', '#']));
    inline.chain(definition).filter(move |target| !has_scheme(target))
}

/// A path relative to the root, from one relative to the page; `None` if it leads out.
fn resolve(page: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The anchor that hosting sites make of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead_links(text: &str) -> Vec<usize> {
        let mut pages = Pages::default();
        pages.add("docs/a.md", text);
        pages.add("docs/b.md", "# B\n## Two words, and `code`\n## Twice\n## Twice\n");
        let exists =
            |path: &str| ["docs/a.md", "docs/b.md", "README.md", "docs", "docs/examples"].contains(&path);
        pages.links(exists).into_iter().map(|problem| problem.line).collect()
    }

    #[test]
    fn dead_links_are_found() {
        assert_eq!(dead_links("# A\n[b](c.md)"), [2]);
        assert_eq!(dead_links("# A\n\n[b](../docs/b.md) and [b](../b.md)"), [3]);
        assert_eq!(dead_links("# A\n[b](b.md#three)"), [2]);
        assert_eq!(dead_links("# A\n[b](#b)"), [2]);
        assert_eq!(dead_links("# A\n[b](../../outside.md)"), [2]);
        assert_eq!(dead_links("# A\n[b]: missing.md"), [2]);
        assert_eq!(dead_links("# A\n![picture](picture.png)"), [2]);
    }

    #[test]
    fn good_links_pass() {
        for link in [
            "b.md",
            "./b.md",
            "../README.md",
            "b.md#two-words-and-code",
            "b.md#twice-1",
            "#a",
            "examples/",
            "https://example.org/x",
            "mailto:a@example.org",
        ] {
            assert_eq!(dead_links(&format!("# A\n[b]({link})")), Vec::<usize>::new(), "{link}");
        }
        assert_eq!(dead_links("# A\n```\n[b](c.md)\n```\n`[b](c.md)`"), Vec::<usize>::new());
    }

    #[test]
    fn a_page_has_one_title() {
        assert!(titles("a.md", "text").is_some());
        assert_eq!(titles("a.md", "# A\n\n# B\n").map(|problem| problem.line), Some(3));
        assert!(titles("a.md", "<!-- generated -->\n# A\n## B\n```\n# a comment\n```\n").is_none());
    }
}
