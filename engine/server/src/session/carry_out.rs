//! Carries out what the conversation commands: at once, in order, without waiting for any result.
//!
//! Whatever can't be done becomes a fact for the conversation, never an error of the hall.

use parlance_conversation::{Action, Event, Expectation, Input, Message, ProviderKind, ReplyId, ToolOutcome};
use parlance_providers::{llm, stt};

use super::inbox::Posted;
use super::journal::Record;
use super::log_line;
use super::run::Session;
use super::telling;
use super::voice::Failure;

impl Session {
    /// Carries out one action at `now`.
    pub(super) fn carry_out(&mut self, action: Action) {
        let now = self.clock.now();
        match action {
            Action::StartReply { reply, context, .. } => self.start_reply(reply, context),
            Action::CancelReply { reply } => self.cancel_reply(reply),
            Action::ReleaseReply { reply } => self.playout.release(reply),
            Action::Synthesize { reply, segment, text } => {
                let failure = self.voice.speak(reply, segment, &text);
                self.voice_failed(failure);
            }
            Action::HoldPlayout { reply } => {
                self.record_played(now);
                self.playout.hold(now, reply, &mut self.far_end);
            }
            Action::ResumePlayout { reply, from } => self.playout.resume(reply, from),
            Action::FlushPlayout { reply } => {
                self.record_played(now);
                self.playout.flush(now, reply, &mut self.far_end);
            }
            Action::RunTool { invocation, tool, arguments, .. } => {
                self.tally.tool_started();
                self.toolbox.run(invocation, tool, arguments, self.post.clone());
            }
            Action::FinalizeTranscript => self.caller_audio.finalize(),
            Action::Expect(expectation) => {
                let expectation = self.listening_for(expectation);
                self.caller_audio.next_turn(expectation);
            }
            Action::EndCall { reason } => self.ended = Some(reason),
            Action::Tell(event) => {
                self.metrics.told(&event);
                if let Event::SpeculationDropped { reply, .. } = &event
                    && let Some(usage) = self.tally.of_reply(*reply)
                {
                    self.metrics.threw_away(usage);
                }
                if let Event::ToolEnded { invocation, outcome: ToolOutcome::TimedOut, .. } = &event {
                    // Whatever its client says from here on comes too late.
                    self.toolbox.time_is_up(*invocation);
                }
                log_line::told(self.journal.call(), &event);
                if let Some(trace) = &mut self.trace {
                    trace.told(now, &event);
                }
                if let Event::ReplyEnded { reply, .. } = &event {
                    // Nobody goes back into its audio any more; a long call would else hold all that was said.
                    self.playout.forget(*reply);
                }
                if let Some(response) = telling::response(&event, self.options.details) {
                    self.far_end.tell(now, response);
                }
                self.journal.note(self.now(), Record::Told(event));
            }
        }
    }

    /// Hands the conversation the news that a reply has no voice.
    pub(super) fn voice_failed(&mut self, failure: Option<Failure>) {
        self.facts.extend(failure.map(no_voice));
    }

    fn start_reply(&mut self, reply: ReplyId, context: Vec<Message>) {
        let Some(model) = &self.model else {
            self.model_failed(reply, "the engine has no language model".to_owned());
            return;
        };
        let post = self.post.clone();
        let id = self.requests.make_id();
        let sink: llm::Sink =
            std::sync::Arc::new(move |event| post.post(Posted::Model { reply, request: id, event }));
        let request = llm::Request { messages: model_messages(context), ..self.asking.clone() };
        match model.respond(request, sink) {
            Ok(response) => self.requests.begun(reply, id, response),
            Err(error) => self.model_failed(reply, error.to_string()),
        }
    }

    /// What the flow expects, and what the agent always listens for.
    fn listening_for(&self, expectation: Expectation) -> stt::Expectation {
        let key_terms = expectation.options.into_iter().chain(self.key_terms.iter().cloned()).collect();
        stt::Expectation { jsgf: expectation.jsgf, key_terms }
    }

    fn model_failed(&mut self, reply: ReplyId, message: String) {
        self.facts.push_back(Input::ProviderFailed {
            kind: ProviderKind::LanguageModel,
            reply: Some(reply),
            message,
            fallback_left: false,
        });
    }

    fn cancel_reply(&mut self, reply: ReplyId) {
        self.requests.cancel(reply);
        let failure = self.voice.cancel(reply);
        self.voice_failed(failure);
        let now = self.clock.now();
        self.record_played(now);
        self.playout.forget(reply);
    }

    /// Gives the recording what the far end has played by now.
    pub(super) fn record_played(&mut self, now: parlance_conversation::CallTime) {
        let recording = &mut self.recording;
        self.playout.record(now, |block| {
            if let Some(recording) = recording {
                recording.agent(block.at, block.samples);
            }
        });
    }
}

/// The news that a reply has no voice, or no longer this one.
pub(super) fn no_voice(failure: Failure) -> Input {
    Input::ProviderFailed {
        kind: ProviderKind::TextToSpeech,
        reply: Some(failure.reply),
        message: failure.message,
        fallback_left: failure.fallback_left,
    }
}

/// The context as models take it: calls that stand in a row were made together and are one message.
pub(super) fn model_messages(context: Vec<Message>) -> Vec<llm::Message> {
    let mut messages: Vec<llm::Message> = Vec::with_capacity(context.len());
    for message in context {
        let message = model_message(message);
        match messages.last_mut() {
            Some(before) if !before.tool_calls.is_empty() && !message.tool_calls.is_empty() => {
                before.tool_calls.extend(message.tool_calls);
            }
            _ => messages.push(message),
        }
    }
    messages
}

fn model_message(message: Message) -> llm::Message {
    let plain = |role, text| llm::Message { role, text, tool_calls: Vec::new(), tool_call_id: None };
    match message {
        Message::System { text } => plain(llm::Role::System, text),
        Message::Caller { text } => plain(llm::Role::Caller, text),
        Message::Agent { text } => plain(llm::Role::Agent, text),
        Message::ToolCall { call_id, tool, arguments, signature } => llm::Message {
            tool_calls: vec![llm::ToolCall { id: call_id, name: tool, arguments, signature }],
            ..plain(llm::Role::Agent, String::new())
        },
        Message::ToolResult { call_id, result, .. } => {
            llm::Message { tool_call_id: Some(call_id), ..plain(llm::Role::Tool, result.to_string()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn calls_made_together_are_one_message_and_keep_their_signatures() {
        let call = |id: &str, signature: Option<&str>| Message::ToolCall {
            call_id: id.into(),
            tool: "look_up".into(),
            arguments: json!({}),
            signature: signature.map(str::to_owned),
        };
        let result = |id: &str| Message::ToolResult {
            call_id: id.into(),
            tool: "look_up".into(),
            result: json!({ "found": id }),
        };
        let said = Message::Agent { text: "One moment.".into() };
        let context =
            vec![said, call("a", Some("opaque")), call("b", None), result("a"), result("b"), call("c", None)];
        let messages = model_messages(context);
        let calls = |message: &llm::Message| -> Vec<String> {
            message.tool_calls.iter().map(|call| call.id.clone()).collect()
        };
        let shape: Vec<_> = messages.iter().map(|m| (m.role, calls(m), m.tool_call_id.clone())).collect();
        let none = Vec::new;
        assert_eq!(
            shape,
            [
                (llm::Role::Agent, none(), None),
                (llm::Role::Agent, vec!["a".into(), "b".into()], None),
                (llm::Role::Tool, none(), Some("a".into())),
                (llm::Role::Tool, none(), Some("b".into())),
                (llm::Role::Agent, vec!["c".into()], None),
            ]
        );
        assert_eq!(messages[1].tool_calls[0].signature.as_deref(), Some("opaque"));
    }
}
