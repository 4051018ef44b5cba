//! `VoiceService`: the door into a conversation.

use std::sync::Arc;
use std::time::Duration;

use parlance_proto::v1::voice_service_server::VoiceService;
use parlance_proto::v1::{ErrorReason, VoiceSessionRequest};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::auth::Visitor;
use super::open;
use crate::engine::Engine;
use crate::session::far_end::{CHANNEL, Outgoing};
use crate::status::Refusal;

/// When a client may try again that found no place.
const PLACE_WAIT: Duration = Duration::from_secs(2);

/// The service.
pub struct Voice {
    engine: Arc<Engine>,
}

impl Voice {
    /// Calls live in `engine`.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// A place for one more session, taken before anything is done for it.
    fn place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        self.engine.places.clone().try_acquire_owned().map_err(|_| Refusal::Exhausted {
            reason: ErrorReason::TooManySessions,
            message: "this engine has as many sessions as it takes; try another, or wait".to_owned(),
            retry_after: PLACE_WAIT,
        })
    }
}

#[tonic::async_trait]
impl VoiceService for Voice {
    type VoiceSessionStream = ReceiverStream<Outgoing>;

    async fn voice_session(
        &self,
        request: Request<Streaming<VoiceSessionRequest>>,
    ) -> Result<Response<Self::VoiceSessionStream>, Status> {
        let organisation = Visitor::of(&request)?.organisation;
        let place = self.place()?;
        let mut incoming = request.into_inner();
        let start = open::first_message(&mut incoming).await?;
        let (outgoing, messages) = mpsc::channel(CHANNEL);
        let engine = self.engine.clone();
        // On a task of its own: a client that goes away while its call is made must not leave half of it.
        let opening = self.engine.calls.spawn(async move {
            let opened = Box::pin(open::open(&engine, organisation, start, outgoing)).await?;
            let open::Opened { session, seat, ready } = opened;
            engine.calls.spawn(async move {
                Box::pin(session.run(incoming, ready)).await;
                drop((seat, place));
            });
            Ok::<(), Status>(())
        });
        opening.await.map_err(|error| {
            tracing::error!(%error, "opening a session failed");
            Status::from(Refusal::Internal)
        })??;
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}
