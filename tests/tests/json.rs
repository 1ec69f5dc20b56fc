//! JSON and JSONPath, judged by the suites that others publish (`tests/data`).

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value as Json;
use veddb_tests::{Client, Options, Value, repository};

/// Whether a text is accepted as a JSON value.
///
/// A document is an object, so the text has to stand inside one, and there a text that is no JSON may become right:
/// `1,"b":2` as a member, `1,2` as an element. No text but JSON is right in both, so it is sent as both.
fn accepts(client: &mut Client, name: &str, text: &[u8]) -> Result<bool> {
    let mut accepted = [false; 2];
    for (accepted, [before, after]) in accepted.iter_mut().zip([["{\"v\":", "}"], ["{\"v\":[", "]}"]]) {
        let document = [before.as_bytes(), text, after.as_bytes()].concat();
        let reply = client.run(&[b"DOC.SET".as_slice(), b"judged", b"x", &document])?;
        *accepted = match reply {
            Value::Integer(_) => true,
            Value::Error(_) => {
                ensure!(reply.is_error("BADDOC") || reply.is_error("TOOBIG"), "{name}: {reply}");
                false
            }
            other => anyhow::bail!("{name}: {other}"),
        };
        if *accepted {
            let stored = client.ask(&["DOC.GET", "judged", "x"])?;
            serde_json::from_str::<Json>(stored.expect_text())
                .with_context(|| format!("{name} came back as {stored}"))?;
        }
    }
    Ok(accepted[0] && accepted[1])
}

#[test]
fn json_is_judged_as_the_suite_does() -> Result<()> {
    let unpacked = tempfile::tempdir()?;
    let archive = repository().join("tests/data/json-test-suite.tar.gz");
    let status = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(unpacked.path()).status()?;
    ensure!(status.success(), "tar: {status}");
    let server = Options::new().start()?;
    let mut client = server.client()?;
    let (mut counted, mut wrong) = ([0, 0, 0], Vec::new());
    for entry in fs::read_dir(unpacked.path().join("test_parsing"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let text = fs::read(entry.path())?;
        let accepted = accepts(&mut client, &name, &text)?;
        let expected = match name.as_bytes().first() {
            Some(b'y') => Some(true),
            Some(b'n') => Some(false),
            _ => None,
        };
        counted[expected.map_or(2, usize::from)] += 1;
        if expected.is_some_and(|expected| expected != accepted) {
            wrong.push(name);
        }
    }
    assert!(counted[0] > 180 && counted[1] > 90, "the suite is not complete: {counted:?}");
    assert!(wrong.is_empty(), "{} wrong: {wrong:?}", wrong.len());
    Ok(())
}

/// `$` outside of string literals becomes `$['v']`: the document under test is the member `v`.
fn inside_v(selector: &str) -> String {
    let mut out = String::new();
    let mut quote = None;
    let mut characters = selector.chars();
    while let Some(character) = characters.next() {
        out.push(character);
        match (character, quote) {
            ('\\', Some(_)) => out.extend(characters.next()),
            ('\'' | '"', None) => quote = Some(character),
            (end, Some(begin)) if end == begin => quote = None,
            ('$', None) => out.push_str("['v']"),
            _ => {}
        }
    }
    out
}

/// Equal as JSON: `1` and `1.0` are the same number, the order of members does not matter.
fn same(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Number(left), Json::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (Json::Array(left), Json::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Json::Object(left), Json::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, value)| right.get(name).is_some_and(|other| same(value, other)))
        }
        _ => left == right,
    }
}

/// The cases that `docs/differences.md` owns up to: the first column of the table under "JSONPath".
fn known_differences() -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(repository().join("docs/differences.md"))?;
    let section = text.split("## JSONPath").nth(1).context("docs/differences.md has no section JSONPath")?;
    let section = section.split("\n## ").next().unwrap_or(section);
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).skip(1);
    Ok(rows.map(|name| name.trim().to_owned()).collect())
}

#[test]
fn jsonpath_agrees_with_the_compliance_suite() -> Result<()> {
    let suite: Json = serde_json::from_slice(&fs::read(repository().join("tests/data/jsonpath-cts.json"))?)?;
    let cases = suite["tests"].as_array().context("no tests")?;
    assert_eq!(cases.len(), 703);
    let server = Options::new().start()?;
    let mut client = server.client()?;
    let mut differing = BTreeSet::new();
    let mut shown = Vec::new();
    for case in cases {
        let name = case["name"].as_str().context("a case without a name")?;
        let selector = inside_v(case["selector"].as_str().context("a case without a selector")?);
        let document = format!("{{\"v\":{}}}", case.get("document").unwrap_or(&Json::Null));
        client.ask(&["DOC.SET", "paths", "x", &document])?;
        let reply = client.run(&["DOC.GET", "paths", "x", &selector])?;
        let agrees = if case["invalid_selector"] == Json::Bool(true) {
            reply.is_error("BADPATH")
        } else {
            let nodes = reply.text().and_then(|text| serde_json::from_str::<Json>(text).ok());
            let single = case.get("result").into_iter();
            let mut allowed = single.chain(case.get("results").and_then(Json::as_array).into_iter().flatten());
            nodes.is_some_and(|nodes| allowed.any(|allowed| same(allowed, &nodes)))
        };
        if !agrees {
            differing.insert(name.to_owned());
            shown.push(format!("{name}: {selector} -> {reply}"));
        }
    }
    assert_eq!(
        differing,
        known_differences()?,
        "what differs is not what docs/differences.md says:\n{}",
        shown.join("\n")
    );
    Ok(())
}

#[test]
fn selectors_are_moved_inside_v() {
    assert_eq!(inside_v("$.a"), "$['v'].a");
    assert_eq!(inside_v("$[?@.a == $.b && @.c == '$\\'$']"), "$['v'][?@.a == $['v'].b && @.c == '$\\'$']");
}
