//! Responses that stream, and that can be cut in the middle as a broken connection is, or stand still for good.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::Stream;
use hyper::StatusCode;
use tokio::sync::mpsc;

use crate::serve::Line;

/// Where the pieces of a streamed body go. Dropping it ends the body in order; sending an error cuts the connection.
pub type Pieces = mpsc::Sender<io::Result<Bytes>>;

/// A response with this content type whose body `write` writes on a task of its own. When the client lets go, sends
/// fail: [`mpsc::Sender::closed`] resolves.
pub fn streamed<F>(content_type: &'static str, write: impl FnOnce(Pieces) -> F) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    streamed_over(Line::default(), content_type, write)
}

/// The same, over a line that [`half_open`] can bring to a standstill.
pub fn streamed_over<F>(line: Line, content_type: &'static str, write: impl FnOnce(Pieces) -> F) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    // One piece at a time, so that a client that lets go is noticed at the next.
    let (pieces, body) = mpsc::channel(1);
    tokio::spawn(write(pieces));
    let body = Body::from_stream(Streamed { body, line, end: None });
    (StatusCode::OK, [("content-type", content_type)], body).into_response()
}

/// The error that cuts a body in the middle. What was sent before it arrives.
pub fn cut() -> io::Error {
    io::Error::other("cut, as planned")
}

/// The error after which nothing is read or written any more, while the connection stays. What was sent before it
/// arrives.
pub fn half_open() -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, "half open, as planned")
}

/// Whether a client's key is one that stand-ins refuse.
pub fn is_wrong(key: &str) -> bool {
    key.is_empty() || key.contains("bad") || key.contains("wrong")
}

/// The body of a streamed response.
struct Streamed {
    body: mpsc::Receiver<io::Result<Bytes>>,
    line: Line,
    /// The error it will end with.
    end: Option<io::Error>,
}

impl Stream for Streamed {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(error) = self.end.take() {
            if error.kind() != io::ErrorKind::WouldBlock {
                return Poll::Ready(Some(Err(error)));
            }
            self.line.freeze();
            return Poll::Pending;
        }
        match ready!(self.body.poll_recv(context)) {
            Some(Err(error)) => {
                // hyper drops what it has buffered when a body fails, but sends it when a body has nothing yet.
                self.end = Some(error);
                context.waker().wake_by_ref();
                Poll::Pending
            }
            piece => Poll::Ready(piece),
        }
    }
}
