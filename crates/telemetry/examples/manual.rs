//! Writes the man pages of all programs and of the configuration file to `DIR/man`, and their completions
//! to `DIR/completions`: `manual DIR`. `cargo xtask dist` packs them. An example, so that the programs need
//! not carry what writes them.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use clap::{Command, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

const MANUAL: &str = "Host telemetry";

fn main() -> Result<()> {
    let directory = std::env::args_os().nth(1).context("expected a directory to write to")?;
    let directory = Path::new(&directory);
    let pages = directory.join("man");
    let completions = directory.join("completions");
    for directory in [&pages, &completions] {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    for command in [telemetry::command(), telemetry_collect::command(), telemetry_rollup::command()] {
        let name = command.get_name().to_owned();
        for shell in Shell::value_variants() {
            clap_complete::generate_to(*shell, &mut command.clone(), &name, &completions)
                .with_context(|| format!("cannot write the completions of {name} for {shell}"))?;
        }
        write_pages(command, &pages).with_context(|| format!("cannot write the man pages of {name}"))?;
    }
    write_configuration(&pages.join("telemetry.toml.5"))
        .context("cannot write the man page of the configuration")
}

/// The page of a program and one of each verb.
fn write_pages(command: Command, directory: &Path) -> Result<()> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let source = format!("telemetry {}", command.get_version().unwrap_or_default());
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        Man::new(verb.clone()).source(&source).manual(MANUAL).generate_to(directory)?;
    }
    let man = Man::new(command.clone()).source(&source).manual(MANUAL);
    let mut page = File::create(directory.join(man.get_filename()))?;
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    man.render_options_section(&mut page)?;
    let mut rest = Roff::new();
    if let Some(text) = command.get_after_help() {
        sections(&mut rest, &text.to_string());
    }
    files(&mut rest);
    rest.to_writer(&mut page)?;
    Ok(())
}

/// The sections of the text below the options: `Examples:` with indented lines, that stay as they are, and
/// `Exit codes:` with a sentence.
fn sections(page: &mut Roff, text: &str) {
    for section in text.split("\n\n") {
        let Some((title, body)) = section.split_once(':') else { continue };
        page.control("SH", [title.to_uppercase().as_str()]);
        match body.strip_prefix('\n') {
            Some(lines) => verbatim(page, lines),
            None => {
                page.text([roman(body.trim().replace('\n', " "))]);
            }
        }
    }
}

fn files(page: &mut Roff) {
    page.control("SH", ["FILES"]);
    page.control("TP", []);
    page.text([bold("/etc/telemetry/telemetry.toml")]);
    page.text([roman("The configuration of the system: "), bold("telemetry.toml"), roman("(5).")]);
    page.control("TP", []);
    page.text([bold("$XDG_CONFIG_HOME/telemetry/telemetry.toml")]);
    page.text([roman("That of a user other than root, on top of it.")]);
}

/// The commented default file is its own documentation.
fn write_configuration(path: &Path) -> Result<()> {
    let source = format!("telemetry {}", env!("CARGO_PKG_VERSION"));
    let mut page = Roff::new();
    page.control("TH", ["telemetry.toml", "5", "", source.as_str(), MANUAL]);
    page.control("SH", ["NAME"]);
    page.text([roman("telemetry.toml - configuration of the telemetry programs")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([roman(
        "Read from /etc/telemetry/telemetry.toml, then from the user's configuration directory, then from \
         the file that --config names; the environment and flags win over all of them. \
         --print-config shows the result and where each value came from.",
    )]);
    page.control("SH", ["KEYS AND DEFAULTS"]);
    verbatim(&mut page, telemetry_app::DEFAULT_TOML);
    page.control("SH", ["SEE ALSO"]);
    let programs = ["telemetry-collect", "telemetry-rollup", "telemetry"];
    page.text(programs.iter().flat_map(|program| [bold(*program), roman("(1) ")]).collect::<Vec<Inline>>());
    page.to_writer(&mut File::create(path)?)?;
    Ok(())
}

/// Lines that are not to be filled.
fn verbatim(page: &mut Roff, lines: &str) {
    page.control("nf", []);
    for line in lines.lines() {
        page.text([roman(line)]);
    }
    page.control("fi", []);
}
