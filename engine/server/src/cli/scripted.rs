//! An engine for the client's own tests: real sockets and the real contract, a scripted agent behind them.
//!
//! The agent greets (unless it is kept as one that lets the caller speak first, and then has little patience), listens
//! for one utterance (or one typed line), answers and hangs up. It says a reply is over
//! when the far end has reported all of it as played, so a client that reports nothing never gets an answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use parlance_proto::v1::agent_service_server::{AgentService, AgentServiceServer};
use parlance_proto::v1::voice_service_server::{VoiceService, VoiceServiceServer};
use parlance_proto::v1::voice_session_request::Request as From;
use parlance_proto::v1::voice_session_response::Response as To;
use parlance_proto::v1::*;
use prost_types::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use super::connect::ConnectArgs;

/// The key it takes.
const KEY: &str = "pk_test";
/// Frames of silence after the caller's words that end its turn.
const WAIT_FRAMES: u32 = 10;

/// Frames of silence before the caller's first words after which an agent that does not greet hangs up.
const PATIENCE_FRAMES: u32 = 200;

/// What it was asked to do, and its agents.
#[derive(Debug, Clone, Default)]
pub struct Scripted {
    agents: Arc<Mutex<BTreeMap<String, Agent>>>,
    masks: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Scripted {
    /// Serves on a free port until the test is over.
    pub async fn serve(&self) -> ConnectArgs {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
        let server = tonic::transport::Server::builder()
            .add_service(VoiceServiceServer::with_interceptor(self.clone(), check))
            .add_service(AgentServiceServer::with_interceptor(self.clone(), check));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        ConnectArgs { endpoint, key: Some(KEY.into()), data_dir: ".".into(), ca_file: None }
    }

    /// The agents it keeps, by name.
    pub fn agents(&self) -> BTreeMap<String, Agent> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The masks of the updates it got.
    pub fn masks(&self) -> Vec<Vec<String>> {
        self.masks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn check(request: Request<()>) -> Result<Request<()>, Status> {
    match request.metadata().get("authorization").map(|value| value.as_bytes()) {
        Some(b"Bearer pk_test") => Ok(request),
        _ => Err(Status::unauthenticated("the API key is not known")),
    }
}

#[tonic::async_trait]
impl VoiceService for Scripted {
    type VoiceSessionStream = ReceiverStream<Result<VoiceSessionResponse, Status>>;

    async fn voice_session(
        &self,
        request: Request<Streaming<VoiceSessionRequest>>,
    ) -> Result<Response<Self::VoiceSessionStream>, Status> {
        let mut requests = request.into_inner();
        let Some(From::Start(start)) = requests.message().await?.and_then(|request| request.request) else {
            return Err(Status::failed_precondition("the first message must be `start`"));
        };
        if start.target != Some(session_start::Target::Agent("agents/restaurant".into())) {
            return Err(Status::not_found("there is no such agent"));
        }
        let (out, responses) = channel(1_000);
        let kept = self.agents().remove("agents/restaurant").unwrap_or_default();
        let first = kept.call_handling.unwrap_or_default().first_speaker();
        let greets = first != FirstSpeaker::Caller;
        let mut script = Script { requests, out, start, greets, seq: 0 };
        tokio::spawn(async move {
            // The client is gone: so is the call.
            let _ = script.run().await;
        });
        Ok(Response::new(ReceiverStream::new(responses)))
    }
}

struct Script {
    requests: Streaming<VoiceSessionRequest>,
    out: Sender<Result<VoiceSessionResponse, Status>>,
    start: SessionStart,
    greets: bool,
    seq: u64,
}

impl Script {
    async fn run(&mut self) -> Option<()> {
        let ready = SessionReady {
            call: "calls/1".into(),
            agent: "agents/restaurant".into(),
            providers: "a script".into(),
            ..Default::default()
        };
        self.send(To::Ready(ready)).await?;
        if self.greets {
            self.speak(1, "Good day.").await?;
        }
        let Some(text) = self.listen().await else { return self.end(EndReason::CallerHungUp).await };
        self.said(Speaker::Caller, &text, 0).await?;
        self.speak(2, "Goodbye.").await?;
        self.end(EndReason::AgentEnded).await
    }

    async fn send(&mut self, response: To) -> Option<()> {
        self.seq += 1;
        self.out.send(Ok(VoiceSessionResponse { seq: self.seq, response: Some(response) })).await.ok()
    }

    async fn end(&mut self, reason: EndReason) -> Option<()> {
        self.send(To::Ended(CallEnded { reason: reason.into(), message: String::new() })).await
    }

    /// A reply of 200 ms of tone; over when the far end has played it.
    async fn speak(&mut self, reply_id: u32, text: &str) -> Option<()> {
        self.turn(TurnEventType::ReplyStarted, reply_id).await?;
        if !self.start.text_only {
            for n in 0..10_u32 {
                let position = Some(millis(n * 20));
                let data = [0x00_u8, 0x40].repeat(320).into();
                self.send(To::Audio(AgentAudio { reply_id, sequence: n + 1, position, data })).await?;
            }
            self.send(To::Mark(PlaybackMark { reply_id, position: Some(millis(200)) })).await?;
            self.played(reply_id).await?;
        }
        self.said(Speaker::Agent, text, reply_id).await?;
        self.turn(TurnEventType::ReplyEnded, reply_id).await
    }

    async fn played(&mut self, reply_id: u32) -> Option<()> {
        loop {
            match self.requests.message().await.ok()??.request? {
                From::Playback(report)
                    if report.reply_id == reply_id && report.position == Some(millis(200)) =>
                {
                    return Some(());
                }
                _ => {}
            }
        }
    }

    /// The caller's next utterance or typed line; `None` if it hangs up.
    async fn listen(&mut self) -> Option<String> {
        let (mut loud, mut quiet) = (false, 0);
        while !loud || quiet < WAIT_FRAMES {
            if !loud && !self.greets && quiet > PATIENCE_FRAMES {
                return None;
            }
            match self.requests.message().await.ok()??.request? {
                From::Text(typed) => return Some(typed.text),
                From::Audio(audio) if audio.data.iter().any(|byte| *byte > 0x10 && *byte < 0xF0) => {
                    (loud, quiet) = (true, 0);
                }
                From::Audio(_) => quiet += 1,
                _ => {}
            }
        }
        Some("spoken words".into())
    }

    async fn said(&mut self, speaker: Speaker, text: &str, reply_id: u32) -> Option<()> {
        let entry = TranscriptEntry {
            speaker: speaker.into(),
            text: text.into(),
            reply_id,
            sequence: 1,
            ..Default::default()
        };
        self.send(To::Transcript(TranscriptUpdate { r#final: true, entry: Some(entry) })).await
    }

    async fn turn(&mut self, kind: TurnEventType, reply_id: u32) -> Option<()> {
        self.send(To::Turn(TurnEvent { r#type: kind.into(), reply_id, ..Default::default() })).await
    }
}

fn millis(millis: u32) -> Duration {
    Duration { seconds: 0, nanos: i32::try_from(millis).unwrap_or(0) * 1_000_000 }
}

#[tonic::async_trait]
impl AgentService for Scripted {
    type TestAgentStream = ReceiverStream<Result<TestAgentResponse, Status>>;

    async fn get_flow(&self, _: Request<GetFlowRequest>) -> Result<Response<GetFlowResponse>, Status> {
        Err(unscripted())
    }

    async fn update_flow(
        &self,
        _: Request<UpdateFlowRequest>,
    ) -> Result<Response<UpdateFlowResponse>, Status> {
        Err(unscripted())
    }

    async fn validate_flow(
        &self,
        _: Request<ValidateFlowRequest>,
    ) -> Result<Response<ValidateFlowResponse>, Status> {
        Err(unscripted())
    }

    async fn get_agent_stats(
        &self,
        _: Request<GetAgentStatsRequest>,
    ) -> Result<Response<GetAgentStatsResponse>, Status> {
        Err(unscripted())
    }

    async fn test_agent(
        &self,
        _: Request<TestAgentRequest>,
    ) -> Result<Response<Self::TestAgentStream>, Status> {
        Err(unscripted())
    }

    async fn create_agent(
        &self,
        request: Request<CreateAgentRequest>,
    ) -> Result<Response<CreateAgentResponse>, Status> {
        let request = request.into_inner();
        let name = format!("agents/{}", request.agent_id);
        let agent = Agent { name: name.clone(), etag: "1".into(), ..request.agent.unwrap_or_default() };
        self.agents.lock().unwrap_or_else(PoisonError::into_inner).insert(name, agent.clone());
        Ok(Response::new(CreateAgentResponse { agent: Some(agent) }))
    }

    async fn get_agent(
        &self,
        request: Request<GetAgentRequest>,
    ) -> Result<Response<GetAgentResponse>, Status> {
        let agent = self.agents().remove(&request.into_inner().name);
        agent
            .map(|agent| Response::new(GetAgentResponse { agent: Some(agent) }))
            .ok_or_else(|| Status::not_found("there is no such agent"))
    }

    async fn list_agents(
        &self,
        _: Request<ListAgentsRequest>,
    ) -> Result<Response<ListAgentsResponse>, Status> {
        let agents = self.agents().into_values().collect();
        Ok(Response::new(ListAgentsResponse { agents, next_page_token: String::new() }))
    }

    async fn update_agent(
        &self,
        request: Request<UpdateAgentRequest>,
    ) -> Result<Response<UpdateAgentResponse>, Status> {
        let request = request.into_inner();
        let agent = request.agent.unwrap_or_default();
        let mask = request.update_mask.unwrap_or_default().paths;
        self.masks.lock().unwrap_or_else(PoisonError::into_inner).push(mask);
        self.agents.lock().unwrap_or_else(PoisonError::into_inner).insert(agent.name.clone(), agent.clone());
        Ok(Response::new(UpdateAgentResponse { agent: Some(agent) }))
    }

    async fn delete_agent(
        &self,
        request: Request<DeleteAgentRequest>,
    ) -> Result<Response<DeleteAgentResponse>, Status> {
        let name = request.into_inner().name;
        self.agents.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        Ok(Response::new(DeleteAgentResponse {}))
    }
}

fn unscripted() -> Status {
    Status::unimplemented("no test of the client asks for this")
}
