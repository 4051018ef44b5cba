//! Somebody who watches a call: takes its events and keeps them.

use std::time::Duration;

use parlance::cli::connect;
use parlance_proto::v1;
use parlance_proto::v1::call_event::Event;
use tonic::{Status, Streaming};

/// How long an event may take that is waited for.
const COMES_WITHIN: Duration = Duration::from_secs(30);

/// A watcher.
pub struct Watcher {
    /// What came.
    pub events: Vec<v1::CallEvent>,
    incoming: Streaming<v1::WatchCallResponse>,
}

impl Watcher {
    /// Begins to watch `call` behind an offset.
    ///
    /// # Errors
    /// The status of the refusal.
    pub async fn tries(client: &connect::Engine, call: &str, after_offset: u64) -> Result<Self, Status> {
        let request = v1::WatchCallRequest { name: call.into(), after_offset };
        let incoming = client.calls().watch_call(request).await?.into_inner();
        Ok(Self { events: Vec::new(), incoming })
    }

    /// The same, where no refusal is expected.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn watches(client: &connect::Engine, call: &str, after_offset: u64) -> Self {
        Self::tries(client, call, after_offset).await.unwrap_or_else(|status| panic!("refused: {status:?}"))
    }

    /// Goes on until `done`.
    ///
    /// # Panics
    /// When that does not come, or the stream ends before.
    pub async fn until(&mut self, awaited: &str, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            let next = tokio::time::timeout(COMES_WITHIN, self.incoming.message()).await;
            match next {
                Ok(Ok(Some(message))) => self.events.push(message.event.expect("a message has its event")),
                other => panic!("{other:?} while {awaited} was awaited; what came: {:#?}", self.events),
            }
        }
    }

    /// Goes on to the end of the stream; gives all that came and its status.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn ends(mut self) -> (Vec<v1::CallEvent>, Result<(), Status>) {
        loop {
            let next = tokio::time::timeout(COMES_WITHIN, self.incoming.message()).await;
            match next.unwrap_or_else(|_| panic!("the stream goes on; what came: {:#?}", self.events)) {
                Ok(Some(message)) => self.events.push(message.event.expect("a message has its event")),
                Ok(None) => return (self.events, Ok(())),
                Err(status) => return (self.events, Err(status)),
            }
        }
    }

    /// Whether these words were said.
    pub fn has_said(&self, text: &str) -> bool {
        self.events
            .iter()
            .any(|event| matches!(&event.event, Some(Event::Transcript(entry)) if entry.text == text))
    }

    /// The offset of the last event.
    pub fn last(&self) -> u64 {
        self.events.last().map_or(0, |event| event.offset)
    }
}
