//! What is in `ops/`: that it names families that there are, and that Prometheus's own tools have nothing to say.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use veddb_tests::http::get;
use veddb_tests::{Options, repository};

use super::declared;
use super::watch::Watched;

/// The names of families in a text, parts of histograms by those of their families.
fn named(text: &str, declared: &BTreeSet<String>) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let family = |word: &str| {
        let parts = ["_bucket", "_sum", "_count"].into_iter().filter_map(|part| word.strip_suffix(part));
        let found = std::iter::once(word).chain(parts).find(|name| declared.contains(*name));
        found.unwrap_or(word).to_owned()
    };
    words.filter(|word| word.starts_with("veddb_")).map(family).collect()
}

#[test]
fn alerts_and_dashboard_name_what_there_is() -> Result<()> {
    let declared = declared()?;
    for name in ["alerts.yml", "alerts.test.yml", "grafana-dashboard.json"] {
        let text = fs::read_to_string(repository().join("ops").join(name))?;
        let named = named(&text, &declared);
        ensure!(named.len() > 10, "{name} names only {named:?}");
        let unknown: Vec<_> = named.difference(&declared).collect();
        ensure!(unknown.is_empty(), "{name} names {unknown:?}, which are no families");
    }
    let dashboard = fs::read_to_string(repository().join("ops").join("grafana-dashboard.json"))?;
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard)?;
    ensure!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() > 20), "the dashboard has no panels");
    Ok(())
}

/// Debian's package prometheus has promtool; ./test takes it from there.
#[test]
fn promtool_has_nothing_to_say() -> Result<()> {
    let rules = repository().join("ops").join("alerts.yml");
    let checked = Command::new("promtool").args(["check", "rules"]).arg(rules).output().context("promtool")?;
    ensure!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let tests = repository().join("ops").join("alerts.test.yml");
    let tested = Command::new("promtool").args(["test", "rules"]).arg(tests).output()?;
    let said = [tested.stdout, tested.stderr].concat();
    ensure!(tested.status.success(), "{}", String::from_utf8_lossy(&said));
    let watched = Watched::start(Options::new())?;
    watched.server.client()?.ask(&["SET", "k", "v"])?;
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn()?;
    let mut input = child.stdin.take().context("its input")?;
    std::io::Write::write_all(&mut input, get(watched.http(), "/metrics")?.body.as_bytes())?;
    drop(input);
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    Ok(())
}
