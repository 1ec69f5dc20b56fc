//! Transcripts: what is sent and what comes back, in `tests/scripts/**/*.resp`.
//!
//! ```text
//! #! --requirepass secret          arguments for the server; each file gets a fresh one for each protocol
//! # A comment.
//! > DOC.SET users a '{"x":1}'      a command, quoted as in redis-cli; `'..'` takes everything literally
//! :1                               its reply, as `Value` prints it, up to an empty line or the next command
//!
//! second> CLIENT ID                another connection, by its name
//! :<int as other>                  a placeholder: <int> <uuid> <any>; `as` keeps what it stood for
//!
//! > CLIENT KILL ID <other>         ..so that it can be sent later
//! :1
//!
//! > HELLO 3                        where the protocols' replies differ:
//! # resp2
//! -NOPROTO ..
//! # resp3
//! {
//!   ...                            a line of three dots stands for any number of lines
//! }
//!
//! >- CLIENT REPLY OFF              is sent, and no reply is read
//! second<                          nothing is sent, and a message is read
//! ```
//!
//! `closed` is the reply when the server closed the connection. `UPDATE=1` writes what came into the file, wherever
//! what is there does not match it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::{Client, Options};

/// One file of commands and replies.
#[derive(Debug)]
pub struct Script {
    path: PathBuf,
    arguments: Vec<String>,
    steps: Vec<Step>,
    /// Lines after the last step.
    tail: Vec<String>,
}

/// One command and what it should answer.
#[derive(Debug)]
struct Step {
    /// Comments and empty lines before it.
    before: Vec<String>,
    /// The line as it stands in the file.
    line: String,
    connection: String,
    silent: bool,
    words: Vec<Vec<u8>>,
    /// What RESP2 and RESP3 should answer.
    expected: [Vec<String>; 2],
}

/// Which of a step's expectations is for this protocol.
fn slot(protocol: u8) -> usize {
    usize::from(protocol == 3)
}

/// Every script under a directory, in the order of their paths.
pub fn find(under: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut directories = vec![under.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "resp") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

impl Script {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Script> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Script::parse(path, &text).with_context(|| path.display().to_string())
    }

    fn parse(path: &Path, text: &str) -> Result<Script> {
        let mut script = Script { path: path.to_owned(), arguments: Vec::new(), steps: Vec::new(), tail: Vec::new() };
        let mut before = Vec::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some(arguments) = line.strip_prefix("#!") {
                script.arguments = words(arguments)?.into_iter().map(String::from_utf8).collect::<Result<_, _>>()?;
            }
            let Some((connection, silent, command)) = split_command(line) else {
                ensure!(line.is_empty() || line.starts_with('#'), "a reply without a command: {line}");
                before.push(line.to_owned());
                continue;
            };
            let mut expected = [Vec::new(), Vec::new()];
            let mut wanted = [true, true];
            while let Some(line) = lines.peek() {
                match *line {
                    "# resp2" => wanted = [true, false],
                    "# resp3" => wanted = [false, true],
                    "" => break,
                    other if other.starts_with('#') && !other.starts_with("#t") && !other.starts_with("#f") => break,
                    other if split_command(other).is_some() => break,
                    other => {
                        for (lines, wanted) in expected.iter_mut().zip(wanted) {
                            if wanted {
                                lines.push(other.to_owned());
                            }
                        }
                    }
                }
                lines.next();
            }
            script.steps.push(Step {
                before: std::mem::take(&mut before),
                line: line.to_owned(),
                connection: connection.to_owned(),
                silent,
                words: words(command).with_context(|| line.to_owned())?,
                expected,
            });
        }
        script.tail = before;
        Ok(script)
    }

    /// The commands that the script sends, in upper case; of a container also with its subcommand: `CLIENT|KILL`.
    pub fn commands(&self) -> impl Iterator<Item = String> + '_ {
        let word = |step: &Step, at: usize| {
            step.words.get(at).map(|word| String::from_utf8_lossy(word).to_ascii_uppercase()).unwrap_or_default()
        };
        self.steps.iter().flat_map(move |step| {
            let name = word(step, 0);
            [format!("{name}|{}", word(step, 1)), name]
        })
    }

    /// The error codes among the replies that the script expects.
    pub fn error_codes(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().flat_map(|step| step.expected.iter().flatten()).filter_map(|line| {
            let code = line.trim_start().strip_prefix('-')?.split(' ').next()?;
            (!code.is_empty() && code.bytes().all(|byte| byte.is_ascii_uppercase())).then_some(code)
        })
    }

    /// Runs it on a fresh server under one protocol; a message for each reply that is another than expected, and what
    /// each step answered.
    fn run(&self, protocol: u8) -> Result<(Vec<String>, Vec<Vec<String>>)> {
        let mut options = Options::new();
        let mut arguments = self.arguments.iter();
        while let Some(name) = arguments.next() {
            let name = name.strip_prefix("--").with_context(|| format!("not a setting: {name}"))?;
            let value = arguments.next().with_context(|| format!("--{name} without a value"))?;
            // The harness needs the password to see that the server is up; the script's own connections start without.
            options = if name == "requirepass" { options.password(value) } else { options.set(name, value) };
        }
        let server = options.start()?;
        let mut connections: BTreeMap<&str, Client> = BTreeMap::new();
        let mut captured = BTreeMap::new();
        let (mut wrong, mut answers) = (Vec::new(), Vec::new());
        for step in &self.steps {
            if !connections.contains_key(step.connection.as_str()) {
                let mut client = Client::connect(server.port())?;
                if protocol == 3 {
                    client.run(&["HELLO", "3"])?;
                }
                connections.insert(&step.connection, client);
            }
            let client = connections.get_mut(step.connection.as_str()).context("was just connected")?;
            let request: Vec<Vec<u8>> = step.words.iter().map(|word| substitute(word, &captured)).collect();
            if !request.is_empty() {
                client.send(&crate::client::request(&request)).with_context(|| step.line.clone())?;
            }
            if step.silent {
                answers.push(Vec::new());
                continue;
            }
            let answer: Vec<String> = match client.read() {
                Ok(value) => value.to_string().lines().map(str::to_owned).collect(),
                Err(error) if is_end(&error) => {
                    connections.remove(step.connection.as_str());
                    vec!["closed".to_owned()]
                }
                Err(error) => return Err(error.context(step.line.clone())),
            };
            let expected = &step.expected[slot(protocol)];
            if !lines_match(expected, &answer, &mut captured) {
                wrong.push(format!(
                    "{} under RESP{protocol}\n{}\nexpected:\n{}\nanswered:\n{}\n",
                    self.path.display(),
                    step.line,
                    expected.join("\n"),
                    answer.join("\n")
                ));
            }
            answers.push(answer);
        }
        Ok((wrong, answers))
    }

    /// Runs it under both protocols, and with `update` writes what came where it does not match. What was wrong.
    pub fn check(mut self, update: bool) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        let mut changed = false;
        for protocol in [2, 3] {
            let (differences, answers) = self.run(protocol)?;
            if update && !differences.is_empty() {
                for (step, answer) in self.steps.iter_mut().zip(answers) {
                    let expected = &mut step.expected[slot(protocol)];
                    if !lines_match(expected, &answer, &mut BTreeMap::new()) {
                        *expected = answer;
                        changed = true;
                    }
                }
            } else {
                wrong.extend(differences);
            }
        }
        if changed {
            std::fs::write(&self.path, self.to_text())?;
        }
        Ok(wrong)
    }

    fn to_text(&self) -> String {
        let mut out = Vec::new();
        for step in &self.steps {
            out.extend(step.before.iter().map(String::as_str));
            out.push(&step.line);
            let [resp2, resp3] = &step.expected;
            if resp2 != resp3 {
                out.push("# resp2");
            }
            out.extend(resp2.iter().map(String::as_str));
            if resp2 != resp3 {
                out.push("# resp3");
                out.extend(resp3.iter().map(String::as_str));
            }
        }
        out.extend(self.tail.iter().map(String::as_str));
        out.join("\n") + "\n"
    }
}

fn is_end(error: &anyhow::Error) -> bool {
    use std::io::ErrorKind;
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    matches!(kind, Some(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
}

/// A command's line: connection, whether no reply is read, and the command, which is empty where nothing is sent.
fn split_command(line: &str) -> Option<(&str, bool, &str)> {
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase());
    if let Some(connection) = line.strip_suffix('<').filter(|name| is_name(name)) {
        return Some((connection, false, ""));
    }
    let (connection, rest) = line.split_once('>')?;
    if !is_name(connection) {
        return None;
    }
    match rest.strip_prefix("- ") {
        Some(command) => Some((connection, true, command)),
        None => Some((connection, false, rest.strip_prefix(' ')?)),
    }
}

/// Splits a command into its words.
fn words(line: &str) -> Result<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start().as_bytes();
    while let Some(first) = rest.first() {
        let mut word = Vec::new();
        match first {
            b'\'' => {
                let end = rest[1..].iter().position(|byte| *byte == b'\'').context("a quote without its end")?;
                word.extend_from_slice(&rest[1..=end]);
                rest = &rest[end + 2..];
            }
            b'"' => rest = quoted(&rest[1..], &mut word)?,
            _ => {
                let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
                word.extend_from_slice(&rest[..end]);
                rest = &rest[end..];
            }
        }
        words.push(word);
        ensure!(rest.first().is_none_or(|byte| *byte == b' '), "text right after a quote");
        rest = rest.trim_ascii_start();
    }
    Ok(words)
}

fn quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8]> {
    loop {
        match rest {
            [b'"', after @ ..] => return Ok(after),
            [b'\\', b'x', high, low, after @ ..] => {
                word.push(u8::from_str_radix(std::str::from_utf8(&[*high, *low])?, 16)?);
                rest = after;
            }
            [b'\\', escaped, after @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => *other,
                });
                rest = after;
            }
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
            [] => bail!("a quote without its end"),
        }
    }
}

fn substitute(word: &[u8], captured: &BTreeMap<String, String>) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(word) else { return word.to_vec() };
    let replaced =
        captured.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("<{name}>"), value));
    replaced.into_bytes()
}

fn lines_match(expected: &[String], answer: &[String], captured: &mut BTreeMap<String, String>) -> bool {
    match expected {
        [] => answer.is_empty(),
        [dots, rest @ ..] if dots.trim() == "..." => {
            (0..=answer.len()).any(|skipped| lines_match(rest, &answer[skipped..], captured))
        }
        [first, rest @ ..] => match answer {
            [] => false,
            [line, others @ ..] => line_matches(first, line, captured) && lines_match(rest, others, captured),
        },
    }
}

fn line_matches(expected: &str, line: &str, captured: &mut BTreeMap<String, String>) -> bool {
    let Some((literal, kind, name, rest)) = next_placeholder(expected) else { return expected == line };
    let Some(line) = line.strip_prefix(literal) else { return false };
    let fits = |text: &str| match kind {
        "int" => text.parse::<i64>().is_ok(),
        "uuid" => text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'),
        _ => true,
    };
    // The longest first, so that a number is not cut in two.
    for end in (0..=line.len()).rev().filter(|end| line.is_char_boundary(*end)) {
        if fits(&line[..end]) && line_matches(rest, &line[end..], captured) {
            if let Some(name) = name {
                captured.insert(name.to_owned(), line[..end].to_owned());
            }
            return true;
        }
    }
    false
}

/// The text before the first placeholder, its kind and name, and the text after it.
fn next_placeholder(text: &str) -> Option<(&str, &str, Option<&str>, &str)> {
    for (start, _) in text.match_indices('<') {
        let Some(length) = text[start..].find('>') else { continue };
        let inside = &text[start + 1..start + length];
        let (kind, name) = match inside.split_once(" as ") {
            Some((kind, name)) => (kind, Some(name)),
            None => (inside, None),
        };
        if matches!(kind, "int" | "uuid" | "any") {
            return Some((&text[..start], kind, name, &text[start + length + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(expected: &str, answer: &str) -> bool {
        line_matches(expected, answer, &mut BTreeMap::new())
    }

    #[test]
    fn placeholders_stand_for_what_they_say() {
        assert!(line(":<int>", ":12"));
        assert!(!line(":<int>", ":x"));
        assert!(line("id=<int> addr=<any> fd=<int>", "id=1 addr=127.0.0.1:99 fd=8"));
        assert!(!line("a", "ab"));
        assert!(line("$ <uuid>", "$ 0190e5a2-0000-7000-8000-000000000000"));
        assert!(line("a <b> c", "a <b> c"));
        let mut captured = BTreeMap::new();
        assert!(line_matches(":<int as me>", ":77", &mut captured));
        assert_eq!(substitute(b"<me>!", &captured), b"77!");
    }

    #[test]
    fn dots_stand_for_lines() {
        let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(lines_match(&lines("a ... d"), &lines("a b c d"), &mut BTreeMap::new()));
        assert!(lines_match(&lines("a ... d"), &lines("a d"), &mut BTreeMap::new()));
        assert!(!lines_match(&lines("a ... d"), &lines("a b"), &mut BTreeMap::new()));
    }

    #[test]
    fn a_script_is_written_as_it_was_read() {
        let text = "#! --requirepass x\n# A comment.\n> GET 'a b' \"\\x00\\n\"\nnil\n\n> HELLO\n# resp2\n:1\n# resp3\n:2\n\n\
                    a>- PING\n\n# end\n";
        let script = Script::parse(Path::new("x"), text).unwrap();
        assert_eq!(script.to_text(), text);
        assert_eq!(script.arguments, ["--requirepass", "x"]);
        assert_eq!(script.steps[0].words, [b"GET".to_vec(), b"a b".to_vec(), b"\0\n".to_vec()]);
        assert_eq!(script.steps[1].expected, [[":1"], [":2"]]);
        assert!(script.steps[2].silent && script.steps[2].connection == "a");
    }

    #[test]
    fn codes_are_the_first_words_of_errors() {
        let script = Script::parse(Path::new("x"), "> A\n[\n  -DUPKEY x\n  :-1\n]\n> B\n-ERR y\n").unwrap();
        let mut codes: Vec<&str> = script.error_codes().collect();
        codes.dedup();
        assert_eq!(codes.into_iter().collect::<std::collections::BTreeSet<_>>().len(), 2);
    }
}
