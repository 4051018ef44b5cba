//! What a session tells: every event to the journal, those a client asked for to the stream, and the same entries as
//! the journal's to whoever watches the call from this process.

use std::sync::Arc;

use parlance_conversation::{Event, Now};
use parlance_proto::v1;
use parlance_proto::v1::call_event::Event as Wire;
use parlance_proto::v1::voice_session_response::Response;
use parlance_store::CallId;

use super::journal::{CallKey, CallLine, Entry, Journal, Record};
use super::onlookers::{Onlookers, Told};
use crate::convert::event;

/// The journal of one call: numbers its entries.
pub struct CallJournal {
    journal: Journal,
    line: CallLine,
    key: CallKey,
    onlookers: Arc<Onlookers>,
    offset: u64,
    wordless: bool,
    /// The offset of the last entry that watchers get.
    told: u64,
}

impl CallJournal {
    /// Begins at offset 1.
    pub fn new(journal: Journal, key: CallKey, onlookers: Arc<Onlookers>) -> Self {
        Self { line: journal.for_call(key), journal, key, onlookers, offset: 0, told: 0, wordless: false }
    }

    /// Whether only that turns, replies and waits were is noted and shown, and none of what was said.
    pub fn wordless(self, wordless: bool) -> Self {
        Self { wordless, ..self }
    }

    /// Notes what went in or was told.
    pub fn note(&mut self, now: Now, record: Record) {
        if self.wordless && !is_wordless(&record) {
            return;
        }
        self.offset += 1;
        if let Record::Told(told) = &record
            && event::is_public(told)
        {
            let (previous, offset) = (std::mem::replace(&mut self.told, self.offset), self.offset);
            let told = || Some(Told { previous, event: event::call_event(offset, now.clock, told)? });
            self.onlookers.show(told);
        }
        self.line.append(Entry { offset: self.offset, now, record });
    }

    /// The call whose it is.
    pub fn call(&self) -> CallId {
        self.key.call
    }

    /// The journal and the key, for closing the call.
    pub fn into_parts(self) -> (Journal, CallKey) {
        (self.journal, self.key)
    }
}

/// Whether nothing that anybody said can be in it. What is not known to be so counts as words.
fn is_wordless(record: &Record) -> bool {
    matches!(
        record,
        Record::Told(
            Event::TurnStarted { .. }
                | Event::Waiting { .. }
                | Event::TurnEnded { .. }
                | Event::TurnReopened { .. }
                | Event::ReplyStarted { .. }
                | Event::ReplyEnded { .. }
                | Event::Held { .. }
                | Event::HoldEnded { .. }
                | Event::Waterfall(_)
                | Event::Ended { .. }
        )
    )
}

/// The event as a message of the stream, if the client gets it: finals, tools, errors always; interims,
/// turns and waterfalls with `details`. The end is sent by the session itself, once it is stored.
pub fn response(told: &Event, details: bool) -> Option<Response> {
    if let Event::CallerInterim { turn, text, words } = told {
        let entry = v1::TranscriptEntry {
            speaker: v1::Speaker::Caller.into(),
            text: text.clone(),
            words: event::timed_words(words),
            turn_id: turn.0,
            ..Default::default()
        };
        let update = v1::TranscriptUpdate { r#final: false, entry: Some(entry) };
        return details.then_some(Response::Transcript(update));
    }
    match event::wire(told)? {
        Wire::Transcript(entry) => {
            Some(Response::Transcript(v1::TranscriptUpdate { r#final: true, entry: Some(entry) }))
        }
        Wire::Tool(tool) => Some(Response::Tool(tool)),
        Wire::Error(error) => Some(Response::Error(error)),
        Wire::Turn(turn) => details.then_some(Response::Turn(turn)),
        Wire::Waterfall(waterfall) => details.then_some(Response::Waterfall(waterfall)),
        Wire::Provider(switch) => details.then_some(Response::Provider(switch)),
        Wire::Ended(_) => None,
    }
}
