//! The bytes of one connection: plain, through TLS, or of a client within this process.
//!
//! Owns the socket. What waits, and for how long, is decided by who reads and writes.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;

/// How often it is looked whether a client is gone that has sent its next request already.
const LOOK: Duration = Duration::from_millis(100);

/// What one read takes out of TLS: as much as one of its records holds.
const RECORD_BYTES: usize = 16 * 1024;

/// A connection's socket.
#[derive(Debug)]
pub enum Stream {
    /// What is sent is what the other side reads.
    Plain(TcpStream),
    /// After a handshake, on either side.
    Tls(Box<TlsStream<TcpStream>>),
    /// One half of a pair: the other half is within this process.
    Local(UnixStream),
}

impl Stream {
    /// The socket itself, where it is one of the network.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Stream::Plain(tcp) => Some(tcp),
            Stream::Tls(tls) => Some(tls.get_ref().0),
            Stream::Local(_) => None,
        }
    }

    /// The certificate that the other side has shown and that was found to be good, if it did.
    pub fn certificate(&self) -> Option<&[u8]> {
        match self {
            Stream::Plain(_) | Stream::Local(_) => None,
            Stream::Tls(tls) => tls.get_ref().1.peer_certificates()?.first().map(AsRef::as_ref),
        }
    }

    /// Appends what has come, without waiting. None where nothing has; 0 at the end.
    ///
    /// # Errors
    /// Those of the socket, and whatever is not TLS where TLS is spoken.
    pub async fn read_now(&mut self, into: &mut BytesMut) -> io::Result<Option<usize>> {
        let tls = match self {
            Stream::Plain(tcp) => return unless_waiting(tcp.try_read_buf(into)),
            Stream::Local(half) => return unless_waiting(half.try_read_buf(into)),
            Stream::Tls(tls) => tls,
        };
        // Nothing is awaited below, so that the record is not part of every connection's task.
        poll_fn(|cx| Poll::Ready(read_records(tls, cx, into))).await
    }

    /// Returns once [`Stream::read_now`] may have something. It said None before: what TLS has opened already does not count.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Stream::Plain(tcp) => tcp.readable().await,
            Stream::Tls(tls) => tls.get_ref().0.readable().await,
            Stream::Local(half) => half.readable().await,
        }
    }

    /// Returns once the client is gone and has sent nothing more that is to be answered.
    pub async fn ended(&self) {
        match self {
            Stream::Plain(tcp) => {
                // Bytes are the next request; the end or an error is what is looked for.
                if matches!(tcp.peek(&mut [0]).await, Ok(1..)) {
                    std::future::pending::<()>().await;
                }
            }
            // Bytes may be TLS's own farewell.
            Stream::Tls(_) => self.gone().await,
            // Its client asks for one thing at a time, and ends by closing.
            Stream::Local(_) => self.gone().await,
        }
    }

    /// Returns once the client is gone, whatever it has sent before.
    pub async fn gone(&self) {
        if let Some(tcp) = self.tcp()
            && !matches!(tcp.peek(&mut [0]).await, Ok(1..))
        {
            return;
        }
        // Behind bytes that lie there only the system tells of the end.
        loop {
            tokio::time::sleep(LOOK).await;
            let ready = match self {
                Stream::Plain(tcp) => tcp.ready(Interest::READABLE).await,
                Stream::Tls(tls) => tls.get_ref().0.ready(Interest::READABLE).await,
                Stream::Local(half) => half.ready(Interest::READABLE).await,
            };
            if ready.is_ok_and(|ready| ready.is_read_closed()) {
                return;
            }
        }
    }
}

/// None where nothing has come.
fn unless_waiting(read: io::Result<usize>) -> io::Result<Option<usize>> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        read => read.map(Some),
    }
}

/// Appends what records hold that have come, as far as there is room.
fn read_records(
    tls: &mut TlsStream<TcpStream>,
    cx: &mut Context<'_>,
    into: &mut BytesMut,
) -> io::Result<Option<usize>> {
    let room = into.capacity() - into.len();
    let mut all = 0;
    let mut record = [0; RECORD_BYTES];
    while all < room {
        let most = record.len().min(room - all);
        let mut buffer = ReadBuf::new(record.get_mut(..most).unwrap_or_default());
        match Pin::new(&mut *tls).poll_read(cx, &mut buffer) {
            // What came before the end, or before an error, is served first; they are there for the next read too.
            Poll::Pending | Poll::Ready(Err(_)) if all > 0 => break,
            Poll::Pending => return Ok(None),
            Poll::Ready(read) => read?,
        }
        let count = buffer.filled().len();
        if count == 0 {
            break;
        }
        into.put_slice(buffer.filled());
        all += count;
    }
    Ok(Some(all))
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buffer),
            Stream::Local(half) => Pin::new(half).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, bytes),
            Stream::Local(half) => Pin::new(half).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
            Stream::Local(half) => Pin::new(half).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
            Stream::Local(half) => Pin::new(half).poll_shutdown(cx),
        }
    }
}
