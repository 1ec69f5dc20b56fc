//! A connection that sends commands and reads their replies in RESP2. Knows the shapes of replies, not what they mean.

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const REPLY_BYTES_MAX: usize = 1 << 20;

/// What comes back; an error ends the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// No value.
    Null,
    /// A line, a number or a string.
    Text(String),
    /// Several.
    Array(Vec<Reply>),
}

/// The words as one command.
pub(crate) fn request(words: &[&str]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        request.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    request
}

/// One connection, and what of its replies was not read yet.
pub(crate) struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
    at: usize,
}

impl Connection {
    /// Connects.
    pub(crate) async fn to(address: &str) -> Result<Connection> {
        let socket = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        socket.set_nodelay(true)?;
        Ok(Connection { socket, buffer: Vec::new(), at: 0 })
    }

    /// Sends a command and waits for its reply.
    pub(crate) async fn ask(&mut self, words: &[&str]) -> Result<Reply> {
        self.send(&request(words)).await?;
        self.reply().await
    }

    /// Sends what was made of commands before.
    pub(crate) async fn send(&mut self, requests: &[u8]) -> Result<()> {
        Ok(self.socket.write_all(requests).await?)
    }

    /// The next reply.
    pub(crate) async fn reply(&mut self) -> Result<Reply> {
        loop {
            if let Some((reply, length)) = parse(self.buffer.get(self.at..).unwrap_or_default(), 0)? {
                self.at += length;
                if self.at == self.buffer.len() {
                    self.buffer.clear();
                    self.at = 0;
                }
                return Ok(reply);
            }
            ensure!(self.socket.read_buf(&mut self.buffer).await? > 0, "the server closed a connection");
        }
    }
}

/// The reply at the beginning of these bytes and how long it is; none where it is not there yet.
fn parse(bytes: &[u8], depth: usize) -> Result<Option<(Reply, usize)>> {
    let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let line = String::from_utf8_lossy(bytes.get(1..end).unwrap_or_default()).into_owned();
    let after = end + 2;
    match bytes.first() {
        Some(b'+' | b':') => Ok(Some((Reply::Text(line), after))),
        Some(b'$' | b'*') if line == "-1" => Ok(Some((Reply::Null, after))),
        Some(b'$') => {
            let length: usize = line.parse()?;
            ensure!(length < REPLY_BYTES_MAX, "a reply of {length} bytes");
            let text = bytes.get(after..after + length + 2).and_then(|text| text.strip_suffix(b"\r\n"));
            Ok(text.map(|text| (Reply::Text(String::from_utf8_lossy(text).into_owned()), after + length + 2)))
        }
        Some(b'*') if depth < 4 => {
            let (mut items, mut at) = (Vec::new(), after);
            for _ in 0..line.parse::<usize>()? {
                let Some((item, length)) = parse(bytes.get(at..).unwrap_or_default(), depth + 1)? else {
                    return Ok(None);
                };
                items.push(item);
                at += length;
            }
            Ok(Some((Reply::Array(items), at)))
        }
        _ => bail!("the server said {line}"),
    }
}
