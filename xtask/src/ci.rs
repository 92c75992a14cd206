//! `ci`: what guards the main branch.

use anyhow::Result;

use crate::{check, cross, test};

pub(crate) fn run() -> Result<()> {
    check::run()?;
    cross::check_windows()?;
    test::run(&test::Arguments::default())
}
