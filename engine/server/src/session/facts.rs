//! What providers tell, in the conversation's words: microseconds become call time, vendor types facts.

use crate::providers::transcriber;
use parlance_conversation::{
    CallTime, Input, ProviderKind, ReplyId, ToolRequest, Transcript, TranscriptKind, TurnSignal, WordTime,
};
use parlance_providers::registry::Kind;
use parlance_providers::{llm, stt, tts};

/// A transcriber's event, if it is one for the conversation. Its times count samples of the call's audio from
/// `audio_start`.
pub fn heard(event: stt::Event, audio_start: CallTime) -> Option<Input> {
    Some(match event {
        stt::Event::Opened => return None,
        stt::Event::Replaced { from_us, capabilities } => Input::TranscriberReplaced {
            transcriber: transcriber(&capabilities),
            from: shifted(from_us, audio_start),
        },
        stt::Event::Interim(transcript) => words(TranscriptKind::Interim, transcript, audio_start),
        stt::Event::Slice(transcript) => words(TranscriptKind::Slice, transcript, audio_start),
        stt::Event::Turn(signal) => Input::ProviderTurn { signal: turn_signal(signal) },
        stt::Event::Failed(error) => Input::ProviderFailed {
            kind: ProviderKind::SpeechToText,
            reply: None,
            message: error.to_string(),
            fallback_left: false,
        },
    })
}

/// A model's event for a reply.
pub fn modelled(reply: ReplyId, event: llm::Event) -> Input {
    match event {
        llm::Event::Text(text) => Input::ReplyText { reply, text },
        llm::Event::ToolCalls(calls) => {
            Input::ReplyWantsTools { reply, calls: calls.into_iter().map(tool_request).collect() }
        }
        llm::Event::Finished { .. } => Input::ReplyFinished { reply },
        llm::Event::Failed(error) => Input::ProviderFailed {
            kind: ProviderKind::LanguageModel,
            reply: Some(reply),
            message: error.to_string(),
            fallback_left: false,
        },
    }
}

/// Another provider goes on.
pub fn switched(kind: Kind, from: &str, to: &str, reason: String) -> Input {
    let kind = match kind {
        Kind::Stt => ProviderKind::SpeechToText,
        Kind::Llm => ProviderKind::LanguageModel,
        Kind::Tts => ProviderKind::TextToSpeech,
    };
    Input::ProviderSwitched { kind, from: from.to_owned(), to: to.to_owned(), reason }
}

/// Word times of a segment, in the segment's own audio time.
pub fn segment_words(words: Vec<tts::WordTime>) -> Vec<WordTime> {
    words.into_iter().map(|word| word_time(word.text, word.start_us, word.end_us, CallTime::ZERO)).collect()
}

fn words(kind: TranscriptKind, transcript: stt::Transcript, audio_start: CallTime) -> Input {
    Input::Transcript(Transcript {
        kind,
        text: transcript.text,
        words: transcript
            .words
            .into_iter()
            .map(|word| word_time(word.text, word.start_us, word.end_us, audio_start))
            .collect(),
        covers_until: transcript.covers_until_us.map(|us| shifted(us, audio_start)),
    })
}

fn word_time(text: String, start_us: u64, end_us: u64, origin: CallTime) -> WordTime {
    WordTime { text, start: shifted(start_us, origin), end: shifted(end_us, origin) }
}

fn shifted(us: u64, origin: CallTime) -> CallTime {
    CallTime::from_micros(origin.as_micros() + us)
}

fn turn_signal(signal: stt::TurnSignal) -> TurnSignal {
    match signal {
        stt::TurnSignal::Start => TurnSignal::Start,
        stt::TurnSignal::EagerEnd => TurnSignal::EagerEnd,
        stt::TurnSignal::Resumed => TurnSignal::Resumed,
        stt::TurnSignal::End => TurnSignal::End,
    }
}

fn tool_request(call: llm::ToolCall) -> ToolRequest {
    ToolRequest { call_id: call.id, tool: call.name, arguments: call.arguments, signature: call.signature }
}
