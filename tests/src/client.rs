//! A small blocking RESP client: enough to send any bytes and to read any reply.

use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use socket2::{Domain, Socket, Type};

use crate::Value;

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// The wire form of a request.
pub fn request<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        let argument = argument.as_ref();
        out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
    out
}

impl Client {
    /// Connects to a port of the loopback address. A reply that takes longer than 30 seconds is an error.
    pub fn connect(port: u16) -> Result<Client> {
        Client::connect_to("127.0.0.1", port)
    }

    /// Connects to any address.
    pub fn connect_to(host: &str, port: u16) -> Result<Client> {
        Client::over(TcpStream::connect((host, port)).with_context(|| format!("cannot connect to {host}:{port}"))?)
    }

    /// Connects from an address of this machine, all of 127.0.0.0/8 among them.
    pub fn connect_from(address: Ipv4Addr, port: u16) -> Result<Client> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((address, 0)).into())?;
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        socket.connect(&to.into()).with_context(|| format!("cannot connect to {to}"))?;
        Client::over(socket.into())
    }

    fn over(stream: TcpStream) -> Result<Client> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_write_timeout(Some(Duration::from_secs(30)))?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    /// Changes how long a reply is waited for.
    pub fn set_timeout(&self, timeout: Duration) -> Result<()> {
        Ok(self.stream.get_ref().set_read_timeout(Some(timeout))?)
    }

    /// Sends a request and reads its reply.
    pub fn run<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Result<Value> {
        self.send(&request(arguments))?;
        self.read()
    }

    /// Sends a request and reads its reply, which must not be an error.
    pub fn ask<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Result<Value> {
        match self.run(arguments)? {
            Value::Error(message) => {
                let sent: Vec<String> = arguments.iter().map(|one| crate::value::escape(one.as_ref())).collect();
                bail!("{message} (sent: {})", sent.join(" "))
            }
            value => Ok(value),
        }
    }

    /// Sends many requests at once and reads their replies.
    pub fn pipeline<A: AsRef<[u8]>>(&mut self, requests: &[Vec<A>]) -> Result<Vec<Value>> {
        let mut bytes = Vec::new();
        for arguments in requests {
            bytes.extend_from_slice(&request(arguments));
        }
        self.send(&bytes)?;
        requests.iter().map(|_| self.read()).collect()
    }

    /// Sends any bytes.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.get_mut().write_all(bytes).context("cannot send")
    }

    /// Reads one reply.
    pub fn read(&mut self) -> Result<Value> {
        Value::read(&mut self.stream).context("cannot read a reply")
    }

    /// Reads exactly so many bytes.
    pub fn read_exact(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.stream.read_exact(bytes).context("cannot read a reply")
    }

    /// Reads until the server closes; everything that came.
    pub fn read_to_end(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            // Closing with unread input sends a reset, which is as much an end as any.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(bytes),
            Err(error) => Err(error).context("the server did not close"),
        }
    }

    /// Says that nothing more will be sent, while replies can still be read.
    pub fn finish_sending(&self) -> Result<()> {
        Ok(self.stream.get_ref().shutdown(std::net::Shutdown::Write)?)
    }

    /// One section or all of INFO, as text.
    pub fn info(&mut self, section: &str) -> Result<String> {
        Ok(self.ask(&["INFO", section])?.expect_text().to_owned())
    }

    /// One figure of INFO.
    pub fn figure(&mut self, section: &str, name: &str) -> Result<String> {
        let info = self.info(section)?;
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.trim_end().to_owned()).with_context(|| format!("INFO {section} has no {name}"))
    }
}
