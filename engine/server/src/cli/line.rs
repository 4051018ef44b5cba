//! One open conversation: the two directions of a `VoiceSession`, after `ready`.
//!
//! Sending never waits: a client that paces audio by the clock must not be slowed by the engine, so an engine that
//! does not read for [`UNREAD_MAX`] messages is an error.

use std::time::Duration;

use parlance_proto::v1::session_control::Control;
use parlance_proto::v1::voice_session_request::Request;
use parlance_proto::v1::voice_session_response::Response;
use parlance_proto::v1::{
    End, SessionControl, SessionReady, SessionStart, ToolCall, ToolResult, VoiceSessionRequest,
    VoiceSessionResponse, tool_result,
};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::Error;
use super::connect::Engine;

/// Messages that may wait for the engine to read them: ten seconds of 20 ms frames.
const UNREAD_MAX: usize = 500;
/// Longest wait for `ready`.
const READY_WITHIN: Duration = Duration::from_secs(15);

/// The answer to a tool that this program is asked for: it runs none.
pub fn declined(call: &ToolCall) -> Request {
    let error = format!("this program can't run {}", call.tool);
    let outcome = Some(tool_result::Outcome::Error(error));
    Request::ToolResult(ToolResult { invocation_id: call.invocation_id, outcome })
}

/// An open conversation.
#[derive(Debug)]
pub struct Line {
    outbound: Option<mpsc::Sender<VoiceSessionRequest>>,
    inbound: Streaming<VoiceSessionResponse>,
}

impl Line {
    /// Begins a session and waits until it is ready.
    ///
    /// # Errors
    /// The engine's refusal, or [`Error::Broken`] if it says nothing.
    pub async fn open(engine: &Engine, start: SessionStart) -> Result<(Self, SessionReady), Error> {
        let (outbound, requests) = mpsc::channel(UNREAD_MAX);
        let silent = || Error::Broken("it did not get ready within 15 s".to_owned());
        let begin = async {
            let mut voice = engine.voice();
            let stream = ReceiverStream::new(requests);
            let line = Self {
                inbound: voice.voice_session(stream).await?.into_inner(),
                outbound: Some(outbound.clone()),
            };
            Ok::<_, Error>(line)
        };
        let _ = outbound.try_send(VoiceSessionRequest { request: Some(Request::Start(start)) });
        let mut line = timeout(READY_WITHIN, begin).await.map_err(|_| silent())??;
        match timeout(READY_WITHIN, line.next()).await.map_err(|_| silent())?? {
            Some(Response::Ready(ready)) => Ok((line, ready)),
            Some(Response::Error(error)) => Err(Error::Refused(error.message)),
            _ => Err(Error::Broken("its first message was not `ready`".to_owned())),
        }
    }

    /// Sends one message. After [`Line::hang_up`], or once the engine has closed its side, it goes nowhere: what
    /// the engine sends says why.
    ///
    /// # Errors
    /// [`Error::Broken`] if the engine does not read.
    pub fn send(&self, request: Request) -> Result<(), Error> {
        let Some(outbound) = &self.outbound else { return Ok(()) };
        match outbound.try_send(VoiceSessionRequest { request: Some(request) }) {
            Ok(()) | Err(TrySendError::Closed(_)) => Ok(()),
            Err(TrySendError::Full(_)) => Err(Error::Broken("it has stopped reading".to_owned())),
        }
    }

    /// The next message; `None` once the engine has said all.
    ///
    /// # Errors
    /// The status the session ended with.
    pub async fn next(&mut self) -> Result<Option<Response>, Error> {
        loop {
            match self.inbound.message().await? {
                None => return Ok(None),
                // An answer newer than this client.
                Some(VoiceSessionResponse { response: None, .. }) => {}
                Some(VoiceSessionResponse { response: Some(response), .. }) => return Ok(Some(response)),
            }
        }
    }

    /// Closes the caller's side when all is said: what the agent still has to say comes, then the end.
    pub fn hang_up(&mut self) {
        self.outbound = None;
    }

    /// Ends the call now, in the middle of whatever is said.
    pub fn break_off(&mut self) {
        let end = SessionControl { control: Some(Control::End(End {})) };
        // An engine that does not read any more loses the call with the connection.
        let _ = self.send(Request::Control(end));
        self.hang_up();
    }
}
