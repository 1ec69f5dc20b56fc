//! A socket whose peer has only so long to take what it is sent.
//!
//! The time runs from when the system takes no more of an answer until it has all of it, so who takes a byte now and then gains nothing.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A socket, and when what is being written has to be taken.
#[derive(Debug)]
pub(super) struct Patient<S> {
    socket: S,
    patience: Duration,
    /// None while nothing waits to be written.
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// With so much patience for each answer.
    pub(super) fn new(socket: S, patience: Duration) -> Patient<S> {
        Patient { socket, patience, until: None }
    }

    /// Pending, or an error where the time is up.
    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<Result<T>> {
        let patience = self.patience;
        let until = self.until.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(until.as_mut().poll(context));
        Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the answer is not taken")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        match Pin::new(&mut self.socket).poll_write(context, bytes) {
            Poll::Pending => self.wait(context),
            written => written,
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        match Pin::new(&mut self.socket).poll_write_vectored(context, pieces) {
            Poll::Pending => self.wait(context),
            written => written,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        match Pin::new(&mut self.socket).poll_flush(context) {
            Poll::Pending => self.wait(context),
            flushed => {
                self.until = None;
                flushed
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        match Pin::new(&mut self.socket).poll_shutdown(context) {
            Poll::Pending => self.wait(context),
            ended => ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const PATIENCE: Duration = Duration::from_secs(2);

    #[tokio::test]
    async fn who_takes_a_byte_now_and_then_is_cut_off() {
        let (socket, mut peer) = duplex(16);
        let mut socket = Patient::new(socket, PATIENCE);
        let taking = tokio::spawn(async move { while peer.read_u8().await.is_ok() && pause().await {} });
        let error = socket.write_all(&[0; 10_000]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(socket);
        taking.await.unwrap();
    }

    async fn pause() -> bool {
        sleep(Duration::from_millis(20)).await;
        true
    }

    #[tokio::test]
    async fn each_answer_has_the_time_to_itself() {
        let (socket, mut peer) = duplex(16);
        let mut socket = Patient::new(socket, PATIENCE);
        let taking = tokio::spawn(async move {
            let mut answer = [0; 32];
            for _ in 0..6 {
                sleep(PATIENCE / 4).await;
                peer.read_exact(&mut answer).await.unwrap();
            }
        });
        for _ in 0..6 {
            socket.write_all(&[0; 32]).await.unwrap();
            socket.flush().await.unwrap();
        }
        taking.await.unwrap();
    }
}
