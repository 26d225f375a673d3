//! Connections: one stream of bytes, whatever is below it, with a budget for what
//! comes in. Nobody on the other side can make us read without end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hsu_sys::local::AsyncStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// What one look may read from the other side, heads and all.
pub(crate) const MOST_READ: usize = 512 << 10;

/// A stream below TLS.
#[derive(Debug)]
pub(crate) enum Plain {
    Tcp(TcpStream),
    Local(AsyncStream),
}

/// What bytes go over.
#[derive(Debug)]
enum Wire {
    Plain(Plain),
    Tls(Box<TlsStream<Plain>>),
}

/// A connection to something that is looked at.
#[derive(Debug)]
pub(crate) struct Connection {
    wire: Wire,
    budget: usize,
    /// Whom it goes to, for people.
    pub(crate) peer: String,
}

impl Connection {
    pub(crate) fn plain(plain: Plain, peer: String) -> Self {
        Self { wire: Wire::Plain(plain), budget: MOST_READ, peer }
    }

    pub(crate) fn tls(stream: TlsStream<Plain>, peer: String) -> Self {
        Self { wire: Wire::Tls(Box::new(stream)), budget: MOST_READ, peer }
    }

    /// The stream itself, when nothing protects it yet: for protocols that begin in the open.
    pub(crate) fn into_plain(self) -> Option<Plain> {
        match self.wire {
            Wire::Plain(plain) => Some(plain),
            Wire::Tls(_) => None,
        }
    }
}

macro_rules! forward {
    ($plain:expr, $stream:ident => $call:expr) => {
        match $plain {
            Plain::Tcp($stream) => $call,
            Plain::Local($stream) => $call,
        }
    };
}

impl AsyncRead for Plain {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        forward!(self.get_mut(), stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        forward!(self.get_mut(), stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self.get_mut(), stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(context))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.budget == 0 {
            return Poll::Ready(Err(io::Error::other("the answer is endless")));
        }
        let before = buffer.filled().len();
        let polled = match &mut this.wire {
            Wire::Plain(plain) => Pin::new(plain).poll_read(context, buffer),
            Wire::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
        };
        this.budget = this.budget.saturating_sub(buffer.filled().len() - before);
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().wire {
            Wire::Plain(plain) => Pin::new(plain).poll_write(context, bytes),
            Wire::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Plain(plain) => Pin::new(plain).poll_flush(context),
            Wire::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Plain(plain) => Pin::new(plain).poll_shutdown(context),
            Wire::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }
}
