//! `veddb key status`: asks a running server how far the rotation of its data key is, once or until it ends.
//!
//! A client like any other: it says KEY.STATUS and reads RESP2. The password comes from the environment, since every user
//! of the machine can read a command line.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use parking_lot::Mutex;

/// The variable that holds the password, as for redis-cli.
const PASSWORD: &str = "REDISCLI_AUTH";
const INTERVAL: Duration = Duration::from_millis(500);
/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// What no reply to KEY.STATUS comes near.
const REPLY_BYTES_MAX: usize = 1 << 20;
/// The line; the bar is 40 columns wide.
const TEMPLATE: &str = "{prefix} [{bar:40}] {msg}";
/// How far a bar goes: tenths of a percent.
const BAR_END: u64 = 1000;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    host: String,
    port: u16,
    watch: bool,
}

/// Runs the command with the words after `veddb key`. False: a rotation has failed.
pub fn run(words: &[String]) -> anyhow::Result<bool> {
    let asked = parse(words)?;
    let stream = TcpStream::connect((asked.host.as_str(), asked.port))
        .with_context(|| format!("cannot connect to {}:{}", asked.host, asked.port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut connection = BufReader::new(stream);
    if let Ok(password) = std::env::var(PASSWORD) {
        ask(&mut connection, &["AUTH", &password])?;
    }
    let mut out = std::io::stdout();
    let in_place = (asked.watch && out.is_terminal()).then(|| bar(ProgressDrawTarget::stdout()));
    loop {
        let status = members(ask(&mut connection, &["KEY.STATUS"])?);
        let going = asked.watch && status.get("state").is_some_and(|state| state == "re-encrypting");
        // A terminal shows one line that moves, a file each of them.
        match &in_place {
            Some(bar) if status.contains_key("state") && !is_idle(&status) => {
                show(bar, &status);
                if !going {
                    bar.abandon();
                }
            }
            _ => writeln!(out, "{}", describe(&status))?,
        }
        out.flush()?;
        if !going {
            return Ok(status.get("state").is_none_or(|state| state != "failed"));
        }
        std::thread::sleep(INTERVAL);
    }
}

fn parse(words: &[String]) -> anyhow::Result<Asked> {
    let mut words = words.iter().map(String::as_str);
    let mut asked = Asked { host: "127.0.0.1".to_owned(), port: 6379, watch: false };
    match words.next() {
        Some("status") => {}
        other => bail!("veddb key {}: it is veddb key status", other.unwrap_or_default()),
    }
    while let Some(word) = words.next() {
        match word {
            "--watch" => asked.watch = true,
            "--host" => asked.host = words.next().context("--host wants a name")?.to_owned(),
            "--port" => {
                asked.port = words.next().and_then(|port| port.parse().ok()).context("--port wants a number")?
            }
            other => bail!("veddb key status takes no {other}"),
        }
    }
    Ok(asked)
}

type Status = HashMap<String, String>;

fn is_idle(status: &Status) -> bool {
    status.get("state").is_some_and(|state| state == "idle")
}

fn bar(target: ProgressDrawTarget) -> ProgressBar {
    let style = ProgressStyle::with_template(TEMPLATE).expect("the template is right, as the tests see");
    ProgressBar::with_draw_target(Some(BAR_END), target).with_style(style.progress_chars("#-"))
}

/// Shows the state, how far it is, the figures.
fn show(bar: &ProgressBar, status: &Status) {
    let text = |name: &str| status.get(name).map_or("", String::as_str);
    let percent: f64 = text("percent").parse().unwrap_or_default();
    bar.set_prefix(format!("{} key {} to {}", text("state"), text("from"), text("to")));
    bar.set_message(figures(status, percent));
    bar.set_position((percent * 10.0) as u64);
    bar.tick();
}

fn figures(status: &Status, percent: f64) -> String {
    let text = |name: &str| status.get(name).map_or("", String::as_str);
    let mut line = format!("{percent:.1}%");
    if text("cancelled") == "1" {
        line.push_str(", cancelled");
    }
    match text("state") {
        "re-encrypting" => {
            line.push_str(&format!(", {} of {} records", text("done"), text("total")));
            if text("paused") == "1" {
                line.push_str(", paused");
            } else {
                line.push_str(&format!(", {}/s", text("rate")));
                if !text("eta").is_empty() {
                    line.push_str(&format!(", {} s left", text("eta")));
                }
                line.push_str(&format!(", {}", text("checkpoint")));
            }
        }
        "failed" => line.push_str(&format!(": {}", text("error"))),
        _ => {}
    }
    line.trim_end_matches([',', ' ']).to_owned()
}

/// The same as one line of text.
fn describe(status: &Status) -> String {
    if is_idle(status) {
        return "idle: the data key was never changed".to_owned();
    }
    let page = Page::default();
    let bar = bar(ProgressDrawTarget::hidden());
    show(&bar, status);
    bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(page.clone())));
    bar.tick();
    page.take()
}

/// Takes the place of a terminal where there is none: what is drawn is a text. Cursor movements have no meaning on it, for one
/// line is drawn once.
#[derive(Debug, Clone, Default)]
struct Page(Arc<Mutex<String>>);

impl Page {
    fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock()).trim().to_owned()
    }
}

impl TermLike for Page {
    fn width(&self) -> u16 {
        u16::MAX
    }
    fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
        Ok(())
    }
    fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
        Ok(())
    }
    fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
        Ok(())
    }
    fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
        Ok(())
    }
    fn write_line(&self, line: &str) -> std::io::Result<()> {
        self.write_str(line)
    }
    fn write_str(&self, text: &str) -> std::io::Result<()> {
        self.0.lock().push_str(text);
        Ok(())
    }
    fn clear_line(&self) -> std::io::Result<()> {
        self.0.lock().clear();
        Ok(())
    }
    fn flush(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The members of a map that RESP2 has as one array; those that are no text or number are left out.
fn members(reply: Reply) -> Status {
    let Reply::Array(items) = reply else { return HashMap::new() };
    let mut items = items.into_iter();
    let mut found = HashMap::new();
    while let (Some(Reply::Text(name)), Some(value)) = (items.next(), items.next()) {
        if let Reply::Text(value) = value {
            found.insert(name, value);
        }
    }
    found
}

#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Null,
    Text(String),
    Array(Vec<Reply>),
}

fn ask(connection: &mut BufReader<TcpStream>, words: &[&str]) -> anyhow::Result<Reply> {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    connection.get_mut().write_all(request.as_bytes()).context("cannot send")?;
    read(connection, 0)
}

fn read(from: &mut impl BufRead, depth: usize) -> anyhow::Result<Reply> {
    let mut line = Vec::new();
    from.take(REPLY_BYTES_MAX as u64).read_until(b'\n', &mut line).context("cannot read the reply")?;
    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
    let Some(kind) = line.chars().next() else { bail!("the server closed the connection") };
    let rest = line.get(kind.len_utf8()..).unwrap_or_default();
    let length = || rest.parse::<usize>().ok().filter(|length| *length <= REPLY_BYTES_MAX);
    match kind {
        '-' => bail!("{rest}"),
        '+' | ':' => Ok(Reply::Text(rest.to_owned())),
        '$' | '*' if rest == "-1" => Ok(Reply::Null),
        '$' => {
            let mut bytes = vec![0; length().context("not a reply")? + 2];
            from.read_exact(&mut bytes).context("cannot read the reply")?;
            Ok(Reply::Text(String::from_utf8_lossy(&bytes).trim_end_matches("\r\n").to_owned()))
        }
        '*' if depth < 4 => {
            let items = (0..length().context("not a reply")?).map(|_| read(from, depth + 1));
            Ok(Reply::Array(items.collect::<anyhow::Result<_>>()?))
        }
        _ => bail!("not a reply of RESP2: {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pairs: &[(&str, &str)]) -> Status {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_line_says_how_far_it_is() {
        let half = [
            ("state", "re-encrypting"),
            ("from", "1"),
            ("to", "2"),
            ("percent", "50"),
            ("done", "10"),
            ("total", "20"),
            ("rate", "5"),
            ("eta", "2"),
            ("checkpoint", "documents"),
        ];
        let bar = format!("[{}{}]", "#".repeat(20), "-".repeat(20));
        let expected = format!("re-encrypting key 1 to 2 {bar} 50.0%, 10 of 20 records, 5/s, 2 s left, documents");
        assert_eq!(describe(&status(&half)), expected);
        assert!(
            describe(&status(&[("state", "failed"), ("error", "the disk is full")])).ends_with(": the disk is full")
        );
        assert!(describe(&status(&[("state", "idle")])).starts_with("idle"));
    }

    #[test]
    fn replies_are_read_and_errors_are_errors() {
        let read = |text: &str| read(&mut text.as_bytes(), 0);
        let map = members(read("*4\r\n$5\r\nstate\r\n$4\r\nidle\r\n$4\r\nfrom\r\n$-1\r\n").unwrap());
        assert_eq!(map, status(&[("state", "idle")]));
        assert!(read("-NOAUTH Authentication required.\r\n").unwrap_err().to_string().starts_with("NOAUTH"));
        for wrong in ["", "*1\r\n", "$9\r\nx\r\n", "?\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_command_line_is_checked() {
        let parse = |words: &[&str]| parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let asked = parse(&["status", "--watch", "--port", "7000", "--host", "db"]).unwrap();
        assert_eq!(asked, Asked { host: "db".into(), port: 7000, watch: true });
        for wrong in [&[][..], &["list"], &["status", "--port"], &["status", "--port", "x"], &["status", "-w"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
