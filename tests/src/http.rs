//! Asks `http-port`, and reads Prometheus's text format as its specification has it, without the crate that writes it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: String,
}

/// Asks for a path, by a connection of its own.
pub fn get(port: u16, path: &str) -> Result<Answer> {
    get_as("127.0.0.1", port, "127.0.0.1", path)
}

/// The same at another address, by a name.
pub fn get_as(address: &str, port: u16, host: &str, path: &str) -> Result<Answer> {
    let mut socket = TcpStream::connect((address, port))?;
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes)?;
    let text = String::from_utf8(bytes)?;
    let (head, body) = text.split_once("\r\n\r\n").context("an answer has a head")?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("a head has a status")?.parse()?;
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Ok(Answer { status, headers, body: body.to_owned() })
}

/// What `/metrics` said at one time.
#[derive(Debug, Clone, Default)]
pub struct Scrape {
    samples: BTreeMap<(String, BTreeMap<String, String>), f64>,
    /// Kinds of families by their names.
    pub kinds: BTreeMap<String, String>,
}

impl Scrape {
    /// Asks for it.
    pub fn of(port: u16) -> Result<Scrape> {
        let answer = get(port, "/metrics")?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.body);
        ensure!(answer.headers.get("content-type").is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")));
        Scrape::read(&answer.body)
    }

    /// Reads the format. What is there twice, or stands without a kind, is an error.
    pub fn read(text: &str) -> Result<Scrape> {
        let mut scrape = Scrape::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').context("a TYPE has a name and a kind")?;
                ensure!(scrape.kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} has two kinds");
            } else if !line.starts_with('#') {
                let (name, labels, value) = sample(line).with_context(|| line.to_owned())?;
                ensure!(scrape.family(&name).is_some(), "{name} has no kind");
                let twice = scrape.samples.insert((name, labels), value);
                ensure!(twice.is_none(), "twice: {line}");
            }
        }
        Ok(scrape)
    }

    /// The family of a sample: its name, or that of the histogram that it is a part of.
    pub fn family<'n>(&self, name: &'n str) -> Option<&'n str> {
        if self.kinds.contains_key(name) {
            return Some(name);
        }
        let mut parts = ["_bucket", "_sum", "_count"].into_iter().filter_map(|part| name.strip_suffix(part));
        parts.find(|name| self.kinds.get(*name).is_some_and(|kind| kind == "histogram"))
    }

    /// A figure; none where it is not shown.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.samples.get(&(name.to_owned(), labels)).copied()
    }

    /// All figures of a name, by their labels.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = (&'s BTreeMap<String, String>, f64)> {
        self.samples.iter().filter(move |((one, _), _)| one == name).map(|((_, labels), value)| (labels, *value))
    }
}

/// `name{label="value",..} 1`.
fn sample(line: &str) -> Result<(String, BTreeMap<String, String>, f64)> {
    let end = line.find(['{', ' ']).context("a sample has a value")?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, after) = rest.trim_start_matches(',').split_once("=\"").context("a label has a value")?;
            let (value, after) = quoted(after)?;
            labels.insert(label.to_owned(), value);
            rest = after;
        }
        rest = &rest[1..];
    }
    Ok((name.to_owned(), labels, rest.trim().parse()?))
}

/// A text up to its closing quotation mark, and what comes after that.
fn quoted(text: &str) -> Result<(String, &str)> {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('\\' | '"'))) => value.push(c),
                other => bail!("an escape that is none: {other:?}"),
            },
            c => value.push(c),
        }
    }
    bail!("a label's value does not end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_read() {
        let text = "# HELP a x\n# TYPE a histogram\na_bucket{b=\"x,\\\"}\\\\\\n\",le=\"+Inf\"} 3\na_sum{b=\"\"} 0.5\n";
        let scrape = Scrape::read(text).unwrap();
        assert_eq!(scrape.get("a_bucket", &[("b", "x,\"}\\\n"), ("le", "+Inf")]), Some(3.0));
        assert_eq!(scrape.get("a_sum", &[("b", "")]), Some(0.5));
        assert_eq!(scrape.get("a_sum", &[]), None);
        assert!(Scrape::read("a 1\n").is_err(), "without a kind");
        assert!(Scrape::read("# TYPE a gauge\na 1\na 2\n").is_err(), "twice");
    }
}
