//! `VoiceService`: the door into a conversation.

use std::sync::Arc;

use parlance_proto::v1::VoiceSessionRequest;
use parlance_proto::v1::voice_service_server::VoiceService;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{auth, open};
use crate::engine::Engine;
use crate::session::far_end::{CHANNEL, Outgoing};
use crate::status::Refusal;

/// The service.
pub struct Voice {
    engine: Arc<Engine>,
}

impl Voice {
    /// Calls live in `engine`.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

#[tonic::async_trait]
impl VoiceService for Voice {
    type VoiceSessionStream = ReceiverStream<Outgoing>;

    async fn voice_session(
        &self,
        request: Request<Streaming<VoiceSessionRequest>>,
    ) -> Result<Response<Self::VoiceSessionStream>, Status> {
        let organisation = auth::organisation(&self.engine.store, request.metadata()).await?;
        let mut incoming = request.into_inner();
        let start = open::first_message(&mut incoming).await?;
        let (outgoing, messages) = mpsc::channel(CHANNEL);
        let engine = self.engine.clone();
        // On a task of its own: a client that goes away while its call is made must not leave half of it.
        let opening = self.engine.calls.spawn(async move {
            let opened = open::open(&engine, organisation, start, outgoing).await?;
            let open::Opened { session, seat, ready } = opened;
            engine.calls.spawn(async move {
                Box::pin(session.run(incoming, ready)).await;
                drop(seat);
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
