//! Which hosts a rule concerns.

use glob::Pattern;

/// Globs over host identifiers; those with `!` exclude.
#[derive(Debug, Clone)]
pub(crate) struct Hosts {
    included: Vec<Pattern>,
    excluded: Vec<Pattern>,
}

impl Hosts {
    pub(crate) fn all() -> Self {
        Self { included: Vec::new(), excluded: Vec::new() }
    }

    /// `None` if a text is no glob, or there is none.
    pub(crate) fn parse(texts: &[String]) -> Option<Self> {
        let mut hosts = Self::all();
        for text in texts {
            let (list, text) = match text.strip_prefix('!') {
                Some(text) => (&mut hosts.excluded, text),
                None => (&mut hosts.included, text.as_str()),
            };
            list.push(Pattern::new(text).ok().filter(|_| !text.is_empty())?);
        }
        (!texts.is_empty()).then_some(hosts)
    }

    /// Whether the host is included (by any, or as there is nothing but exclusions) and not excluded.
    pub(crate) fn contains(&self, host: &str) -> bool {
        let matches = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(host));
        (self.included.is_empty() || matches(&self.included)) && !matches(&self.excluded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_include_and_exclude() {
        let concerned = |texts: &[&str], host: &str| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            Hosts::parse(&texts).map(|hosts| hosts.contains(host))
        };
        assert_eq!(concerned(&["*"], "kitchen-pi"), Some(true));
        assert_eq!(concerned(&["*-pi", "nas"], "kitchen-pi"), Some(true));
        assert_eq!(concerned(&["*-pi", "nas"], "laptop"), Some(false));
        assert_eq!(concerned(&["*", "!attic-*"], "attic-pi"), Some(false));
        assert_eq!(concerned(&["!attic-*"], "kitchen-pi"), Some(true));
        assert_eq!(concerned(&["rack[0-3].nas"], "rack2.nas"), Some(true));
        for wrong in [&[][..], &[""], &["!"], &["a[", "*"]] {
            assert_eq!(concerned(wrong, "pi"), None, "{wrong:?}");
        }
    }
}
