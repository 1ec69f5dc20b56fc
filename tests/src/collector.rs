//! A collector of traces that behaves as it is told, badly for the most part. It does not read what it gets: what the server sends is
//! looked at elsewhere, by programs that others wrote.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Takes it.
    Take,
    /// Answers with this status, and with these headers.
    Answer(u16, &'static str),
    /// Never answers.
    Hang,
    /// Answers without an end.
    Flood,
    /// Closes the connection.
    Slam,
    /// Answers what is no HTTP.
    Babble,
}

/// A collector on a port of this machine, for as long as the process runs.
#[derive(Debug, Clone)]
pub struct Collector {
    port: u16,
    manner: Arc<Mutex<Manner>>,
    requests: Arc<AtomicU64>,
}

impl Collector {
    /// Listens on a free port.
    pub fn start(manner: Manner) -> Result<Collector> {
        Collector::on(TcpListener::bind("127.0.0.1:0")?, manner)
    }

    /// Listens there.
    pub fn on(listener: TcpListener, manner: Manner) -> Result<Collector> {
        let port = listener.local_addr()?.port();
        let collector = Collector { port, manner: Arc::new(Mutex::new(manner)), requests: Arc::default() };
        let serving = collector.clone();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let serving = serving.clone();
                // A client that leaves ends its own connection alone.
                thread::spawn(move || drop(serving.serve(socket)));
            }
        });
        Ok(collector)
    }

    /// Where it is.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Requests that it has read.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// From now on it does this.
    pub fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = manner;
    }

    fn serve(&self, mut socket: TcpStream) -> Result<()> {
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut reader = BufReader::new(socket.try_clone()?);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse()?,
                None if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        reader.read_exact(&mut vec![0; length]).context("its body")?;
        self.requests.fetch_add(1, Relaxed);
        let manner = *self.manner.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match manner {
            Manner::Take => write!(socket, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?,
            Manner::Answer(status, headers) => {
                write!(socket, "HTTP/1.1 {status} Told\r\n{headers}content-length: 0\r\n\r\n")?;
            }
            Manner::Hang => thread::sleep(Duration::from_secs(600)),
            Manner::Flood => {
                write!(socket, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
                let chunk = [b"10000\r\n".as_slice(), &[0; 0x10000], b"\r\n"].concat();
                // Ends when the other side has had enough.
                (0..100_000).try_for_each(|_| socket.write_all(&chunk))?;
            }
            Manner::Slam => {}
            Manner::Babble => socket.write_all(b"\x16\x03\x01nonsense\r\n\r\n")?,
        }
        Ok(())
    }
}
