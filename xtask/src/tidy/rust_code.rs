//! Sizes of files and functions, and where column names are spelled.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use telemetry_schema::Dataset;

use super::{Problem, scope};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const MAIN_LINES_MAX: usize = 30;

/// Column names that mean something else too, so that a string with them proves nothing.
const OTHER_MEANINGS: [&str; 12] = [
    // Ordinary words, and names of other things in Rust and in configuration files.
    "os",
    "arch",
    "coverage",
    "message",
    "severity",
    "state",
    "threshold",
    "value",
    // Keys of the configuration, flags and environment variables that the user named so.
    "host_id",
    "sample_interval_seconds",
    "run_id",
    // The kernel's name of the file that holds it.
    "boot_id",
];

/// The names that only telemetry-schema spells.
pub(super) fn column_names(datasets: &[&'static Dataset]) -> BTreeSet<&'static str> {
    let all = datasets.iter().flat_map(|dataset| dataset.columns).map(|column| column.name);
    all.filter(|name| !OTHER_MEANINGS.contains(name)).collect()
}

/// Checks the size of the file and of each of its functions.
pub(super) fn sizes(file: &str, text: &str, parsed: &syn::File) -> Vec<Problem> {
    let problem =
        |line, found, expected, reason| Problem { file: file.to_owned(), line, found, expected, reason };
    let lines = text.lines().count();
    let mut problems = Vec::new();
    if file.ends_with("src/main.rs") && lines > MAIN_LINES_MAX {
        let reason = "a main.rs only starts what lib.rs composes; what is in it cannot be tested or imported";
        problems.push(problem(1, format!("main.rs of {lines} lines"), at_most(MAIN_LINES_MAX), reason));
    }
    if lines > FILE_LINES_MAX {
        let reason = "a file is named after one noun; one that is longer holds several";
        problems.push(problem(1, format!("a file of {lines} lines"), at_most(FILE_LINES_MAX), reason));
    }
    let mut functions = Functions::default();
    functions.visit_file(parsed);
    for (name, first, last) in functions.found {
        let lines = last + 1 - first;
        if lines > FUNCTION_LINES_MAX {
            let found = format!("function {name} of {lines} lines");
            let reason = "a function that fits on a screen can be checked by reading it";
            problems.push(problem(first, found, at_most(FUNCTION_LINES_MAX), reason));
        }
    }
    problems
}

fn at_most(lines: usize) -> String {
    format!("at most {lines} lines")
}

/// Functions with their first and last line, from 1.
#[derive(Default)]
struct Functions {
    found: Vec<(String, usize, usize)>,
}

impl Functions {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let last = block.brace_token.span.close().end().line;
        self.found.push((signature.ident.to_string(), signature.fn_token.span.start().line, last));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.add(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

/// Finds column names in string literals, outside of comments, attributes and test code.
pub(super) fn columns(file: &str, parsed: &syn::File, names: &BTreeSet<&'static str>) -> Vec<Problem> {
    let mut literals = Literals::default();
    literals.visit_file(parsed);
    let mut problems = Vec::new();
    for (line, text) in literals.found {
        let words = words(&text).into_iter().filter_map(|word| names.get(word.as_str()));
        problems.extend(words.map(|name| Problem {
            file: file.to_owned(),
            line,
            found: format!("the column name {name:?} in a string"),
            expected: format!("telemetry_schema::…::names::{name}"),
            reason: "one place spells a name, so that rustc finds every use of it and typing errors do not compile",
        }));
    }
    problems
}

/// The words of a literal that could be names: not the placeholders of a format string, and not parts
/// of a path.
fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut word = String::new();
    let mut before = ' ';
    for next in text.chars().chain([' ']) {
        if next.is_ascii_alphanumeric() || next == '_' {
            word.push(next);
            continue;
        }
        let placeholder = before == '{' && matches!(next, '}' | ':');
        if !word.is_empty() && !placeholder && before != '/' && next != '/' {
            found.push(std::mem::take(&mut word));
        }
        word.clear();
        before = next;
    }
    found
}

/// String literals with their lines.
#[derive(Default)]
struct Literals {
    found: Vec<(usize, String)>,
}

impl Literals {
    /// The arguments of a macro are no syntax tree: look at the tokens.
    fn tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    let line = literal.span().start().line;
                    if let syn::Lit::Str(literal) = syn::Lit::new(literal) {
                        self.found.push((line, literal.value()));
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Literals {
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !scope::is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !scope::is_test(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !scope::is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
        self.found.push((literal.span().start().line, literal.value()));
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
    }
}

#[cfg(test)]
mod tests {
    use telemetry_schema::datasets;

    use super::*;

    fn sizes_of(file: &str, text: &str) -> Vec<(usize, String)> {
        let parsed = syn::parse_file(text).expect("this is Rust");
        sizes(file, text, &parsed).into_iter().map(|problem| (problem.line, problem.found)).collect()
    }

    fn lines_with_columns(text: &str) -> Vec<usize> {
        let parsed = syn::parse_file(text).expect("this is Rust");
        let found = columns("a.rs", &parsed, &column_names(&datasets::ALL));
        found.into_iter().map(|problem| problem.line).collect()
    }

    #[test]
    fn long_files_are_found() {
        assert_eq!(sizes_of("src/a.rs", &"// x\n".repeat(601)), [(1, "a file of 601 lines".to_owned())]);
        assert_eq!(sizes_of("src/a.rs", &"// x\n".repeat(600)), []);
        assert_eq!(sizes_of("a/src/main.rs", &"// x\n".repeat(31)), [(1, "main.rs of 31 lines".to_owned())]);
        assert_eq!(sizes_of("a/src/main.rs", &"// x\n".repeat(30)), []);
    }

    #[test]
    fn long_functions_are_found_wherever_they_are() {
        let body = |lines: usize| format!("{{\n{}}}", "    step();\n".repeat(lines));
        let long = body(69);
        for text in [
            format!("\nfn f() {long}"),
            format!("impl A {{\nfn f() {long}\n}}"),
            format!("trait A {{\nfn f() {long}\n}}"),
            format!("mod a {{\nfn f() {long}\n}}"),
            format!("fn outer() {{ {{\nfn f() {long}\n}} }}", long = body(69)),
        ] {
            let found = sizes_of("src/a.rs", &text);
            assert!(found.contains(&(2, "function f of 71 lines".to_owned())), "{found:?}");
        }
        assert_eq!(sizes_of("src/a.rs", &format!("\nfn f() {}", body(68))), []);
    }

    #[test]
    fn column_names_in_strings_are_found() {
        assert_eq!(lines_with_columns("fn f() {\n g(\"cpu_pct\"); }"), [2]);
        assert_eq!(lines_with_columns("fn f() {\n\n g(format!(\"select {x}, cpu_pct from\")); }"), [3]);
        assert_eq!(lines_with_columns("const A: [&str; 1] =\n [\"as_of\"];"), [2]);
        assert_eq!(lines_with_columns("fn f() { g(r#\"order by bucket_start\"#) }"), [1]);
    }

    #[test]
    fn what_only_looks_like_a_column_name_passes() {
        for text in [
            "/// The `cpu_pct` column.\nfn f() {}",
            "fn f() { /* \"cpu_pct\" */ g(names::cpu_pct) }",
            "fn f() { g(format!(\"{cpu_pct} and {as_of:?}\")) }",
            "fn f() { g(\"/sys/kernel/cpu_pct\", \"cpu_percent\", \"my_cpu_pct\") }",
            "#[cfg(test)] mod tests { fn f() { g(\"cpu_pct\") } }",
            "#[test] fn f() { g(\"cpu_pct\") }",
            "fn f() { g(\"os\", \"host_id\") }",
        ] {
            assert_eq!(lines_with_columns(text), Vec::<usize>::new(), "{text}");
        }
    }

    #[test]
    fn every_exception_is_a_column() {
        let all: Vec<_> =
            datasets::ALL.iter().flat_map(|dataset| dataset.columns).map(|column| column.name).collect();
        for name in OTHER_MEANINGS {
            assert!(all.contains(&name), "{name} is no column any more");
        }
    }
}
