//! The socket of a client that has to read: one that takes nothing of what is written for a while is closed,
//! be it an answer or a stream of events.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use super::refused::{OfConnection, Refused};

/// What the kernel keeps for a client, so that one that reads nothing is noticed after as much. An answer
/// that is longer waits for its reader.
const SEND_BUFFER_BYTES: usize = 64 << 10;

/// A socket on which nothing is written for ever.
#[derive(Debug)]
pub(super) struct Patient<S> {
    socket: S,
    patience: Duration,
    refused: Refused,
    /// Goes off when the socket has taken nothing for so long; none while it takes what it is given.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Patient<TcpStream> {
    /// A client that has just come.
    pub(super) fn of_client(socket: TcpStream, patience: Duration, refused: Refused) -> Self {
        // Without it a client is noticed later.
        let _ = set_socket_send_buffer_size(&socket, SEND_BUFFER_BYTES);
        Self::new(socket, patience, refused)
    }
}

impl<S> Patient<S> {
    const fn new(socket: S, patience: Duration, refused: Refused) -> Self {
        Self {
            socket,
            patience,
            refused,
            alarm: None,
        }
    }

    /// Passes on what came of writing, unless nothing has come of it for too long.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.alarm = None;
            return written;
        }
        let patience = self.patience;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(alarm.as_mut().poll(cx));
        self.refused.count_connection(OfConnection::Unread);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.socket).poll_shutdown(cx);
        self.watch(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{runtime::Builder, time::timeout};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(200);

    /// Takes so many bytes, and then nothing.
    #[derive(Debug)]
    struct Taker(usize);

    impl AsyncWrite for Taker {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = self.0.min(buf.len());
            self.0 -= taken;
            if taken == 0 {
                return Poll::Pending;
            }
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_client_that_takes_nothing_more_is_given_up() {
        let runtime = Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(async {
            let refused = Refused::default();
            let mut socket = Patient::new(Taker(6), PATIENCE, refused.clone());
            let mut written =
                async || poll_fn(|cx| Pin::new(&mut socket).poll_write(cx, &[0; 4])).await;
            assert_eq!(written().await.ok(), Some(4));
            assert_eq!(written().await.ok(), Some(2));
            assert!(timeout(PATIENCE / 4, written()).await.is_err());
            let kind = written().await.map_err(|error| error.kind());
            assert_eq!(kind, Err(io::ErrorKind::TimedOut));
            assert_eq!(refused.connections_count("unread"), 1);
        });
    }
}
