//! docs/performance.md: sections of several chores, each of which writes only its own.

use anyhow::{Context, Result};

use crate::tree;

pub(crate) const PAGE: &str = "docs/performance.md";

/// Replaces the section of that title, or adds it at the end.
pub(crate) fn save_section(title: &str, text: &str) -> Result<()> {
    let path = tree::root().join(PAGE);
    let page = std::fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    std::fs::write(&path, with_section(&page, title, text)).with_context(|| format!("cannot write {PAGE}"))
}

/// The section of that title in the page as it is, with its heading.
pub(crate) fn saved_section(title: &str) -> Result<Option<String>> {
    let page =
        std::fs::read_to_string(tree::root().join(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    Ok(find(&page, title).map(|range| page[range].trim_end().to_owned()))
}

fn with_section(page: &str, title: &str, text: &str) -> String {
    let section = format!("## {title}\n\n{}\n", text.trim());
    match find(page, title) {
        Some(range) => {
            let rest = &page[range.end..];
            let gap = if rest.is_empty() { "" } else { "\n" };
            format!("{}{section}{gap}{rest}", &page[..range.start])
        }
        None => format!("{}\n\n{section}", page.trim_end()),
    }
}

/// From its heading to the next one.
fn find(page: &str, title: &str) -> Option<std::ops::Range<usize>> {
    let heading = format!("## {title}\n");
    let start =
        page.match_indices(&heading).map(|(at, _)| at).find(|at| *at == 0 || page[..*at].ends_with('\n'))?;
    let body = start + heading.len();
    let end = page[body..].find("\n## ").map_or(page.len(), |at| body + at + 1);
    Some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_others_stay() {
        let page = "# Page\n\n## One\n\n1\n\n### Part\n\n## Two\n\n2\n";
        assert_eq!(with_section(page, "One", "3\n"), "# Page\n\n## One\n\n3\n\n## Two\n\n2\n");
        assert_eq!(with_section(page, "Two", "3"), "# Page\n\n## One\n\n1\n\n### Part\n\n## Two\n\n3\n");
        let three = with_section(page, "Three", "3");
        assert_eq!(three, format!("{page}\n## Three\n\n3\n"));
        assert_eq!(with_section(&three, "Three", "3"), three);
    }
}
