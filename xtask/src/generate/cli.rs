//! docs/cli.md, from the help texts of the programs themselves.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::MARKER;
use crate::process;

const PROGRAMS: [&str; 2] = ["telemetry-collect", "telemetry-rollup"];
const HEAD: &str = "\
# Command line

What each program prints for `--help`. The keys behind the configuration flags are in
[configuration.md](configuration.md), exit codes in [operations.md](operations.md#exit-codes).
";

/// The page. Builds the programs.
pub(super) fn page() -> Result<String> {
    process::build_everything()?;
    let directory = process::target_directory()?.join("debug");
    let mut text = format!("{MARKER}{HEAD}");
    for program in PROGRAMS {
        let help = help(&directory.join(program), None)?;
        section(&mut text, &format!("## {program}"), &help);
        for verb in verbs(&help) {
            let help = self::help(&directory.join(program), Some(verb))?;
            section(&mut text, &format!("### {program} {verb}"), &help);
        }
    }
    Ok(text)
}

fn help(program: &Path, verb: Option<&str>) -> Result<String> {
    // Nothing of this machine or terminal may enter the page.
    let settings = std::env::vars_os().map(|(name, _)| name);
    let ours = settings.filter(|name| name.to_string_lossy().starts_with("TELEMETRY_"));
    let mut command = Command::new(program);
    for name in ours {
        command.env_remove(name);
    }
    command.env("COLUMNS", "100").env("NO_COLOR", "1").args(verb).arg("--help");
    process::output(&mut command)
}

/// The verbs that a help text lists below `Commands:`, but for `help`.
fn verbs(help: &str) -> impl Iterator<Item = &str> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    // A verb is indented by two spaces; the rest of a long description by more.
    let names = listed.filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    names.filter_map(|line| line.split(' ').next()).filter(|verb| *verb != "help")
}

fn section(text: &mut String, title: &str, help: &str) {
    let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    text.push_str(&format!("\n{title}\n\n```text\n{}\n```\n", lines.join("\n")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_found_in_a_help_text() {
        let help = "What it is\n\nUsage: x [COMMAND]\n\nCommands:\n  build  Build\n         more\n  plan   Plan\n  \
                    help   Print this\n\nOptions:\n  -h, --help\n";
        assert_eq!(verbs(help).collect::<Vec<_>>(), ["build", "plan"]);
        assert_eq!(verbs("Usage: x\n\nOptions:\n  -h\n").count(), 0);
    }
}
