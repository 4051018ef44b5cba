//! Responses that stream, and that can be cut in the middle as a broken connection is.

use std::io;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::StatusCode;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Where the pieces of a streamed body go. Dropping it ends the body in order; sending an error cuts the connection.
pub type Pieces = mpsc::Sender<io::Result<Bytes>>;

/// A response with this content type whose body `write` writes on a task of its own. When the client lets go, sends
/// fail: [`mpsc::Sender::closed`] resolves.
pub fn streamed<F>(content_type: &'static str, write: impl FnOnce(Pieces) -> F) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    // One piece at a time, so that a client that lets go is noticed at the next.
    let (pieces, body) = mpsc::channel(1);
    tokio::spawn(write(pieces));
    (StatusCode::OK, [("content-type", content_type)], Body::from_stream(ReceiverStream::new(body)))
        .into_response()
}

/// The error that cuts a body in the middle.
pub fn cut() -> io::Error {
    io::Error::other("cut, as planned")
}

/// Whether a client's key is one that stand-ins refuse.
pub fn is_wrong(key: &str) -> bool {
    key.is_empty() || key.contains("bad") || key.contains("wrong")
}
