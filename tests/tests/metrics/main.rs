//! `/metrics`: for every family something is done whose amount is known, and that amount is read back. And `/healthz`, `/readyz`, and who
//! asks for them.

mod clients;
mod commands;
mod data;
mod ops;
mod port;
mod ready;
mod replication;
mod security;
mod traces;
mod watch;

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Result, ensure};
use watch::Check;

const CHECKS: [&[Check]; 6] =
    [commands::CHECKS, clients::CHECKS, data::CHECKS, replication::CHECKS, security::CHECKS, traces::CHECKS];

/// The families that the server may show, by its own reference.
fn declared() -> Result<BTreeSet<String>> {
    let output = Command::new(veddb_tests::server::binary()?).args(["docs", "metrics"]).output()?;
    ensure!(output.status.success(), "veddb docs metrics: {}", output.status);
    let text = String::from_utf8(output.stdout)?;
    let names = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    Ok(names.map(str::to_owned).collect())
}

#[test]
fn every_family_has_a_check() -> Result<()> {
    let checked: BTreeSet<String> =
        CHECKS.into_iter().flatten().flat_map(|check| check.of).map(|name| (*name).to_owned()).collect();
    let declared = declared()?;
    ensure!(declared.len() > 50, "the reference has only {} families", declared.len());
    let bare: Vec<_> = declared.difference(&checked).collect();
    ensure!(bare.is_empty(), "families whose amount no check reads back: {bare:?}");
    let gone: Vec<_> = checked.difference(&declared).collect();
    ensure!(gone.is_empty(), "checks of families that are not there: {gone:?}");
    Ok(())
}
