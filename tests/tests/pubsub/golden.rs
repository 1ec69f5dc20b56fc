//! `golden.txt` is what redis-server 7.0.15 answered: `'CMD' 'arg' -> b'reply'`, and what a subscriber got in a line of its own.
//! VedDB answers the same bytes, but for versions and ids, the order within a set of channels or patterns, and a RESP3 publisher's
//! own messages, which come after the reply as in newer versions.

use std::io::Cursor;

use anyhow::{Context, Result, ensure};
use veddb_tests::{Client, Options, Value, request};

const GOLDEN: &str = include_str!("golden.txt");

/// One line: the words of the command, and what came.
struct Step {
    words: Vec<Vec<u8>>,
    reply: Vec<u8>,
    /// What the subscriber got, where another client sent the command.
    message: Option<Vec<u8>>,
}

fn steps(section: &str) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    for line in section.lines() {
        if let Some(message) = line.strip_prefix(" sub got ") {
            steps.last_mut().context("a message without a command")?.message = Some(literal(message)?.0);
            continue;
        }
        let (command, reply) = line.split_once(" -> ").with_context(|| line.to_owned())?;
        let words = command.split(' ').map(|word| word.trim_matches('\'').as_bytes().to_vec()).collect();
        steps.push(Step { words, reply: literal(reply)?.0, message: None });
    }
    Ok(steps)
}

/// A Python literal of bytes, and what stands after it.
fn literal(text: &str) -> Result<(Vec<u8>, &str)> {
    let text = text.strip_prefix('b').context("not bytes")?;
    let quote = text.chars().next().context("not bytes")?;
    let mut bytes = Vec::new();
    let mut chars = text[1..].char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((bytes, &text[at + 2..])),
            '\\' => bytes.push(match chars.next().context("a lonely backslash")?.1 {
                'r' => b'\r',
                'n' => b'\n',
                other => other as u8,
            }),
            c => bytes.push(c as u8),
        }
    }
    anyhow::bail!("no end: {text}")
}

/// The replies that these bytes are, each as its own bytes.
fn frames(bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut cursor = Cursor::new(bytes);
    let mut frames = Vec::new();
    while (cursor.position() as usize) < bytes.len() {
        let from = cursor.position() as usize;
        Value::read(&mut cursor)?;
        frames.push(bytes[from..cursor.position() as usize].to_vec());
    }
    Ok(frames)
}

/// Reads as many bytes as were expected.
fn read(client: &mut Client, count: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    client.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The same where only the order of frames, or that of names whose counts stay, is another.
fn same(expected: &[u8], answer: &[u8]) -> Result<bool> {
    if expected == answer {
        return Ok(true);
    }
    let sorted = |bytes: &[u8]| -> Result<Vec<Vec<u8>>> {
        // Names apart from counts: each in its place says how many are left.
        let mut parts: Vec<Vec<u8>> = frames(bytes)?
            .iter()
            .flat_map(|frame| frame.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>())
            .collect();
        parts.sort();
        Ok(parts)
    };
    Ok(sorted(expected)? == sorted(answer)?)
}

fn check(protocol: &str, section: &str) -> Result<()> {
    let server = Options::new().start()?;
    let (mut subscriber, mut other) = (Client::connect(server.port())?, Client::connect(server.port())?);
    for step in steps(section)? {
        let name = String::from_utf8_lossy(&step.words[0]).into_owned();
        let line = || format!("{protocol}: {}", String::from_utf8_lossy(&step.words.join(&b' ')));
        // Others ask what a subscriber of RESP2 may not.
        let client = if step.message.is_some() || name == "PUBSUB" { &mut other } else { &mut subscriber };
        client.send(&request(&step.words))?;
        if name == "HELLO" {
            let hello = client.read()?;
            ensure!(hello.get("server").is_some() || protocol == "RESP 2", "{}: {hello}", line());
            continue;
        }
        let ends = step.reply.ends_with(b"<EOF>");
        let expected = step.reply.strip_suffix(b"<EOF>".as_slice()).unwrap_or(&step.reply);
        // The names that are not known are spelled in lower case there as here, so lengths are the same too.
        let answer = if ends { client.read_to_end()? } else { read(client, expected.len()).with_context(line)? };
        ensure!(
            same(expected, &answer)?,
            "{}\nexpected {}\nanswered {}",
            line(),
            expected.escape_ascii(),
            answer.escape_ascii()
        );
        if let Some(expected) = &step.message {
            let got = read(&mut subscriber, expected.len()).with_context(line)?;
            ensure!(
                same(expected, &got)?,
                "{}\nexpected {}\ngot {}",
                line(),
                expected.escape_ascii(),
                got.escape_ascii()
            );
            let first = |bytes: &[u8]| frames(bytes).map(|frames| frames.first().cloned());
            ensure!(first(expected)? == first(&got)?, "{}: the channel's message comes first", line());
        }
    }
    Ok(())
}

#[test]
fn answers_are_those_of_redis() -> Result<()> {
    let (resp2, resp3) = GOLDEN.split_once("=== RESP 3\n").context("no RESP3")?;
    check("RESP 2", resp2.strip_prefix("=== RESP 2\n").context("no RESP2")?)?;
    check("RESP 3", resp3)
}
