//! What is test code: it may spell column names, so that it says what it expects without the code
//! under test.

use std::collections::BTreeSet;

use syn::{Attribute, Item, Meta};

/// Whether an item exists in tests only: `#[test]`, `#[cfg(test)]`.
pub(super) fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        let on_condition =
            path.is_ident("cfg") && matches!(&attribute.meta, Meta::List(list) if names_test(list));
        path.is_ident("test") || on_condition
    })
}

fn names_test(condition: &syn::MetaList) -> bool {
    let text = condition.tokens.to_string();
    let mut words = text.split(|c: char| !c.is_alphanumeric());
    words.any(|word| word == "test") && !text.contains("not")
}

/// The files that hold only test code: `tests/` and `benches/` beside a manifest, and the modules that
/// some file declares with `#[cfg(test)] mod name;`, with everything below them.
pub(super) fn test_files<'a>(sources: impl Iterator<Item = (&'a str, &'a syn::File)>) -> BTreeSet<&'a str> {
    let sources: Vec<_> = sources.collect();
    let declared: Vec<String> =
        sources.iter().flat_map(|(file, parsed)| declared_in(file, &parsed.items)).collect();
    let is_declared = |file: &str| {
        let stem = file.trim_end_matches(".rs");
        declared.iter().any(|module| {
            stem.strip_prefix(module.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    let in_directory = |file: &str| file.split('/').any(|part| matches!(part, "tests" | "benches"));
    sources.iter().map(|(file, _)| *file).filter(|file| in_directory(file) || is_declared(file)).collect()
}

/// Paths without `.rs` of the test modules that a file declares.
fn declared_in(file: &str, items: &[Item]) -> Vec<String> {
    let (directory, name) = file.rsplit_once('/').unwrap_or(("", file));
    let stem = name.trim_end_matches(".rs");
    let base = match stem {
        "mod" | "lib" | "main" => directory.to_owned(),
        _ => format!("{directory}/{stem}"),
    };
    let modules = items.iter().filter_map(|item| match item {
        Item::Mod(module) if module.content.is_none() && is_test(&module.attrs) => Some(&module.ident),
        _ => None,
    });
    modules.map(|ident| format!("{base}/{ident}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_modules_in_files_of_their_own_are_found() {
        let parent = syn::parse_file("mod a; #[cfg(test)] mod checks; #[cfg(all(test, unix))] mod unix;");
        let parent = parent.expect("this is Rust");
        let empty = syn::parse_file("").expect("nothing is Rust");
        let files = [
            "crates/x/src/p.rs",
            "crates/x/src/p/a.rs",
            "crates/x/src/p/checks.rs",
            "crates/x/src/p/checks/deep.rs",
            "crates/x/src/p/unix.rs",
            "crates/x/tests/api.rs",
        ];
        let sources =
            files.iter().map(|file| (*file, if file.ends_with("/p.rs") { &parent } else { &empty }));
        let found: Vec<&str> = test_files(sources).into_iter().collect();
        assert_eq!(
            found,
            [
                "crates/x/src/p/checks.rs",
                "crates/x/src/p/checks/deep.rs",
                "crates/x/src/p/unix.rs",
                "crates/x/tests/api.rs"
            ]
        );
    }
}
