//! The engines that a user would take instead, from their packages for Python.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::child::{Cost, median};
use crate::{process, test, tree};

const DIRECTORY: &str = "xtask/bench";

/// An engine with one form of the rollup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rival {
    pub(super) engine: &'static str,
    pub(super) form: &'static str,
}

const fn rival(engine: &'static str, form: &'static str) -> Rival {
    Rival { engine, form }
}

pub(super) const DUCKDB: [Rival; 2] = [rival("duckdb", "native"), rival("duckdb", "contract")];
pub(super) const ALL: [Rival; 6] = [
    DUCKDB[0],
    DUCKDB[1],
    rival("chdb", "native"),
    rival("polars", "native"),
    rival("datafusion", "native"),
    rival("datafusion", "contract"),
];

/// How many times as slow as the fastest engine one may be in the first round to be run again.
const HOPELESS: f64 = 2.5;

/// Their environment.
pub(super) struct Rivals {
    python: PathBuf,
    out: PathBuf,
}

/// What the runs of one rival took.
pub(super) struct Measured {
    pub(super) rival: Rival,
    pub(super) version: String,
    pub(super) rows: u64,
    costs: Vec<Cost>,
}

impl Measured {
    pub(super) fn median(&self) -> Cost {
        median(&self.costs)
    }

    pub(super) fn name(&self) -> String {
        let once = if self.costs.len() == 1 { ", one run" } else { "" };
        format!("{} {}, {} form{once}", self.rival.engine, self.version, self.rival.form)
    }
}

impl Rivals {
    pub(super) fn set_up(directory: &Path) -> Result<Self> {
        let modules = "chdb, datafusion, duckdb, polars, pyarrow";
        let python = test::python::set_up(directory, &tree::root().join(DIRECTORY), modules)?;
        Ok(Self { python, out: directory.join("out.parquet") })
    }

    fn run(&self, rival: Rival, lake: &Path, measured: &mut Measured) -> Result<()> {
        let _ = std::fs::remove_file(&self.out).or_else(|_| std::fs::remove_dir_all(&self.out));
        let mut command = Command::new(&self.python);
        let silver = lake.join("silver/ops_host_metrics/date=*/*.parquet");
        command.arg("-B").arg(tree::root().join(DIRECTORY).join("rival.py"));
        command.args([rival.engine, rival.form]).arg(silver).arg(&self.out);
        let text = process::output(&mut command)?;
        let answer: Value = serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))?;
        let number = |name: &str| answer[name].as_f64().with_context(|| format!("no {name} in {text}"));
        let (seconds, memory_mb) = (number("seconds")?, number("memory_mb")?);
        measured.costs.push(Cost { seconds, cpu_ms: 0.0, memory_mb });
        measured.version = answer["version"].as_str().unwrap_or_default().to_owned();
        measured.rows = answer["rows"].as_u64().unwrap_or_default();
        eprintln!("  {} {}: {seconds:.3} s, {memory_mb:.0} MB", rival.engine, rival.form);
        Ok(())
    }

    /// Runs the rivals in turns with `ours`. After the first round, an engine goes on with the form
    /// that was the faster one, unless it was so slow that it will not be the fastest engine.
    pub(super) fn race(
        &self,
        rivals: &[Rival],
        lake: &Path,
        runs: u32,
        mut ours: impl FnMut() -> Result<()>,
    ) -> Result<Vec<Measured>> {
        let new =
            |rival: &Rival| Measured { rival: *rival, version: String::new(), rows: 0, costs: Vec::new() };
        let mut measured: Vec<Measured> = rivals.iter().map(new).collect();
        for round in 0..runs {
            ours()?;
            let fastest = measured.iter().map(|one| one.median().seconds).fold(f64::INFINITY, f64::min);
            for one in &mut measured {
                if round == 0 || one.median().seconds <= HOPELESS * fastest {
                    self.run(one.rival, lake, one)?;
                }
            }
            if round == 0 {
                measured = faster_forms(measured);
            }
        }
        Ok(measured)
    }
}

fn faster_forms(measured: Vec<Measured>) -> Vec<Measured> {
    let mut kept: Vec<Measured> = Vec::new();
    for one in measured {
        match kept.iter_mut().find(|other| other.rival.engine == one.rival.engine) {
            Some(other) if one.median().seconds < other.median().seconds => *other = one,
            Some(_) => {}
            None => kept.push(one),
        }
    }
    kept
}

/// An empty directory of that name.
pub(super) fn fresh_directory(path: &Path) -> Result<PathBuf> {
    if path.exists() {
        std::fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_faster_form_of_an_engine_goes_on() {
        let one = |rival: Rival, seconds| Measured {
            rival,
            version: String::new(),
            rows: 1,
            costs: vec![Cost { seconds, cpu_ms: 0.0, memory_mb: 0.0 }],
        };
        let kept = faster_forms(vec![one(DUCKDB[0], 2.0), one(DUCKDB[1], 1.0), one(ALL[2], 3.0)]);
        assert_eq!(kept.iter().map(|one| one.rival).collect::<Vec<_>>(), [DUCKDB[1], ALL[2]]);
    }
}
