//! `ci`: what guards the main branch.

use anyhow::Result;

use crate::{check, test};

pub(crate) fn run() -> Result<()> {
    check::run()?;
    test::run(&test::Arguments::default())
}
