//! docs/cli.md, from the help texts of the programs themselves.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::MARKER;
use crate::process;

pub(crate) const PROGRAMS: [&str; 3] = ["telemetry-collect", "telemetry-rollup", "telemetry"];
const HEAD: &str = "\
# Command line

What each program prints for `-h`; `--help` says the same with more room. The keys behind the configuration flags are in
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
            let own = without(&self::help(&directory.join(program), Some(verb))?, &help);
            section(&mut text, &format!("### {program} {verb}"), &own);
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
    command.env("COLUMNS", "100").env("NO_COLOR", "1").args(verb).arg("-h");
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

/// A verb's help without the options that it shares with the program.
fn without(help: &str, program: &str) -> String {
    let shared: BTreeSet<&str> = program.lines().filter(|line| line.starts_with(' ')).collect();
    let kept: Vec<&str> = help.lines().filter(|line| !shared.contains(line)).collect();
    let is_empty_block = |block: &&str| block.trim().ends_with(':') && block.trim().lines().count() == 1;
    let kept = kept.join("\n");
    let blocks: Vec<&str> = kept.split("\n\n").filter(|block| !is_empty_block(block)).collect();
    format!("{}\n\nOptions: those of the program", blocks.join("\n\n").trim_end())
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

    #[test]
    fn shared_options_are_left_out() {
        let program = "Usage: x [COMMAND]\n\nOptions:\n  --a  A\n  -h   Help\n\nMore:\n  --b  B\n";
        let verb = "Does it\n\nUsage: x v\n\nOptions:\n  --a  A\n  --c  C\n  -h   Help\n\nMore:\n  --b  B\n";
        let expected = "Does it\n\nUsage: x v\n\nOptions:\n  --c  C\n\nOptions: those of the program";
        assert_eq!(without(verb, program), expected);
    }
}
